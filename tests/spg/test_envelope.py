"""The envelope of a snapshot: its sections, its checksum, and no wrong byte that passes."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import (
    MalformedSpgFile,
    SpgChecksumMismatch,
    SpgFileError,
    SpgFileTruncated,
    UnknownSpgTag,
    UnknownSpgVersion,
)
from spgrepl.spg.envelope import (
    Envelope,
    StoredPublication,
    check_statistics,
    checksum_of,
    publications_of,
    read_envelope,
    read_publications,
    subscriptions_of,
)
from tests.spg import writer as w
from tests.spg.samples import put

CATALOG = w.catalog(100)
PUBLISHED = (("all", 0, ()), ("some", 1, ("t", "ü")), ("not", 2, ("secret",)))
WHOLE = w.envelope(5, CATALOG, b"users", w.publications(*PUBLISHED))


def sealed(*sections: bytes, version: int = 5) -> bytes:
    body = b"SPGENV01" + w.u8(version) + b"".join(w.u32(len(one)) + one for one in sections)
    return body + (w.u32(crc32(body)) if version >= 2 else b"")


def read(folder: Path, content: bytes) -> Envelope:
    with put(folder, content).open("rb") as file:
        return read_envelope(file, "x.spg")


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_sections_are_there_from_their_version_on(tmp_path: Path, version: int) -> None:
    content = w.envelope(version, CATALOG, b"users", w.publications(*PUBLISHED))
    found = read(tmp_path, content)
    names = ["catalog", "users", "publications", "subscriptions", "statistics"]
    assert (found.version, [*found.sections]) == (version, names[: max(2, version)])
    start, end = found.sections["catalog"]
    assert content[start:end] == CATALOG
    assert read(tmp_path, CATALOG) == Envelope(None, {"catalog": (0, len(CATALOG))})


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_no_wrong_bit_passes(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    content = bytearray(WHOLE)
    content[at] ^= 1 << bit
    with pytest.raises(SpgFileError):
        read(tmp_path_factory.getbasetemp(), bytes(content))


def test_every_truncation_and_every_byte_more_is_an_error(tmp_path: Path) -> None:
    for size in range(len(WHOLE)):
        with pytest.raises((SpgFileTruncated, UnknownSpgVersion)):
            read(tmp_path, WHOLE[:size])
    with pytest.raises(MalformedSpgFile, match="1 byte follows the end"):
        read(tmp_path, WHOLE + b"\0")


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpgChecksumMismatch, match="restore it"):
        read(tmp_path, WHOLE[:-1] + bytes((WHOLE[-1] ^ 1,)))
    with pytest.raises(UnknownSpgVersion, match="an envelope of version 6; 1 to 5 are known"):
        read(tmp_path, b"SPGENV01\6")
    with pytest.raises(UnknownSpgVersion, match="is not an SPG snapshot"):
        read(tmp_path, b"SQLite format 3\0")


def test_publications(tmp_path: Path) -> None:
    path = put(tmp_path, WHOLE)
    assert read_publications(path) == tuple(StoredPublication(*one) for one in PUBLISHED)
    for content in (CATALOG, b"", b"SPGENV01", w.envelope(2, CATALOG)):
        assert read_publications(put(tmp_path, content)) == ()
    assert read_publications(tmp_path / "nowhere") == ()
    with pytest.raises(SpgFileError):
        read_publications(put(tmp_path, WHOLE[:-1]))


@pytest.mark.parametrize(
    ("section", "kind", "said"),
    [
        (w.publications(("p", 0, ()), ("p", 0, ())), MalformedSpgFile, "a publication stands there twice"),
        (w.list16(w.text("p") + w.u8(3)), UnknownSpgTag, "the publication 'p' has a scope that 3"),
        (w.publications(*PUBLISHED) + b"\0", MalformedSpgFile, "1 byte follows the publications"),
        (w.u16(9), SpgFileTruncated, "9 items"),
    ],
)
def test_publications_that_cannot_be(tmp_path: Path, section: bytes, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        read_publications(put(tmp_path, w.envelope(5, CATALOG, b"", section)))


def test_subscriptions_without_their_passwords(tmp_path: Path) -> None:
    one = w.text("s") + w.lstr("password=secret") + w.list16(w.text("p"), w.text("q")) + w.u8(1) + w.u64(2**40)
    statistics = w.list16(w.text("t") + w.text("c") + bytes(12) + w.list16(w.text("x"))) + w.list16(
        w.text("t") + w.u64(9)
    )
    content = sealed(CATALOG, b"", w.publications(), w.list16(one), statistics)
    with put(tmp_path, content).open("rb") as file:
        envelope = read_envelope(file, "x.spg")
        (found,) = subscriptions_of(file, "x.spg", envelope)
        assert (found.name, found.publications, found.enabled, found.position) == ("s", ("p", "q"), True, 2**40)
        assert "secret" not in repr(found)
        check_statistics(file, "x.spg", envelope)
        assert publications_of(file, "x.spg", Envelope(None, {})) == ()
        assert subscriptions_of(file, "x.spg", Envelope(None, {})) == ()
        assert checksum_of(file, 9, len(content)) == crc32(content[9:])
        assert checksum_of(file, 5, 5) == 0
    more = sealed(CATALOG, b"", w.publications(), w.list16(), statistics + b"!")
    with put(tmp_path, more).open("rb") as file:
        envelope = read_envelope(file, "x.spg")
        with pytest.raises(MalformedSpgFile, match="1 byte follows the statistics"):
            check_statistics(file, "x.spg", envelope)
