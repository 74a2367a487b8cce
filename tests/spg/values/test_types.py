"""Type tags: each is read with its parameters, has a name and a body, and what is not known is named."""

from __future__ import annotations

import struct

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import MalformedSpgFile, SpgFileTruncated, UnknownSpgTag
from spgrepl.spg.values.bodies import BadBody, Short, UnknownTagInBody
from spgrepl.spg.values.types import INTEGER_TAGS, TYPE_TAGS, SpgType, read_type, tagged_decoder
from tests.spg import writer as w
from tests.spg.conftest import Made

ENDS_EARLY = (Short, struct.error, IndexError)
WIDTHS = {6: 4, 8: 4, 9: 4, 10: 2, 14: 4, 15: 4, 29: 1, 49: 1, 69: 4, 70: 4, 71: 4}
"""The bytes of parameters, as the description of the format states them."""


@pytest.mark.parametrize("tag", range(256))
def test_each_tag_is_read_or_named(made: Made, tag: int) -> None:
    cursor = made(w.u8(tag) + w.u8(2, 0, 0, 0))
    if tag not in TYPE_TAGS:
        with pytest.raises(UnknownSpgTag, match=f"the type tag {tag}"):
            read_type(cursor)
        return
    kind = read_type(cursor)
    assert (kind.tag, cursor.offset) == (tag, 1 + WIDTHS.get(tag, 0))
    assert kind.is_integer == (tag in INTEGER_TAGS)
    column = apsw.Connection(":memory:").execute(f"CREATE TABLE t (x {kind.declared})")
    assert column.fetchall() == []
    assert kind.label
    if tag in WIDTHS:
        with pytest.raises((SpgFileTruncated, MalformedSpgFile)):
            read_type(made(w.u8(tag)))


def test_kinds_of_ranges_that_are_not_known(made: Made) -> None:
    for tag in (29, 49):
        with pytest.raises(UnknownSpgTag, match="the kind 6 of a range"):
            read_type(made(w.u8(tag, 6)))
    assert [read_type(made(w.u8(tag, 5))).label for tag in (29, 49)] == ["DATERANGE", "DATEMULTIRANGE"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(TYPE_TAGS)), st.binary(max_size=40), st.sampled_from([8, 46, 56, 100]))
def test_any_bytes_are_a_value_within_them_or_an_error(tag: int, data: bytes, version: int) -> None:
    decode = SpgType(tag, (2,) * {10: 2, 69: 2}.get(tag, int(tag in WIDTHS))).body(version).decoder(version)
    try:
        value, end = decode(data, 0)
    except (*ENDS_EARLY, BadBody, UnicodeDecodeError):
        return
    assert 0 <= end <= len(data)
    assert isinstance(value, int | float | str | bytes)
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (w.u8(0), None),
        (w.u8(1) + w.i32(-5), -5),
        (w.u8(4) + w.text("x"), "x"),
        (w.u8(5, 7), 1),
        (w.u8(25, 0, 0b01110) + w.u8(1) + w.i32(1) + w.u8(1) + w.i32(5), "[1,5)"),
        (w.u8(33, 1, 2) + w.u16(1) + w.u32(1234), "-12.34"),
        (w.u8(34, 0) + w.u16(0) + w.u16(1) + w.u32(7), "7"),
    ],
)
def test_values_that_say_what_they_are(data: bytes, value: object) -> None:
    decode = tagged_decoder(100)
    assert decode(data, 0) == (value, len(data))
    assert tagged_decoder(100) is decode
    for size in range(len(data)):
        with pytest.raises(ENDS_EARLY):
            decode(data[:size], 0)


def test_what_would_nest_without_end_is_refused() -> None:
    with pytest.raises(UnknownTagInBody, match="a range as the bound of a range"):
        tagged_decoder(100)(w.u8(25, 0, 0b00010) * 5, 0)
    with pytest.raises(UnknownTagInBody, match="the value tag 35"):
        tagged_decoder(100)(w.u8(35), 0)
