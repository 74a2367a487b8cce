"""Files of segments: names, checksums in whatever pieces, and every single wrong byte."""

from __future__ import annotations

import stat
import tracemalloc
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import SegmentDamaged
from spgrepl.log.format.lzss import compress
from spgrepl.segments.content import SegmentContent
from spgrepl.segments.format import (
    SegmentCheck,
    SegmentFormat,
    SegmentSummary,
    reason_left_out,
    segment_id_of,
    segment_name,
)
from tests.log.samples import cut, places
from tests.segments.samples import v1, v2
from tests.spg import writer as w
from tests.spg.samples import EVERY, SEGMENTS, VECTORS


def check(*pieces: bytes | memoryview) -> SegmentSummary:
    judge = SegmentCheck("segment 7")
    for piece in pieces:
        judge.update(piece)
    return judge.finish()


contents = st.one_of(
    st.binary(max_size=60).map(lambda data: (SegmentFormat.V1, v1(data))),
    st.binary(max_size=60).map(lambda data: (SegmentFormat.V2, v2(v1(data)))),
    st.binary(max_size=60).map(lambda data: (SegmentFormat.V2, w.wrapped(v1(data), compress(v1(data))))),
    st.binary(max_size=60).map(lambda data: (SegmentFormat.BRIN, w.brin((0, 1, 2)) + v1(data))),
    st.binary(max_size=60)
    .filter(lambda data: not data.startswith((b"SPGSEG", b"BRIN")))
    .map(lambda data: (SegmentFormat.OTHER, data)),
)


@given(contents, places)
def test_sound_files_in_any_pieces(content: tuple[SegmentFormat, bytes], where: list[int]) -> None:
    kind, data = content
    expected = check(data)
    assert (expected.format, expected.length, expected.crc) == (kind, len(data), crc32(data))
    assert (expected.content.magic == 0) is (kind is SegmentFormat.OTHER)
    assert check(*cut(data, where)) == expected
    assert check(*map(memoryview, cut(data, where))) == expected
    assert check(*(data[at : at + 1] for at in range(len(data)))) == expected


@given(st.binary(max_size=60), st.data())
def test_no_wrong_byte_of_a_v1_file_passes(body: bytes, data: st.DataObject) -> None:
    file = bytearray(v1(body))
    at = data.draw(st.integers(0, len(file) - 1))
    file[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SegmentDamaged) as caught:
        check(bytes(file))
    assert caught.value.crc == crc32(file)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (v1(b"body")[:-1], "has a body with CRC .{8}, its footer states"),
        (v1(b"body") + b"!", "has a body with CRC"),
        (b"SPGSEG\x01\x00abc", "has 11 bytes, too few"),
        (b"SPGSEG\x02\x00\x00", "has 9 bytes, its header alone has 13"),
        (v2(b"inner", 2), r"states compression 2, expected 0 \(none\) or 1"),
        (v2(b"inner")[:-1], "states 5 inner bytes, 4 follow its header"),
        (v2(b"inner") + b"!", "states 5 inner bytes, 6 follow"),
        (b"SPGSEG\x05\x00rest", "a damaged magic, or a version that is not 1, 2, 3 or 4"),
        (v2(b"SPGSEG\x05\x00rest"), "a damaged magic"),
        (v2(v1(b"body")[:-1] + b"?"), "has a body with CRC"),
        (w.brin((0, 1, 2))[:-1], "ends in its part BRIN of 1 page"),
        (w.brin((0, 1, 2)), "ends in its part BRIN of 1 page"),
        (w.brin((0, 1, 2)) + b"anything", "a part BRIN, and b'anything' after it"),
        (w.wrapped(v1(b"body"), compress(v1(b"body"))[:-1]), "holds an LZSS stream ends after"),
        (w.wrapped(v1(b"body"), compress(v1(b"other body"))), "22 bytes stands where 16"),
        (b"SPHSEG\x02\x00rest", "a damaged magic"),
    ],
)
def test_damage_is_named(file: bytes, words: str) -> None:
    with pytest.raises(SegmentDamaged, match=f"segment 7 .*{words}.*it is damaged"):
        check(file)


