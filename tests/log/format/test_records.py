"""Single records: the recorded ones, every type both ways, and every fault by its name."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import (
    MalformedRecord,
    RecordChecksumMismatch,
    RecordError,
    RecordTooLong,
    UnknownRecordType,
    UnsupportedRecordFormat,
)
from spgrepl.log.format import lzss, records
from spgrepl.log.format.records import Record, RecordFormat, RecordType, decode_record, stated_length
from tests.log.samples import (
    LONG_SQL,
    MIXED_LOG,
    ONE_OF_EACH,
    RecordedRecord,
    any_bytes,
    recorded_records,
    statements,
)

LSNS = st.integers(0, 2**64 - 1)
TIMES = st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1))


def v3(kind: int, payload: bytes, stated: int | None = None) -> bytes:
    """A v3 record with a right CRC, whatever its type and the length that it states."""
    checked = bytes((kind,)) + payload
    return struct.pack("<II", 0xC0000000 | (len(payload) if stated is None else stated), crc32(checked)) + checked


def decode(raw: bytes, position: int = 0) -> Record:
    """Decode a record that must be whole."""
    record = decode_record(raw, 0, position)
    assert record is not None
    assert record.length == len(raw)
    assert record.end == position + len(raw)
    return record


# -- the recorded log -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", recorded_records(), ids=lambda recorded: f"at {recorded.position}")
def test_recorded_record_is_decoded_and_encoded_to_the_same_bytes(recorded: RecordedRecord) -> None:
    record = decode_record(MIXED_LOG, recorded.position, recorded.position)
    assert record is not None
    assert record.format is recorded.format
    assert record.type is recorded.type
    assert record.position == recorded.position
    assert record.length == recorded.length
    assert record.sql == recorded.sql
    assert MIXED_LOG[record.position : record.end] == recorded.raw
    assert encode_again(record) == recorded.raw


def encode_again(record: Record) -> bytes:
    """The bytes that an SPG writer makes of a record's value."""
    if record.sql is None:
        assert record.stated_position is not None
        return records.encode_checkpoint(record.stated_position)
    encode = {
        RecordFormat.V1: records.encode_v1,
        RecordFormat.V2: records.encode_v2,
        RecordFormat.V3: records.encode_statement,
    }[record.format]
    return encode(record.sql)


def test_recorded_records_fill_the_recorded_log() -> None:
    assert b"".join(recorded.raw for recorded in recorded_records()) == MIXED_LOG


def test_recorded_checkpoint_states_where_it_stands() -> None:
    (checkpoint,) = (r for r in recorded_records() if r.type is RecordType.CHECKPOINT)
    assert decode(checkpoint.raw, checkpoint.position).stated_position == checkpoint.position


# -- every type, both ways ------------------------------------------------------------------------------------


@given(statements)
def test_v1(sql: bytes) -> None:
    raw = records.encode_v1(sql)
    assert raw == struct.pack("<I", len(sql)) + sql
    assert decode(raw, 5) == Record(5, 4 + len(sql), RecordFormat.V1, RecordType.SQL, crc32(sql), sql)


@given(statements)
def test_v2(sql: bytes) -> None:
    raw = records.encode_v2(sql)
    assert raw == struct.pack("<II", len(sql) | 1 << 31, crc32(sql)) + sql
    assert decode(raw, 5) == Record(5, 8 + len(sql), RecordFormat.V2, RecordType.SQL, crc32(sql), sql)


@given(statements)
def test_v3_sql(sql: bytes) -> None:
    raw = records.encode_v3(RecordType.SQL, sql)
    assert raw == v3(1, sql)
    assert decode(raw, 5) == Record(5, 9 + len(sql), RecordFormat.V3, RecordType.SQL, crc32(b"\1" + sql), sql)


@given(st.integers(0, 2**64 - 1))
def test_checkpoint(position: int) -> None:
    raw = records.encode_checkpoint(position)
    assert len(raw) == 17
    assert raw == v3(2, struct.pack("<Q", position))
    record = decode(raw)
    assert (record.type, record.sql, record.stated_position) == (RecordType.CHECKPOINT, None, position)


@given(statements)
def test_compressed(sql: bytes) -> None:
    raw = records.encode_v3(RecordType.COMPRESSED, b"\1" + lzss.compress(sql))
    record = decode(raw)
    assert (record.format, record.type, record.sql) == (RecordFormat.V3, RecordType.COMPRESSED, sql)


