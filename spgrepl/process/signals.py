"""SIGHUP: read the configuration again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application.service import Service


class HangupListener(Service):
    """Calls something in the reactor's thread whenever the process gets SIGHUP.

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
        self._before = signal.signal(signal.SIGHUP, self._came)

    def stopService(self) -> None:
        """Give the signal back to whoever had it."""
        Service.stopService(self)
        signal.signal(signal.SIGHUP, self._before)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._call)
