"""Those who wait for a position to be reached."""

from __future__ import annotations

import heapq
import itertools

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from spgrepl.errors import ServiceStopped, UsageError, WaitTimeout

MAX_WAITERS = 10_000


class PositionWaiters:
    """Deferreds that fire when a position is reached, in the order of the positions.

    Args:
        reactor: For timeouts.
        name: What is waited for, for errors.
    """

    def __init__(self, reactor: IReactorTime, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._heap: list[tuple[int, int, Deferred[int]]] = []
        self._timers: dict[Deferred[int], IDelayedCall] = {}
        self._count = itertools.count()
        self._reached = -1
        self._stopped = False

    def wait(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait for a position.

        Args:
            position: The position, in bytes.
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            A Deferred that fires with the position that has been reached: `position` or more.

        Raises:
            WaitTimeout: (through the Deferred) It was not reached in time.
            ServiceStopped: (through the Deferred) It will not be reached any more.
            UsageError: (through the Deferred) Too many wait already.
        """
        waiter: Deferred[int] = Deferred(self._cancelled)
        if self._reached >= position:
            waiter.callback(self._reached)
        elif self._stopped:
            waiter.errback(ServiceStopped(f"{self._name} was stopped at position {self._reached}"))
        elif len(self._timers) >= MAX_WAITERS:
            waiter.errback(
                UsageError(f"{MAX_WAITERS} already wait for {self._name}; wait for fewer positions at once")
            )
        else:
            heapq.heappush(self._heap, (position, next(self._count), waiter))
            seconds = 365 * 86400.0 if timeout is None else timeout
            self._timers[waiter] = self._reactor.callLater(seconds, self._expired, waiter, position, seconds)
        return waiter

    def reached(self, position: int) -> None:
        """Tell those who wait for this position or one before it. A position may also go back, after a reset."""
        self._reached = position
        while self._heap and self._heap[0][0] <= position:
            _, _, waiter = heapq.heappop(self._heap)
            if self._forget(waiter):
                waiter.callback(position)

    def stop(self) -> None:
        """Tell all who wait that it will not come about."""
        self._stopped = True
        waiting, self._heap = self._heap, []
        for _, _, waiter in waiting:
            if self._forget(waiter):
                waiter.errback(ServiceStopped(f"{self._name} was stopped at position {self._reached}"))

    def _forget(self, waiter: Deferred[int]) -> bool:
        """Stop a waiter's timer; False where it has been answered already."""
        timer = self._timers.pop(waiter, None)
        if timer is not None and timer.active():
            timer.cancel()
        return timer is not None

    def _cancelled(self, waiter: Deferred[int]) -> None:
        self._forget(waiter)
        self._compact()

    def _expired(self, waiter: Deferred[int], position: int, seconds: float) -> None:
        del self._timers[waiter]
        self._compact()
        waiter.errback(
            WaitTimeout(
                f"position {position} was not reached within {seconds:g} s; {self._name} stands at {self._reached}"
            )
        )

    def _compact(self) -> None:
        """Drop those who were answered, so that the heap does not outgrow those who still wait."""
        if len(self._heap) > 2 * len(self._timers) + 16:
            self._heap = [entry for entry in self._heap if entry[2] in self._timers]
            heapq.heapify(self._heap)
