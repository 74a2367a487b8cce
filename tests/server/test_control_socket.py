"""The control socket: who may open it, what it finds in its place, and what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from spgrepl.catalogue.server_statements import ServerStatements
from spgrepl.disk.files import DatabasePaths
from spgrepl.log.wal_level import WalLevel
from spgrepl.server.control_socket import LONGEST_PATH, ControlSocket
from spgrepl.server.status.client import StatusAddress, ask
from spgrepl.server.status.resource import build_site

_LISTEN = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("listening", flush=True)
sys.stdin.read()
"""


class ControlSocketTests(TestCase):
    """Control sockets in a folder with a short name."""

    timeout = 60

    def setUp(self) -> None:
        """Make the folder, and a level to set."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = DatabasePaths.of(Path(folder.name) / "main.db").control_socket
        self.level = WalLevel()

    def service(self, path: Path | None = None) -> ControlSocket:
        """A service that is stopped in the end."""
        statements = ServerStatements(
            self.level, lambda level: succeed(self.level.set(level)), lambda *_: Deferred()
        )
        site = build_site(reactor, lambda: {"role": "master"}, lambda *_: Deferred(), statements.run)  # type: ignore[arg-type]
        made = ControlSocket(reactor, path or self.path, site)
        self.addCleanup(made.stopService)
        return made

    def started(self) -> ControlSocket:
        """One that listens."""
        made = self.service()
        made.startService()
        assert made.error is None
        return made

    def in_another_process(self) -> subprocess.Popen[str]:
        """A process that listens there."""
        process = subprocess.Popen(
            [sys.executable, "-c", _LISTEN, str(self.path)], stdin=-1, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.communicate)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        return process

    def post(self, sql: str) -> Deferred[tuple[int, dict[str, Any]]]:
        """Ask it as a program without a reactor does."""
        return deferToThread(ask, StatusAddress(path=str(self.path)), "/sql", 10.0, sql)

    @inlineCallbacks
    def test_it_serves_the_site(self) -> Any:
        """Statements and the status; the name stands beside the log."""
        assert self.path.name == "main.wal.control"
        self.started()
        code, answer = yield self.post("SET effective_wal_level = 'logical'")
        assert (code, answer, self.level.value) == (200, {"columns": [], "rows": []}, "logical")
        _, answer = yield self.post("SHOW effective_wal_level")
        assert answer["rows"] == [["logical"]]
        _, status = yield deferToThread(ask, StatusAddress(path=str(self.path)), "/status")
        assert status["role"] == "master"

    @inlineCallbacks
    def test_only_its_owner_may_open_it(self) -> Any:
        """And it is gone in the end."""
        made = self.started()
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o600
        yield made.stopService()
        assert not self.path.exists()
        assert made.port is None

    @inlineCallbacks
    def test_it_starts_again(self) -> Any:
        """As often as it is stopped."""
        made = self.started()
        yield made.stopService()
        made.startService()
        code, _ = yield self.post("SHOW effective_wal_level")
        assert code == 200

    @inlineCallbacks
    def test_what_a_killed_server_left_is_replaced(self) -> Any:
        """Nobody listens there any more."""
        process = self.in_another_process()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert self.path.exists()
        self.started()
        code, _ = yield self.post("SHOW effective_wal_level")
        assert code == 200

    @inlineCallbacks
    def test_a_living_server_keeps_its_socket(self) -> Any:
        """The second does without, and names the first."""
        process = self.in_another_process()
        made = self.service()
        made.startService()
        assert made.port is None
        assert f"is served by process {process.pid}" in (made.error or "")
        yield made.stopService()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.path))

    def test_a_living_server_with_too_many_callers(self) -> None:
        """It is alive all the same."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.path))
            listening.listen(0)
            callers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(str(self.path))
            made = self.service()
            made.startService()
            assert "many callers" in (made.error or "")
            for caller in callers:
                caller.close()

    def test_another_file_of_that_name_stays(self) -> None:
        """It is not ours to remove."""
        self.path.write_text("notes")
        made = self.service()
        made.startService()
        assert "is not a socket: move it away" in (made.error or "")
        assert self.path.read_text() == "notes"

    def test_a_name_that_is_too_long(self) -> None:
        """The service does without."""
        longest = self.path.with_name("x" * (LONGEST_PATH - len(os.fsencode(self.path.parent)) - 1))
        made = self.service(longest)
        made.startService()
        assert made.error is None
        made = self.service(longest.with_name(longest.name + "y"))
        made.startService()
        assert f"may have {LONGEST_PATH}" in (made.error or "")

    def test_a_folder_that_is_missing(self) -> None:
        """The service does without."""
        made = self.service(self.path.parent / "missing" / "s")
        made.startService()
        assert "missing is not a folder that this process may write into" in (made.error or "")

    @inlineCallbacks
    def test_anothers_socket_stays(self) -> Any:
        """Somebody removed ours, and another server took the name, or nobody did."""
        made = self.started()
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            yield made.stopService()
            assert self.path.exists()
        self.path.unlink()
        made = self.started()
        self.path.unlink()
        yield made.stopService()
