"""Log records: values, encoders and the decoder of a single record (PROTOCOL section 1).

The batch decoder that replay runs on is `spgrepl.log.format.parser`; it takes the common record itself and comes
here for every other one.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from zlib import crc32

import attrs

from spgrepl.compiled.core import CORE
from spgrepl.errors import (
    CompressionError,
    MalformedRecord,
    RecordChecksumMismatch,
    RecordTooLong,
    UnknownRecordType,
    UnsupportedRecordFormat,
)
from spgrepl.log.format import lzss
from spgrepl.text.quantities import number_of

DEFAULT_MAX_RECORD = 64 * 1024 * 1024
"""The most bytes that a record's header may state, unless configured otherwise."""

LENGTH_MASK = 0x1FFFFFFF
FLAG_V2 = 0x80000000
FLAG_V3 = 0xC0000000
FLAG_V6 = 0xE0000000

COMPRESS_FROM = 256
"""Writers compress SQL of this many bytes and more."""

NO_CLOCK = -(2**63)
"""The commit time of a record whose writer had no clock."""

_ALGO_RAW = 0
_ALGO_LZSS = 1

_WORD = struct.Struct("<I")
_V2_HEADER = struct.Struct("<II")
_COMMIT = struct.Struct("<Qq")
_POSITION = struct.Struct("<Q")
_ANCHOR = struct.Struct("<QqH")


class RecordFormat(enum.Enum):
    """The layouts that may stand in one log, told apart by the top bits of a record's first word."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"


class RecordType(enum.IntEnum):
    """The types of v3 records."""

    SQL = 0x01
    CHECKPOINT = 0x02
    COMPRESSED = 0x03
    MYSQL = 0x04
    TIMED = 0x10
    ANCHOR = 0x11
    TRANSACTION = 0x12


_EMBEDDED_ROWS = 0x13
_KNOWN_TYPES = frozenset(RecordType)
_COMPRESSED_TYPES = frozenset({RecordType.COMPRESSED, RecordType.MYSQL})
_TIMED_TYPES = frozenset({RecordType.TIMED, RecordType.TRANSACTION})


@attrs.frozen
class AtOnce:
    """How much of a log is read in the reactor's thread at a time, which takes a few milliseconds at most.

    Attributes:
        record: The longest record, in bytes.
        compressed: How many bytes of compressed records. They expand to nine times as many at most, and the time
            that it takes goes by what is read.
        rare: How many frames that are not of records in the common forms.
    """

    record: int
    compressed: int
    rare: int = 256


IN_REACTOR = AtOnce(256 * 1024, 512 * 1024 if CORE else 8 * 1024)
"""What takes the reactor's thread less than 5 ms, by the compiled core and without it."""


@attrs.frozen
class Record:
    """One record of a log.

    Attributes:
        position: Where it starts, in bytes from the start of the log.
        length: Its whole length in bytes, header included.
        format: Its layout.
        type: Its v3 type; `RecordType.SQL` for v1 and v2.
        crc: The CRC-32 that it carries; that of its SQL for v1, which carries none.
        sql: The statement as UTF-8, expanded where it was compressed; None for types 0x02 and 0x11.
        commit_lsn: The commit LSN of types 0x10, 0x11 and 0x12, else None.
        commit_time: The commit time of those types in microseconds since the epoch; None without a clock.
        stated_position: The position that a checkpoint (0x02) states of itself, else None.
        path: The path that an anchor (0x11) names, else None.
    """

    position: int
    length: int
    format: RecordFormat
    type: RecordType
    crc: int
    sql: bytes | None
    commit_lsn: int | None = None
    commit_time: int | None = None
    stated_position: int | None = None
    path: bytes | None = None

    @property
    def end(self) -> int:
        """The position just after the record."""
        return self.position + self.length


# -- decoding -------------------------------------------------------------------------------------------------


