"""SIGHUP: read the configuration again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application.service import Service


def hold_hangups() -> None:
    """Let a SIGHUP wait from now on: before it is listened for, it would end the process.

    Call it while the process has one thread, which those that begin later take it from.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release_hangups() -> None:
    """Let a SIGHUP come, one that has waited at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


class HangupListener(Service):
    """Calls something in the reactor's thread whenever the process gets SIGHUP, or got it since `hold_hangups`.

    Args:
        reactor: The reactor.
        call: What to call.
    """

    def __init__(self, reactor: Any, call: Callable[[], object]) -> None:
        self._reactor = reactor
        self._call = call
        self._before: Any = None

    def startService(self) -> None:
        """Listen for the signal."""
        Service.startService(self)
        before = signal.signal(signal.SIGHUP, self._came)
        # Where it would end the process, it comes to nothing once this has stopped: other services are being
        # closed then, and must not be cut short.
        self._before = signal.SIG_IGN if before is signal.SIG_DFL else before
        release_hangups()

    def stopService(self) -> None:
        """Give the signal back to whoever had it; where nobody had, it is ignored from now on."""
        Service.stopService(self)
        signal.signal(signal.SIGHUP, self._before)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._call)
