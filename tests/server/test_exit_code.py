"""The code that a process of twistd ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.python.failure import Failure

from spgrepl.errors import DatabaseLocked, HistoryDiverged
from spgrepl.server.exit_code import ExitCode, end_process
from tests.conftest import LoggedFailures


class Reactor:
    """Notes what it is to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def stop(self) -> None:
        self.calls.append("stop")

    def callWhenRunning(self, function: object) -> None:
        self.calls.append(getattr(function, "__name__", ""))


@pytest.mark.parametrize(
    ("error", "code"), [(HistoryDiverged("x"), 76), (DatabaseLocked("x"), 75), (ZeroDivisionError(), 78)]
)
def test_the_error_says_the_code(error: Exception, code: int, logged_failures: LoggedFailures) -> None:
    exit_code, reactor = ExitCode.__new__(ExitCode), Reactor()
    end_process(Failure(error), exit_code, reactor)
    assert (exit_code.code, reactor.calls) == (code, ["stop"])
    logged_failures.flush()


@pytest.mark.parametrize("code", [0, 76])
def test_a_process_ends_with_it_whatever_else_it_does_at_its_end(code: int) -> None:
    program = (
        "import atexit\n"
        "from spgrepl.server.exit_code import ExitCode\n"
        f"ExitCode().code = {code}\n"
        "atexit.register(lambda: print('done'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "done\n")
