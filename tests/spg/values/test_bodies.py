"""Bodies of values: numbers as Python's, arrays as its JSON, and no value where the bytes end too early."""

from __future__ import annotations

import json
import struct
from decimal import Context, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values import bodies
from spgrepl.spg.values.bodies import BadBody, Decode, Short, UnknownTagInBody, fixed_decoder
from tests.spg import writer as w

EXACT = Context(prec=100_000)
WIDE = st.integers(-(2**127), 2**127 - 1)
LIMBS = st.lists(st.integers(0, 10**9 - 1), max_size=6)
LINES = st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=5)


def wide(scaled: int) -> bytes:
    return scaled.to_bytes(16, "little", signed=True)


@settings(max_examples=30)
@given(WIDE, st.integers(0, 255), st.sampled_from([8, 55, 56, 100]))
def test_decimal_numbers(scaled: int, scale: int, version: int) -> None:
    data = w.numeric(scaled, scale, version)
    found, end = bodies.numeric_decoder(version)(data, 0)
    assert end == len(data)
    assert Decimal(found) == EXACT.scaleb(Decimal(scaled), -scale)
    assert len(found.partition(".")[2]) == scale
    assert bodies.wide_numeric(wide(scaled) + w.u16(scale), 0)[0] == found


@settings(max_examples=30)
@given(LIMBS, st.integers(0, 60), st.booleans(), st.booleans())
def test_numbers_beyond_128_bits(limbs: list[int], scale: int, negative: bool, long: bool) -> None:
    data = struct.pack("<BHH" if long else "<BBH", negative, scale, len(limbs)) + b"".join(map(w.u32, limbs))
    found, end = bodies.big_numeric_decoder(long)(data, 0)
    scaled = sum(limb * 10 ** (9 * place) for place, limb in enumerate(limbs)) * (-1 if negative else 1)
    assert end == len(data)
    assert found == bodies.decimal_text(scaled, scale)


@pytest.mark.parametrize(
    ("decode", "data", "said"),
    [
        (bodies.numeric_decoder(56), w.u8(1), "NaN"),
        (bodies.numeric_decoder(56), w.u8(3), "-Infinity"),
        (bodies.numeric_decoder(56), w.u8(4) + wide(-5) + w.u16(300), "-0." + "5".rjust(300, "0")),
        (bodies.grid_decoder(None), w.u32(1) + w.u32(3) + w.u8(0, 1, 2), "[[false, true, null]]"),
        (bodies.run_decoder("H", "h"), w.u16(2) + struct.pack("<hh", -1, 5), "[-1, 5]"),
        (bodies.text_decoder(46), b"\xff\xff" + w.u32(2) + b"ab", "ab"),
        (bodies.text_decoder(45), w.text("a" * 0xFFFF), "a" * 0xFFFF),
        (bodies.bytes_decoder(100), w.u16(2) + b"\0\xff", b"\0\xff"),
    ],
)
def test_forms(decode: Decode, data: bytes, said: object) -> None:
    assert decode(data, 0) == (said, len(data))
    assert decode(b"front" + data + b"rest", 5) == (said, 5 + len(data))


@settings(max_examples=30)
@given(LINES, st.lists(LINES, max_size=3))
def test_arrays(line: list[str | None], pairs: list[list[str | None]]) -> None:
    cells = [w.u8(1) if one is None else w.u8(0) + w.lstr(one) for one in line]
    assert json.loads(bodies.elements_decoder(bodies.long_text)(w.list16(*cells), 0)[0]) == line
    height = len(pairs)
    data = w.u32(height) + w.u32(len(line)) + b"".join(cells) * height
    assert json.loads(bodies.grid_decoder(bodies.long_text)(data, 0)[0]) == [line] * height


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=4), st.one_of(st.none(), st.text(max_size=4)), max_size=4))
def test_keys_and_values(pairs: dict[str, str | None]) -> None:
    data = w.list32(*(w.lstr(key) + w.opt(None if one is None else w.lstr(one)) for key, one in pairs.items()))
    assert json.loads(bodies.hstore(data, 0)[0]) == pairs


@pytest.mark.parametrize(
    ("decode", "data", "kind"),
    [
        (bodies.numeric_decoder(56), w.u8(5) + bytes(18), UnknownTagInBody),
        (bodies.big_numeric_decoder(False), w.u8(2, 0) + w.u16(0), BadBody),
        (bodies.big_numeric_decoder(False), w.u8(0, 0) + w.u16(1) + w.u32(10**9), BadBody),
        (bodies.elements_decoder(bodies.long_text), w.u16(1) + w.u8(2), UnknownTagInBody),
        (bodies.grid_decoder(bodies.long_text), w.u32(1) + w.u32(1) + w.u8(2), UnknownTagInBody),
        (bodies.grid_decoder(None), w.u32(70_000) + w.u32(0), BadBody),
        (bodies.grid_decoder(None), w.u32(2**32 - 1) + w.u32(2**32 - 1), Short),
        (bodies.run_decoder("I", "d"), w.u32(2**32 - 1) + bytes(8), Short),
        (bodies.hstore, w.u32(2**32 - 1), Short),
        (bodies.long_text, w.u32(2**32 - 1), Short),
    ],
)
def test_what_cannot_be(decode: Decode, data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        decode(data, 0)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (bodies.text_decoder(100), b"\xff\xff" + w.u32(3) + b"abc"),
        (bodies.formed_numeric, w.u8(4) + wide(1) + w.u16(3)),
        (bodies.big_numeric_decoder(True), w.u8(0) + w.u16(0) + w.u16(1) + w.u32(5)),
        (bodies.elements_decoder(fixed_decoder("i"), fixed_decoder("q")), w.list16(w.u8(2) + w.i64(7), w.u8(1))),
        (bodies.grid_decoder(fixed_decoder("i", str)), w.u32(1) + w.u32(2) + w.u8(1, 0) + w.i32(5)),
        (bodies.hstore, w.list32(w.lstr("a") + w.opt(w.lstr("b")))),
    ],
)
def test_what_ends_too_early_is_never_a_value(decode: Decode, data: bytes) -> None:
    decode(data, 0)
    for size in range(len(data)):
        with pytest.raises((Short, struct.error, IndexError)):
            decode(data[:size], 0)
