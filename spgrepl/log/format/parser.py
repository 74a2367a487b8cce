"""The incremental parser of a log: bytes in, batches of whole records out.

This is the path that every replicated byte takes, so the loop over the common record (v3, type 0x01) is written
out flat: it costs a follower about as much per record as reading it at all. A batch therefore is not a list of
values but columns: where each record ends and which SQL it holds, with the indices of the few records that
replay has to look at one by one.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from zlib import crc32

import attrs

from spgrepl.compiled.core import CORE, Core
from spgrepl.compiled.texts import front_of
from spgrepl.errors import RecordError
from spgrepl.log.format.records import (
    DEFAULT_MAX_RECORD,
    FLAG_V2,
    FLAG_V3,
    LENGTH_MASK,
    Record,
    RecordType,
    decode_record,
    is_compressed,
    stated_length,
)

# Both halves of the first word, CRC, and the type with the first bytes of the SQL of a common record, all at once.
_COMMON = struct.Struct("<HHIQ")

_DML_WORDS = ("INSERT ", "UPDATE ", "DELETE ", "REPLACE")
_DML_PREFIXES = frozenset(form.encode() for word in _DML_WORDS for form in (word, word.lower(), word.capitalize()))
_PREFIX = 7

_SQL = int(RecordType.SQL)
_V3_ROWS = frozenset(int.from_bytes(bytes((_SQL,)) + prefix, "little") for prefix in _DML_PREFIXES)
_SQL_CRC = crc32(bytes((_SQL,)))
_ONE_STATEMENT = frozenset({RecordType.SQL, RecordType.COMPRESSED, RecordType.TIMED})

_ANY_LENGTH = 2**32
"""A limit above every length that a record or an LZSS stream can state."""


@attrs.frozen
class RecordBatch:
    """Whole records that stand back to back in a log.

    Attributes:
        position: Where the first one starts in the log.
        data: The records' bytes.
        ends: For each record the offset in `data` just after it.
        sql: For each record its statement as UTF-8, expanded where it was compressed; None where there is none.
        special: The indices of records that are not one plain INSERT, UPDATE, DELETE or REPLACE, rising.
        types: The type of each record that is neither v1, v2 nor a single statement, by index.
    """

    position: int
    data: bytes
    ends: Sequence[int]
    sql: Sequence[bytes | None]
    special: list[int]
    types: dict[int, RecordType]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def end(self) -> int:
        """The position just after the last record."""
        return self.position + len(self.data)

    def start_of(self, index: int) -> int:
        """The position in the log where the record of an index starts; for `len(batch)`, the batch's end."""
        return self.position + (self.ends[index - 1] if index else 0)

    def record(self, index: int) -> Record:
        """The record of an index, as a value."""
        offset = self.ends[index - 1] if index else 0
        # The limit was applied when the batch was cut.
        found = decode_record(self.data, offset, self.position + offset, limit=_ANY_LENGTH)
        assert found is not None
        return found

    def __iter__(self) -> Iterator[Record]:
        return (self.record(index) for index in range(len(self)))

    def front(self, end: int) -> RecordBatch:
        """The records up to a position, which is the end of one of them."""
        if end == self.end:
            return self
        size = end - self.position
        count = bisect_left(self.ends, size) + 1
        data, ends = self.data[:size], self.ends[:count]
        return RecordBatch(
            self.position,
            data,
            ends,
            front_of(self.sql, count),
            self.special[: bisect_left(self.special, count)],
            {index: kind for index, kind in self.types.items() if index < count},
        )


@attrs.define
class _Columns:
    """The columns of a batch while it is being cut; `RecordBatch` says what they mean."""

    ends: list[int] = attrs.Factory(list)
    sql: list[bytes | None] = attrs.Factory(list)
    special: list[int] = attrs.Factory(list)
    types: dict[int, RecordType] = attrs.Factory(dict)

    def add(self, record: Record, end: int) -> None:
        self.sql.append(record.sql)
        _note(record, len(self.ends), self.special, self.types)
        self.ends.append(end)


def _note(record: Record, index: int, special: list[int], types: dict[int, RecordType]) -> None:
    """Note what kind of record has an index."""
    if record.type not in _ONE_STATEMENT:
        types[index] = record.type
        special.append(index)
    elif record.sql is None or record.sql[:_PREFIX] not in _DML_PREFIXES:
        special.append(index)


def cut_records(
    data: bytes,
    position: int,
    limit: int = DEFAULT_MAX_RECORD,
    core: Core | None = CORE,
    compressed: int | None = None,
) -> tuple[RecordBatch, RecordError | None]:
    """Cut all whole records from the front of some bytes of a log.

    Args:
        data: Bytes that begin with a record's first byte.
        position: The position of that byte in the log.
        limit: The most bytes of SQL or payload that a record may have.
        core: The compiled core; None runs the reference.
        compressed: How many bytes of compressed records the reference expands: in front of the one that would be
            more it stops. None for any number. The core, which is quick, does not count.

    Returns:
        The whole records, and the error of the record after them where that one is broken. Without an error
        the bytes after the batch are the start of a record that is still incomplete.
    """
    if core is not None:
        return _cut_compiled(core, data, position, limit)
    columns = _Columns()
    error: RecordError | None = None
    at = 0
    try:
        while True:
            at = _cut_common(data, at, limit, columns)
            if compressed is not None and is_compressed(data, at):
                compressed -= stated_length(data, at, position + at, limit) or 0
                if compressed < 0:
                    break
            record = decode_record(data, at, position + at, limit)
            if record is None:
                break
            at += record.length
            columns.add(record, at)
    except RecordError as broken:
        error = broken
    whole = data if at == len(data) else data[:at]
    return RecordBatch(position, whole, columns.ends, columns.sql, columns.special, columns.types), error


