"""The fence: bytes just before the applied position, by which another history is recognised (DESIGN, the fence).

A resumed stream is asked for from the fence's start. Its first bytes are known already, and their CRC is stored
with the position: a master whose log was reset or replaced cannot produce them.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from zlib import crc32

from spgrepl.engines.interfaces import Fence, ReplayState
from spgrepl.errors import HistoryDiverged

FENCE_SPAN = 512
"""A fence covers at least this many bytes, where there are so many since the snapshot."""

_READ_SIZE = 1024 * 1024


class FenceKeeper:
    """Knows where the last records begin, and so where a fence may.

    Args:
        state: The state that is resumed from.
    """

    def __init__(self, state: ReplayState) -> None:
        self._base = state.base
        self._starts: list[int] = [] if state.fence is None else [state.fence.start]

    def note(self, starts: list[int], position: int) -> None:
        """Take the starts of further records, rising, that have been applied up to `position`."""
        self._starts += [start for start in starts if start > 0]
        # Of all starts that are far enough back only the last can be used.
        spare = bisect_right(self._starts, position - FENCE_SPAN) - 1
        if spare > 0:
            del self._starts[:spare]

    def fence(self, log: int, position: int) -> Fence | None:
        """Make the fence of a position.

        Args:
            log: The descriptor of the local log, which holds everything from the base up to `position`.
            position: The applied position.

        Returns:
            The fence; None while no record above position 0 has been applied since the base.

        Raises:
            OSError: The log cannot be read.
        """
        starts = [start for start in self._starts if start < position]
        if not starts:
            return None
        start = starts[max(0, bisect_right(starts, position - FENCE_SPAN) - 1)]
        return Fence(start, crc_of_range(log, start - self._base, position - self._base))


def crc_of_range(log: int, start: int, stop: int) -> int:
    """The CRC-32 of a range of a file, read in pieces."""
    crc = 0
    while start < stop:
        piece = os.pread(log, min(_READ_SIZE, stop - start), start)
        if not piece:
            break
        crc = crc32(piece, crc)
        start += len(piece)
    return crc


class FenceCheck:
    """Compares the first bytes of a resumed stream with the fence.

    Args:
        state: The state that is resumed from; its fence says what to expect.
    """

    def __init__(self, state: ReplayState) -> None:
        self._state = state
        self._fence = state.fence
        self._left = 0 if state.fence is None else state.position - state.fence.start
        self._crc = 0

    @property
    def start(self) -> int:
        """The position to ask the master for."""
        return self._state.position if self._fence is None else self._fence.start

    @property
    def passed(self) -> bool:
        """Whether all of the fence has come and was right."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the stream.

        Returns:
            What stands behind the fence.

        Raises:
            HistoryDiverged: The bytes are not those that this copy was made from.
        """
        if self._left == 0 or self._fence is None:
            return data
        known, rest = data[: self._left], data[self._left :]
        self._left -= len(known)
        self._crc = crc32(known, self._crc)
        if self._left == 0 and self._crc != self._fence.crc:
            raise HistoryDiverged(
                f"the master's log from position {self._fence.start} to {self._state.position} is not the one "
                f"that this copy was made from (CRC {self._crc:08x}, expected {self._fence.crc:08x}): its history "
                f"is another one. Point the follower at the right master, or take a fresh copy with "
                f"--on-divergence resnapshot"
            )
        return rest
