"""The manifest: exact bytes, every kind of damage, and any bytes at all."""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import (
    MalformedManifest,
    ManifestChecksumMismatch,
    ManifestError,
    ManifestTruncated,
    UnsupportedManifest,
)
from spgrepl.segments.manifest import (
    Manifest,
    ManifestSegment,
    decode_manifest,
    encode_manifest,
    read_manifest,
    write_manifest,
)

SAMPLE = Manifest(
    0x11223344, (ManifestSegment(2, "segments/seg_2.spg", 7), ManifestSegment(9, "segments/ü.spg", 8)), 622
)

u32 = st.integers(0, 2**32 - 1)
manifests = st.builds(
    lambda crc, ids, paths, baseline: Manifest(
        crc, tuple(ManifestSegment(i, p, crc) for i, p in zip(sorted(ids), paths, strict=False)), baseline
    ),
    u32,
    st.sets(u32, max_size=8),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=8, max_size=8),
    st.integers(0, 2**64 - 1),
)


def sealed(content: bytes) -> bytes:
    """Content with the CRC that belongs to it."""
    return content + struct.pack("<I", crc32(content))


def test_bytes_of_an_empty_one() -> None:
    expected = b"SPGMAN01\x0a" + struct.pack("<IIQ", 0xDEADBEEF, 0, 5)
    assert encode_manifest(Manifest(0xDEADBEEF, (), 5)) == sealed(expected)


def test_bytes_of_one_with_a_segment() -> None:
    expected = b"SPGMAN01\x0a" + struct.pack("<III", 1, 1, 3) + struct.pack("<I", 2) + b"ab"
    expected += struct.pack("<IQ", 0xCAFE, 0)
    assert encode_manifest(Manifest(1, (ManifestSegment(3, "ab", 0xCAFE),))) == sealed(expected)


@given(manifests)
def test_round_trip(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise(data: bytes) -> None:
    for candidate in (data, b"SPGMAN01\x0a" + data, sealed(b"SPGMAN01\x0a" + data)):
        try:
            manifest = decode_manifest(candidate)
        except ManifestError:
            continue
        assert encode_manifest(manifest) == candidate


@given(manifests, st.data())
def test_any_flipped_bit_is_noticed(manifest: Manifest, data: st.DataObject) -> None:
    content = bytearray(encode_manifest(manifest))
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ManifestError):
        decode_manifest(bytes(content))


def test_every_cut_is_truncation() -> None:
    content = encode_manifest(SAMPLE)
    for size in range(len(content)):
        with pytest.raises(ManifestTruncated, match=f"ends after {size} bytes?"):
            decode_manifest(content[:size])


def test_another_magic() -> None:
    with pytest.raises(UnsupportedManifest, match="begins with b'SPGSEG"):
        decode_manifest(b"SPGSEG\x01\0" + bytes(30))


def test_another_version() -> None:
    with pytest.raises(UnsupportedManifest, match="has version 9"):
        decode_manifest(b"SPGMAN01\x09" + bytes(30))


def test_wrong_checksum() -> None:
    content = encode_manifest(SAMPLE)
    with pytest.raises(ManifestChecksumMismatch, match=r"here has CRC .* states"):
        decode_manifest(content[:-1] + bytes((content[-1] ^ 1,)), "here")


def test_bytes_behind_the_end() -> None:
    with pytest.raises(ManifestChecksumMismatch, match="1 byte after its CRC"):
        decode_manifest(encode_manifest(SAMPLE) + b"x")


def test_a_count_that_nothing_backs() -> None:
    with pytest.raises(ManifestTruncated, match="segment entry 0"):
        decode_manifest(b"SPGMAN01\x0a" + struct.pack("<II", 0, 2**32 - 1))


def test_path_length_that_nothing_backs() -> None:
    with pytest.raises(ManifestTruncated):
        decode_manifest(b"SPGMAN01\x0a" + struct.pack("<IIII", 0, 1, 1, 2**32 - 1))


def test_path_that_is_not_utf8() -> None:
    content = b"SPGMAN01\x0a" + struct.pack("<IIII", 0, 1, 1, 2) + b"\xff\xfe" + struct.pack("<IQ", 0, 0)
    with pytest.raises(MalformedManifest, match="not UTF-8"):
        decode_manifest(sealed(content))


@pytest.mark.parametrize("ids", [(2, 2), (3, 1)])
def test_ids_that_do_not_rise(ids: tuple[int, int]) -> None:
    segments = tuple(ManifestSegment(number, "s", 0) for number in ids)
    with pytest.raises(ValueError, match="rising"):
        encode_manifest(Manifest(0, segments))
    entries = b"".join(struct.pack("<II", number, 1) + b"s" + struct.pack("<I", 0) for number in ids)
    content = b"SPGMAN01\x0a" + struct.pack("<II", 0, 2) + entries + struct.pack("<Q", 0)
    with pytest.raises(MalformedManifest, match=f"segment {ids[1]} stands after segment {ids[0]}"):
        decode_manifest(sealed(content))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "manifest.v10"
    assert read_manifest(path) is None
    write_manifest(path, Manifest(1))
    write_manifest(path, SAMPLE)
    assert read_manifest(path) == SAMPLE
    assert [child.name for child in tmp_path.iterdir()] == ["manifest.v10"]


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.v10"
    path.write_bytes(b"SPGMAN01")
    with pytest.raises(ManifestTruncated, match=str(path)):
        read_manifest(path)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=str(tmp_path)):
        read_manifest(tmp_path)
