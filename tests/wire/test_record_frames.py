"""The SUB stream: frames of whole records, SKIP and STATUS."""

import itertools
import json
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.compiled.core import CORE
from spgrepl.errors import FrameTooLong, MalformedFrame, PeerError, RecordError, RecordTooLong
from spgrepl.log.format.records import (
    AtOnce,
    RecordType,
    decode_record,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_timed,
    encode_v1,
    encode_v2,
    encode_v3,
)
from spgrepl.wire.frames import (
    RowsBegin,
    Status,
    encode_rows_begin,
    encode_skip,
    encode_status,
    encode_unknown,
    encode_wal_header,
)
from spgrepl.wire.record_frames import RecordFrameParser

VECTORS = Path(__file__).parent.parent / "vectors"

RECORDS = [
    encode_v1(b"INSERT INTO t1 VALUES (1)"),
    encode_v1(b""),
    encode_v2(b"INSERT INTO t VALUES (2)"),
    encode_statement(b"UPDATE t SET a = 1"),
    encode_statement(b"x"),
    encode_statement(b"INSERT INTO t VALUES ('" + b"a" * 500 + b"')"),
    encode_mysql(b"INSERT INTO `t` VALUES (1)"),
    encode_timed(RecordType.TRANSACTION, 7, None, b"INSERT INTO a VALUES (1);\nINSERT INTO b VALUES (1)"),
    encode_checkpoint(99),
]

frames = st.lists(
    st.one_of(
        st.sampled_from(RECORDS).map(lambda record: ("record", record)),
        st.integers(0, 10**6).map(lambda count: ("skip", count)),
        st.integers(0, 10**6).map(lambda length: ("status", length)),
        st.tuples(st.integers(0, 10**6), st.integers(1, 2**64 - 1)).map(lambda rows: ("rows", rows)),
        st.binary(max_size=40).map(lambda payload: ("unknown", payload)),
    ),
    max_size=20,
)


def wal(record):
    return encode_wal_header(len(record)) + record


def encode(kind, value):
    if kind == "record":
        return wal(value)
    if kind == "skip":
        return encode_skip(value)
    if kind == "status":
        return encode_status(value, 5)
    if kind == "rows":
        return encode_rows_begin(RowsBegin(*value))
    return struct.pack("<BI", 0x77, len(value)) + value


def summary(found):
    """Everything that some frames say, record by record."""
    return [
        (found.start_of(index), found.record(index), found.sql[index], found.types.get(index))
        for index in range(len(found))
    ]


def expected(items, position):
    records, settled, status = [], position, None
    for kind, value in items:
        if kind == "record":
            found = decode_record(value)
            special = found.type if found.type not in (RecordType.SQL, RecordType.COMPRESSED) else None
            records.append((position, value, found.sql or b"", special))
            position += len(value)
        elif kind == "skip":
            position += value
        elif kind == "status":
            settled, status = position, Status(value, 5)
    return records, position, settled, status


@given(frames, st.integers(0, 1000), st.lists(st.integers(0, 4000), max_size=10))
def test_frames_are_read_the_same_way_however_they_are_cut(items, position, cuts):
    data = b"".join(encode(*item) for item in items)
    records, end, settled, status = expected(items, position)
    for edges in (
        [0, len(data)],
        [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)],
        range(len(data) + 1),
    ):
        parser = RecordFrameParser(position)
        found, last, at = [], None, position
        for a, b in zip(edges, list(edges)[1:], strict=False):
            one = parser.feed(data[a:b])
            if one is not None:
                assert one.position == at
                at = one.end
                found += summary(one)
                if one.settled is not None:
                    last = one
        assert found == records
        assert parser.position == at == end
        words = [RowsBegin(*value) for kind, value in items if kind == "rows"]
        (more,) = [parser.feed(wal(RECORDS[0]))]
        assert more.words.rows == (words[-1] if words else None)
        if status is not None:
            assert last.status == status
            assert last.settled[1] == settled


