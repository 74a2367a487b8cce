"""The fence: bytes just before the applied position, by which another history is recognised (DESIGN, the fence).

A resumed stream is asked for from the fence's start. Its first bytes are known already, and their CRC is stored
with the position: a master whose log was reset or replaced cannot produce them.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from zlib import crc32

from spgrepl.engines.interfaces import Fence, ReplayState
from spgrepl.errors import HistoryDiverged, LocalFilesDamaged
from spgrepl.files import DatabasePaths

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


def check_log(paths: DatabasePaths, log: int, length: int, state: ReplayState | None) -> None:
    """See that a local log holds what the engine's state says, up to the applied position.

    Args:
        paths: The copy's files, for errors.
        log: The descriptor of the local log.
        length: How many bytes it holds.
        state: What the engine says; None where there is no copy.

    Raises:
        LocalFilesDamaged: It does not, or belongs to something else.
    """
    if state is None:
        if length:
            raise LocalFilesDamaged(
                f"{paths.wal} holds {length} bytes, but there is no copy in {paths.database} that they belong to; "
                f"a follower begins its own log anew: name another file, or move this one away"
            )
        return
    held = state.position - state.base
    if length < held:
        raise LocalFilesDamaged(
            f"{paths.wal} holds {length} bytes, but {paths.database} has applied {held} bytes of it: restore the "
            f"log, or move both away to start from a fresh snapshot"
        )
    if state.fence is not None:
        found = crc_of_range(log, state.fence.start - state.base, held)
        if found != state.fence.crc:
            raise LocalFilesDamaged(
                f"{paths.wal} and {paths.database} do not belong together: the log's bytes before {held} have CRC "
                f"{found:08x}, expected {state.fence.crc:08x}; restore the right one, or move both away to start "
                f"from a fresh snapshot"
            )
