"""The incremental parser: the same batches and errors whatever the pieces, at the cost of the bytes alone."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any
from zlib import crc32

import attrs
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
from spgrepl.log.format import parser as parser_module
from spgrepl.log.format import records
from spgrepl.log.format.parser import RecordBatch, RecordParser, cut_records
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, Record, RecordType, decode_record
from tests.log.samples import LONG_SQL, MIXED_LOG, ONE_OF_EACH, any_bytes, cut, logs, places, recorded_records

LIMIT = 2000

DML = (b"INSERT ", b"UPDATE ", b"DELETE ", b"REPLACE")
DML_PREFIXES = {form for word in DML for form in (word, word.lower(), word.capitalize())}


@attrs.frozen
class Outcome:
    """All that a parser made of some bytes."""

    records: list[Record]
    special: list[int]
    types: dict[int, RecordType]
    error: tuple[str, str, int] | None
    position: int
    held: int


def describe(error: RecordError) -> tuple[str, str, int]:
    """What must be equal of two errors."""
    return type(error).__name__, str(error), error.position


def parse(pieces: list[bytes], position: int = 0, limit: int = LIMIT) -> Outcome:
    """Feed pieces, taking batches after each, and gather everything that comes of it."""
    parser = RecordParser(position, limit)
    found: list[Record] = []
    special: list[int] = []
    types: dict[int, RecordType] = {}
    error = None
    for piece in pieces:
        parser.feed(piece)
        try:
            while (batch := parser.next_batch()) is not None:
                assert batch.position == (found[-1].end if found else position)
                special += [len(found) + index for index in batch.special]
                types.update((len(found) + index, kind) for index, kind in batch.types.items())
                found += batch
                check_columns(batch)
        except RecordError as broken:
            error = describe(broken)
            break
    return Outcome(found, special, types, error, parser.position, 0 if error else parser.held)


def check_columns(batch: RecordBatch) -> None:
    """Compare a batch's columns with its records."""
    assert len(batch) > 0
    assert [batch.start_of(index) for index in range(len(batch))] == [record.position for record in batch]
    assert batch.start_of(len(batch)) == batch.end
    assert [batch.position + end for end in batch.ends] == [record.end for record in batch]
    assert batch.sql == [record.sql for record in batch]


def reference(data: bytes, position: int = 0, limit: int = LIMIT) -> Outcome:
    """One record after the other, by the decoder of single records."""
    found: list[Record] = []
    error = None
    at = 0
    try:
        while (record := decode_record(data, at, position + at, limit)) is not None:
            found.append(record)
            at += record.length
    except RecordError as broken:
        error = describe(broken)
    singles = (RecordType.SQL, RecordType.COMPRESSED, RecordType.TIMED)
    special = [
        index
        for index, record in enumerate(found)
        if record.type not in singles or record.sql is None or record.sql[:7] not in DML_PREFIXES
    ]
    types = {index: record.type for index, record in enumerate(found) if record.type not in singles}
    return Outcome(found, special, types, error, position + at, 0 if error else len(data) - at)


# -- what is parsed -------------------------------------------------------------------------------------------


def test_recorded_log() -> None:
    batch, error = cut_records(MIXED_LOG, 0)
    assert error is None
    assert [(r.position, r.length, r.format, r.type, r.sql) for r in batch] == [
        (r.position, r.length, r.format, r.type, r.sql) for r in recorded_records()
    ]
    assert batch.data == MIXED_LOG
    check_columns(batch)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10_000])
