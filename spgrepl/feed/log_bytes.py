"""The bytes of a log's file, by positions, and the positions that a feed begins at."""

from __future__ import annotations

import os
from zlib import crc32

from spgrepl.errors import HistoryDiverged, LogTruncated, StartLost
from spgrepl.feed.values import FeedPosition

COMPARED = 512
"""So many bytes before a position show whether a log is the one that the position was taken from."""


class LogBytes:
    """A log's file, open for reading. Blocking.

    Args:
        handle: Its descriptor, which is closed by `close`.
        base: The position of the file's first byte.
        name: What it is called in errors.
    """

    def __init__(self, handle: int, base: int, name: str) -> None:
        self._handle = handle
        self.base = base
        self.name = name

    def read(self, position: int, size: int) -> bytes:
        """Read bytes.

        Args:
            position: The position of the first one.
            size: How many; the log must have them.

        Raises:
            LogTruncated: It does not.
            OSError: The disk refuses.
        """
        found = os.pread(self._handle, size, position - self.base)
        if len(found) < size:
            raise LogTruncated(
                f"{self.name} ends at position {position + len(found)}, before what has been published of it: "
                f"it was truncated or replaced"
            )
        return found

    def mark(self, position: int, rows: bool) -> FeedPosition:
        """Make a position of a place between two transactions."""
        start = max(self.base, position - COMPARED)
        return FeedPosition(position, rows, start, crc32(self.read(start, position - start)))

    def compare(self, wanted: FeedPosition, end: int) -> None:
        """See whether this log is the one that a position was taken from.

        Args:
            wanted: The position.
            end: Where the log ends.

        Raises:
            StartLost: The log begins after it, or so shortly before it that nothing can be compared.
            LogTruncated: The log ends before it.
            HistoryDiverged: Other bytes stand before it.
        """
        self.require_inside(wanted.position, end)
        if wanted.compared_from < self.base:
            raise StartLost(
                f"{self.name} begins at position {self.base}, and the feed is to go on at {wanted.position}, "
                f"whose bytes before it begin at {wanted.compared_from}: whether it is the same log cannot be "
                f"told. Read the tables again, and begin at the log's end"
            )
        size = wanted.position - wanted.compared_from
        found = crc32(self.read(wanted.compared_from, size))
        if found != wanted.crc:
            raise HistoryDiverged(
                f"{self.name} has other bytes from {wanted.compared_from} to {wanted.position} than when the feed "
                f"was there (CRC {found:08x}, expected {wanted.crc:08x}): it has a different history. Read the "
                f"tables again, and begin at the log's end"
            )

    def require_inside(self, position: int, end: int) -> None:
        """See whether a position lies in the log.

        Raises:
            StartLost: The log begins after it.
            LogTruncated: The log ends before it.
        """
        if position < self.base:
            raise StartLost(
                f"{self.name} begins at position {self.base}, after {position}, where the feed is to begin: what "
                f"lies between is not there any more. Read the tables again, and begin at the log's end"
            )
        if position > end:
            raise LogTruncated(
                f"{self.name} ends at position {end}, before {position}, where the feed is to begin: it was "
                f"truncated or replaced, or the position belongs to a different log"
            )

    def close(self) -> None:
        """Close the file; nothing happens when it is closed already."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
