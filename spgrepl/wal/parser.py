"""The incremental parser of a log: bytes in, batches of whole records out.

This is the path that every replicated byte takes, so the loop over the common record (v3, type 0x01) is written
out flat: it costs a follower about as much per record as reading it at all. A batch therefore is not a list of
values but columns: where each record ends and which SQL it holds, with the indices of the few records that
replay has to look at one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import attrs

from spgrepl.errors import RecordChecksumMismatch, RecordError
from spgrepl.wal.records import (
    DEFAULT_MAX_RECORD,
    FLAG_V3,
    FLAG_V6,
    LENGTH_MASK,
    Record,
    RecordType,
    decode_record,
    stated_length,
)

_HEADER = struct.Struct("<II")

_DML_WORDS = ("INSERT ", "UPDATE ", "DELETE ", "REPLACE")
_DML_PREFIXES = frozenset(form.encode() for word in _DML_WORDS for form in (word, word.lower(), word.capitalize()))
_PREFIX = 7

_INLINE_TYPE = int(RecordType.SQL)
_ONE_STATEMENT = frozenset({RecordType.SQL, RecordType.COMPRESSED, RecordType.TIMED})


@attrs.frozen
class RecordBatch:
    """Whole records that stand back to back in a log.

    Attributes:
        position: Where the first one starts in the log.
        data: The records' bytes.
        ends: For each record the offset in `data` just behind it.
        sql: For each record its statement as UTF-8, expanded where it was compressed; None where there is none.
        special: The indices of records that are not one plain INSERT, UPDATE, DELETE or REPLACE, rising.
        types: The type of each record that is neither v1, v2 nor a single statement, by index.
    """

    position: int
    data: bytes
    ends: list[int]
    sql: list[bytes | None]
    special: list[int]
    types: dict[int, RecordType]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def end(self) -> int:
        """The position just behind the last record."""
        return self.position + len(self.data)

    def start_of(self, index: int) -> int:
        """The position in the log where the record of an index starts; for `len(batch)`, the batch's end."""
        return self.position + (self.ends[index - 1] if index else 0)

    def record(self, index: int) -> Record:
        """The record of an index, as a value."""
        offset = self.ends[index - 1] if index else 0
        # The limit was applied when the batch was cut.
        found = decode_record(self.data, offset, self.position + offset, limit=LENGTH_MASK)
        assert found is not None
        return found

    def __iter__(self) -> Iterator[Record]:
        return (self.record(index) for index in range(len(self)))


def cut_records(
    data: bytes, position: int, limit: int = DEFAULT_MAX_RECORD
) -> tuple[RecordBatch, RecordError | None]:
    """Cut all whole records from the front of some bytes of a log.

    Args:
        data: Bytes that begin with a record's first byte.
        position: The position of that byte in the log.
        limit: The most bytes of SQL or payload that a record may have.

    Returns:
        The whole records, and the error of the record behind them where that one is broken. Without an error
        the bytes behind the batch are the start of a record that is still incomplete.
    """
    ends: list[int] = []
    sqls: list[bytes | None] = []
    special: list[int] = []
    types: dict[int, RecordType] = {}
    error: RecordError | None = None
    unpack, add_end, add_sql, dml = _HEADER.unpack_from, ends.append, sqls.append, _DML_PREFIXES
    at, size = 0, len(data)
    while at + 9 <= size:
        word, crc = unpack(data, at)
        end = at + 9 + (word & LENGTH_MASK)
        if FLAG_V3 <= word < FLAG_V6 and end <= size and data[at + 8] == _INLINE_TYPE and end - at <= limit + 9:
            checked = data[at + 8 : end]
            if crc32(checked) != crc:
                error = RecordChecksumMismatch(
                    f"a record of {end - at} bytes has CRC {crc32(checked):08x}, its header states {crc:08x}",
                    position + at,
                )
                break
            sql = checked[1:]
            add_sql(sql)
            add_end(end)
            if sql[:_PREFIX] not in dml:
                special.append(len(ends) - 1)
            at = end
            continue
        try:
            record = decode_record(data, at, position + at, limit)
        except RecordError as broken:
            error = broken
            break
        if record is None:
            break
        at += record.length
        add_sql(record.sql)
        add_end(at)
        if record.type not in _ONE_STATEMENT:
            types[len(ends) - 1] = record.type
            special.append(len(ends) - 1)
        elif record.sql is None or record.sql[:_PREFIX] not in dml:
            special.append(len(ends) - 1)
    else:
        at, error = _cut_short_records(data, position, at, limit, ends, sqls, special)
    return RecordBatch(position, data if at == size else data[:at], ends, sqls, special, types), error


def _cut_short_records(
    data: bytes,
    position: int,
    at: int,
    limit: int,
    ends: list[int],
    sqls: list[bytes | None],
    special: list[int],
) -> tuple[int, RecordError | None]:
    """Take the records that fit into the last eight bytes, where only v1 and empty v2 ones do."""
    while at < len(data):
        try:
            record = decode_record(data, at, position + at, limit)
        except RecordError as broken:
            return at, broken
        if record is None:
            break
        at += record.length
        special.append(len(ends))
        ends.append(at)
        sqls.append(record.sql)
    return at, None


class RecordParser:
    """A push parser for a log that arrives in pieces cut anywhere.

    Pieces are kept as they came until the record at the front is whole, so that a long record which arrives in
    many pieces is joined once.

    Args:
        position: The position in the log of the first byte that will be fed.
        max_record: The most bytes of SQL or payload that a record may have.
    """

    def __init__(self, position: int = 0, max_record: int = DEFAULT_MAX_RECORD) -> None:
        self._position = position
        self._limit = max_record
        self._pieces: list[bytes] = []
        self._held = 0
        self._needed = 1
        self._error: RecordError | None = None

    @property
    def position(self) -> int:
        """The position of the first byte that has not been returned in a batch."""
        return self._position

    @property
    def held(self) -> int:
        """How many bytes of an incomplete record are held."""
        return self._held

    def feed(self, data: bytes) -> None:
        """Take bytes of the log, in order."""
        if data:
            self._pieces.append(data)
            self._held += len(data)

    def next_batch(self) -> RecordBatch | None:
        """Cut the whole records that have arrived.

        Returns:
            At least one record, or None while the next record is incomplete.

        Raises:
            RecordError: The next record is broken. All records before it have been returned. It is raised again
                at every later call: there is no way on from a broken record.
        """
        if self._error is not None:
            raise self._error
        if self._held < self._needed:
            return None
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        batch, self._error = cut_records(data, self._position, self._limit)
        rest = data[len(batch.data) :]
        self._position += len(batch.data)
        self._pieces = [rest] if rest else []
        self._held = len(rest)
        if self._error is None:
            stated = stated_length(rest, 0, self._position, self._limit)
            self._needed = stated if stated is not None else len(rest) + 1
        if len(batch):
            return batch
        if self._error is not None:
            raise self._error
        return None