def test_one_of_each_in_pieces(size: int) -> None:
    log = b"".join(ONE_OF_EACH)
    outcome = parse([log[at : at + size] for at in range(0, len(log), size)])
    assert outcome == reference(log)
    assert outcome.error is None
    assert len(outcome.records) == len(ONE_OF_EACH)


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        (b"INSERT INTO t VALUES (1)", True),
        (b"insert into t values (1)", True),
        (b"Insert INTO t VALUES (1)", True),
        (b"UPDATE t SET a = 1", True),
        (b"DELETE FROM t", True),
        (b"REPLACE INTO t VALUES (1)", True),
        (b"INSERT ", True),
        (b"INSERT", False),
        (b"iNSERT INTO t VALUES (1)", False),
        (b" INSERT INTO t VALUES (1)", False),
        (b"/* why */ INSERT INTO t VALUES (1)", False),
        (b"BEGIN", False),
        (b"CREATE TABLE t (a)", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize(
    "encode",
    [
        records.encode_v1,
        records.encode_v2,
        records.encode_statement,
        lambda sql: records.encode_timed(RecordType.TIMED, 1, 1, sql),
    ],
    ids=["v1", "v2", "v3", "timed"],
)
def test_only_plain_changes_are_not_special(encode: Callable[[bytes], bytes], sql: bytes, plain: bool) -> None:
    follows = records.encode_v1(b" " * 32)
    batch, error = cut_records(encode(sql) + follows * 2, 0)
    assert error is None
    assert batch.special == ([1, 2] if plain else [0, 1, 2])
    assert batch.types == {}


def test_other_dialects_and_whole_transactions_are_special_by_type() -> None:
    sql = b"INSERT INTO t VALUES (1)"
    log = [
        records.encode_statement(sql),
        records.encode_mysql(sql),
        records.encode_timed(RecordType.TRANSACTION, 1, 1, sql),
        records.encode_checkpoint(0),
        records.encode_anchor(1, 1, b"p"),
        records.encode_statement(LONG_SQL),
    ]
    batch, _ = cut_records(b"".join(log), 0)
    assert batch.special == [1, 2, 3, 4]
    assert batch.types == {
        1: RecordType.MYSQL,
        2: RecordType.TRANSACTION,
        3: RecordType.CHECKPOINT,
        4: RecordType.ANCHOR,
    }
    assert batch.sql == [sql, sql, sql, None, None, LONG_SQL]


def test_the_rest_is_not_part_of_the_batch() -> None:
    whole = records.encode_statement(b"INSERT INTO t VALUES (1)")
    for kept in range(len(whole)):
        batch, error = cut_records(whole * 2 + whole[:kept], 50)
        assert error is None
        assert batch.data == whole * 2
        assert batch.end == 50 + 2 * len(whole)


def test_records_above_512_mib_of_limit_can_be_looked_at_again() -> None:
    # The limit that cut the batch is not known to it, so it must not refuse what was let in.
    batch, _ = cut_records(records.encode_v1(b"a"), 0, limit=2**31)
    (record,) = batch
    assert record.sql == b"a"


# -- whatever the pieces --------------------------------------------------------------------------------------


@given(any_bytes, places, st.integers(0, 2**40))
def test_any_bytes_cut_anywhere_give_the_same(data: bytes, where: list[int], position: int) -> None:
    expected = reference(data, position)
    assert parse([data], position) == expected
    assert parse(cut(data, where), position) == expected
    assert parse([data[at : at + 1] for at in range(len(data))], position) == expected


@given(logs, st.integers(0, 40))
def test_the_limit_is_the_same_on_every_way(data: bytes, limit: int) -> None:
    expected = reference(data, limit=limit)
    assert parse([data], limit=limit) == expected
    assert parse([data[at : at + 1] for at in range(len(data))], limit=limit) == expected


# -- errors ---------------------------------------------------------------------------------------------------


BROKEN = [
    (struct.pack("<IIB", 0xC0000000 | LIMIT + 1, 0, 1), 4, RecordTooLong),
    (struct.pack("<II", 0x80000000 | LIMIT + 1, 0), 4, RecordTooLong),
    (struct.pack("<I", LIMIT + 1), 4, RecordTooLong),
    (struct.pack("<II", 0xA0000005, 0) + b"hello", 4, RecordTooLong),
    (struct.pack("<II", 0xE0000005, 0), 4, UnsupportedRecordFormat),
    (struct.pack("<IIB", 0xC0000005, 0, 0x20), 9, UnknownRecordType),
    (struct.pack("<IIB", 0xC0000005, 0, 1) + b"hello", 14, RecordChecksumMismatch),
    (struct.pack("<II", 0x80000005, 0) + b"hello", 13, RecordChecksumMismatch),
    (records.encode_v3(RecordType.CHECKPOINT, b"1234567"), 16, MalformedRecord),
    (records.encode_v3(RecordType.COMPRESSED, b"\2"), 10, MalformedRecord),
]


@pytest.mark.parametrize(("broken", "judged", "kind"), BROKEN)
def test_a_broken_record_is_named_at_the_first_byte_that_shows_it(
    broken: bytes, judged: int, kind: type[RecordError]
) -> None:
    before = records.encode_statement(b"INSERT INTO t VALUES (1)")
    parser = RecordParser(7, LIMIT)
    parser.feed(before + broken[: judged - 1])
    batch = parser.next_batch()
    assert batch is not None
    assert len(batch) == 1
    assert parser.next_batch() is None
    parser.feed(broken[judged - 1 : judged])
    with pytest.raises(kind) as caught:
        parser.next_batch()
    assert type(caught.value) is kind
    assert caught.value.position == parser.position == 7 + len(before)


@pytest.mark.parametrize(("broken", "judged", "kind"), BROKEN)
def test_records_before_a_broken_one_come_first_and_the_error_stays(
    broken: bytes, judged: int, kind: type[RecordError]
) -> None:
    before = records.encode_statement(b"INSERT INTO t VALUES (1)")
    parser = RecordParser(0, LIMIT)
    parser.feed(before * 2 + broken + before)
    batch = parser.next_batch()
    assert batch is not None
    assert len(batch) == 2
    for _ in range(3):
        with pytest.raises(kind):
            parser.next_batch()
        parser.feed(before)


@pytest.mark.parametrize("encode", [records.encode_v1, records.encode_v2, records.encode_statement])
def test_the_limit_is_the_last_length_that_is_read(encode: Callable[[bytes], bytes]) -> None:
    record = encode(b"INSERT INTO t VALUES (1)")
    assert len(cut_records(record * 2, 0, limit=24)[0]) == 2
    batch, error = cut_records(record * 2, 0, limit=23)
    assert (len(batch), type(error)) == (0, RecordTooLong)


@pytest.mark.parametrize("header", [b"", b"\1"], ids=["v2", "v3"])
def test_an_incomplete_record_whose_part_has_the_right_checksum_is_incomplete(header: bytes) -> None:
    part = header + b"INSERT INTO t VALUES (1"
    flag = 0xC0000000 if header else 0x80000000
    batch, error = cut_records(struct.pack("<II", flag | len(part) + 10, crc32(part)) + part, 0)
    assert (len(batch), error) == (0, None)


def test_a_header_that_states_65_mib_is_refused_with_nine_bytes() -> None:
    for word in (65 << 20, 1 << 31 | 65 << 20, 3 << 30 | 65 << 20):
        parser = RecordParser()
        parser.feed(struct.pack("<IIB", word, 0, 1))
        with pytest.raises(RecordTooLong, match=f"the limit is {DEFAULT_MAX_RECORD}"):
            parser.next_batch()


# -- costs ----------------------------------------------------------------------------------------------------


def test_a_long_record_in_many_pieces_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[int] = []

    def counting(data: bytes, *arguments: Any) -> Any:
        handled.append(len(data))
        return cut_records(data, *arguments)

    monkeypatch.setattr(parser_module, "cut_records", counting)
    record = records.encode_v2(bytes(500_000))
    parser = RecordParser()
    batch = None
    for at in range(0, len(record), 100):
        assert batch is None
        parser.feed(record[at : at + 100])
        batch = parser.next_batch()
        assert parser.held <= at + 100
    assert batch is not None
    assert batch.data == record
    assert handled == [100, len(record)]


def test_a_long_record_in_many_pieces_takes_memory_for_its_bytes_alone() -> None:
    parser = RecordParser()
    parser.feed(struct.pack("<II", 1 << 31 | 1 << 20, 0))
    tracemalloc.start()
    try:
        for _ in range(200_000):
            parser.feed(bytes(4))
            parser.next_batch()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parser.held == 8 + 800_000
    # A buffer that grows in place: with a copy for each piece, two of them stand side by side.
    assert peak < 1_200_000


def test_what_is_held_is_the_incomplete_record_alone() -> None:
    record = records.encode_statement(b"INSERT INTO t VALUES (1)")
    parser = RecordParser()
    assert parser.next_batch() is None
    parser.feed(record * 1000 + record[:5])
    assert parser.next_batch() is not None
    assert parser.held == 5
    assert parser.position == 1000 * len(record)
    parser.feed(b"")
    assert parser.next_batch() is None
    parser.feed(record[5:])
    assert parser.next_batch() is not None
    assert parser.held == 0