@given(
    frames,
    st.lists(st.integers(0, 4000), max_size=10),
    st.integers(0, 60),
    st.integers(0, 100),
    st.sampled_from([CORE, None]),
)
def test_long_records_are_read_when_they_are_called_and_come_in_their_turn(items, cuts, longest, most, core):
    data = b"".join(encode(*item) for item in items)
    records, end, _, _ = expected(items, 7)
    parser = RecordFrameParser(7, core=core)
    parser.at_once = AtOnce(longest, most)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found, long = [], []
    for a, b in itertools.pairwise(edges):
        one = parser.feed(data[a:b])
        while one is not None or parser.long is not None:
            found += [] if one is None else summary(one)
            if parser.long is not None:
                assert parser.feed(b"") is None
                long.append(parser.position)
                parser.long()
            one = parser.feed(b"") if parser.long is not None else None
    assert found == records
    assert parser.position == end
    by_length = [position for position, record, _, _ in records if len(record) > longest]
    assert set(by_length) <= set(long) <= {position for position, *_ in records}
    compressed = {position for position, record, _, _ in records if record[3] >= 0xC0 and record[8] in (3, 4)}
    assert set(long) - set(by_length) <= compressed


@given(frames, st.integers(1, 5), st.sampled_from([CORE, None]))
def test_rare_frames_are_counted_and_what_comes_after_them_is_read_by_the_next_call(items, rare, core):
    data = b"".join(encode(*item) for item in items)
    records, end, _, _ = expected(items, 7)
    parser = RecordFrameParser(7, core=core)
    parser.at_once = AtOnce(2**20, 2**20, rare)
    found, one = [], parser.feed(data)
    while one is not None:
        found += summary(one)
        one = parser.feed(b"") if parser.unread else None
    assert found == records
    assert parser.position == end
    assert not parser.unread


def test_no_more_rare_frames_are_read_at_once_than_may_be():
    parser = RecordFrameParser(0)
    parser.at_once = AtOnce(2**20, 2**20, 10)
    assert parser.feed(encode_skip(1) * 25).end == 10
    assert parser.unread
    assert [parser.feed(b"").end for _ in range(2)] == [20, 25]
    assert not parser.unread


def test_a_long_record_that_is_broken_is_a_fault_in_its_turn():
    broken = encode_v3(RecordType.COMPRESSED, b"\x01" + struct.pack("<I", 500) + b"\xff" * 40)
    parser = RecordFrameParser(0)
    parser.at_once = AtOnce(48, 1000)
    found = parser.feed(wal(RECORDS[0]) + wal(broken) + wal(RECORDS[0]))
    assert summary(found) == expected([("record", RECORDS[0])], 0)[0]
    parser.long()
    for _ in range(2):
        with pytest.raises(RecordError, match=r"at position \d+: .*LZSS"):
            parser.feed(b"")


@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("sub_*.json")))
def test_recorded_streams_come_to_the_end_of_the_log(name):
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    start, _ = struct.unpack("<QQ", bytes.fromhex(vector["reply_head"]))
    log = (VECTORS / "mixed.wal").read_bytes()
    parser = RecordFrameParser(start)
    for frame in vector["frames_without_status"]:
        data = wal(bytes.fromhex(frame["hex"])) if frame["type"] == 0 else encode_skip(frame["skipped"])
        found = parser.feed(data)
        for position, record, _, _ in summary(found):
            assert log[position : position + len(record)] == record
    assert parser.position == len(log)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_frames_or_a_named_error(data, step):
    parser = RecordFrameParser(0, max_frame=1000)
    try:
        for at in range(0, len(data), step):
            parser.feed(data[at : at + step])
    except PeerError:
        with pytest.raises(PeerError):
            parser.feed(b"")


def test_what_stands_before_a_fault_comes_first():
    record = RECORDS[3]
    broken = bytearray(record)
    broken[-1] ^= 1
    parser = RecordFrameParser(10)
    found = parser.feed(wal(record) + wal(bytes(broken)))
    assert summary(found)[0][:2] == (10, record)
    with pytest.raises(RecordError, match=f"at position {10 + len(record)}: .* CRC"):
        parser.feed(b"")


@pytest.mark.parametrize("change", [RECORDS[2] + RECORDS[3], RECORDS[2][:-1], RECORDS[2] + b"x", b"", b"ab"])
def test_a_frame_holds_exactly_one_whole_record(change):
    with pytest.raises(MalformedFrame, match="one whole record"):
        RecordFrameParser(0).feed(wal(change))


