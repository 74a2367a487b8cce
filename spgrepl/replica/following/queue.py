"""The log between a connection and replay, in pieces as they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.replica.following.progress import Progress
from spgrepl.replica.following.replay import Replay
from spgrepl.replica.pump import Pump

BATCH_BYTES = 2 * 1024 * 1024
"""The most bytes of the log that are handed to replay at once."""


class ReplayQueue(Pump[Sequence[bytes], Progress]):
    """Hands the log to replay.

    Args:
        worker: The engine's thread.
        replay: What runs in it.
        progressed: See `Pump`.
        failed: See `Pump`.
    """

    high_water = 4 * 1024 * 1024
    low_water = 1024 * 1024

    def __init__(
        self,
        worker: EngineWorker,
        replay: Replay,
        progressed: Callable[[Progress], None],
        failed: Callable[[Failure], None],
    ) -> None:
        super().__init__(worker, replay.apply, progressed, failed)
        self._pieces: deque[bytes] = deque()
        self._size = 0

    @property
    def waiting(self) -> int:
        """See `Pump`."""
        return self._size

    def push(self, data: bytes) -> None:
        """Take bytes of the log."""
        if self._open:
            self._pieces.append(data)
            self._size += len(data)
            self._hand_over()

    def _forget(self) -> None:
        self._pieces.clear()
        self._size = 0

    def _take(self) -> tuple[Sequence[bytes], int] | None:
        if not self._pieces:
            return None
        batch: list[bytes] = []
        size = 0
        while self._pieces and size < BATCH_BYTES:
            piece = self._pieces.popleft()
            batch.append(piece)
            size += len(piece)
        self._size -= size
        return batch, size
