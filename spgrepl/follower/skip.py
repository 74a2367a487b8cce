"""Passing over a record that the engine refuses, as an operator ordered."""

from __future__ import annotations

from bisect import bisect_left

from twisted.logger import Logger

from spgrepl.wal.parser import RecordBatch

_log = Logger()


def index_to_skip(batch: RecordBatch, position: int, crc: int) -> int | None:
    """Find the record that is to be passed over, and log what is done about it.

    Args:
        batch: Records of the log.
        position: Where the record starts in the master's log.
        crc: The CRC-32 that it must have, so that no other record is meant.

    Returns:
        The record's index, or None where the batch does not hold exactly this record.
    """
    if not batch.position <= position < batch.end:
        return None
    starts = [0, *batch.ends]
    index = bisect_left(starts, position - batch.position)
    if starts[index] != position - batch.position:
        _log.error("--skip-at {position}: no record starts there; nothing is passed over", position=position)
        return None
    record = batch.record(index)
    if record.crc != crc:
        _log.error(
            "--skip-at {position}: the record there has CRC {found:08x}, not {wanted:08x}; it is not passed over",
            position=position,
            found=record.crc,
            wanted=crc,
        )
        return None
    _log.warn(
        "passing over the record at position {position}, CRC {crc:08x}, as ordered: {sql!r}",
        position=record.position,
        crc=record.crc,
        sql=record.sql,
    )
    return index