@given(statements, st.booleans())
def test_mysql(sql: bytes, compressed: bool) -> None:
    raw = records.encode_mysql(sql, compressed)
    assert raw == v3(4, b"\1" + lzss.compress(sql) if compressed else b"\0" + sql)
    record = decode(raw)
    assert (record.type, record.sql) == (RecordType.MYSQL, sql)


@given(st.sampled_from([RecordType.TIMED, RecordType.TRANSACTION]), LSNS, TIMES, statements)
def test_timed(kind: RecordType, lsn: int, time: int | None, sql: bytes) -> None:
    raw = records.encode_timed(kind, lsn, time, sql)
    stamp = -(2**63) if time is None else time
    assert len(raw) == 25 + len(sql)
    assert raw == v3(kind, struct.pack("<Qq", lsn, stamp) + sql, stated=len(sql))
    record = decode(raw)
    assert (record.type, record.sql, record.commit_lsn, record.commit_time) == (kind, sql, lsn, time)


@given(LSNS, TIMES, st.binary(max_size=50))
def test_anchor(lsn: int, time: int | None, path: bytes) -> None:
    raw = records.encode_anchor(lsn, time, path)
    stamp = -(2**63) if time is None else time
    assert raw == v3(0x11, struct.pack("<QqH", lsn, stamp, len(path)) + path)
    record = decode(raw)
    assert (record.type, record.sql) == (RecordType.ANCHOR, None)
    assert (record.commit_lsn, record.commit_time, record.path) == (lsn, time, path)


def test_encoders_refuse_types_of_the_other_layout() -> None:
    with pytest.raises(ValueError, match="encoded by encode_timed"):
        records.encode_v3(RecordType.TIMED, b"")
    with pytest.raises(ValueError, match="encoded by encode_v3"):
        records.encode_timed(RecordType.SQL, 0, None, b"")


def test_writers_compress_from_256_bytes_where_it_pays() -> None:
    assert decode(records.encode_statement(b"a" * 255)).type is RecordType.SQL
    assert decode(records.encode_statement(b"a" * 256)).type is RecordType.COMPRESSED
    noise = bytes(range(256))
    assert decode(records.encode_statement(noise)).type is RecordType.SQL
    assert decode(records.encode_statement(noise)).sql == noise
    assert len(records.encode_statement(LONG_SQL)) < len(LONG_SQL)


def test_compression_must_gain_a_byte() -> None:
    # 252 bytes without a match and a repeat of them: each repeated byte more makes the stream no longer.
    base = bytes(range(256))
    sizes: dict[bool, list[int]] = {}
    for repeated in range(60):
        sql = base + base[:repeated]
        pays = 1 + len(lzss.compress(sql)) < len(sql)
        sizes.setdefault(pays, []).append(len(sql) - len(lzss.compress(sql)) - 1)
        assert decode(records.encode_statement(sql)).type is (RecordType.COMPRESSED if pays else RecordType.SQL)
    assert max(sizes[False]) == 0
    assert min(sizes[True]) == 1


# -- headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ONE_OF_EACH)
def test_every_shorter_record_is_incomplete(raw: bytes) -> None:
    for kept in range(len(raw)):
        assert decode_record(raw[:kept]) is None
    assert decode(raw).length == len(raw)


@pytest.mark.parametrize("raw", ONE_OF_EACH)
def test_length_is_read_from_the_header_alone(raw: bytes) -> None:
    header = 4 if not raw[3] & 0x80 else 4 if not raw[3] & 0x40 else 9
    for kept in range(header):
        assert stated_length(raw[:kept], 0, 0, 10_000) is None
    assert stated_length(raw[:header], 0, 0, 10_000) == len(raw)


@pytest.mark.parametrize(("word", "size"), [(0, 4), (1 << 31, 8), (3 << 30, 9)], ids=["v1", "v2", "v3"])
def test_the_limit_is_on_sql_bytes_and_judged_on_the_header(word: int, size: int) -> None:
    limit = 1000
    accepted = struct.pack("<IIB", word | limit, 0, 1)
    assert stated_length(accepted, 0, 0, limit) == size + limit
    refused = struct.pack("<I", word | limit + 1)
    with pytest.raises(RecordTooLong, match="states 1001 bytes, the limit is 1000") as caught:
        stated_length(refused, 0, 77, limit)
    assert caught.value.position == 77


def test_the_default_limit_is_64_mib() -> None:
    assert decode_record(struct.pack("<IIB", 3 << 30 | 64 << 20, 0, 1)) is None
    with pytest.raises(RecordTooLong):
        decode_record(struct.pack("<IIB", 3 << 30 | (64 << 20) + 1, 0, 1))


