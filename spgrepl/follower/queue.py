"""The bounded queue between a connection and replay: one batch in flight while the next gathers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.python.failure import Failure

from spgrepl.engines.worker import EngineWorker
from spgrepl.follower.replay import Progress, Replay

BATCH_BYTES = 2 * 1024 * 1024
"""The most bytes of the log that are handed to replay at once."""

HIGH_WATER = 4 * 1024 * 1024
"""With this many bytes waiting, nothing more is read from the master."""

LOW_WATER = 1024 * 1024
"""With this few bytes waiting, reading goes on."""


class ReplayQueue:
    """Hands the log to replay in batches that grow by themselves where replay is behind.

    Args:
        worker: The engine's thread.
        replay: What runs in it.
        progressed: Called with the progress after each batch.
        failed: Called with the failure of a batch. Nothing more is handed on until `open` is called.
    """

    def __init__(
        self,
        worker: EngineWorker,
        replay: Replay,
        progressed: Callable[[Progress], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._worker = worker
        self._replay = replay
        self._progressed = progressed
        self._failed = failed
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._in_flight = False
        self._open = False

    @property
    def full(self) -> bool:
        """Whether the connection should not be read from."""
        return self._waiting >= HIGH_WATER

    @property
    def drained(self) -> bool:
        """Whether a connection that was paused may be read from again."""
        return self._waiting <= LOW_WATER

    def open(self) -> None:
        """Begin with a stream that follows the resumed position."""
        self.discard()
        self._open = True

    def discard(self) -> None:
        """Forget what waits: its connection has ended, and the stream will come again."""
        self._open = False
        self._pieces.clear()
        self._waiting = 0

    def push(self, data: bytes) -> None:
        """Take bytes of the log."""
        if not self._open:
            return
        self._pieces.append(data)
        self._waiting += len(data)
        self._hand_over()

    def _hand_over(self) -> None:
        if self._in_flight or not self._pieces:
            return
        batch: list[bytes] = []
        size = 0
        while self._pieces and size < BATCH_BYTES:
            piece = self._pieces.popleft()
            batch.append(piece)
            size += len(piece)
        self._waiting -= size
        self._in_flight = True
        self._worker.call(self._replay.apply, batch).addBoth(self._done)

    def _done(self, result: Progress | Failure) -> None:
        self._in_flight = False
        if isinstance(result, Failure):
            # A batch behind a failed one would not follow the position that replay went back to.
            self.discard()
            self._failed(result)
        else:
            self._hand_over()
            self._progressed(result)
