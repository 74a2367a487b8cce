"""Files of segments: names, checksums in whatever pieces, and every single wrong byte."""

from __future__ import annotations

import tracemalloc
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import SegmentDamaged
from spgrepl.segment_format import SegmentCheck, SegmentFormat, SegmentSummary, segment_id_of, segment_name
from tests.segment_samples import v1, v2
from tests.wal.samples import cut, places


def check(*pieces: bytes | memoryview) -> SegmentSummary:
    judge = SegmentCheck("segment 7")
    for piece in pieces:
        judge.update(piece)
    return judge.finish()


contents = st.one_of(
    st.binary(max_size=60).map(lambda data: (SegmentFormat.V1, v1(data))),
    st.builds(
        lambda data, algorithm: (SegmentFormat.V2, v2(data, algorithm)),
        st.binary(max_size=60),
        st.sampled_from((0, 1)),
    ),
    st.binary(max_size=60)
    .filter(lambda data: not data.startswith(b"SPGSEG"))
    .map(lambda data: (SegmentFormat.OTHER, data)),
)


@given(contents, places)
def test_sound_files_in_any_pieces(content: tuple[SegmentFormat, bytes], where: list[int]) -> None:
    kind, data = content
    expected = SegmentSummary(kind, len(data), crc32(data))
    assert check(data) == expected
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
        (b"SPGSEG\x03\x00rest", "a damaged magic, or a version that is neither 1 nor 2"),
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


@given(st.integers(0, 2**32 - 1))
def test_names_both_ways(number: int) -> None:
    assert segment_id_of(segment_name(number)) == number


@pytest.mark.parametrize(
    "name",
    ["seg_.spg", "seg_007.spg", "seg_-1.spg", "seg_4294967296.spg", "seg_1.spg.incoming", "xseg_1.spg", "seg_1"],
)
def test_other_names(name: str) -> None:
    assert segment_id_of(name) is None
