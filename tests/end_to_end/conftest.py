"""Real processes for the end-to-end tests: ``twistd spgrepl`` servers, and ``spgrepl`` commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from spgrepl.sqlite.comparison import Comparison, compare_databases

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
DEADLINE = 60.0


def until(condition: Callable[[], Any], what: Callable[[], object] = lambda: "") -> Any:
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + DEADLINE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what()}"
        time.sleep(0.02)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def run_command(*words: object, code: int = 0) -> str:
    """Run a ``spgrepl`` command, expect an exit code, and return what it printed."""
    command = [sys.executable, "-m", "spgrepl", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, env=environment())
    assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout + (done.stderr if code else "")


class Server:
    """One ``twistd spgrepl`` process, in a folder of its own.

    Attributes:
        program: What Python runs.
    """

    program = TWISTD

    def __init__(self, folder: Path, name: str, *words: object) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.name = name
        self.database = self.folder / "data.db"
        self.wal = self.folder / "data.wal"
        self.http = StatusAddress(path=str(self.folder / "http"))
        self._words = [*map(str, words), "--db", str(self.database), "--http", f"unix:{self.http.path}"]
        self._output = self.folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: object) -> Server:
        """Start it and wait until it answers."""
        self.launch(*more)
        until(self.answers, self.output)
        return self

    def launch(self, *more: object) -> None:
        """Start it, and leave it to itself."""
        words = ["-n", "--pidfile=", "spgrepl", *self._words, *map(str, more)]
        command = [sys.executable, "-c", self.program, *words]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
            )

    def answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended: {self.output()}"
        try:
            return self.status()["state"] != "starting"
        except ServerUnreachable:
            return False

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        return self._output.read_text()

    def status(self) -> dict[str, Any]:
        code, status = ask(self.http, "/status")
        assert code == 200
        return status

    def applied(self) -> int | None:
        position: int | None = self.status()["positions"]["applied"]
        return position

    def port(self) -> int:
        """The port that it listens on, as it says itself."""
        said = until(lambda: re.search(r"serving followers at \S*?:(\d+)", self.output()), self.output)
        return int(said[1])

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, deadline: float = DEADLINE) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.exit_code(deadline)

    def exit_code(self, deadline: float = DEADLINE) -> int:
        """Wait until it ends, for some seconds at most, and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=deadline)

    def clean_up(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()

    # -- what is done with it ---------------------------------------------------------------------------------

    def execute(self, *statements: str) -> int:
        """Run SQL at the primary beside it, and return the position."""
        return int(run_command("exec", "--db", self.database, *statements).split()[-1])

    def wait(self, position: int) -> None:
        """Wait with ``spgrepl wait`` until it has applied a position."""
        reached = run_command("wait", "--http", self.http, "--timeout", DEADLINE, position)
        assert int(reached) >= position

    def same_as(self, other: Server) -> Comparison:
        found = compare_databases(self.database, other.database)
        assert found.equal, found.differences
        return found


Start = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Start]:
    """Make servers; those that run at the end of the test are killed."""
    made: list[Server] = []

    def make_one(name: str, *words: object) -> Server:
        made.append(Server(tmp_path, name, *words))
        return made[-1]

    yield make_one
    for server in made:
        server.clean_up()


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on, for a server that is started again and must be found again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
