"""The fence of a subscription: the last records that were applied, by which a different history is recognised.

Between them lie bytes that the subscriber never saw, so there is no one checksum over a range, as a follower has.
Each record is compared for itself. Where a record comes that did not come before, or one does not come again,
there are two explanations: the publications were changed at the master, or its history is a different one. Nothing
on the wire tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from spgrepl.errors import HistoryDiverged
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.record_frames import RecordFrames

FENCE_SPAN = 512
"""The records of a fence have this many bytes together at least, where there are so many since the start."""

MOST_RECORDS = 64

REACH = 64 * 1024 * 1024
"""Where no record has come yet, the log since the start is compared, if it is not longer than this many bytes."""

_WAY_OUT = (
    "If publications were changed, go on with --same-history, once; if not, point the subscriber at the right "
    "master, or make the subscription again"
)

_log = RoleLogger()


def fence_after(
    before: tuple[FenceRecord, ...], frames: RecordFrames, first: int, stop: int
) -> tuple[FenceRecord, ...]:
    """The fence after some records.

    Args:
        before: The fence in front of them.
        frames: Where they are.
        first: The index of the first one.
        stop: The index after the last one.
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


def fence_after_all(
    before: tuple[FenceRecord, ...], parts: Sequence[tuple[RecordFrames, int, int]]
) -> tuple[FenceRecord, ...]:
    """The fence after several such runs of records, which follow each other; only the last ones are looked at."""
    first, records = len(parts), 0
    while first and records < MOST_RECORDS:
        first -= 1
        records += parts[first][2] - parts[first][1]
    for part in parts[first:]:
        before = fence_after(before, *part)
    return before


class FenceComparison:
    """Compares the beginning of a resumed stream with the fence, and says where what is new begins.

    Args:
        state: The state that is resumed from.
        publications: What is asked for now; None for what the state says. Where it is something else than before,
            records may come that did not come then, and others may not come again.

    Attributes:
        start: The position to ask for.
        passed: Whether the stream has come to what is new.
    """

    def __init__(self, state: SubscriptionState, publications: tuple[str, ...] | None = None) -> None:
        self._position = state.position
        self._same = publications is None or publications == state.publications
        # From position 0 no stream can be asked for: 0 means the master's end.
        self._expected = {record.position: record.crc for record in state.fence if record.position}
        self._compared = 0
        quiet = state.effective_start if self._same and not state.fence else 0
        reaches = 0 < quiet <= state.position <= quiet + REACH
        self.start = min(self._expected, default=quiet if reaches else state.position)
        self.passed = self.start == self._position

    def feed(self, frames: RecordFrames) -> int:
        """Take frames of the stream.

        Returns:
            The index of the first record that is new; their number where none is.

        Raises:
            HistoryDiverged: A record is not the one that was applied, or it cannot be told whether it is.
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
            self._judge_missing()
        return new

    def _judge_missing(self) -> None:
        if self._compared == len(self._expected):
            return
        if self._same:
            raise HistoryDiverged(
                f"records that this subscription was given before position {self._position} do not come again "
                f"({len(self._expected) - self._compared} of {len(self._expected)}). Either a table was taken out "
                f"of the publications at the master, or the master's history is a different one, as after a "
                f"backup was restored: this cannot be told. {_WAY_OUT}"
            )
        if not self._compared:
            _log.warn(
                "none of the records before position {position} is published any more: the master's history "
                "cannot be compared with that of this subscription",
                position=self._position,
            )

    def _compare(self, start: int, record: bytes) -> None:
        expected = self._expected.get(start)
        if expected is not None and crc32(record) == expected:
            self._compared += 1
        elif expected is not None or start + len(record) > self._position:
            found = f"CRC {crc32(record):08x}" + ("" if expected is None else f", expected {expected:08x}")
            raise HistoryDiverged(
                f"the master's record at position {start} is not the one that this subscription was given "
                f"({found}): its history is a different one. Point the subscriber at the right master, or make "
                f"the subscription again"
            )
        elif self._same:
            raise HistoryDiverged(
                f"the master sends a record at position {start}, CRC {crc32(record):08x}, that did not come "
                f"when this subscription was given what stands before position {self._position}. Either a table "
                f"was added to the publications at the master since, or the master's history is a different "
                f"one, as after a backup was restored: this cannot be told, and rows may be missing here. "
                f"{_WAY_OUT}"
            )