def test_bit_29_of_v1_and_v2_is_part_of_the_length() -> None:
    for word in (1 << 29 | 5, 1 << 30 | 5, 3 << 29 | 5, 1 << 31 | 1 << 29 | 5):
        with pytest.raises(RecordTooLong, match=f"states {word & 0x7FFFFFFF} bytes"):
            decode_record(struct.pack("<II", word, crc32(b"hello")) + b"hello")


@pytest.mark.parametrize("word", [0xE0000000, 0xE0000005, 0xFFFFFFFF])
def test_v6_is_refused_by_name(word: int) -> None:
    with pytest.raises(UnsupportedRecordFormat, match="format v6") as caught:
        decode_record(struct.pack("<I", word), 0, 12)
    assert caught.value.position == 12


def test_unknown_types_are_refused_before_their_body() -> None:
    for kind in sorted(set(range(256)) - set(RecordType)):
        for raw in (v3(kind, b"SELECT 1"), v3(kind, b"", stated=500)):
            with pytest.raises(UnknownRecordType, match=f"0x{kind:02x}") as caught:
                decode_record(raw, 0, 9)
            assert caught.value.position == 9


# -- bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [raw for raw in ONE_OF_EACH if raw[3] & 0x80])
def test_any_flipped_bit_behind_the_length_is_noticed(raw: bytes) -> None:
    for bit in range(32, len(raw) * 8):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        assert fault_of(bytes(damaged), 3) != ""


def fault_of(data: bytes, position: int) -> str:
    """The name of the error that a record raises, "incomplete", or nothing where it decodes."""
    try:
        record = decode_record(data, 0, position, limit=2000)
    except RecordError as error:
        return type(error).__name__ if error.position == position else "at another position"
    return "incomplete" if record is None else ""


def test_the_checksum_error_names_both_sums() -> None:
    raw = bytearray(records.encode_v2(b"BEGIN"))
    raw[4:8] = bytes.fromhex("78563412")
    with pytest.raises(RecordChecksumMismatch, match=f"CRC {crc32(b'BEGIN'):08x}, its header states 12345678"):
        decode_record(bytes(raw))


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_checkpoints_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(MalformedRecord, match=f"checkpoint of {size} payload bytes, expected 8"):
        decode_record(v3(2, bytes(size)), 0, 4)


def test_a_checkpoint_elsewhere_is_no_error() -> None:
    record = decode(records.encode_checkpoint(99), 5)
    assert record.stated_position == 99


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (3, b"", "without its algorithm byte"),
        (4, b"", "without its algorithm byte"),
        (3, b"\0SELECT 1", "names compression algorithm 0"),
        (3, b"\2SELECT 1", "names compression algorithm 2"),
        (4, b"\2SELECT 1", "names compression algorithm 2"),
        (3, b"\1abc", "no room for its length"),
        (3, b"\1" + struct.pack("<I", 1 << 27), "states 134217728 bytes, the limit is 67108864"),
        (4, b"\1" + struct.pack("<I", 9) + b"\xffabc", "ends after 3 of 9 bytes"),
        (0x11, bytes(17), "anchor of 17 payload bytes, expected 18 at least"),
        (0x11, bytes(16) + b"\2\0a", "path of 2 bytes and holds 1"),
        (0x11, bytes(16) + b"\1\0ab", "path of 1 byte and holds 2"),
    ],
)
def test_malformed_payloads(kind: int, payload: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason) as caught:
        decode_record(v3(kind, payload), 0, 6)
    assert caught.value.position == 6


def test_expanded_sql_is_limited_like_stated_sql() -> None:
    raw = records.encode_statement(b"a" * 2000)
    assert len(raw) < 1000
    assert decode_record(raw, limit=2000) is not None
    with pytest.raises(MalformedRecord, match="states 2000 bytes, the limit is 1999"):
        decode_record(raw, limit=1999)


@given(any_bytes, st.integers(0, 20), st.integers(0, 2**40))
def test_any_bytes_decode_or_raise(data: bytes, offset: int, position: int) -> None:
    fault = fault_of(data[offset:], position)
    assert fault != "at another position"
    if not fault:
        record = decode_record(data, offset, position, limit=2000)
        assert record is not None
        assert record.position == position
        assert offset + record.length <= len(data)
        assert record == decode_record(data[offset : offset + record.length], 0, position)
