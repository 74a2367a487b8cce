"""The block of a table: what it says, where its rows are, and which of them are dead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import MalformedSpgFile, SpgFileError, SpgFileTruncated, UnknownSpgTag
from spgrepl.spg.blocks.tables import ROW_HEADER, XMAX_AT, Variant, dead_among, read_table, skip_rows
from spgrepl.spg.values.rows import RowDecoder
from spgrepl.spg.values.types import SpgType
from tests.spg import writer as w
from tests.spg.conftest import Made

INT, TEXT = w.u8(1), w.u8(4)
COLUMNS = [w.column("id", INT, 0, None, 1), w.column("x", TEXT, 1, w.u8(4) + w.text("y"))]
VERSIONS = st.sampled_from([8, 15, 53, 60, 100])
XMAX = st.sampled_from([0, 0, 0, 1, 2**63, 255, 256])


def rows(texts: list[str | None]) -> list[bytes]:
    return [w.row(w.i32(number), None if text is None else w.text(text)) for number, text in enumerate(texts)]


@given(st.lists(XMAX, max_size=30))
def test_rows_with_an_xmax_are_dead(xmax: list[int]) -> None:
    headers = b"".join(w.u64(1) + w.u64(one) + w.u8(255) + w.u64(2**64 - 1) for one in xmax)
    assert (len(headers), XMAX_AT) == (ROW_HEADER * len(xmax), 8)
    assert dead_among(headers) == [number for number, one in enumerate(xmax) if one]


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=6)), max_size=6), version=VERSIONS, data=st.data())
def test_a_table_and_the_place_of_its_rows(
    made: Made, texts: list[str | None], version: int, data: st.DataObject
) -> None:
    dead = data.draw(st.sets(st.integers(0, max(0, len(texts) - 1)), max_size=len(texts)))
    block = w.table(version, "t", COLUMNS, rows(texts), [w.btree(version, "i", 0)], tuple(dead))
    cursor = made(block + b"rest", version)
    found = read_table(cursor)
    assert cursor.left == 4
    assert block[found.rows_at : found.rows_end] == b"".join(rows(texts))
    assert (found.stored, found.dead) == (len(texts), len(dead) if version >= 53 else 0)
    assert [(one.name, one.type, one.default) for one in found.columns] == [
        ("id", SpgType(1), None),
        ("x", SpgType(4), "y"),
    ]
    assert (found.columns[0].auto_increment, found.columns[1].has_default) == (True, True)
    again = made(block, version, found.rows_at)
    skip_rows(again, RowDecoder([one.type for one in found.columns], version), len(texts))
    assert again.offset == found.rows_end


@pytest.mark.parametrize(
    ("version", "left_out", "variant"),
    [(15, (8,), Variant(runtime_defaults=False)), (12, (), Variant(tail_fields=1))],
)
def test_what_a_release_left_out(made: Made, version: int, left_out: tuple[int, ...], variant: Variant) -> None:
    index = w.btree(version, "i", 0, tail_fields=variant.tail_fields)
    cursor = made(w.table(version, "t", COLUMNS, [], [index], left_out=left_out), version)
    assert read_table(cursor, variant).name == "t"
    assert cursor.left == 0


def test_real_as_one_build_wrote_it(made: Made) -> None:
    block = w.table(59, "t", [w.column("r", w.u8(66))], [])
    assert read_table(made(block, 59)).columns[0].type == SpgType(66)
    assert read_table(made(block, 59), Variant(real_as_lsn=True)).columns[0].type == SpgType(68)


def test_constraints_get_their_names_and_what_is_not_valid(made: Made) -> None:
    blocks = {
        7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(1)),
        9: w.list16(w.text("id > 0"), w.text("x <> ''")),
        22: w.list16(w.opt(None), w.opt(w.text("full"))) + w.list16(w.opt(w.text("pk"))),
        30: w.list16(w.u16(1)),
        32: w.list16(w.u16(1)),
    }
    found = read_table(made(w.table(100, "t", COLUMNS, [], blocks=blocks), 100))
    assert [(one.sql, one.name, one.valid) for one in found.checks] == [
        ("id > 0", None, True),
        ("x <> ''", "full", False),
    ]
    (key,) = found.uniqueness
    assert (key.primary, key.columns, key.nulls_not_distinct, key.name) == (True, (0,), True, "pk")
    assert [dict(one.extras) for one in found.columns] == [{}, {"mysql_timestamp": True}]


KEY = w.opt(None) + w.list16(w.u16(0)) + w.text("u")
FAULTS = {
    "a column at position 9 of 2": {14: w.list16(w.u16(9))},
    "a foreign key of 1 column that refers to 2": {
        6: w.list16(KEY + w.list16(w.u16(0), w.u16(1)) + w.u8(0, 0, 0, 0))
    },
    "0 names for 1 checks": {9: w.list16(w.text("a")), 22: w.list16() + w.list16()},
    "a check at position 3 of 0": {32: w.list16(w.u16(3))},
    "1 row header for 2 rows": {21: w.u32(1) + bytes(25) + w.u64(1)},
}


@pytest.mark.parametrize("said", FAULTS)
def test_what_cannot_be_is_named(made: Made, said: str) -> None:
    with pytest.raises(MalformedSpgFile, match=said):
        read_table(made(w.table(100, "t", COLUMNS, rows(["a", None]), blocks=FAULTS[said]), 100))


def test_other_damage_is_named(made: Made) -> None:
    action = {6: w.list16(KEY + w.list16(w.u16(0)) + w.u8(5, 0, 0, 0))}
    with pytest.raises(UnknownSpgTag, match="the action of a foreign key 5"):
        read_table(made(w.table(100, "t", COLUMNS, [], blocks=action), 100))
    with pytest.raises(MalformedSpgFile, match="1 row of a table without a column"):
        read_table(made(w.table(100, "t", [], [b""]), 100))
    with pytest.raises(UnknownSpgTag, match="in a default value, the value tag 99"):
        read_table(made(w.table(100, "t", [w.column("x", TEXT, 1, w.u8(99))], []), 100))
    with pytest.raises(MalformedSpgFile, match="a default value cannot be read"):
        read_table(made(w.table(100, "t", [w.column("x", TEXT, 1, w.u8(4) + w.u16(1) + b"\xff")], []), 100))
    by_text = w.text("i") + w.u16(1) + w.u8(0) + w.list32(w.u8(1) + w.text("k") + w.list32(w.cold(3)))
    with pytest.raises(MalformedSpgFile, match="speaks of 1 row in segments, of which 0 can be told"):
        read_table(made(w.table(100, "t", COLUMNS, [], [by_text + w.index_tail(100)]), 100))


def test_every_truncation_is_an_error(made: Made) -> None:
    block = w.table(100, "t", COLUMNS, rows(["one", None]), [w.btree(100, "i", 0)])
    for size in range(len(block)):
        with pytest.raises((SpgFileTruncated, SpgFileError)):
            read_table(made(block[:size], 100))
