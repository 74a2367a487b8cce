"""A clock for deadlines and intervals that no change of the time of day can stop or hurry.

Twisted's reactors count wall-clock time: when the clock is set back by an hour, whatever was to be called in a
second is called in an hour. Here calls are kept in a queue of their own, by monotonic time, and a timer of the
kernel wakes the reactor for them.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorFDSet, IReactorThreads, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.timer_file import TimerFile

_LONGEST_SLEEP = 1e6
"""Seconds after which the timer rings in any case: the kernel's structure has its limits, waits have none."""


def steady_clock(reactor: Any) -> IReactorTime:
    """The clock to use instead of a reactor's own, the same one for all who ask.

    Args:
        reactor: A reactor; or a clock, such as `twisted.internet.task.Clock`, which is returned as it is.

    Raises:
        OSError: The kernel has no timer to give.
    """
    if not (IReactorThreads.providedBy(reactor) and IReactorFDSet.providedBy(reactor)):
        known: IReactorTime = reactor
        return known
    clock = _clocks.get(id(reactor))
    if clock is None:
        clock = _clocks[id(reactor)] = SteadyClock(reactor)
    return clock


@implementer(IReactorTime, IReadDescriptor)
class SteadyClock:
    """Calls of a reactor, by monotonic time.

    The reactor reads the timer's file while calls are waiting, and knows nothing of this clock while none are.

    Args:
        reactor: What wakes us. It must be able to read from descriptors.

    Raises:
        OSError: The kernel has no timer to give.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._timer = TimerFile()
        self._count = itertools.count()
        # A call may stand here several times: it counts where its own time stands.
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._active = 0
        self._rings_at = 0.0

    def __repr__(self) -> str:
        # Trial shows what a test left in the reactor.
        return f"<SteadyClock waiting with {self.getDelayedCalls()!r}>"

    # -- IReactorTime -------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Monotonic time in seconds, from a moment that means nothing."""
        return time.monotonic()

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002 - Twisted's name
        *args: object,
        **kw: object,
    ) -> DelayedCall:
        """Call something later; see `IReactorTime.callLater`."""
        if delay < 0:
            raise ValueError(f"{delay} s is before now")
        call = DelayedCall(
            self.seconds() + delay, callable, args, kw, self._cancelled, self._moved_forward, self.seconds
        )
        self._active += 1
        self._push(call)
        self._arrange()
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The calls that are waiting."""
        return list({id(call): call for _, _, call in self._heap if call.active()}.values())

    def _push(self, call: DelayedCall) -> None:
        heapq.heappush(self._heap, (call.time, next(self._count), call))

    def _cancelled(self, _: DelayedCall) -> None:
        self._forget_one()
        if len(self._heap) > 4 * self._active + 64:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)

    def _forget_one(self) -> None:
        self._active -= 1
        if self._active == 0:
            self._heap.clear()
            self._sleep()

    def _moved_forward(self, call: DelayedCall) -> None:
        self._push(call)
        self._arrange()

    @staticmethod
    def _counts(entry: tuple[float, int, DelayedCall]) -> bool:
        at, _, call = entry
        return call.active() and at == call.time

    # -- the reactor's calls ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._timer.fileno()

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "spgrepl clock"

    def doRead(self) -> None:
        """The timer has rung: call what is due. What these calls add has its turn after the reactor's others."""
        self._timer.clear()
        self._rings_at = 0.0
        now, newest = self.seconds(), next(self._count)
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] < newest:
            entry = heapq.heappop(self._heap)
            if self._counts(entry):
                self._ring(entry[2], now)
        self._arrange()

    def _ring(self, call: DelayedCall, now: float) -> None:
        if call.delayed_time > 0:
            call.activate_delay()
            if call.time > now:
                self._push(call)
                return
        call.called = 1
        self._forget_one()
        try:
            call.func(*call.args, **call.kw)
        except Exception:  # noqa: BLE001 - as a reactor does it: one call's defect is logged, the others have their turn
            self._log.failure("a call at its time failed")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor reads no more, because it has ended; there is nothing to be done."""

    # -- the timer ----------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Have the timer ring for the first of the calls."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        if not self._heap:
            self._sleep()
            return
        first = self._heap[0][0]
        if not self._rings_at or first < self._rings_at:
            self._timer.set(min(_LONGEST_SLEEP, first - self.seconds()))
            self._rings_at = first
        # It may know us already; or have forgotten us, as after trial's `removeAll`.
        self._reactor.addReader(self)

    def _sleep(self) -> None:
        self._reactor.removeReader(self)


_clocks: WeakValueDictionary[int, SteadyClock] = WeakValueDictionary()