def test_memory_is_constant() -> None:
    judge = SegmentCheck("segment 7")
    piece = bytes(256 * 1024)
    judge.update(b"SPGSEG\x01\x00")
    tracemalloc.start()
    try:
        for _ in range(64):
            judge.update(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024
    judge.update(crc32(bytes(64 * len(piece))).to_bytes(4, "little"))
    assert judge.finish().format is SegmentFormat.V1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("d_v1.seg", "v1, 2 rows, keys 1 to 3"),
        ("e_v1_neg.seg", "v1, 4 rows, keys 0 to -1"),
        ("e_v2_lzss.seg", "v2 (v1, LZSS), 599 rows, keys 1 to 599"),
        ("e_v2_brin.seg", "v2 (BRIN and v1, LZSS), 599 rows, keys 1 to 599"),
        ("e_v2_none.seg", "v2 (v1), 599 rows, keys 1 to 599"),
        ("e_v3_jumbo.seg", "v3, 3 rows, keys 1 to 3"),
    ],
)
def test_what_is_inside_is_described(name: str, words: str) -> None:
    found = check((VECTORS / name).read_bytes())
    assert found.described == words
    assert check(v2(b"anything else")) == SegmentSummary(
        SegmentFormat.V2, 26, crc32(v2(b"anything else")), SegmentContent(0)
    )


@pytest.mark.parametrize("name", SEGMENTS)
def test_no_truncation_of_a_servers_segment_passes(name: str) -> None:
    content = (VECTORS / name).read_bytes()
    for size in range(8, len(content), 1 if EVERY or len(content) < 400 else 89):
        with pytest.raises(SegmentDamaged):
            check(content[:size])


@given(st.sampled_from(SEGMENTS), st.integers(0, 10**6), st.integers(1, 255))
def test_no_wrong_byte_of_a_servers_segment_passes(name: str, at: int, wrong: int) -> None:
    content = bytearray((VECTORS / name).read_bytes())
    content[at % len(content)] ^= wrong
    with pytest.raises(SegmentDamaged):
        check(bytes(content))


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("seg_7.spg", stat.S_IFREG, None),
        ("seg_0.spg", stat.S_IFREG, None),
        ("seg_007.spg", stat.S_IFREG, "segment 7 is named seg_7.spg"),
        ("seg_00.spg", stat.S_IFREG, "segment 0 is named seg_0.spg"),
        (f"seg_{2**64 - 1}.spg", stat.S_IFREG, "above 4294967295"),
        (f"seg_{2**32}.spg", stat.S_IFREG, "above 4294967295"),
        ("seg_.spg", stat.S_IFREG, "not a number"),
        ("seg_-1.spg", stat.S_IFREG, "not a number"),
        ("seg_\u0663.spg", stat.S_IFREG, "not a number"),
        ("seg_7.spg", stat.S_IFLNK, "symbolic link"),
        ("seg_7.spg", stat.S_IFDIR, "not a file"),
        ("seg_7.spg.incoming", stat.S_IFREG, None),
        ("notes.txt", stat.S_IFLNK, None),
    ],
)
def test_what_only_looks_like_a_segment_is_left_out_with_a_reason(
    name: str, mode: int, reason: str | None
) -> None:
    found = reason_left_out(name, mode)
    assert found == reason if reason is None else reason in (found or "")


@given(st.integers(0, 2**32 - 1))
def test_names_both_ways(number: int) -> None:
    assert segment_id_of(segment_name(number)) == number


@pytest.mark.parametrize(
    "name",
    ["seg_.spg", "seg_007.spg", "seg_-1.spg", "seg_4294967296.spg", "seg_1.spg.incoming", "xseg_1.spg", "seg_1"],
)
def test_other_names(name: str) -> None:
    assert segment_id_of(name) is None
