"""What a log holds, where it ends, and whether its damage is a torn tail or a hole in the middle."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import (
    LocalFilesDamaged,
    MalformedRecord,
    RecordChecksumMismatch,
    RecordTooLong,
    UnknownRecordType,
    UnsupportedRecordFormat,
)
from spgrepl.log.format import records
from spgrepl.log.format.records import RecordType, encode_checkpoint, encode_v1, encode_v2, encode_v3
from spgrepl.log.reader import KEPT_WARNINGS, PIECE, Damage, iterate_records, scan_log

VECTORS = Path(__file__).parent.parent / "vectors"


def insert(number: int) -> bytes:
    return f"INSERT INTO t VALUES ({number})".encode()


def v3(number: int) -> bytes:
    return encode_v3(RecordType.SQL, insert(number))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "some.wal"


# -- whole logs -----------------------------------------------------------------------------------------------


def test_an_empty_log_is_whole(log: Path) -> None:
    log.write_bytes(b"")
    report = scan_log(log)
    assert (report.length, report.whole_end, report.records, report.damage) == (0, 0, 0, Damage.NONE)


def test_the_recorded_log_is_whole() -> None:
    report = scan_log(VECTORS / "mixed.wal")
    assert report.damage is Damage.NONE
    assert report.whole_end == report.length == 622
    assert report.error is None
    assert report.open_transaction is None


def test_the_records_of_the_recorded_log_come_one_by_one() -> None:
    content = (VECTORS / "mixed.wal").read_bytes()
    found = [record for batch in iterate_records(VECTORS / "mixed.wal") for record in batch]
    assert found[0].sql == b"CREATE TABLE t1 (id INT NOT NULL, name TEXT)"
    assert found[-1].end == len(content)


def test_reading_begins_where_it_is_told(log: Path) -> None:
    log.write_bytes(v3(1) + v3(2) + v3(3))
    report = scan_log(log, start=len(v3(1)))
    assert report.records == 2
    assert [batch.position for batch in iterate_records(log, start=len(v3(1)))] == [len(v3(1))]


def test_reading_ends_where_it_is_told(log: Path) -> None:
    log.write_bytes(v3(1) + v3(2) + v3(3))
    assert [len(batch) for batch in iterate_records(log, end=2 * len(v3(1)))] == [2]


def test_a_start_behind_the_end_is_refused_with_both_numbers(log: Path) -> None:
    log.write_bytes(v3(1))
    with pytest.raises(LocalFilesDamaged, match=r"is 33 bytes long and ends before position 4711"):
        scan_log(log, start=4711)
    with pytest.raises(LocalFilesDamaged):
        next(iterate_records(log, start=4711))


def test_a_long_log_is_read_in_pieces_and_in_constant_memory(log: Path) -> None:
    one = encode_v3(RecordType.SQL, b"INSERT INTO t VALUES ('" + b"x" * 5000 + b"')")
    with log.open("wb") as file:
        for _ in range(32 * PIECE // len(one)):
            file.write(one)
    told: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        report = scan_log(log, progress=lambda done, total: told.append((done, total)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.damage is Damage.NONE
    assert len(told) == 32
    assert told[-1] == (report.length, report.length)
    assert most < 8 * PIECE


# -- transactions and checkpoints -----------------------------------------------------------------------------


def test_an_open_transaction_is_named_by_its_begin(log: Path) -> None:
    front = v3(1)
    log.write_bytes(front + encode_v2(b"BEGIN") + encode_v2(insert(2)))
    report = scan_log(log)
    assert report.open_transaction == len(front)
    assert report.damage is Damage.NONE


@pytest.mark.parametrize("last", [b"COMMIT", b"ROLLBACK", b"end;", b"/* so */ commit"])
def test_a_transaction_that_ended_is_not_open(log: Path, last: bytes) -> None:
    log.write_bytes(encode_v2(b"BEGIN") + encode_v2(insert(2)) + encode_v2(last))
    assert scan_log(log).open_transaction is None


def test_a_rollback_to_a_savepoint_ends_nothing(log: Path) -> None:
    log.write_bytes(b"".join(map(encode_v2, (b"BEGIN", b"SAVEPOINT a", b"ROLLBACK TO a", b"RELEASE a"))))
    assert scan_log(log).open_transaction == 0


def test_a_transaction_in_one_record_opens_none(log: Path) -> None:
    log.write_bytes(
        records.encode_timed(RecordType.TRANSACTION, 7, None, b"INSERT INTO t VALUES (1);\nDELETE FROM t")
    )
    assert scan_log(log).open_transaction is None


@pytest.mark.parametrize(
    ("sql", "open_at"),
    [
        (b"BEGIN; INSERT INTO t VALUES (1); COMMIT", None),
        (b"BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN", 0),
        (b"INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)", 0),
        (b"INSERT INTO t VALUES ('; BEGIN;')", None),
        (b"BEGIN; INSERT INTO t VALUES ('\xff'); COMMIT", None),
    ],
)
def test_several_statements_in_one_record(log: Path, sql: bytes, open_at: int | None) -> None:
    log.write_bytes(encode_v3(RecordType.SQL, sql))
    assert scan_log(log).open_transaction == open_at


def test_a_mysql_record_is_one_statement(log: Path) -> None:
    log.write_bytes(records.encode_mysql(b"INSERT INTO t VALUES ('it\\'s; BEGIN; x')"))
    assert scan_log(log).open_transaction is None


def test_a_second_begin_and_a_commit_outside_are_warnings(log: Path) -> None:
    log.write_bytes(b"".join(map(encode_v2, (b"BEGIN", b"BEGIN", b"COMMIT", b"COMMIT", b"COMMIT"))))
    report = scan_log(log)
    assert report.damage is Damage.NONE
    assert [(warning.position, warning.text) for warning in report.warnings] == [
        (13, "BEGIN inside the transaction that began at 0"),
        (54, "COMMIT outside of a transaction"),
    ]


def test_a_checkpoint_at_its_own_position_is_no_warning(log: Path) -> None:
    log.write_bytes(v3(1) + encode_checkpoint(len(v3(1))))
    assert scan_log(log).warnings == ()


def test_a_checkpoint_elsewhere_is_a_warning(log: Path) -> None:
    log.write_bytes(v3(1) + encode_checkpoint(99))
    report = scan_log(log)
    assert report.damage is Damage.NONE
    assert [warning.text for warning in report.warnings] == ["a checkpoint states position 99, it stands at 33"]


def test_a_followers_log_is_compared_from_its_base(log: Path) -> None:
    log.write_bytes(v3(1) + encode_checkpoint(1000 + len(v3(1))))
    assert scan_log(log, base=1000).warning_count == 0
    assert scan_log(log).warning_count == 1


def test_warnings_are_counted_beyond_those_that_are_kept(log: Path) -> None:
    log.write_bytes(encode_checkpoint(1) * 50)
    report = scan_log(log)
    assert len(report.warnings) == KEPT_WARNINGS
    assert report.warning_count == 50


# -- torn tails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [encode_v1(insert(9)), encode_v2(insert(9)), v3(9), encode_checkpoint(70)])
def test_every_cut_of_the_last_record_is_a_torn_tail(log: Path, record: bytes) -> None:
    front = v3(1) + v3(2)
    for kept in range(1, len(record)):
        log.write_bytes(front + record[:kept])
        report = scan_log(log)
        assert (report.damage, report.whole_end, report.records) == (Damage.TORN, len(front), 2), kept


def test_a_last_record_with_a_wrong_checksum_is_torn(log: Path) -> None:
    log.write_bytes(v3(1) + v3(2)[:-1] + b"\x00")
    report = scan_log(log)
    assert report.damage is Damage.TORN
    assert isinstance(report.error, RecordChecksumMismatch)
    assert report.error.position == report.whole_end == len(v3(1))


def test_noise_behind_the_last_record_is_torn(log: Path) -> None:
    noise = random.Random(7).randbytes(3 * PIECE)
    log.write_bytes(v3(1) + b"\xff\xff\xff\xdf" + noise)
    assert scan_log(log).damage is not Damage.NONE
    log.write_bytes(v3(1) + b"\xff\xff\xff\x81" + noise)
    report = scan_log(log)
    assert (report.damage, report.whole_end) == (Damage.TORN, len(v3(1)))


def test_a_torn_text_full_of_header_like_characters_is_torn_and_soon_known(log: Path) -> None:
    text = "INSERT INTO t VALUES ('" + "ÀÁÂÃÄ übér €" * 200_000
    torn = encode_v3(RecordType.SQL, text.encode())[:-1]
    log.write_bytes(v3(1) + torn)
    assert scan_log(log).damage is Damage.TORN


# -- holes in the middle --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [
        v3,
        lambda n: encode_v2(insert(n)),
        lambda n: encode_v1(insert(n)),
        lambda n: records.encode_timed(RecordType.TIMED, n, None, insert(n)),
        lambda n: records.encode_statement(insert(n) * 20),
    ],
    ids=["v3", "v2", "v1", "timed", "compressed"],
)
@pytest.mark.parametrize("bit", range(32))
def test_no_flipped_bit_of_a_length_makes_the_rest_a_torn_tail(log: Path, bit: int, behind) -> None:  # type: ignore[no-untyped-def]
    front = v3(1)
    bad = bytearray(v3(2))
    bad[bit // 8] ^= 1 << bit % 8
    log.write_bytes(front + bad + b"".join(behind(n) for n in range(3, 40)))
    report = scan_log(log)
    assert report.damage is Damage.BROKEN, report
    assert report.whole_end >= len(front)
    assert report.next_whole is None or report.next_whole > report.whole_end


def test_the_place_where_reading_can_go_on_is_named(log: Path) -> None:
    bad = bytearray(v3(2))
    bad[2] = 0x10
    log.write_bytes(v3(1) + bad + v3(3) + v3(4))
    report = scan_log(log)
    assert (report.damage, report.whole_end, report.next_whole) == (Damage.BROKEN, 33, 66)
    assert report.error is None  # it looks incomplete: only what follows tells


def test_a_record_across_two_windows_of_the_search_is_found(log: Path) -> None:
    for shift in range(-12, 13):
        filler = b"z" * (PIECE + shift)
        log.write_bytes(v3(1) + b"\xff\xff\xff\xc1" + b"....\x01" + filler + v3(2))
        report = scan_log(log)
        assert report.next_whole == len(v3(1)) + 9 + len(filler), shift


def test_a_long_record_behind_the_hole_is_found(log: Path) -> None:
    bad = bytearray(v3(2))
    bad[2] = 0x7F
    log.write_bytes(v3(1) + bad + encode_v3(RecordType.SQL, b"INSERT " + b"y" * (3 * PIECE)))
    assert scan_log(log).damage is Damage.BROKEN


def test_a_whole_record_of_an_unknown_type_is_no_torn_tail(log: Path) -> None:
    unknown = bytearray(encode_v3(RecordType.SQL, b"something new"))
    unknown[8] = 0x77
    unknown[4:8] = records.crc32(bytes(unknown[8:])).to_bytes(4, "little")
    log.write_bytes(v3(1) + unknown)
    report = scan_log(log)
    assert report.damage is Damage.BROKEN
    assert isinstance(report.error, UnknownRecordType)


def test_a_v6_record_is_no_torn_tail(log: Path) -> None:
    log.write_bytes(v3(1) + b"\x05\x00\x00\xe0" + bytes(20))
    report = scan_log(log)
    assert report.damage is Damage.BROKEN
    assert isinstance(report.error, UnsupportedRecordFormat)


def test_a_malformed_record_with_the_right_checksum_is_no_torn_tail(log: Path) -> None:
    log.write_bytes(v3(1) + encode_v3(RecordType.CHECKPOINT, b"seven.."))
    report = scan_log(log)
    assert report.damage is Damage.BROKEN
    assert isinstance(report.error, MalformedRecord)


def test_a_whole_record_above_the_limit_is_no_torn_tail(log: Path) -> None:
    log.write_bytes(v3(1) + encode_v3(RecordType.SQL, b"INSERT " + b"y" * 5000))
    report = scan_log(log, max_record=1000)
    assert report.damage is Damage.BROKEN
    assert isinstance(report.error, RecordTooLong)
    with pytest.raises(RecordTooLong):
        list(iterate_records(log, max_record=1000))


# -- properties -----------------------------------------------------------------------------------------------

statements = st.text(min_size=1, max_size=60).map(str.encode)
encoded = st.one_of(
    statements.map(encode_v1),
    statements.map(encode_v2),
    statements.map(lambda sql: encode_v3(RecordType.SQL, sql)),
    st.integers(0, 2**63).map(encode_checkpoint),
)


@given(st.lists(encoded, max_size=20), st.data())
def test_any_log_cut_anywhere_ends_at_its_last_whole_record(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], data: st.DataObject
) -> None:
    log = tmp_path_factory.getbasetemp() / "property.wal"
    content = b"".join(parts)
    kept = data.draw(st.integers(0, len(content)))
    log.write_bytes(content[:kept])
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part))
    whole = max(end for end in ends if end <= kept)
    report = scan_log(log)
    assert (report.whole_end, report.records) == (whole, ends.index(whole))
    assert report.damage is (Damage.NONE if whole == kept else Damage.TORN)


@given(st.binary(max_size=4000))
def test_any_bytes_give_a_report(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    log = tmp_path_factory.getbasetemp() / "bytes.wal"
    log.write_bytes(content)
    report = scan_log(log)
    assert 0 <= report.whole_end <= report.length == len(content)
    assert (report.damage is Damage.NONE) == (report.whole_end == report.length)
