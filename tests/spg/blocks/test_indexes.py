"""Indexes: which rows of segments they say to be alive, whatever way their entries are walked."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spgrepl.errors import MalformedSpgFile, SpgFileError, UnknownSpgTag
from spgrepl.spg.blocks.indexes import ColdKey, cold_keys, positions, read_index
from spgrepl.spg.blocks.schema import IndexKind
from tests.spg import writer as w
from tests.spg.conftest import Made

KEYS = st.integers(-(2**63), 2**63 - 1)
PLACES = st.lists(st.one_of(st.none(), st.integers(0, 2**32 - 1)), max_size=3)
ENTRIES = st.lists(st.tuples(KEYS, PLACES), max_size=8)


def entry(key: int, places: list[int | None]) -> tuple[int, list[bytes]]:
    return key, [w.hot(5) if place is None else w.cold(place) for place in places]


@settings(max_examples=30, deadline=None)
@given(entries=ENTRIES, plain=st.sampled_from([0, 1, 511, 512, 1024, 1500]), version=st.sampled_from([9, 47, 100]))
@example(entries=[(5, [None, 7])], plain=511, version=100)
@example(entries=[(5, []), (6, [7])], plain=511, version=100)
def test_the_rows_of_segments_among_all(
    made: Made, entries: list[tuple[int, list[int | None]]], plain: int, version: int
) -> None:
    """Plain entries stand before, between and after: they are passed by many at once."""
    runs: list[tuple[int, list[int | None]]] = [(number, [None]) for number in range(plain)]
    everything = [*runs, *entries, *runs]
    data = w.btree(version, "i", 1, [entry(*one) for one in everything], unique=1)
    cursor = made(data, version)
    index = read_index(cursor, 2)
    assert cursor.left == 0
    assert (index.name, index.column, index.kind, index.entries) == ("i", 1, IndexKind.BTREE, len(everything))
    wanted = [ColdKey(key, place) for key, places in everything for place in places if place is not None]
    assert dict(index.cold) == {one.segment: [two.segment for two in wanted].count(one.segment) for one in wanted}
    assert [*cold_keys(made(data, version, index.entries_at), index.entries)] == wanted


def text_tree(version: int, keys: list[bytes], locators: list[bytes], kind: int = 0) -> bytes:
    entries = [key + w.list32(*locators) for key in keys]
    return w.text("i") + w.u16(0) + w.u8(kind) + w.list32(*entries) + w.index_tail(version)


KEYS_BY_VERSION = [
    (9, w.u8(1) + w.text("abc")),
    (46, w.u8(1) + b"\xff\xff" + w.u32(2) + b"ab"),
    (9, w.u8(2, 1)),
    (36, w.u8(3) + bytes(16)),
    (90, w.u8(4) + w.u32(3) + b"abc"),
    (90, w.u8(5) + bytes(6) + w.u32(2) + b"12"),
    (91, w.u8(6)),
]


@pytest.mark.parametrize(("since", "key"), KEYS_BY_VERSION)
def test_keys_of_every_kind(made: Made, since: int, key: bytes) -> None:
    data = text_tree(since, [key] * 2, [w.hot(1), w.cold(7)])
    cursor = made(data, since)
    found = read_index(cursor, 1)
    assert (dict(found.cold), cursor.left) == ({7: 2}, 0)
    with pytest.raises(MalformedSpgFile, match="a row of segment 7 under a key that is not an integer"):
        list(cold_keys(made(data, since, found.entries_at), 2))
    if since > 9 and key[0] != 1:
        with pytest.raises(UnknownSpgTag, match=f"the key of an index with tag {key[0]}"):
            read_index(made(text_tree(since - 1, [key], [w.hot(1)]), since - 1), 1)


@pytest.mark.parametrize(
    ("kind", "since", "body", "name"),
    [
        (1, 8, bytes(9) + w.u32(2) + b"ab" + w.u8(2) + (w.list32(w.u16(1) + w.u32(7)) * 2), "hnsw"),
        (2, 10, w.u8(9) + w.u32(5), "brin"),
        (3, 21, w.list32(w.text("word") + w.list32(w.hot(1), w.cold(3))), "gin"),
        (7, 91, w.list32(w.list16(w.u8(0) + w.i64(1), w.u8(6)) + w.list32(w.cold(3))), "btree of several columns"),
    ],
)
def test_other_kinds_are_walked_through(made: Made, kind: int, since: int, body: bytes, name: str) -> None:
    data = w.text("i") + w.u16(0) + w.u8(kind) + body
    cursor = made(data + w.index_tail(since), since)
    found = read_index(cursor, 1)
    assert (found.kind.value, dict(found.cold), cursor.left) == (name, {}, 0)
    if since > 8:
        with pytest.raises(UnknownSpgTag, match="the kind of the index 'i'"):
            read_index(made(data, since - 1), 1)


def test_what_cannot_be_is_named(made: Made) -> None:
    with pytest.raises(MalformedSpgFile, match="a column at position 2 of 2"):
        read_index(made(w.btree(100, "i", 2), 100), 2)
    with pytest.raises(UnknownSpgTag, match="the locator 2"):
        read_index(made(w.btree(100, "i", 0, [(1, [w.hot(1), w.u8(2) + w.u64(1)])]), 100), 1)
    assert positions(3)(made(w.list16(w.u16(2), w.u16(0)))) == (2, 0)
    with pytest.raises(MalformedSpgFile):
        positions(3)(made(w.list16(w.u16(3))))


def test_every_truncation_is_an_error(made: Made) -> None:
    data = w.btree(100, "i", 0, [(1, [w.cold(4)]), (2, [w.hot(1), w.cold(4)])], unique=1, predicate="a > 1")
    assert read_index(made(data, 100), 1).predicate == "a > 1"
    for size in range(len(data)):
        with pytest.raises(SpgFileError):
            read_index(made(data[:size], 100), 1)