@pytest.mark.parametrize(
    ("word", "kind", "stated"),
    [(0x80000000, b"", 20), (0x80000000, b"", 10), (0xC0000000, b"\1", 20), (0xC0000000, b"\1", 10)],
)
def test_a_frame_that_fits_a_checksum_and_not_the_stated_length_is_refused(word, kind, stated):
    sql = b"INSERT INTO t V"
    record = struct.pack("<II", word + stated, zlib.crc32(kind + sql)) + kind + sql
    with pytest.raises(MalformedFrame, match="one whole record"):
        RecordFrameParser(0).feed(wal(record))


@pytest.mark.parametrize("encoded", [encode_statement, encode_v2])
@pytest.mark.parametrize("length", [101, 65535, 65536, 70000])
def test_a_record_above_the_limit_is_refused_and_one_of_any_length_below_it_is_not(encoded, length):
    record = encoded(random.Random(1).randbytes(length))
    with pytest.raises(RecordTooLong):
        RecordFrameParser(0, max_record=length - 1).feed(wal(record))
    found = RecordFrameParser(0, max_record=length).feed(wal(record))
    assert found.record(0) == record


def test_a_frame_of_another_type_is_no_record_whatever_is_in_it():
    parser = RecordFrameParser(0)
    frame = wal(encode_statement(b"INSERT INTO t VALUES (1)"))
    found = parser.feed(b"\x07" + frame[1:] + frame)
    assert (len(found), parser.passed_over) == (1, 1)


def test_a_skip_of_another_length_is_a_fault_because_the_position_would_be_lost():
    with pytest.raises(MalformedFrame, match="SKIP frame has 4 bytes, expected 8"):
        RecordFrameParser(0).feed(struct.pack("<BI", 2, 4) + b"1234")
    with pytest.raises(MalformedFrame, match="beyond any position"):
        RecordFrameParser(1).feed(encode_skip(2**64 - 1))


def test_a_long_frame_is_refused_by_its_header():
    with pytest.raises(FrameTooLong, match="type 0x00 states 5000 bytes, the limit is 4096"):
        RecordFrameParser(0, max_frame=4096).feed(struct.pack("<BI", 0, 5000))
    with pytest.raises(RecordError, match="the limit is 100"):
        RecordFrameParser(0, max_record=100).feed(struct.pack("<BII", 0, 504, 500))


def test_a_long_unknown_frame_is_passed_over_without_being_kept():
    parser = RecordFrameParser(0)
    parser.feed(struct.pack("<BI", 9, 50_000_000))
    for _ in range(50):
        parser.feed(bytes(1_000_000))
    found = parser.feed(wal(RECORDS[2]))
    assert len(found) == 1
    assert parser.passed_over == 1


def test_rows_begin_at_a_position_among_records():
    record = RECORDS[0]
    for begin, first in ((0, 0), (100, 0), (100 + len(record), 1), (100 + len(record) + 1, 2), (10**6, 3)):
        found = RecordFrameParser(100).feed(encode_rows_begin(RowsBegin(begin, 7)) + wal(record) * 3)
        assert found.first_row(0, 3) == first
        assert found.first_row(1, 1) == 1
    assert RecordFrameParser(100).feed(wal(record) * 3).first_row(0, 3) == 3


# -- what a master says of publications ---------------------------------------------------------------------------


@given(names=st.lists(st.text(max_size=20), max_size=5), cut=st.integers(1, 40))
def test_the_unknown_publications_come_however_they_are_cut(names: list[str], cut: int) -> None:
    try:
        data = encode_unknown(names) + encode_status(7, 7)
    except UnicodeEncodeError:
        return
    parser = RecordFrameParser(7)
    found = [parser.feed(data[at : at + cut]) for at in range(0, len(data), cut)]
    (last,) = [one for one in found if one is not None and one.status is not None]
    assert last.words.unknown == tuple(names)
    later = parser.feed(encode_status(7, 8))
    assert later is not None
    assert later.words.unknown == tuple(names)


@pytest.mark.parametrize("payload", [b"\x01", b"\x02\0p", b"\x01\0\xff", b"\x01\0pq"])
def test_unknown_publications_that_are_no_names_are_refused(payload: bytes) -> None:
    parser = RecordFrameParser(7)
    with pytest.raises(MalformedFrame, match="UNKNOWN"):
        parser.feed(b"\x55" + len(payload).to_bytes(4, "little") + payload)
