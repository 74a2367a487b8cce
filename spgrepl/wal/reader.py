"""Reading a log file from end to end: its records, where the last whole one ends, and what is wrong with it.

Files are read a piece at a time, so memory depends on the longest record and not on the file. What stands behind
the last whole record is judged by `spgrepl.wal.salvage`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from spgrepl.errors import LocalFilesDamaged, MalformedRecord, RecordError, UnsupportedRecordFormat
from spgrepl.sqltext import split_statements
from spgrepl.wal.parser import RecordBatch, RecordParser
from spgrepl.wal.records import DEFAULT_MAX_RECORD, RecordType
from spgrepl.wal.salvage import find_record, is_whole
from spgrepl.wal.transactions import StatementKind, may_hide_transaction, statement_kind

PIECE = 1024 * 1024
"""How many bytes of a log are read at once."""

KEPT_WARNINGS = 20
"""How many warnings a report holds; further ones are only counted."""

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes in all."""


class Damage(enum.Enum):
    """What stands behind the last whole record of a log."""

    NONE = "none"
    """Nothing: the log ends with a whole record."""

    TORN = "torn"
    """An incomplete or bad record and nothing readable behind it: a write that a crash cut short."""

    BROKEN = "broken"
    """A bad record in the middle, or one that is whole and cannot be read: cutting there would lose data."""


@attrs.frozen
class LogWarning:
    """Something odd in a log that does not keep it from being replayed.

    Attributes:
        position: Where the record starts, in bytes from the start of the file.
        text: What is odd.
    """

    position: int
    text: str


@attrs.frozen
class LogReport:
    """What a log file holds.

    Attributes:
        length: The file's length in bytes, as it was when reading began.
        whole_end: The position just behind the last whole record.
        records: How many whole records were read.
        damage: What stands behind the last whole record.
        error: What is wrong with the record at `whole_end`; None where it is only incomplete, or nothing is there.
        next_whole: Where the log can be read again behind a broken place; None where no such place was found.
        open_transaction: The position of the BEGIN of a transaction that is open at the end; None without one.
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


def scan_log(
    path: Path,
    start: int = 0,
    max_record: int = DEFAULT_MAX_RECORD,
    progress: Progress | None = None,
    base: int = 0,
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

    Returns:
        The report. Damage is reported, not raised.

    Raises:
        LocalFilesDamaged: The file ends before `start`.
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        length = _length_from(file, path, start)
        parser = RecordParser(start, max_record)
        watch = _Watch(base)
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
            f"{path} is {length} bytes long and ends before position {start}, from where it should be read: it "
            f"was truncated or replaced, or belongs to something else"
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


def _worth_a_look(batch: RecordBatch) -> list[int]:
    """The indices of records that may begin or end a transaction, and of those that are not plain SQL."""
    hidden = [
        index
        for index, sql in enumerate(batch.sql)
        if sql is not None and b";" in sql and may_hide_transaction(sql)
    ]
    return sorted({*batch.special, *hidden}) if hidden else batch.special


def _kinds(sql: bytes) -> list[StatementKind]:
    """The kinds of the statements of a record that may hold several."""
    kind = statement_kind(sql)
    if b";" not in sql or not (kind is not StatementKind.PLAIN or may_hide_transaction(sql)):
        return [kind]
    try:
        return [statement_kind(piece.encode()) for piece in split_statements(sql.decode("utf-8"))]
    except UnicodeDecodeError:
        return [kind]


class _Watch:
    """Looks at the records that matter for transactions and at checkpoints."""

    def __init__(self, base: int) -> None:
        self._base = base
        self.records = 0
        self.open_transaction: int | None = None
        self.warnings: list[LogWarning] = []
        self.warning_count = 0

    def saw(self, batch: RecordBatch) -> None:
        self.records += len(batch)
        for index in _worth_a_look(batch):
            kind, sql = batch.types.get(index), batch.sql[index]
            if kind is RecordType.CHECKPOINT:
                self._saw_checkpoint(batch, index)
            elif sql is not None:
                # A record of the MySQL dialect is one statement.
                pieces = [statement_kind(sql)] if kind is RecordType.MYSQL else _kinds(sql)
                for piece in pieces:
                    self._saw_statement(piece, batch.start_of(index))

    def _saw_checkpoint(self, batch: RecordBatch, index: int) -> None:
        stated, position = batch.record(index).stated_position, batch.start_of(index)
        if stated != self._base + position:
            self._warn(position, f"a checkpoint states position {stated}, it stands at {self._base + position}")

    def _saw_statement(self, kind: StatementKind, position: int) -> None:
        if kind is StatementKind.BEGIN:
            if self.open_transaction is None:
                self.open_transaction = position
            else:
                self._warn(position, f"BEGIN inside the transaction that began at {self.open_transaction}")
        elif kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
            if self.open_transaction is None:
                self._warn(position, f"{kind.name} outside of a transaction")
            self.open_transaction = None

    def _warn(self, position: int, text: str) -> None:
        self.warning_count += 1
        if len(self.warnings) < KEPT_WARNINGS:
            self.warnings.append(LogWarning(position, text))
