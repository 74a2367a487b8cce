"""Files of segments: their rows, their checks, and the rows of a table that live in them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import (
    MalformedSpgFile,
    SegmentDamaged,
    SpgChecksumMismatch,
    SpgFileError,
    UnknownSpgVersion,
)
from spgrepl.log.format.lzss import compress
from spgrepl.segments.content import signed_key
from spgrepl.spg.segment import PayloadDecoder, SegmentFile
from spgrepl.spg.values.types import SpgType
from tests.replica.following.copies import quick_folder
from tests.spg import writer as w
from tests.spg.samples import EXPECTED, ROWS, SEGMENTS, VECTORS, put


@pytest.mark.parametrize("name", SEGMENTS)
def test_vectors(name: str) -> None:
    expected = EXPECTED[name]
    with SegmentFile(VECTORS / name) as segment:
        rows = list(segment.rows())
        assert (len(rows), segment.content.magic) == (expected["rows"], expected["magic"])
        assert [row.key % 2**64 for row in rows][: len(expected["keys"])] == expected["keys"]
        assert all(segment.find(row.key) == row.payload for row in reversed(rows))
        assert all(segment.find(key) is None for key in (-77, 10**6, 2**62))


def test_all_rows_of_the_vectors_are_decoded() -> None:
    decoder = PayloadDecoder((SpgType(2), SpgType(4)), 11)
    with SegmentFile(VECTORS / "d_v1.seg") as segment:
        assert [decoder.decode(row.payload, 1) for row in segment.rows()] == [[1, "one"], [3, None]]


FORMS = {
    "plain": lambda inner: inner,
    "stored": w.wrapped,
    "LZSS": lambda inner: w.wrapped(inner, compress(inner)),
    "BRIN": lambda inner: w.brin((0, 7, 9)) + inner,
    "BRIN stored": lambda inner: w.wrapped(w.brin((0, 7, 9)) + inner),
    "BRIN LZSS": lambda inner: w.wrapped(w.brin((0, 7, 9)) + inner, compress(w.brin((0, 7, 9)) + inner)),
}


@pytest.mark.parametrize("magic", [1, 3, 4])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_every_magic(tmp_path: Path, magic: int, form: str) -> None:
    path = put(tmp_path, FORMS[form](w.segment(ROWS, magic)))
    with SegmentFile(path) as segment:
        assert [row.key for row in segment.rows()] == [7, 9, -1]
        assert segment.find(-1) == ROWS[1][1]
        assert segment.content.brin == (1 if "BRIN" in form else None)


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300), max_size=40))
def test_any_rows(rows: dict[int, bytes]) -> None:
    with quick_folder() as folder, SegmentFile(put(folder, w.segment([*rows.items()]))) as segment:
        assert {row.key: row.payload for row in segment.rows()} == rows
        assert all(segment.find(key) == payload for key, payload in rows.items())


@given(st.sampled_from(sorted(FORMS)), st.integers(0, 10**6), st.integers(1, 255))
def test_no_wrong_byte_passes(form: str, at: int, wrong: int) -> None:
    content = bytearray(FORMS[form](w.segment(ROWS)))
    content[at % len(content)] ^= wrong
    with quick_folder() as folder:
        path = put(folder, bytes(content))
        with contextlib.suppress(SegmentDamaged, SpgFileError), SegmentFile(path) as segment:
            # A part BRIN has no checksum of its own where it is not compressed.
            assert form.startswith("BRIN")
            assert [row.key for row in segment.rows()] == [7, 9, -1]


def sealed(body: bytes) -> bytes:
    """Any body as a segment whose checksum is right."""
    return b"SPGSEG\x01\0" + body + w.u32(w.crc32(body))


GOOD = w.segment(ROWS)[8:-4]
BLOOM_AT = 28
INDEX_AT = BLOOM_AT + 4 + 28


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"two", UnknownSpgVersion, "not a cold segment"),
        (GOOD[:8] + w.u32(7) + GOOD[12:], MalformedSpgFile, "pages of 7 bytes"),
        (GOOD[:4] + w.u32(9) + GOOD[8:], MalformedSpgFile, "the header states 9"),
        (w.u32(9) + GOOD[4:], MalformedSpgFile, "3 rows, the header states 9"),
        (GOOD[: BLOOM_AT + 4] + b"?" + GOOD[BLOOM_AT + 5 :], MalformedSpgFile, "a bloom filter that begins"),
        (GOOD[: BLOOM_AT + 24] + b"?" + GOOD[BLOOM_AT + 25 :], SpgChecksumMismatch, "bloom filter has CRC-32"),
        (GOOD[: INDEX_AT + 16] + w.u32(5) + GOOD[INDEX_AT + 20 :], MalformedSpgFile, "a first page at 5"),
        (GOOD[: INDEX_AT + 28] + w.u32(0) + GOOD[INDEX_AT + 32 :], MalformedSpgFile, "not in rising order"),
        (
            GOOD[: INDEX_AT + 8] + w.u64(6) + GOOD[INDEX_AT + 16 :],
            MalformedSpgFile,
            "page 0 does not hold the keys from 6",
        ),
        (GOOD[:-250], SpgFileError, "at byte"),
    ],
)
def test_a_sound_checksum_around_nonsense(
    tmp_path: Path, body: bytes, kind: type[SpgFileError], words: str
) -> None:
    with pytest.raises(kind, match=words), SegmentFile(put(tmp_path, sealed(body))) as segment:
        list(segment.rows())


@given(st.binary(max_size=80), st.integers(0, 200))
def test_any_body_with_a_right_checksum_is_read_or_an_error(data: bytes, at: int) -> None:
    body = GOOD[:at] + data + GOOD[at + len(data) :]
    with (
        quick_folder() as folder,
        contextlib.suppress(SpgFileError),
        SegmentFile(put(folder, sealed(body))) as segment,
    ):
        for row in segment.rows():
            segment.find(row.key)


# -- payloads -------------------------------------------------------------------------------------------------


def test_the_version_of_a_payload_is_the_one_that_fits() -> None:
    long = "x" * 70_000
    types = (SpgType(10, (5, 2)), SpgType(4))
    escaped = w.row(w.numeric(15, 1, 56), w.text(long, 46))
    old = w.row(w.numeric(15, 1, 8), w.text("a"))
    decoder, before = PayloadDecoder(types, 100), PayloadDecoder(types, 55)
    assert decoder.decode(escaped, 4) == ["1.5", long]
    assert [decoder.decode(old, magic) for magic in (1, 3, 4)] == [["1.5", "a"]] * 3
    assert before.decode(escaped, 4) is None
    assert decoder.decode(old + b"!", 1) is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_keys_are_signed(key: int) -> None:
    assert signed_key(key % 2**64) == key
