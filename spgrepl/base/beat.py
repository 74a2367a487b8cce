"""Loops that wake a process together."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from spgrepl.base.steady_clock import steady_clock


class Beat:
    """A `LoopingCall` whose calls fall on the multiples of its interval.

    To be woken costs an idle process more than what its loops do then. Loops of the same interval that begin at
    different moments would wake it one after the other; on the beat they share each waking.

    Args:
        clock: The reactor, or a clock.
        call: What to call. An error that it raises is logged and ends the loop: a call that must go on handles
            its own.
        interval: Seconds between two calls.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, call: Callable[[], None], interval: float) -> None:
        self._clock = steady_clock(clock)
        self._interval = interval
        self._loop = LoopingCall(call)
        self._loop.clock = self._clock
        self._first: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """Whether calls will come."""
        return self._first is not None or self._loop.running

    def start(self) -> None:
        """Begin; the first call comes within one interval. Nothing happens when it has begun already."""
        if not self.running:
            now = self._clock.seconds()
            self._first = self._clock.callLater(self._interval - now % self._interval, self._begin)

    def stop(self) -> None:
        """End; nothing happens when it has not begun."""
        if self._first is not None:
            self._first.cancel()
            self._first = None
        if self._loop.running:
            self._loop.stop()

    def _begin(self) -> None:
        self._first = None
        self._loop.start(self._interval, now=True).addErrback(
            lambda failure: self._log.failure(
                "a loop of {interval} s ended", failure=failure, interval=self._interval
            )
        )
