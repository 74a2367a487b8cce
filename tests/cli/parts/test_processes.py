"""Server processes that a command starts and ends, on a reactor whose processes a test ends."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from spgrepl.cli.parts.processes import ServerProcess


class Reactor(Clock):
    """Starts processes that only say what they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.command: list[str] = []
        self.signals: list[str] = []
        self.gone = False

    def spawnProcess(self, protocol: Any, executable: str, command: list[str], **_: Any) -> Any:
        self.protocol, self.command, self.gone = protocol, command, False
        assert executable == sys.executable
        return self

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, code: int | None) -> None:
        self.gone = True
        reason = ProcessDone(0) if code == 0 else ProcessTerminated(code, None if code else 9)
        self.protocol.processExited(Failure(reason))


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def server(reactor: Reactor, tmp_path: Path) -> ServerProcess:
    return ServerProcess(reactor, "master", ["master", "--db", "a.db"], tmp_path / "out.log")


def test_it_runs_from_its_start_to_its_end(server: ServerProcess, reactor: Reactor) -> None:
    assert not server.running
    server.start()
    assert server.running
    assert reactor.command[-4:] == ["spgrepl", "master", "--db", "a.db"]
    codes: list[int | None] = []
    for _ in range(2):
        server.ended().addCallback(codes.append)
    reactor.end(3)
    server.ended().addCallback(codes.append)
    assert (codes, server.running) == ([3, 3, 3], False)
    server.signal("KILL")
    assert reactor.signals == []
    server.start()
    assert server.running
    reactor.end(0)


def test_what_does_not_end_in_time_is_killed(server: ServerProcess, reactor: Reactor) -> None:
    server.start()
    codes: list[int | None] = []
    server.stop().addCallback(codes.append)
    reactor.advance(9.9)
    assert reactor.signals == ["TERM"]
    reactor.advance(0.2)
    assert reactor.signals == ["TERM", "KILL"]
    reactor.end(None)
    assert codes == [None]
    assert reactor.getDelayedCalls() == []


def test_what_ends_in_time_leaves_no_timer(server: ServerProcess, reactor: Reactor) -> None:
    server.start()
    stopping = server.stop()
    reactor.end(0)
    assert stopping.called
    assert reactor.getDelayedCalls() == []


def test_one_that_never_ran_ends_at_once(server: ServerProcess, reactor: Reactor) -> None:
    assert server.stop().called
    assert reactor.getDelayedCalls() == []
    assert server.last_words() == ""


def test_its_words_are_private_and_only_the_last_are_told(server: ServerProcess, tmp_path: Path) -> None:
    server.start()
    path = tmp_path / "out.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"x" * 3000 + b"\xff the end")
    assert len(server.last_words()) == 2000
    assert server.last_words().endswith("\ufffd the end")
