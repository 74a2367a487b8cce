"""Values of every type, and rows in every pattern of NULLs."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.values import rows as rows_module
from spgrepl.spg.values.bodies import BadBody, UnknownTagInBody
from spgrepl.spg.values.rows import RowDecoder, RowError
from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from tests.spg import writer as w


def one(tag: int, body: bytes, version: int = 100, parameters: tuple[int, ...] = ()) -> Any:
    """The value of a row of one column."""
    data = w.row(body)
    decoder = RowDecoder([SpgType(tag, parameters)], version)
    ((value,),), at, needed = decoder.read(data, 0, 1)
    assert (at, needed) == (len(data), 0)
    assert decoder.skip(data, 0, 1) == (1, len(data), 0)
    for size in range(len(data)):
        # Any cut asks for more, never for more than there is.
        rows, start, needed = decoder.read(data[:size], 0, 1)
        assert (rows, start) == ([], 0)
        assert size < needed <= len(data)
        skipped, start, needed = decoder.skip(data[:size], 0, 1)
        assert (skipped, start) == (0, 0)
        assert size < needed
    return value


def f64(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def array(*items: bytes | None) -> bytes:
    return w.u16(len(items)) + b"".join(b"\1" if item is None else b"\0" + item for item in items)


INF, NAN = math.inf, math.nan
IPV4 = w.u8(4, 24) + bytes((10, 0, 0, 1)) + bytes(12)
IPV6 = w.u8(6, 128) + bytes(15) + b"\1"
LEAST, MOST = w.i32(-(2**31)), w.i32(2**31 - 1)
WORD = w.text("cat") + w.list16(w.u16(1), w.u16(3))


@pytest.mark.parametrize(
    ("tag", "parameters", "body", "expected"),
    [
        (1, (), LEAST, -(2**31)),
        (3, (), f64(NAN), "NaN"),
        (3, (), f64(-INF), "-Infinity"),
        (3, (), f64(-0.0), -0.0),
        (68, (), struct.pack("<f", INF), "Infinity"),
        (68, (), struct.pack("<f", 0.1), 0.10000000149011612),
        (5, (), b"\2", 1),
        (9, (4,), w.text("ab  "), "ab  "),
        (10, (3, 1), b"\1", "NaN"),
        (10, (3, 1), b"\2", "Infinity"),
        (10, (3, 1), b"\3", "-Infinity"),
        (69, (3, 65534), w.numeric(-(2**127), 0, 56), str(-(2**127))),
        (10, (3, 1), b"\4" + (5).to_bytes(16, "little") + w.u16(300), "0." + "0" * 299 + "5"),
        (11, (), MOST, "infinity"),
        (11, (), LEAST, "-infinity"),
        (11, (), w.i32(-719_162), "0001-01-01"),
        (11, (), w.i32(-719_163), "0001-12-31 BC"),
        (11, (), w.i32(2_932_897), "10000-01-01"),
        (12, (), w.i64(2**63 - 1), "infinity"),
        (12, (), w.i64(-(2**63)), "-infinity"),
        (12, (), w.i64(-719_163 * 86_400_000_000), "0001-12-31 00:00:00 BC"),
        (17, (), w.i64(-719_163 * 86_400_000_000 + 1), "0001-12-31 00:00:00.000001+00 BC"),
        (17, (), w.i64(2_932_897 * 86_400_000_000), "10000-01-01 00:00:00+00"),
        (25, (), w.i64(86_400_000_000), "24:00:00"),
        (27, (), w.i64(0) + w.i32(3_661), "00:00:00+01:01:01"),
        (27, (), w.i64(1) + w.i32(7_200), "00:00:00.000001+02"),
        (26, (), w.u16(0), "0000"),
        (34, (), w.i64(-1) + w.i32(-2) + w.i32(3), "P3M-2DT-0.000001S"),
        (34, (), w.i64(2**63 - 1) + MOST * 2, "infinity"),
        (34, (), w.i64(-(2**63)) + LEAST * 2, "-infinity"),
        (28, (), w.i64(-5), "-0.05"),
        (6, (3,), w.u32(3) + struct.pack("<3f", 1, NAN, -INF), '[1.0, "NaN", "-Infinity"]'),
        (14, (2,), w.u32(2) + struct.pack("<ff", 3, 3) + b"\x07\xff", "[3.0, 3.0]"),
        (14, (2,), w.u32(2) + struct.pack("<ff", 0, 51) + b"\x05\xff", "[1.0, 51.0]"),
        (19, (), array(w.text("é"), None), '["é", null]'),
        (38, (), array(f64(0.5), f64(INF)), '[0.5, "Infinity"]'),
        (39, (), array(w.numeric(15, 1, 8)), '["1.5"]'),
        (39, (), w.u16(1) + b"\2" + (15).to_bytes(16, "little") + w.u16(2), '["0.15"]'),
        (40, (), array(w.i32(0), MOST), '["1970-01-01", "infinity"]'),
        (35, (), array(w.i64(1) + w.i32(0) * 2), '["P0M0DT0.000001S"]'),
        (65, (), array(w.i64(123)), '["1.23"]'),
        (82, (), array(IPV4), '["10.0.0.1/24"]'),
        (46, (), array(w.text("ab"), None), '["6162", null]'),
        (31, (), w.u32(0) * 2, "[]"),
        (33, (), w.u32(2) + w.u32(1) + b"\0" + w.lstr("x") + b"\1", '[["x"], [null]]'),
        (77, (), w.u16(2) + struct.pack("<hh", -1, 2), "[-1, 2]"),
        (78, (), w.u16(1) + w.u32(2**32 - 1), "[4294967295]"),
        (29, (0,), b"\x0e" + w.u8(1) + w.i32(1) + w.u8(1) + w.i32(5), "[1,5)"),
        (29, (0,), b"\x01", "empty"),
        (29, (1,), b"\x14" + w.u8(2) + w.i64(5), "(,5]"),
        (29, (2,), b"\x0a" + w.u8(8) + w.numeric(15, 1, 56), "[1.5,)"),
        (29, (3,), b"\x0a" + w.u8(10) + w.i64(0), '["1970-01-01 00:00:00",)'),
        (29, (4,), b"\x0a" + w.u8(10) + w.i64(0), '["1970-01-01 00:00:00+00",)'),
        (29, (5,), b"\x06" + w.u8(9) + w.i32(0) + w.u8(9) + w.i32(1), "(1970-01-01,1970-01-02)"),
        (49, (0,), w.list16(b"\1", b"\x0a" + w.u8(1) + w.i32(1)), "{empty,[1,)}"),
        (30, (), w.list32(w.lstr("k") + b"\0", w.lstr("l") + b"\1" + w.lstr("v")), '{"k": null, "l": "v"}'),
        (22, (), w.list16(WORD + b"\3", w.text("it's") + w.list16() + b"\0"), "'cat':1,3A 'it''s'"),
        (23, (), b"\0" + w.text("a") + b"\0", "'a'"),
        (23, (), b"\1\2" + b"".join(b"\0" + w.text(x) + b"\0" for x in "abc"), "('a' | 'b') & 'c'"),
        (23, (), b"\1" + b"".join(b"\0" + w.text(x) + b"\0" for x in "ab"), "'a' & 'b'"),
        (23, (), b"\3\4\2\0" + b"\0" + w.text("a") + b"\x0a" + b"\0" + w.text("b") + b"\0", "!('a':AC <2> 'b')"),
        (51, (), f64(0, 0.5, -1, NAN), "[(0.0,0.5),(-1.0,NaN)]"),
        (53, (), f64(2, 2, 1, 1), "(2.0,2.0),(1.0,1.0)"),
        (55, (), f64(1, 2, 3), "{1.0,2.0,3.0}"),
        (52, (), b"\1" + w.list32(f64(0, 0), f64(1, 1)), "((0.0,0.0),(1.0,1.0))"),
        (54, (), w.list32(f64(0, 0)), "((0.0,0.0))"),
        (57, (), IPV6, "::1/128"),
        (60, (), bytes(range(8)), "00:01:02:03:04:05:06:07"),
        (61, (), w.u32(9) + b"\xaa\x80", "101010101"),
        (70, (0,), w.u32(0), ""),
        (64, (), b"\xe9", "é"),
        (66, (), w.u64(0x16_B374_D848), "16/B374D848"),
        (75, (), w.i64(4_294_967_295), 4_294_967_295),
    ],
)
def test_values(tag: int, parameters: tuple[int, ...], body: bytes, expected: object) -> None:
    found = one(tag, body, parameters=parameters)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("version", [8, 46, 47, 56])
def test_lengths_are_escaped_from_a_version_on(version: int) -> None:
    long = "x" * 70_000
    plain = "y" * 0xFFFF
    if version >= 46:
        assert one_quick(4, w.u16(0xFFFF) + w.u32(len(long)) + long.encode(), version) == long
    else:
        assert one_quick(4, w.u16(0xFFFF) + plain.encode(), version) == plain
    escaped = w.u16(0xFFFF) + w.u32(len(long)) + long.encode()
    if version >= 47:
        assert one_quick(18, escaped, version) == long.encode()
        assert one_quick(19, array(escaped), version) == json.dumps([long])
    else:
        assert one_quick(18, w.u16(0xFFFF) + plain.encode(), version) == plain.encode()
        assert one_quick(19, array(w.u16(0xFFFF) + plain.encode()), version) == json.dumps([plain])
    assert one(10, w.numeric(-5, 1, version), version, (3, 1)) == "-0.5"


def one_quick(tag: int, body: bytes, version: int) -> Any:
    data = w.row(body)
    ((value,),), at, _ = RowDecoder([SpgType(tag)], version).read(data, 0, 1)
    assert at == len(data)
    return value


@given(st.integers(-(2**127), 2**127 - 1), st.integers(0, 255))
def test_numerics_are_exact(scaled: int, scale: int) -> None:
    found = one(10, w.numeric(scaled, scale, 100), 100, (38, 4))
    whole, _, fraction = found.partition(".")
    assert len(fraction) == scale
    assert int(whole + fraction) == scaled
    assert found.startswith("-") is (scaled < 0)


@given(st.datetimes(timezones=st.none()))
def test_timestamps_are_exact(moment: dt.datetime) -> None:
    microseconds = (moment - dt.datetime.fromisoformat("1970-01-01")) // dt.timedelta(microseconds=1)
    assert dt.datetime.fromisoformat(one(12, w.i64(microseconds))) == moment
    assert one(11, w.i32(microseconds // 86_400_000_000)) == moment.date().isoformat()


@given(st.uuids(), st.floats(), st.integers(-(2**63), 2**63 - 1))
def test_numbers_and_uuids(uuid: UUID, real: float, whole: int) -> None:
    assert one(24, uuid.bytes) == str(uuid)
    assert one(2, w.i64(whole)) == whole
    found = one(3, f64(real))
    assert found == real if math.isfinite(real) else float(found) == real or math.isnan(real)


@pytest.mark.parametrize(
    ("tag", "parameters", "body", "words"),
    [
        (20, (), w.u16(1) + b"\2", "the flag 2 of an element"),
        (31, (), w.u32(1) * 2 + b"\2", "the flag 2 of a cell"),
        (67, (), w.u32(1) * 2 + b"\3", "the flag 3 of a cell"),
        (31, (), w.u32(10**9) + w.u32(0), "an array of 1000000000 rows without a column"),
        (22, (), w.list16(WORD + b"\4"), "the weight 4"),
        (23, (), b"\5", "the node 5 of a TSQUERY"),
        (23, (), b"\0" + w.text("a") + b"\x10", "the weights 0x10"),
        (29, (0,), b"\2" + w.u8(25) + b"\0\2", "a range as the bound of a range"),
        (29, (0,), b"\2" + w.u8(13), "the value tag 13"),
        (57, (), w.u8(4, 33) + bytes(16), "an address of family 4 with 33 bits"),
        (57, (), w.u8(5, 3) + bytes(16), "an address of family 5"),
    ],
)
def test_nonsense_is_named(tag: int, parameters: tuple[int, ...], body: bytes, words: str) -> None:
    with pytest.raises(RowError, match=words) as caught:
        RowDecoder([SpgType(tag, parameters)], 100).read(w.row(body), 0, 1)
    assert isinstance(caught.value.reason, BadBody)


def test_unknown_kinds_of_ranges_are_refused() -> None:
    with pytest.raises(UnknownTagInBody, match="the kind 6 of a range"):
        SpgType(29, (6,)).body(100)


def test_a_deep_query_is_no_deep_recursion() -> None:
    assert one_quick(23, b"\3" * 50_000 + b"\0" + w.text("a") + b"\0", 100) == "!" * 50_000 + "'a'"


@pytest.mark.parametrize("tag", sorted(TYPE_TAGS))
def test_counts_are_compared_before_anything_is_made(tag: int) -> None:
    """A body of the greatest counts asks for more bytes, or is refused."""
    parameters = (0,) if tag in (29, 49) else ()
    decoder = RowDecoder([SpgType(tag, parameters)], 100)
    for body in (b"\xff" * 40, b"\0" + b"\xff" * 40, b"\xff\xff\xff\x7f" * 10, b"\1\1" + b"\xff" * 40):
        try:
            rows, _, needed = decoder.read(b"\0" + body, 0, 1)
        except RowError:
            continue
        assert rows or needed > 41


COLUMNS = [
    SpgType(1),
    SpgType(4),
    SpgType(5),
    SpgType(18),
    SpgType(12),
    SpgType(4),
    SpgType(2),
    SpgType(10, (9, 2)),
]
BODIES: list[tuple[bytes, Any]] = [
    (w.i32(5), 5),
    (w.text("é"), "é"),
    (b"\1", 1),
    (w.text("by"), b"by"),
    (w.i64(1), "1970-01-01 00:00:00.000001"),
    (w.text(""), ""),
    (w.i64(-1), -1),
    (w.numeric(1, 2, 100), "0.01"),
]


@given(st.lists(st.lists(st.booleans(), min_size=24, max_size=24), max_size=20), st.integers(1, 24))
def test_every_pattern_of_nulls(patterns: list[list[bool]], columns: int) -> None:
    types = (COLUMNS * 3)[:columns]
    bodies = (BODIES * 3)[:columns]
    data, expected = b"", []
    for pattern in patterns:
        nulls = pattern[:columns]
        data += w.row(*(None if null else body for (body, _), null in zip(bodies, nulls, strict=True)))
        expected.append([None if null else value for (_, value), null in zip(bodies, nulls, strict=True)])
    decoder = RowDecoder(types, 100)
    assert decoder.read(data, 0, len(patterns)) == (expected, len(data), 0)
    assert decoder.skip(data, 0, len(patterns)) == (len(patterns), len(data), 0)


def test_few_plans_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MOST_PLANS", 3)
    decoder = RowDecoder(COLUMNS, 100)
    for bits in range(256):
        nulls = [bool(bits >> place & 1) for place in range(8)]
        data = w.row(*(None if null else body for (body, _), null in zip(BODIES, nulls, strict=True)))
        assert decoder.read(data, 0, 1)[1] == decoder.skip(data, 0, 1)[1] == len(data)
    assert len(decoder._plans) <= 3
    assert len(decoder._skips) <= 3
