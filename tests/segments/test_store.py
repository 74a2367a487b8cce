"""Received segments on disk, with the manifest that lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import LocalFilesDamaged, SegmentDamaged
from spgrepl.segments.manifest import read_manifest
from spgrepl.segments.store import IncomingSegment, SegmentStore, StoredSegment
from tests.log.samples import cut, places
from tests.replica.following.copies import quick_folder
from tests.segments.samples import v1

CONTENT = v1(bytes(range(256)) * 20)


class Store(SegmentStore):
    """A store with short words for tests."""

    def __init__(self, folder: Path) -> None:
        self.paths = DatabasePaths.of(folder / "copy.db")
        super().__init__(self.paths)

    def take(self, number: int, content: bytes, where: list[int] | None = None) -> StoredSegment:
        incoming: IncomingSegment = self.receive(number, len(content))
        for piece in cut(content, where or []):
            incoming.write([memoryview(piece)])
        stored = incoming.finish()
        self.register(stored)
        return stored

    @property
    def files(self) -> set[str]:
        return set(os.listdir(self.paths.segments)) if self.paths.segments.is_dir() else set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.open(None)
    yield made
    made.close()


def test_a_segment_is_stored_listed_and_there_again(store: Store, tmp_path: Path) -> None:
    stored = store.take(7, CONTENT)
    assert stored.written
    assert store.path_of(7).read_bytes() == CONTENT
    assert store.is_registered(7, stored.summary.crc)
    assert not store.is_registered(7, stored.summary.crc ^ 1)
    assert not store.is_registered(8, stored.summary.crc)
    again = Store(tmp_path)
    assert again.open(None) == [(7, store.path_of(7))]
    assert again.registered == 1
    again.close()


@given(places, places, st.integers(0, len(CONTENT) - 1), st.booleans())
def test_what_comes_again_is_compared_and_written_only_where_it_differs(
    first: list[int], second: list[int], at: int, same: bool
) -> None:
    with quick_folder() as folder:
        store = Store(folder)
        store.open(None)
        store.take(7, CONTENT, first)
        body = bytearray(CONTENT[8:-4])
        if not same:
            body[at % len(body)] ^= 1
        other = v1(bytes(body))
        inode = os.stat(store.path_of(7)).st_ino
        stored = store.take(7, other, second)
        assert stored.written is (not same)
        assert (os.stat(store.path_of(7)).st_ino == inode) is same
        assert store.path_of(7).read_bytes() == other
        assert store.files == {"seg_7.spg"}
        store.close()


def test_a_shorter_one_replaces_what_is_there(store: Store) -> None:
    store.take(7, CONTENT)
    shorter = v1(b"short")
    assert store.take(7, shorter).written
    assert store.path_of(7).read_bytes() == shorter


def test_damage_leaves_what_is_there(store: Store) -> None:
    store.take(7, CONTENT)
    incoming = store.receive(7, 0)
    incoming.write([memoryview(CONTENT[:-1] + b"x")])
    with pytest.raises(SegmentDamaged):
        incoming.finish()
    incoming.discard()
    assert store.path_of(7).read_bytes() == CONTENT
    assert store.files == {"seg_7.spg"}


def test_what_a_crash_left_is_cleared(store: Store, tmp_path: Path) -> None:
    store.take(7, CONTENT)
    incoming = store.receive(8, 0)
    incoming.write([memoryview(CONTENT[:100])])
    (store.paths.segments / "seg_9.spg").write_bytes(CONTENT)  # put in place, and not listed yet
    (store.paths.segments / "diary.txt").write_bytes(b"mine")
    again = Store(tmp_path)
    again.open(0)
    assert again.files == {"seg_7.spg", "diary.txt"}
    again.close()
    incoming.discard()


@pytest.mark.parametrize(("base", "taken"), [(500, True), (400, False)])
def test_a_snapshot_that_was_put_in_place_before_a_crash(
    store: Store, tmp_path: Path, base: int, taken: bool
) -> None:
    store.installing(1, 400)
    store.installed(1)
    store.installing(2, 500)
    again = Store(tmp_path)
    again.open(base)
    manifest = read_manifest(store.paths.manifest)
    assert manifest is not None
    assert manifest.snapshot_crc == (2 if taken else 1)
    again.close()


def test_a_manifest_that_cannot_be_read_is_named(store: Store, tmp_path: Path) -> None:
    store.take(7, CONTENT)
    store.paths.manifest.write_bytes(b"SPGMAN01 damaged")
    with pytest.raises(LocalFilesDamaged, match="all segments are then received again"):
        Store(tmp_path).open(0)
