"""One run of a change feed, from a start to a stop: what wakes it, and what ends it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from spgrepl.base.observers import OneShot
from spgrepl.errors import ServiceStopped
from spgrepl.feed.values import FeedPosition


class Run:
    """The state of a run.

    Attributes:
        stopping: Whether it was asked to stop.
        reading: Whether the log is known. Before, nothing of it can be lost: a first snapshot begins it.
        ready: Fires when it is known where the feed goes on.
        stopped: Fires with the position to store when the run is over, or with what has ended it.
        taking: What the receiver has returned, while it is not done.
        when_over: Fires when the run is over.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.reading = False
        self.ready: OneShot[FeedPosition] = OneShot()
        self.stopped: OneShot[FeedPosition | None] = OneShot()
        self.taking: Deferred[Any] | None = None
        self.when_over: OneShot[None] = OneShot()
        self._lost: BaseException | None = None
        self._changed = False
        self._waiter: Deferred[None] | None = None
        self._impatient: IDelayedCall | None = None

    def wake(self) -> None:
        """Something has changed: look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            self._changed = True
        else:
            waiter.callback(None)

    def lose(self, reason: BaseException) -> None:
        """There is nothing more to come."""
        if self.reading:
            self._lost = self._lost or reason
        self.wake()

    def raise_lost(self) -> None:
        """Raise why there is nothing more to come; return where there is."""
        if self._lost is not None:
            raise self._lost

    async def change(self) -> None:
        """Wait until `wake` is called, if it was not since the last time.

        Raises:
            Exception: What `lose` was told.
        """
        if not self._changed:
            self._waiter = Deferred()
            await self._waiter
        self._changed = False
        if not self.stopping:
            self.raise_lost()

    def stop(self, clock: IReactorTime, patience: float) -> None:
        """Ask it to stop.

        Args:
            clock: Counts the seconds.
            patience: After so many of them what the receiver has is cancelled.
        """
        self.stopping = True
        self.wake()
        if self._impatient is None:
            self._impatient = clock.callLater(patience, self._give_up)

    def _give_up(self) -> None:
        if self.taking is not None:
            self.taking.cancel()

    def explains(self, failure: Failure) -> bool:
        """Whether the run failed only because it was asked to stop."""
        return self.stopping and failure.check(CancelledError, ServiceStopped) is not None

    def over(self) -> None:
        """The run is over."""
        if self._impatient is not None and self._impatient.active():
            self._impatient.cancel()
