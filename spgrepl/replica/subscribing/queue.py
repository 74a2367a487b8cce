"""The records between a subscriber's connection and its target, in portions that are settled or not yet."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.replica.pump import Pump
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.portions import Portion
from spgrepl.wire.record_frames import RecordFrames


class ApplyQueue(Pump[list[Portion], SubscriptionState]):
    """Hands records to a target once a STATUS has come after them, so that no transaction is half visible.

    Where more waits than may, a transaction that is longer is cut.

    Args:
        worker: The target's thread.
        applier: What runs in it.
        progressed: See `Pump`.
        failed: See `Pump`.
    """

    high_water = 8 * 1024 * 1024
    low_water = 2 * 1024 * 1024

    def __init__(
        self,
        worker: EngineWorker,
        applier: Applier,
        progressed: Callable[[SubscriptionState], None],
        failed: Callable[[Failure], None],
    ) -> None:
        super().__init__(worker, applier.apply, progressed, failed)
        self._applier = applier
        self._settled: list[Portion] = []
        self._unsettled: list[Portion] = []
        self._settled_bytes = 0
        self._unsettled_bytes = 0

    @property
    def waiting(self) -> int:
        """See `Pump`."""
        return self._settled_bytes + self._unsettled_bytes

    @property
    def drained(self) -> bool:
        """See `Pump`.

        Where nothing is in flight, what waits cannot be handed on without more: the STATUS after it has not come.
        """
        return super().drained or (not self._in_flight and not self.full)

    def _forget(self) -> None:
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

    def _take(self) -> tuple[list[Portion], int] | None:
        if self.full and not self._settled:
            self._settle()
        batch, self._settled = self._settled, []
        size, self._settled_bytes = self._settled_bytes, 0
        return (batch, size) if batch and self._brings_something(batch) else None

    def _brings_something(self, batch: list[Portion]) -> bool:
        """Whether there is more in a batch than a STATUS after nothing new."""
        state = self._applier.state
        return any(one.first < one.stop for one in batch) or state is None or batch[-1].end != state.position
