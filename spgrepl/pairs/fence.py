"""The fence: bytes just before the applied position, by which a different history is recognised.

A resumed stream is asked for from the fence's start. Its first bytes are known already, and their CRC is stored
with the position: a master whose log was reset or replaced cannot produce them. Further back marks are kept,
of which one is compared, too (`spgrepl.replica.following.history`).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from zlib import crc32

from spgrepl.errors import HistoryDiverged, RecordError
from spgrepl.interfaces.engine import Fence, Mark, ReplayState

FENCE_SPAN = 16 * 1024
"""A fence covers at least this many bytes, where there are so many since the snapshot. After a backup was restored
the same statements may stand at the end of both histories: 512 bytes of them were seen."""

MARK_SPAN = 4096
"""A mark covers this many bytes, where there are so many."""

MARK_EVERY = 64 * 1024 * 1024
"""There is a mark before each position that is a multiple of this."""

MOST_MARKS = 256
"""Where there would be more marks, the older ones are thinned out."""

_READ_SIZE = 1024 * 1024


class FenceKeeper:
    """Knows where the last records begin, and so where a fence may.

    Args:
        state: The state that is resumed from.
    """

    def __init__(self, state: ReplayState) -> None:
        self._base = state.base
        # A fence from before the base lies in a log that is gone.
        kept = state.fence is not None and state.fence.start >= state.base
        self._starts: list[int] = [state.fence.start] if state.fence is not None and kept else []

    def note(self, starts: list[int], position: int) -> None:
        """Take the starts of further records, rising, that have been applied up to `position`."""
        self._starts += starts
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
            The fence; None while no record has been applied since the base.

        Raises:
            OSError: The log cannot be read.
        """
        starts = [start for start in self._starts if start < position]
        if not starts:
            return None
        # A stream from 0 cannot be asked for: it would begin with a snapshot.
        start = max(1, starts[max(0, bisect_right(starts, position - FENCE_SPAN) - 1)])
        return Fence(start, crc_of_range(log, start - self._base, position - self._base))


def mark_before(position: int) -> tuple[int, int]:
    """The range, start and stop, of the mark that ends at a position above 1."""
    return max(1, position - MARK_SPAN), position


def further_marks(state: ReplayState, log: int, position: int) -> tuple[Mark, ...]:
    """The marks of a copy that has come from a state to a position.

    Args:
        state: The state; its marks stay.
        log: The descriptor of the local log, which holds everything from the base up to `position`.
        position: The position that is reached now.

    Returns:
        The marks, in rising position, `MOST_MARKS` at most.

    Raises:
        OSError: The log cannot be read.
    """
    first = state.position // MARK_EVERY + 1
    if first * MARK_EVERY > position:
        return state.marks
    marks = list(state.marks)
    for number in range(first, position // MARK_EVERY + 1):
        start, stop = mark_before(number * MARK_EVERY)
        start = max(start, state.base)
        if start < stop:
            marks.append(Mark(start, stop, crc_of_range(log, start - state.base, stop - state.base)))
    while len(marks) > MOST_MARKS:
        # The first one, at the snapshot, stays.
        del marks[1 : len(marks) // 2 : 2]
    return tuple(marks)


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
            What stands after the fence.

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
                f"is a different one. Point the follower at the right master, or take a fresh copy with "
                f"--on-divergence resnapshot"
            )
        return rest


def unreadable_start(error: RecordError) -> HistoryDiverged:
    """What it means that nothing can be read where a copy ends, and nothing before it could be compared."""
    return HistoryDiverged(
        f"the master has no record that can be read at position {error.position}, where this copy ends, and what "
        f"stands before it could not be compared: {error}. Either its history is a different one, as after a "
        f"backup was restored, or its log is damaged there, or the record is too long for this follower "
        f"(--max-record). Take a fresh copy with --on-divergence resnapshot, or point the follower at the right "
        f"master"
    )
