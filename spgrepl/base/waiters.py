"""Those who wait for a position to be reached."""

from __future__ import annotations

import heapq
import itertools

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from spgrepl.base.histories import Histories, History
from spgrepl.base.results import Position
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import DifferentHistory, ServiceStopped, UsageError, WaitTimeout
from spgrepl.text.quantities import in_seconds

MAX_WAITERS = 10_000


@attrs.frozen(order=True)
class _Waiting:
    """Somebody who waits.

    Attributes:
        place: Which position is waited for, as it counts here; None while that is not known.
        number: In which order they came.
        position: What was asked for.
        deferred: What is fired.
    """

    place: int | None
    number: int
    position: int = attrs.field(order=False)
    deferred: Deferred[int] = attrs.field(order=False)


class PositionWaiters:
    """Deferreds that fire when a position is reached, in the order of the positions.

    A position that names its history (`Position.history`) is counted in that one's way, and waits until `know` has
    told which histories are held here.

    Args:
        reactor: For timeouts.
        name: What is waited for, for errors.
    """

    def __init__(self, reactor: IReactorTime, name: str) -> None:
        self._clock = steady_clock(reactor)
        self._name = name
        self._heap: list[_Waiting] = []
        self._unplaced: list[_Waiting] = []
        self._timers: dict[Deferred[int], IDelayedCall] = {}
        self._count = itertools.count()
        self._reached = -1
        self._stopped = False
        self._histories: Histories | None = None

    def start(self) -> None:
        """Let others wait again, after a stop; nothing is known to be reached."""
        self._stopped = False
        self._reached = -1
        self._histories = None

    @property
    def histories(self) -> Histories | None:
        """Whose positions count here; None while nobody has told."""
        return self._histories

    def stands(self, position: int, histories: tuple[History, ...] | None) -> None:
        """Say how far a copy has come, and whose positions it counts in; None where there is none yet."""
        if histories is not None:
            self.know(Histories(histories))
        self.reached(position)

    def know(self, histories: Histories) -> None:
        """Say whose positions count here from now on. Who waits for one of a history that is not held is told."""
        if histories == self._histories:
            return
        self._histories = histories
        waiting, self._heap, self._unplaced = [*self._heap, *self._unplaced], [], []
        refused: list[tuple[Deferred[int], DifferentHistory]] = []
        for one in waiting:
            if one.deferred not in self._timers:
                continue
            try:
                place = histories.place(one.position, self._name)
            except DifferentHistory as error:
                refused.append((one.deferred, error))
            else:
                self._heap.append(attrs.evolve(one, place=place))
        heapq.heapify(self._heap)
        for waiter, why in refused:
            if self._forget(waiter):
                waiter.errback(why)

    def wait(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait for a position.

        Args:
            position: The position, in bytes; one that names its history is counted in that one's way.
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            A Deferred that fires with the position that has been reached: `position` or more, and of the history
            that `position` names.

        Raises:
            DifferentHistory: (through the Deferred) Its history is not held here.
            WaitTimeout: (through the Deferred) It was not reached in time.
            ServiceStopped: (through the Deferred) It will not be reached any more.
            UsageError: (through the Deferred) Too many wait already.
        """
        waiter: Deferred[int] = Deferred(self._cancelled)
        try:
            waiting = _Waiting(self._place(position), next(self._count), position, waiter)
        except DifferentHistory as error:
            waiter.errback(error)
            return waiter
        if waiting.place is not None and self._reached >= waiting.place:
            waiter.callback(self._counted(self._reached, position))
        elif self._stopped:
            waiter.errback(self._was_stopped())
        elif len(self._timers) >= MAX_WAITERS:
            waiter.errback(
                UsageError(f"{MAX_WAITERS} already wait for {self._name}; wait for fewer positions at once")
            )
        else:
            if waiting.place is None:
                self._unplaced.append(waiting)
            else:
                heapq.heappush(self._heap, waiting)
            seconds = 365 * 86400.0 if timeout is None else timeout
            self._timers[waiter] = self._clock.callLater(seconds, self._expired, waiting, seconds)
        return waiter

    def _place(self, position: int) -> int | None:
        if self._histories is not None:
            return self._histories.place(position, self._name)
        return None if isinstance(position, Position) and position.history is not None else int(position)

    def _counted(self, reached: int, asked: int) -> int:
        """A position here, in the way in which was asked."""
        if self._histories is None or not self._histories.known:
            return reached
        history = asked.history if isinstance(asked, Position) else None
        return reached if history is None else self._histories.name(reached, history)

    def reached(self, position: int) -> None:
        """Tell those who wait for this position or one before it. A position may also go back, after a reset."""
        self._reached = position
        while self._heap and (self._heap[0].place or 0) <= position:
            waiting = heapq.heappop(self._heap)
            if self._forget(waiting.deferred):
                waiting.deferred.callback(self._counted(position, waiting.position))

    def stop(self) -> None:
        """Tell all who wait that it will not come about."""
        self._stopped = True
        waiting, self._heap, self._unplaced = [*self._heap, *self._unplaced], [], []
        for one in waiting:
            if self._forget(one.deferred):
                one.deferred.errback(self._was_stopped())

    def _was_stopped(self) -> ServiceStopped:
        return ServiceStopped(f"{self._name} was stopped at position {self._reached}")

    def _forget(self, waiter: Deferred[int]) -> bool:
        """Stop a waiter's timer; False where it has been answered already."""
        timer = self._timers.pop(waiter, None)
        if timer is not None and timer.active():
            timer.cancel()
        return timer is not None

    def _cancelled(self, waiter: Deferred[int]) -> None:
        self._forget(waiter)
        self._compact()

    def _expired(self, waiting: _Waiting, seconds: float) -> None:
        del self._timers[waiting.deferred]
        self._compact()
        waiting.deferred.errback(
            WaitTimeout(
                f"position {waiting.position} was not reached within {in_seconds(seconds)}; "
                f"{self._name} stands at {self._counted(self._reached, waiting.position)}"
            )
        )

    def _compact(self) -> None:
        """Drop those who were answered, so that the lists do not outgrow those who still wait."""
        if len(self._heap) + len(self._unplaced) > 2 * len(self._timers) + 16:
            self._heap = [one for one in self._heap if one.deferred in self._timers]
            self._unplaced = [one for one in self._unplaced if one.deferred in self._timers]
            heapq.heapify(self._heap)