def stated_length(data: bytes, offset: int, position: int, limit: int) -> int | None:
    """Read from a record's header how long the whole record is.

    Args:
        data: Bytes that hold the start of the record.
        offset: Where in `data` the record starts.
        position: The record's position in the log, for errors.
        limit: The most bytes of SQL or payload that are accepted.

    Returns:
        The record's whole length in bytes, or None while its header is incomplete.

    Raises:
        RecordTooLong: The header states more than `limit`.
        UnsupportedRecordFormat: The header is one of format v6.
        UnknownRecordType: The header names a type that is not part of the format.
    """
    if len(data) - offset < 4:
        return None
    (word,) = _WORD.unpack_from(data, offset)
    if word < FLAG_V2:
        return 4 + _within(word, limit, position)
    if word < FLAG_V3:
        # Bit 29 belongs to the length here: only together with bit 30 does it mark another format.
        return 8 + _within(word & ~FLAG_V2, limit, position)
    if word >= FLAG_V6:
        raise UnsupportedRecordFormat(
            f"a record of format v6 (first word {word:08x}); SPG servers stream v1, v2 and v3 only", position
        )
    length = _within(word & LENGTH_MASK, limit, position)
    if len(data) - offset < 9:
        return None
    kind = data[offset + 8]
    if kind not in _KNOWN_TYPES:
        if kind == _EMBEDDED_ROWS:
            raise UnknownRecordType(
                "a v3 record of type 0x13: row changes of SPG's embedded library, which no server streams",
                position,
            )
        raise UnknownRecordType(f"a v3 record of unknown type 0x{kind:02x}", position)
    return (25 if kind in _TIMED_TYPES else 9) + length


def is_compressed(data: bytes, offset: int) -> bool:
    """Whether the record that starts at a place in some bytes holds compressed SQL, by its header."""
    return (
        len(data) > offset + 9
        and data[offset + 3] >= FLAG_V3 >> 24
        and data[offset + 8] in _COMPRESSED_TYPES
        and data[offset + 9] == _ALGO_LZSS
    )


def _within(length: int, limit: int, position: int) -> int:
    if length > limit:
        raise RecordTooLong(
            f"a record states {number_of(length, 'byte')}, the limit is {limit} (raise it with --max-record)",
            position,
        )
    return length


def decode_record(
    data: bytes, offset: int = 0, position: int = 0, limit: int = DEFAULT_MAX_RECORD
) -> Record | None:
    """Decode the record that starts at a place in some bytes.

    Args:
        data: Bytes of a log.
        offset: Where in `data` the record starts.
        position: The record's position in the log.
        limit: The most bytes of SQL or payload, compressed or not, that are accepted.

    Returns:
        The record, or None while it is incomplete.

    Raises:
        RecordError: The record breaks the format; the class says how.
    """
    length = stated_length(data, offset, position, limit)
    if length is None or len(data) - offset < length:
        return None
    (word,) = _WORD.unpack_from(data, offset)
    end = offset + length
    if word < FLAG_V2:
        sql = data[offset + 4 : end]
        return Record(position, length, RecordFormat.V1, RecordType.SQL, crc32(sql), sql)
    crc = _WORD.unpack_from(data, offset + 4)[0]
    checked = data[offset + 8 : end]
    if crc32(checked) != crc:
        raise RecordChecksumMismatch(
            f"a record of {number_of(length, 'byte')} has CRC {crc32(checked):08x}, its header states {crc:08x}",
            position,
        )
    if word < FLAG_V3:
        return Record(position, length, RecordFormat.V2, RecordType.SQL, crc, checked)
    return _decode_typed(RecordType(checked[0]), checked[1:], length, crc, position, limit)


def _decode_typed(kind: RecordType, payload: bytes, length: int, crc: int, position: int, limit: int) -> Record:
    """Make the value of a v3 record whose length and CRC have been found right."""
    sql: bytes | None = None
    lsn = time = stated = None
    path = None
    if kind is RecordType.SQL:
        sql = payload
    elif kind in (RecordType.COMPRESSED, RecordType.MYSQL):
        sql = _expand(kind, payload, position, limit)
    elif kind is RecordType.CHECKPOINT:
        if len(payload) != 8:
            raise MalformedRecord(f"a checkpoint of {len(payload)} payload bytes, expected 8", position)
        (stated,) = _POSITION.unpack(payload)
    elif kind is RecordType.ANCHOR:
        lsn, time, path = _decode_anchor(payload, position)
    else:
        lsn, time = _COMMIT.unpack_from(payload)
        sql = payload[_COMMIT.size :]
    if time == NO_CLOCK:
        time = None
    return Record(position, length, RecordFormat.V3, kind, crc, sql, lsn, time, stated, path)


def _expand(kind: RecordType, payload: bytes, position: int, limit: int) -> bytes:
    if not payload:
        raise MalformedRecord(f"a record of type 0x{kind:02x} without its algorithm byte", position)
    algo = payload[0]
    if algo == _ALGO_RAW and kind is RecordType.MYSQL:
        return payload[1:]
    if algo != _ALGO_LZSS:
        raise MalformedRecord(f"a record of type 0x{kind:02x} names compression algorithm {algo}", position)
    try:
        return lzss.decompress(payload[1:], limit)
    except CompressionError as error:
        raise MalformedRecord(str(error), position) from error


