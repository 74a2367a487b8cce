"""A place in a file that is read from front to back, where no length is believed."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import MalformedSpgFile, SpgFileTruncated
from spgrepl.spg.values import cursor as cursors
from spgrepl.spg.values.cursor import Cursor
from tests.spg.conftest import Made


def test_numbers_of_all_sizes(made: Made) -> None:
    data = struct.pack("<BHIQqfd", 200, 60_000, 2**32 - 1, 2**64 - 1, -5, 1.5, -2.25)
    cursor = made(b"front" + data, start=5)
    found = (cursor.u8(), cursor.u16(), cursor.u32(), cursor.u64(), cursor.i64(), cursor.f32(), cursor.f64())
    assert found == (200, 60_000, 2**32 - 1, 2**64 - 1, -5, 1.5, -2.25)
    assert (cursor.left, cursor.offset) == (0, 5 + len(data))


def test_flags_are_0_or_1_and_truths_are_anything(made: Made) -> None:
    cursor = made(b"\0\1\0\7\2")
    assert [cursor.flag(), cursor.flag(), cursor.truth(), cursor.truth()] == [False, True, False, True]
    with pytest.raises(MalformedSpgFile, match="a byte 2 stands where only 0 and 1 can") as error:
        cursor.flag()
    assert "x.spg" in str(error.value)


def test_texts_by_their_version(made: Made) -> None:
    short = b"\x02\0ab"
    assert made(short).text() == made(short).plain_text() == "ab"
    assert made(b"\x02\0\0\0ab").long_text() == "ab"
    escaped = b"\xff\xff\x02\0\0\0ab"
    assert made(escaped, version=46).text() == "ab"
    with pytest.raises(SpgFileTruncated):
        made(escaped, version=45).text()
    with pytest.raises(MalformedSpgFile, match="not UTF-8"):
        made(b"\x01\0\xff").text()


def test_a_count_is_compared_with_what_is_left_before_anything_is_made(made: Made) -> None:
    assert made(b"\x02\0\x05\x06").list16(Cursor.u8) == (5, 6)
    assert made(b"\x01\0\0\0\x05").list32(Cursor.u8) == (5,)
    with pytest.raises(
        SpgFileTruncated, match="4294967295 items of at least 1 byte are announced, 1 byte follows"
    ):
        made(b"\xff\xff\xff\xff\0").list32(Cursor.u8)
    with pytest.raises(SpgFileTruncated):
        made(b"\x02\0\x05\x06\x07").list16(Cursor.u16, smallest=2)


def test_what_may_be_missing(made: Made) -> None:
    cursor = made(b"\0\1\x07")
    assert (cursor.optional(Cursor.u8), cursor.optional(Cursor.u8)) == (None, 7)


def test_a_file_that_shrinks_is_named(made: Made) -> None:
    cursor = made(bytes(10))
    os.ftruncate(cursor._handle, 4)
    with pytest.raises(SpgFileTruncated, match="the file ends 6 bytes early: it shrank"):
        cursor.take(8)


@given(st.data())
def test_any_steps_read_the_file_in_order(data: st.DataObject) -> None:
    content = bytes(range(256))
    handle = os.memfd_create("file")
    block, cursors.BLOCK = cursors.BLOCK, data.draw(st.integers(1, 40))
    try:
        os.write(handle, content)
        cursor, at = Cursor(handle, "x.spg", 0, len(content)), 0
        while cursor.left:
            count = data.draw(st.integers(0, 60))
            if count > cursor.left:
                with pytest.raises(SpgFileTruncated):
                    cursor.take(count)
                count = cursor.left
            if data.draw(st.booleans()):
                cursor.skip(count)
            else:
                assert cursor.take(count) == content[at : at + count]
            at += count
            assert cursor.offset == at
            if not count:
                cursor.skip(1)
                at += 1
    finally:
        cursors.BLOCK = block
        os.close(handle)
