"""What a primary tells of itself."""

from __future__ import annotations

from collections.abc import Mapping

from spgrepl.base.measures import Histogram
from spgrepl.disk.file_watch import FileGuard
from spgrepl.errors import FileLost
from spgrepl.primary.writing.request_queue import RequestQueue
from spgrepl.primary.writing.writer import DatabaseWriter


class PrimaryTold:
    """The part of `spgrepl.Primary` that only tells."""

    _guard: FileGuard
    _queue: RequestQueue
    _writer: DatabaseWriter

    @property
    def error(self) -> FileLost | None:
        """What keeps it from writing, noticed within a second: its database or its log was taken away."""
        return self._guard.error

    @property
    def pending(self) -> int:
        """How many requests have not been answered."""
        return len(self._queue)

    @property
    def warning(self) -> str | None:
        """What is wrong with the database or its log, though it goes on; None where nothing is known to be."""
        return self._writer.warning

    @property
    def open_seconds(self) -> float | None:
        """For how long a transaction has been open that others wait for; None while none is."""
        return self._queue.turn_seconds

    @property
    def measures(self) -> Mapping[str, Histogram]:
        """What took how long: ``fsync_seconds`` of the log."""
        return {"fsync_seconds": self._writer.sync_seconds}