def _decode_anchor(payload: bytes, position: int) -> tuple[int, int, bytes]:
    if len(payload) < _ANCHOR.size:
        raise MalformedRecord(
            f"an anchor of {len(payload)} payload bytes, expected {_ANCHOR.size} at least", position
        )
    lsn, time, size = _ANCHOR.unpack_from(payload)
    path = payload[_ANCHOR.size :]
    if len(path) != size:
        raise MalformedRecord(
            f"an anchor states a path of {number_of(size, 'byte')} and holds {len(path)}", position
        )
    return lsn, time, path


# -- encoding -------------------------------------------------------------------------------------------------


def encode_v1(sql: bytes) -> bytes:
    """Encode a statement as a v1 record (no checksum)."""
    return _WORD.pack(len(sql)) + sql


def encode_v2(sql: bytes) -> bytes:
    """Encode a statement as a v2 record: the form of statements inside a transaction and of BEGIN and COMMIT."""
    return _V2_HEADER.pack(len(sql) | FLAG_V2, crc32(sql)) + sql


def encode_v2_all(statements: Sequence[bytes]) -> bytes:
    """Encode statements as `encode_v2` does, one record after the other."""
    found = CORE.encode_v2_all(statements) if CORE is not None and type(statements) is list else None
    return python_encode_v2_all(statements) if found is None else found


def python_encode_v2_all(statements: Sequence[bytes]) -> bytes:
    """The reference of `encode_v2_all`."""
    pack = _V2_HEADER.pack
    return b"".join([piece for sql in statements for piece in (pack(len(sql) | FLAG_V2, crc32(sql)), sql)])


def encode_v3(kind: RecordType, payload: bytes) -> bytes:
    """Encode a plain v3 record.

    Args:
        kind: Any type but the timed ones, 0x10 and 0x12, which have a layout of their own.
        payload: What follows the type byte.

    Raises:
        ValueError: The type is a timed one.
    """
    if kind in _TIMED_TYPES:
        raise ValueError(f"type 0x{kind:02x} is encoded by encode_timed")
    checked = bytes((kind,)) + payload
    return _V2_HEADER.pack(len(payload) | FLAG_V3, crc32(checked)) + checked


def encode_statement(sql: bytes) -> bytes:
    """Encode one auto-committed statement as an SPG writer does: compressed where that pays, else plain v3."""
    if len(sql) >= COMPRESS_FROM:
        stream = lzss.compress(sql)
        if 1 + len(stream) < len(sql):
            return encode_v3(RecordType.COMPRESSED, bytes((_ALGO_LZSS,)) + stream)
    return encode_v3(RecordType.SQL, sql)


def encode_mysql(sql: bytes, compressed: bool = False) -> bytes:
    """Encode one statement in the MySQL dialect (type 0x04)."""
    if compressed:
        return encode_v3(RecordType.MYSQL, bytes((_ALGO_LZSS,)) + lzss.compress(sql))
    return encode_v3(RecordType.MYSQL, bytes((_ALGO_RAW,)) + sql)


def encode_checkpoint(position: int) -> bytes:
    """Encode a durability checkpoint (type 0x02) that starts at `position` in its log."""
    return encode_v3(RecordType.CHECKPOINT, _POSITION.pack(position))


def encode_anchor(lsn: int, time: int | None, path: bytes) -> bytes:
    """Encode a checkpoint anchor (type 0x11); `time` in microseconds since the epoch, None without a clock."""
    stamp = NO_CLOCK if time is None else time
    return encode_v3(RecordType.ANCHOR, _ANCHOR.pack(lsn, stamp, len(path)) + path)


def encode_timed(kind: RecordType, lsn: int, time: int | None, sql: bytes) -> bytes:
    """Encode a statement (0x10) or a whole transaction (0x12) with its commit LSN and time.

    Args:
        kind: `RecordType.TIMED` or `RecordType.TRANSACTION`.
        lsn: The commit LSN.
        time: Microseconds since the epoch, or None without a clock.
        sql: The SQL. The header's length counts nothing else.
    """
    if kind not in _TIMED_TYPES:
        raise ValueError(f"type 0x{kind:02x} is encoded by encode_v3")
    checked = bytes((kind,)) + _COMMIT.pack(lsn, NO_CLOCK if time is None else time) + sql
    return _V2_HEADER.pack(len(sql) | FLAG_V3, crc32(checked)) + checked
