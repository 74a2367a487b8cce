"""Some records of a SUB stream that may be committed together, and where in them a record is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from spgrepl.log.format.records import decode_record
from spgrepl.wire.record_frames import RecordFrames

_ANY_LENGTH = 2**32
_FORMAT_BITS = 0xC0
_V2_BITS = 0x80


@attrs.frozen
class Portion:
    """Some records of a SUB stream that may be committed together.

    Attributes:
        frames: Where they are.
        first: The index of the first one.
        stop: The index after the last one.
        end: The position after them, and after what was skipped after them.
    """

    frames: RecordFrames
    first: int
    stop: int
    end: int


def place_of(portions: Sequence[Portion], done: int, index: int) -> tuple[int, int]:
    """Find the record that a target refused: the number of its portion, and its index in that one's frames.

    Args:
        portions: What was to be applied.
        done: How many of them the target took. One that hands records on only when it commits takes all, and
            counts over all that it was given.
        index: What the target said.
    """
    if done < len(portions):
        return done, portions[done].first + index
    given = (
        (number, at)
        for number, portion in enumerate(portions)
        for at in range(portion.first, portion.stop)
        if portion.frames.sql[at]
    )
    return next(itertools.islice(given, index, None))


def safe_stop(frames: RecordFrames, first: int, index: int) -> int:
    """Where to stop for a record that is refused: before it, or before the transaction that it is part of.

    A writer puts the statements of a transaction into v2 records, and BEGIN in front of them is skipped: a run
    of frames that begins after something skipped begins with the transaction, or in it.
    """
    if frames.record(index)[3] & _FORMAT_BITS != _V2_BITS:
        return index
    begins = [run[0] for run in frames.runs if first <= run[0] <= index]
    return max([first, *begins])


def crc_of(frames: RecordFrames, index: int) -> int:
    """The CRC-32 that the record of an index carries."""
    record = decode_record(frames.record(index), limit=_ANY_LENGTH)
    assert record is not None
    return record.crc
