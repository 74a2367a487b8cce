"""What is inside a cold segment's file, in pieces of any size."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.segments.content import BRIN_MAGIC, ContentDamaged, ContentReader, SegmentContent, signed_key

HEADER = struct.pack("<IIIQQ", 5, 2, 4096, 1, 2**64 - 1)


def segment(version: int = 1, body: bytes = HEADER + b"rows") -> bytes:
    return b"SPGSEG" + bytes([version, 0]) + body + struct.pack("<I", crc32(body))


def brin(pages: int) -> bytes:
    return BRIN_MAGIC + struct.pack("<I", pages) + bytes(20 * pages)


def read(data: bytes, size: int = 1 << 20, judged: bool = True) -> SegmentContent:
    reader = ContentReader(judged)
    for at in range(0, len(data), size):
        reader.update(data[at : at + size])
    return reader.finish()


@given(st.sampled_from([1, 3, 4]), st.integers(0, 3), st.integers(1, 60))
def test_what_a_segment_says_of_itself(version: int, pages: int, size: int) -> None:
    front = brin(pages) if pages else b""
    found = read(front + segment(version), size)
    expected = SegmentContent(version, pages or None, len(front), 5, 2, 4096, 1, 2**64 - 1)
    assert found == expected
    assert found.keys == "keys 1 to -1"


@given(st.binary(max_size=60), st.integers(1, 20))
def test_a_segment_too_short_for_a_header(body: bytes, size: int) -> None:
    found = read(segment(3, body), size)
    assert found.magic == 3
    assert (found.rows is None) == (len(body) + 4 < len(HEADER))


@given(st.integers(8, len(segment()) - 1), st.integers(1, 255), st.integers(1, 60))
def test_any_damage_of_the_body_is_noticed(at: int, bits: int, size: int) -> None:
    data = bytearray(segment())
    data[at] ^= bits
    with pytest.raises(ContentDamaged, match="its footer states"):
        read(bytes(data), size)
    assert read(bytes(data), size, judged=False).magic == 1


@given(st.integers(0, 7), st.integers(1, 255))
def test_what_is_nearly_a_magic_is_damage(at: int, bits: int) -> None:
    data = bytearray(segment())
    data[at] ^= bits
    if bytes(data[:8]) in (b"SPGSEG\x03\0", b"SPGSEG\x04\0"):
        return
    with pytest.raises(ContentDamaged, match="a damaged magic"):
        read(bytes(data))


@pytest.mark.parametrize("data", [b"", b"abc", b"something quite different, and longer"])
def test_what_is_no_segment_is_let_through(data: bytes) -> None:
    assert read(data) == SegmentContent(0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (brin(3)[:30], "ends in its part BRIN of 3 pages"),
        (brin(1), "ends in its part BRIN of 1 page"),
        (brin(1) + b"x" * 40, "has a part BRIN, and b'xxxxxxxx' after it"),
        (b"SPGSEG\x01\0ab", "too few for a magic and a checksum"),
    ],
)
def test_what_ends_too_soon(data: bytes, message: str) -> None:
    with pytest.raises(ContentDamaged, match=message):
        read(data)


def test_keys_are_kept_unsigned() -> None:
    assert [signed_key(key) for key in (0, 2**63 - 1, 2**63, 2**64 - 1)] == [0, 2**63 - 1, -(2**63), -1]
