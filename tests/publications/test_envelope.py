"""The publications in the snapshot of an SPG server."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import LocalFilesDamaged
from spgrepl.publications import envelope as envelope_module
from spgrepl.publications.definitions import Publications
from spgrepl.publications.envelope import decode_publications, read_envelope
from spgrepl.publications.statements import CreatePublication, Scope
from tests.follower.copies import quick_folder
from tests.publications.envelopes import envelope, section_of
from tests.wal.samples import VECTORS

CATALOG, USERS = b"any catalog " * 1000, b"users"
SECTION = section_of(("every", 0, ()), ("Some", 1, ("a", "C d")), ("but", 2, ("a",)))
FOUND = Publications(
    {
        "every": CreatePublication("every", Scope.ALL),
        "Some": CreatePublication("Some", Scope.ONLY, ("a", "C d")),
        "but": CreatePublication("but", Scope.EXCEPT, ("a",)),
    }
)
PATH = Path("snapshot.db")


def read(folder: Path, content: bytes) -> Publications:
    path = folder / "snapshot.db"
    path.write_bytes(content)
    return read_envelope(path)


@pytest.mark.parametrize(
    ("version", "more"),
    [(3, ()), (4, (b"subscriptions",)), (5, (b"subscriptions", b"statistics")), (6, (b"new",))],
)
def test_they_stand_in_the_third_section_from_version_3_on(
    tmp_path: Path, version: int, more: tuple[bytes, ...]
) -> None:
    assert read(tmp_path, envelope(version, CATALOG, USERS, SECTION, *more)) == FOUND
    assert read(tmp_path, envelope(version, b"", b"", section_of(), *more)) == Publications()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SPGENV01",
        envelope(1, CATALOG, USERS),
        envelope(2, CATALOG, USERS),
        b"SPGDB001" + CATALOG,
        b"SQLite format 3\0" + bytes(100),
        (VECTORS / "snapshot.bin").read_bytes(),
    ],
    ids=["empty", "a part", "version 1", "version 2", "another of SPG's", "SQLite", "recorded"],
)
def test_older_ones_and_other_files_tell_nothing(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == Publications()


def test_a_file_that_is_missing_tells_nothing_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert read_envelope(tmp_path / "missing") == Publications()
    with pytest.raises(OSError, match="directory"):
        read_envelope(tmp_path)


@given(at=st.integers(9, 500), bit=st.integers(0, 7))
def test_any_damage_is_named(at: int, bit: int) -> None:
    content = bytearray(envelope(3, b"catalog " * 50, USERS, SECTION))
    content[at % (len(content) - 9) + 9] ^= 1 << bit
    with quick_folder() as folder, pytest.raises(LocalFilesDamaged, match=r"snapshot\.db"):
        read(folder, bytes(content))


@given(st.integers(9, 499))
def test_an_end_that_is_missing_is_named(size: int) -> None:
    content = envelope(3, b"catalog " * 50, USERS, SECTION)
    with quick_folder() as folder, pytest.raises(LocalFilesDamaged):
        read(folder, content[: size % (len(content) - 9) + 9])


def checked(body: bytes) -> bytes:
    """An envelope whose checksum is right, whatever it holds."""
    return b"SPGENV01\x03" + body + struct.pack("<I", crc32(b"SPGENV01\x03" + body))


@pytest.mark.parametrize(
    "body",
    [b"", struct.pack("<I", 4) + b"cat", struct.pack("<I", 0) + struct.pack("<I", 2**32 - 1), bytes(8)],
    ids=["none", "one that is cut off", "one that is too long", "two only"],
)
def test_sections_that_end_behind_the_file_are_named(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(LocalFilesDamaged, match="section at"):
        read(tmp_path, checked(body))


def test_a_section_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope_module, "_MOST_BYTES", len(SECTION) - 1)
    with pytest.raises(LocalFilesDamaged, match="the limit is"):
        read(tmp_path, envelope(3, CATALOG, USERS, SECTION))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SECTION + b"x", "followed by 1 more"),
        (section_of(("p", 3, ())), "states scope 3"),
        (section_of(("p", 0, ()), ("p", 0, ())), "stands there twice"),
        (section_of(("p", 0, ())).replace(b"p", b"\xff"), "not UTF-8"),
        (b"", "end at 0 bytes"),
    ],
)
def test_a_section_of_another_form_is_named(data: bytes, words: str) -> None:
    with pytest.raises(LocalFilesDamaged, match=words):
        decode_publications(data, PATH)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
publications = st.dictionaries(
    names,
    st.tuples(st.integers(0, 2), st.lists(names, max_size=3)).map(lambda one: (one[0], one[1] if one[0] else [])),
)


@given(publications)
def test_a_section_is_read_as_it_was_written(wanted: dict[str, tuple[int, list[str]]]) -> None:
    data = section_of(*((name, scope, tuple(tables)) for name, (scope, tables) in wanted.items()))
    scopes = [Scope.ALL, Scope.ONLY, Scope.EXCEPT]
    assert decode_publications(data, PATH).by_name == {
        name: CreatePublication(name, scopes[scope], tuple(tables)) for name, (scope, tables) in wanted.items()
    }


@given(st.binary(max_size=60))
def test_no_section_raises_anything_else(data: bytes) -> None:
    with contextlib.suppress(LocalFilesDamaged):
        decode_publications(data, PATH)
