"""Server processes that a command starts, watches and ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from spgrepl.base.steady_clock import steady_clock
from spgrepl.disk.files import PRIVATE

_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
_TAIL = 2000
_TERMINATE_TIMEOUT = 10.0


class ServerProcess:
    """A ``twistd spgrepl`` process, which may be killed and started again.

    Args:
        reactor: The reactor.
        name: What messages call it.
        words: What follows ``twistd spgrepl`` on its command line.
        output: The file that takes what it prints.
    """

    def __init__(self, reactor: Any, name: str, words: list[str], output: Path) -> None:
        self.name = name
        self._reactor = reactor
        self._words = words
        self._output = output
        self._ended: Deferred[int | None] | None = None
        self._transport: IProcessTransport | None = None

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "spgrepl", *self._words]
        watch = _Watch()
        self._ended = watch.ended
        with open(self._output, "ab", opener=_private) as output, open(os.devnull, "rb") as nothing:
            files = {0: nothing.fileno(), 1: output.fileno(), 2: output.fileno()}
            self._transport = self._reactor.spawnProcess(
                watch, sys.executable, command, env=dict(os.environ), childFDs=files
            )

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._ended is not None and not self._ended.called

    def signal(self, name: str) -> None:
        """Send it a signal, such as ``KILL``; nothing happens when it has ended."""
        if self._transport is not None:
            try:
                self._transport.signalProcess(name)
            except ProcessExitedAlready:
                return

    def ended(self) -> Deferred[int | None]:
        """A Deferred of the exit code, a new one at each call; None where a signal ended it or it never ran."""
        if self._ended is None:
            return succeed(None)
        waiter: Deferred[int | None] = Deferred()

        def pass_on(code: int | None) -> int | None:
            waiter.callback(code)
            return code

        self._ended.addCallback(pass_on)
        return waiter

    def stop(self) -> Deferred[int | None]:
        """Ask it to end, and kill it when that takes too long."""
        self.signal("TERM")
        ended = self.ended()
        late = steady_clock(self._reactor).callLater(_TERMINATE_TIMEOUT, self.signal, "KILL")

        def in_time(code: int | None) -> int | None:
            if late.active():
                late.cancel()
            return code

        return ended.addCallback(in_time)

    def last_words(self) -> str:
        """The end of what it printed."""
        try:
            return self._output.read_bytes()[-_TAIL:].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read: a log tells positions."""
    return os.open(path, flags, PRIVATE)


class _Watch(ProcessProtocol):
    """Tells when a process has ended."""

    def __init__(self) -> None:
        self.ended: Deferred[int | None] = Deferred()

    def processExited(self, reason: Failure) -> None:
        """Take the exit code."""
        self.ended.callback(getattr(reason.value, "exitCode", None))
