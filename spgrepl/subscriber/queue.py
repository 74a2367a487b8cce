"""The bounded queue between a subscriber's connection and its target: one batch in flight, the next gathers."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from spgrepl.engines.worker import EngineWorker
from spgrepl.subscriber.applier import Applier, Portion
from spgrepl.subscriber.interfaces import SubscriptionState
from spgrepl.wire.record_frames import RecordFrames

HIGH_WATER = 8 * 1024 * 1024
"""With this many bytes waiting, nothing more is read from the master. A transaction that is longer is cut."""

LOW_WATER = 2 * 1024 * 1024
"""With this few bytes waiting, reading goes on."""


class ApplyQueue:
    """Hands records to a target once a STATUS has come behind them, so that no transaction is half visible.

    Args:
        worker: The target's thread.
        applier: What runs in it.
        progressed: Called with the state after each batch.
        failed: Called with the failure of a batch. Nothing more is handed on until `open` is called.
    """

    def __init__(
        self,
        worker: EngineWorker,
        applier: Applier,
        progressed: Callable[[SubscriptionState], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._worker = worker
        self._applier = applier
        self._progressed = progressed
        self._failed = failed
        self._settled: list[Portion] = []
        self._unsettled: list[Portion] = []
        self._settled_bytes = 0
        self._unsettled_bytes = 0
        self._in_flight = False
        self._open = False

    @property
    def full(self) -> bool:
        """Whether the connection should not be read from."""
        return self._settled_bytes + self._unsettled_bytes >= HIGH_WATER

    @property
    def drained(self) -> bool:
        """Whether a connection that was paused may be read from again.

        Where nothing is in flight, what waits cannot be handed on without more: the STATUS behind it has not come.
        """
        waiting = self._settled_bytes + self._unsettled_bytes
        return waiting <= LOW_WATER or (not self._in_flight and not self.full)

    def open(self) -> None:
        """Begin with a stream that follows the applied position."""
        self.discard()
        self._open = True

    def discard(self) -> None:
        """Forget what waits: its connection has ended, and it will come again."""
        self._open = False
        self._settled, self._unsettled = [], []
        self._settled_bytes = self._unsettled_bytes = 0

    def push(self, frames: RecordFrames, first: int) -> None:
        """Take frames, from the record of an index on."""
        if not self._open:
            return
        count = len(frames)
        self._unsettled_bytes += len(frames.data)
        if frames.settled is None:
            self._unsettled.append(Portion(frames, first, count, frames.end))
        else:
            stop, end = frames.settled
            stop = max(first, stop)
            self._unsettled.append(Portion(frames, first, stop, end))
            self._settle()
            if stop < count or end < frames.end:
                self._unsettled.append(Portion(frames, stop, count, frames.end))
        self._hand_over()

    def _settle(self) -> None:
        self._settled += self._unsettled
        self._settled_bytes += self._unsettled_bytes
        self._unsettled, self._unsettled_bytes = [], 0

    def _hand_over(self) -> None:
        if self._in_flight:
            return
        if self.full and not self._settled:
            self._settle()
        batch, self._settled = self._settled, []
        self._settled_bytes = 0
        if batch and self._brings_something(batch):
            self._in_flight = True
            self._worker.call(self._applier.apply, batch).addBoth(self._done)

    def _brings_something(self, batch: list[Portion]) -> bool:
        """Whether there is more in a batch than a STATUS behind nothing new."""
        state = self._applier.state
        return any(one.first < one.stop for one in batch) or state is None or batch[-1].end != state.position

    def _done(self, result: SubscriptionState | Failure) -> None:
        self._in_flight = False
        if isinstance(result, Failure):
            # What waits does not follow the position that the target stands at.
            self.discard()
            self._failed(result)
        else:
            self._hand_over()
            self._progressed(result)
