"""The fence of a subscription: the last records that were applied, by which another history is recognised.

Between them lie bytes that the subscriber never saw, so there is no one checksum over a range, as a follower has.
Each record is compared for itself; one that is not published any more cannot be.
"""

from __future__ import annotations

from zlib import crc32

from twisted.logger import Logger

from spgrepl.errors import HistoryDiverged
from spgrepl.subscriber.interfaces import FenceRecord, SubscriptionState
from spgrepl.wire.record_frames import RecordFrames

FENCE_SPAN = 512
"""The records of a fence have this many bytes together at least, where there are so many since the start."""

MOST_RECORDS = 64

_log = Logger()


def fence_behind(
    before: tuple[FenceRecord, ...], frames: RecordFrames, first: int, stop: int
) -> tuple[FenceRecord, ...]:
    """The fence behind some records.

    Args:
        before: The fence in front of them.
        frames: Where they are.
        first: The index of the first one.
        stop: The index behind the last one.
    """
    found: list[FenceRecord] = []
    size = 0
    for index in range(stop - 1, max(first, stop - MOST_RECORDS) - 1, -1):
        record = frames.record(index)
        found.append(FenceRecord(frames.start_of(index), crc32(record)))
        size += len(record)
        if size >= FENCE_SPAN:
            return tuple(reversed(found))
    return (*before, *reversed(found))[-MOST_RECORDS:]


class FenceComparison:
    """Compares the beginning of a resumed stream with the fence, and says where what is new begins.

    Args:
        state: The state that is resumed from.

    Attributes:
        start: The position to ask for.
        passed: Whether the stream has come to what is new.
    """

    def __init__(self, state: SubscriptionState) -> None:
        self._position = state.position
        # From position 0 no stream can be asked for: 0 means the master's end.
        self._expected = {record.position: record.crc for record in state.fence if record.position}
        self._compared = 0
        self.start = min(self._expected, default=state.position)
        self.passed = self.start == self._position

    def feed(self, frames: RecordFrames) -> int:
        """Take frames of the stream.

        Returns:
            The index of the first record that is new; their number where none is.

        Raises:
            HistoryDiverged: A record is not the one that was applied.
        """
        if self.passed:
            return 0
        new = len(frames)
        for index in range(len(frames)):
            start = frames.start_of(index)
            if start >= self._position:
                new = index
                break
            self._compare(start, frames.record(index))
        if frames.end >= self._position:
            self.passed = True
            if self._expected and not self._compared:
                _log.warn(
                    "none of the records before position {position} is published any more: the master's history "
                    "cannot be compared with that of this subscription",
                    position=self._position,
                )
        return new

    def _compare(self, start: int, record: bytes) -> None:
        expected = self._expected.get(start)
        if expected is not None and crc32(record) == expected:
            self._compared += 1
            return
        # Others that are published now and were not then lie behind us: they belong to no copy of ours.
        if expected is not None or start + len(record) > self._position:
            found = f"CRC {crc32(record):08x}" + ("" if expected is None else f", expected {expected:08x}")
            raise HistoryDiverged(
                f"the master's record at position {start} is not the one that this subscription was given "
                f"({found}): its history is another one. Point the subscriber at the right master, or make the "
                f"subscription anew"
            )