def _cut_compiled(core: Core, data: bytes, position: int, limit: int) -> tuple[RecordBatch, RecordError | None]:
    """The same as `cut_records`, with texts that are made when they are asked for."""
    ends: array[int] = array("q")
    special: list[int] = []
    types: dict[int, RecordType] = {}
    others: dict[int, bytes | None] = {}
    error: RecordError | None = None
    at = 0
    try:
        while True:
            at = core.cut_records(data, at, limit, ends, special, others)
            record = decode_record(data, at, position + at, limit)
            if record is None:
                break
            at += record.length
            others[len(ends)] = record.sql
            _note(record, len(ends), special, types)
            ends.append(at)
    except RecordError as broken:
        error = broken
    whole = data if at == len(data) else data[:at]
    return RecordBatch(position, whole, ends, core.Statements(whole, ends, others), special, types), error


def _cut_common(data: bytes, at: int, limit: int, columns: _Columns) -> int:
    """Cut records of the two common forms: v3 of type 0x01, and v2 (statements inside a transaction).

    Returns:
        The offset of the first record that is not whole and right in one of these forms, or too short to be
        read this way. It need not be broken: `decode_record` says what it is.
    """
    ends, special = columns.ends, columns.special
    add_end, add_sql, unpack, crc, rows = ends.append, columns.sql.append, _COMMON.unpack_from, crc32, _V3_ROWS
    # Words between these bounds state a length within the limit, and have no bit of another format. A v3 record
    # with less SQL than the prefix would take it from the record after.
    longest = min(limit, LENGTH_MASK)
    v3_from, v3_to, v2_from, v2_to = FLAG_V3 + _PREFIX, FLAG_V3 + longest, FLAG_V2, FLAG_V2 + longest
    # Nearly all lengths fit into half a word, and small numbers are compared and added quickest.
    short_row = FLAG_V3 >> 16 if longest >= 0xFFFF else -1
    size = len(data)
    try:
        while True:
            low, high, stated, head = unpack(data, at)
            if high == short_row and low >= _PREFIX and head in rows:
                begin = at + 9
                end = begin + low
                sql = data[begin:end]
                if crc(sql, _SQL_CRC) != stated or end > size:
                    break
            else:
                word = high << 16 | low
                if v3_from <= word <= v3_to and head & 0xFF == _SQL:
                    end = at + 9 + word - FLAG_V3
                    sql = data[at + 9 : end]
                    found, plain = crc(sql, _SQL_CRC), head in rows
                elif v2_from <= word <= v2_to:
                    end = at + 8 + word - FLAG_V2
                    sql = data[at + 8 : end]
                    found, plain = crc(sql), sql[:_PREFIX] in _DML_PREFIXES
                else:
                    break
                if found != stated or end > size:
                    break
                if not plain:
                    special.append(len(ends))
            add_sql(sql)
            add_end(end)
            at = end
    except struct.error:
        # So little is left that it cannot be read this way.
        pass
    return at


class RecordParser:
    """A push parser for a log that arrives in pieces cut anywhere.

    The first piece of an incomplete record is kept as it came, what follows is gathered in one growing buffer: a
    long record in many small pieces costs its own length in memory, and is joined once.

    Args:
        position: The position in the log of the first byte that will be fed.
        max_record: The most bytes of SQL or payload that a record may have.
    """

    def __init__(self, position: int = 0, max_record: int = DEFAULT_MAX_RECORD) -> None:
        self._position = position
        self._limit = max_record
        self._first = b""
        self._more = bytearray()
        self._needed = 1
        self._error: RecordError | None = None

    @property
    def position(self) -> int:
        """The position of the first byte that has not been returned in a batch."""
        return self._position

    @property
    def held(self) -> int:
        """How many bytes of an incomplete record are held."""
        return len(self._first) + len(self._more)

    def feed(self, data: bytes) -> None:
        """Take bytes of the log, in order."""
        if self._first:
            self._more += data
        else:
            self._first = data

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
        if self.held < self._needed:
            return None
        data = self._first + self._more if self._more else self._first
        batch, self._error = cut_records(data, self._position, self._limit)
        self._position = batch.end
        self._first = data[len(batch.data) :]
        self._more = bytearray()
        if self._error is None:
            stated = stated_length(self._first, 0, self._position, self._limit)
            # Until the header is whole, each byte may be the one that breaks it.
            self._needed = stated if stated is not None else len(self._first) + 1
        if len(batch):
            return batch
        if self._error is not None:
            raise self._error
        return None
