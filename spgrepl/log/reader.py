"""Reading a log file from end to end: its records, where the last whole one ends, and what is wrong with it.

Files are read a piece at a time, so memory depends on the longest record and not on the file. What stands after
the last whole record is judged by `spgrepl.log.format.salvage`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from spgrepl.errors import LocalFilesDamaged, MalformedRecord, RecordError, UnsupportedRecordFormat
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.format.salvage import find_record, is_whole
from spgrepl.log.watch import LogWarning, LogWatch, TransactionCounts
from spgrepl.text.quantities import number_of

PIECE = 1024 * 1024
"""How many bytes of a log are read at once."""

KEPT_WARNINGS = 20
"""How many warnings a report holds; further ones are only counted."""

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes in all."""


class Damage(enum.Enum):
    """What stands after the last whole record of a log."""

    NONE = "none"
    """Nothing: the log ends with a whole record."""

    TORN = "torn"
    """An incomplete or bad record and nothing readable after it: a write that a crash cut short."""

    BROKEN = "broken"
    """A bad record in the middle, or one that is whole and cannot be read: cutting there would lose data."""


@attrs.frozen
class LogReport:
    """What a log file holds.

    Attributes:
        length: The file's length in bytes, as it was when reading began.
        whole_end: The position just after the last whole record.
        records: How many whole records were read.
        damage: What stands after the last whole record.
        error: What is wrong with the record at `whole_end`; None where it is only incomplete, or nothing is there.
        next_whole: Where the log can be read again after a broken place; None where no such place was found.
        open_transaction: Where the transactions begin that are open at the end; None without any.
        transactions: What was counted of transactions.
        warnings: The first `KEPT_WARNINGS` oddities.
        warning_count: How many there are in all.
    """

    length: int
    whole_end: int
    records: int
    damage: Damage
    error: RecordError | None = None
    next_whole: int | None = None
    open_transaction: int | None = None
    warnings: tuple[LogWarning, ...] = ()
    warning_count: int = 0
    transactions: TransactionCounts = attrs.field(factory=TransactionCounts)


def scan_log(
    path: Path,
    start: int = 0,
    max_record: int = DEFAULT_MAX_RECORD,
    progress: Progress | None = None,
    base: int = 0,
    end: int | None = None,
) -> LogReport:
    """Read a log and say what it holds.

    What is appended while this reads is left out. Blocking: call it in a thread where a reactor runs.

    Args:
        path: The log.
        start: The position to begin at: a record's first byte, outside of any transaction.
        max_record: The most bytes of SQL or payload that a record may have.
        progress: Told how far reading has come, after every piece.
        base: What to add to positions in this file before they are compared with those that checkpoints state:
            for a follower's own log, the position of the snapshot that it begins at.
        end: Where to stop reading, in bytes from the start of the file; by default the file's length now.

    Returns:
        The report. Damage is reported, not raised.

    Raises:
        LocalFilesDamaged: The file ends before `start`.
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        length = _length_from(file, path, start)
        length = length if end is None else min(length, end)
        parser = RecordParser(start, max_record)
        watch = LogWatch(base, KEPT_WARNINGS)
        error: RecordError | None = None
        try:
            for batch in _batches(file, parser, length, progress):
                watch.saw(batch)
        except RecordError as found:
            error = found
        damage, next_whole = _judge(file, parser.position, length, error, max_record)
    return LogReport(
        length=length,
        whole_end=parser.position,
        records=watch.records,
        damage=damage,
        error=error,
        next_whole=next_whole,
        open_transaction=watch.open_transaction,
        warnings=tuple(watch.warnings),
        warning_count=watch.warning_count,
        transactions=watch.counts(),
    )


def iterate_records(
    path: Path, start: int = 0, max_record: int = DEFAULT_MAX_RECORD, end: int | None = None
) -> Iterator[RecordBatch]:
    """Read the whole records of a log, a piece at a time.

    Args:
        path: The log.
        start: The position to begin at: a record's first byte.
        max_record: The most bytes of SQL or payload that a record may have.
        end: Where to stop reading, in bytes from the start of the file; by default the file's length now.

    Yields:
        Records in batches of about `PIECE` bytes, more where one record is longer. An incomplete record at the
        end is not an error: it ends the iteration.

    Raises:
        RecordError: A record is bad. Everything in front of it has been yielded.
        LocalFilesDamaged: The file ends before `start`.
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        length = _length_from(file, path, start)
        stop = length if end is None else min(end, length)
        yield from _batches(file, RecordParser(start, max_record), stop, None)


def _length_from(file: BinaryIO, path: Path, start: int) -> int:
    """Go to the start and return the file's length."""
    length = os.fstat(file.fileno()).st_size
    if start > length:
        raise LocalFilesDamaged(
            f"{path} is {number_of(length, 'byte')} long and ends before position {start}, from where "
            f"it should be read: it was truncated or replaced, or belongs to something else"
        )
    file.seek(start)
    return length


def _batches(
    file: BinaryIO, parser: RecordParser, length: int, progress: Progress | None
) -> Iterator[RecordBatch]:
    """Feed the file to the parser up to a length and yield what comes out."""
    done = parser.position
    while done < length:
        piece = file.read(min(PIECE, length - done))
        if not piece:
            break
        done += len(piece)
        parser.feed(piece)
        while (batch := parser.next_batch()) is not None:
            yield batch
        if progress is not None:
            progress(done, length)


def _judge(
    file: BinaryIO, position: int, length: int, error: RecordError | None, limit: int
) -> tuple[Damage, int | None]:
    """Tell a torn tail from a log that is broken in the middle."""
    if position >= length:
        return Damage.NONE, None
    if isinstance(error, MalformedRecord | UnsupportedRecordFormat) or is_whole(file.fileno(), position, length):
        # A record that its writer finished, or one of a format that we cannot read, is nobody's torn tail.
        return Damage.BROKEN, find_record(file.fileno(), position + 1, length, limit).position
    found = find_record(file.fileno(), position + 1, length, limit)
    if found.position is None and found.complete:
        return Damage.TORN, None
    return Damage.BROKEN, found.position
