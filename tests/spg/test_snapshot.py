"""Snapshots of every version: what they hold, and that damage is always named."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import (
    MalformedSpgFile,
    SpgChecksumMismatch,
    SpgFileError,
    SpgFileTruncated,
    UnknownSpgTag,
    UnknownSpgVersion,
)
from spgrepl.spg import snapshot as snapshot_module
from spgrepl.spg.blocks.indexes import ColdKey
from spgrepl.spg.blocks.schema import Action, Check, ForeignKey, IndexKind, Uniqueness, View
from spgrepl.spg.envelope import StoredPublication
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.values.crc32c import crc32c, crc32c_by_table
from spgrepl.spg.values.cursor import BLOCK
from tests.replica.following.copies import quick_folder
from tests.spg import writer as w
from tests.spg.samples import EVERY, EXPECTED, SNAPSHOTS, VECTORS, put, rows_of, shown

VERSIONS = range(8, 101)
INT, TEXT, NUMERIC = w.u8(1), w.u8(4), w.u8(10, 10, 2)
T = w.column("id", INT)


@pytest.mark.parametrize("name", [name for name in SNAPSHOTS if name != "d_v11.catalog"])
def test_vectors(name: str) -> None:
    found = rows_of(VECTORS / name)
    assert {table: [[*map(shown, row)] for row in rows] for table, rows in found.items()} == EXPECTED[name]


def test_rows_in_segments_are_told_by_the_index() -> None:
    with Snapshot(VECTORS / "d_v11.catalog") as snapshot:
        (table,) = snapshot.catalogue.tables
        assert list(snapshot.rows(table)) == [[9, "hot"]]
        assert list(snapshot.cold_keys(table)) == [ColdKey(1, 0)]
        assert table.cold == {0: 1}


# -- versions -------------------------------------------------------------------------------------------------


def rich(version: int, **more: Any) -> bytes:
    """A catalog of a version with something in every block that it has."""
    v = version
    columns = [
        w.column("id", INT, 0, None, 1),
        w.column("name", TEXT, 1, w.u8(4) + w.text("x")),
        w.column("n", NUMERIC, 1, w.u8(8) + w.numeric(-5, 1, v)),
    ]
    rows = [
        w.row(w.i32(1), w.text("one"), w.numeric(150, 2, v)),
        w.row(w.i32(2), None, None),
        w.row(w.i32(3), w.text("three"), w.numeric(-1, 2, v)),
    ]
    acl = w.list16(w.text("somebody") + w.u16(3) + w.u16(1) + w.text("me"))
    one = w.u16(1)
    blocks = {
        5: w.opt(w.u64(4096)),
        6: w.list16(
            w.opt(w.text("fk"))
            + w.list16(one)
            + w.text("u")
            + w.list16(w.u16(0))
            + w.u8(1, 2)
            + (w.u8(0) if v >= 55 else b"")
            + (w.u8(1) if v >= 79 else b"")
        ),
        7: w.list16(*(w.u8(kind) + w.list16(w.u16(kind ^ 1)) + (w.u8(1) if v >= 23 else b"") for kind in (1, 0))),
        8: w.list16(one + w.text("now()")),
        9: w.list16(w.text("id > 0"), w.text("n < 5")),
        10: w.list16(one + w.text("mood")),
        11: w.list16(one + w.text("email")),
        12: w.list16(one + w.text("now()")),
        13: w.list16(one + w.u8(1)),
        14: w.list16(w.u16(0)),
        15: w.list16(one + w.list16(w.text("a"), w.text("b"))),
        16: w.list16(one + w.list16(w.text("c"))),
        17: w.u8(2) + w.text("parent") + w.u8(0) + w.u8(3) + w.i64(-7),
        18: w.list16(one + w.text("upper(name)")),
        19: w.list16(one + w.text("'x'")),
        20: w.u8(1, 0)
        + w.list16(w.text("p") + w.u8(1, 1) + w.list16(w.text("r")) + w.opt(w.text("true")) + w.opt(None)),
        22: w.list16(w.opt(w.text("positive")), w.opt(None)) + w.list16(w.opt(w.text("pk")), w.opt(None)),
        23: w.list16(one + w.text("pair")),
        24: w.opt(w.text("owner")) + acl,
        25: w.list16(one + acl),
        26: w.list16(w.text("ex") + w.opt(w.text("gist")) + w.list16(one + w.text("&&"))),
        27: w.list16(w.u16(0) + w.i64(100)),
        28: w.list16(w.u16(0) + w.u8(2)),
        29: w.list16(one + w.u8(6)),
        30: w.list16(one),
        31: w.list16(one + w.u8(7, 3)),
        32: w.list16(one),
        33: w.list16(one + w.text("de_DE")),
        34: w.list16(w.u8(3)),
        35: w.list16(w.u16(0)),
    }
    indexes = [w.btree(v, "by_id", 0, [(k, [w.hot(k - 1)]) for k in (1, 2, 3)], 1)]
    graph = w.u16(4) + w.u16(8) + w.u32(0) + w.u8(0) + w.list32(w.u8(0), w.u8(0)) + w.u8(1)
    graph += w.list32(w.list16(w.u32(1)), w.list16())
    indexes.append(w.text("graph") + one + w.u8(1) + graph + w.index_tail(v))
    if v >= 10:
        indexes.append(w.text("brin") + one + w.u8(2) + TEXT + w.index_tail(v, predicate="id > 1"))
    if v >= 21:
        tokens = w.list32(w.text("word") + w.list32(w.hot(0), w.hot(2)))
        indexes.append(w.text("gin") + one + w.u8(3) + tokens + w.index_tail(v))
    if v >= 91:
        keys = w.list16(w.u8(6), w.u8(1) + w.text("x"), w.u8(2, 1), w.u8(3) + bytes(16), w.u8(4) + w.list32(b"a"))
        number = w.list16(w.u8(5, 0, 0) + w.i32(3) + w.list32(b"1", b"2"))
        entries = w.list32(keys + w.list32(w.hot(1)), number + w.list32())
        indexes.append(w.text("several") + one + w.u8(7) + entries + w.index_tail(v))
    objects = {
        0: w.list32(w.text("f") + w.text("") + w.text("int") + w.text("sql") + w.lstr("SELECT 1")),
        1: w.list32(
            w.text("g")
            + w.text("a")
            + w.text("BEFORE")
            + w.list16(w.text("UPDATE"))
            + w.text("ROW")
            + w.text("f")
            + (w.list16(w.text("id")) if v >= 23 else b"")
            + (w.u8(1) if v >= 25 else b"")
            + (w.text("true") if v >= 70 else b"")
        ),
        2: w.list32(
            w.text("s")
            + w.u8(2)
            + b"".join(map(w.i64, (1, 1, 1, 9, 1)))
            + w.u8(0)
            + w.opt(w.text("a") + w.text("id"))
            + w.i64(3)
            + w.u8(1)
        ),
        3: w.list32(
            w.text("v") + w.list16(w.text("c")) + w.lstr("SELECT id FROM a") + (w.u8(1) if v >= 69 else b"")
        ),
        4: w.list32(w.text("m") + w.lstr("SELECT 2")),
        5: w.list32(w.text("mood") + w.list16(w.text("happy"), w.text("sad"))),
        6: w.list32(
            w.text("email")
            + TEXT
            + w.u8(1)
            + w.opt(None)
            + w.list16(w.text("true") + (w.text("c") if v >= 75 else b""))
            + (w.opt(w.text("base")) if v >= 74 else b"")
        ),
        7: w.list32(w.text("public")),
        8: w.list32(w.text("pair") + w.list16(w.text("x") + INT + (w.opt(None) if v >= 76 else b""))),
        9: w.list32(w.text("table a") + w.lstr("a comment")),
        10: w.list32(w.text("s") + w.opt(w.text("me")) + acl) + acl + w.list16(),
        11: w.list32(w.text("f()") + w.opt(None) + acl),
        12: w.list32(w.text("r") + w.text("a") + w.text("INSERT") + w.u8(1) + w.text("") + w.list16(w.text("x"))),
        13: w.list32(w.text("st") + w.text("a") + w.list16(w.text("d")) + w.list16(w.text("id"))),
        14: w.list32(w.u32(7) + w.list32(b"l", b"o")),
        15: w.list32(w.text("f()") + w.u8(1, 2, 3) + bytes(16)),
        16: w.list32(w.text("db") + w.text("me") + w.list32(w.text("k") + w.text("v"))),
        17: w.list32(w.text("slot") + w.text("x") + w.text("0/0")),
        18: w.opt(w.text("C")),
        19: w.list32(w.u8(1) + w.text("a") + w.text("me")),
        20: w.list32(w.text("ext") + w.text("1")),
        21: w.list32(w.text("by_id") + w.text("ops")),
    }
    tables = [
        w.table(v, "a", columns, rows, indexes, dead=(1,), blocks=blocks, **more),
        w.table(v, "none", [w.column("x", TEXT)], [], **more),
    ]
    return w.catalog(v, *tables, objects=objects)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_with_something_in_every_block(tmp_path: Path, version: int) -> None:
    path = put(tmp_path, rich(version))
    rows = [[1, "one", "1.50"], [2, None, None], [3, "three", "-0.01"]]
    if version >= 53:
        del rows[1]
    assert rows_of(path) == {"a": rows, "none": []}
    with Snapshot(path) as snapshot:
        catalogue = snapshot.catalogue
    table = catalogue.tables[0]
    assert (catalogue.file_version, table.stored, table.hot) == (version, 3, len(rows))
    assert [(c.name, c.type.label, c.default, c.auto_increment) for c in table.columns] == [
        ("id", "INT", None, True),
        ("name", "TEXT", "x", False),
        ("n", "NUMERIC(10,2)", "-0.5", False),
    ]
    assert table.indexes[0].kind is IndexKind.BTREE
    assert table.indexes[0].unique is (version >= 16)
    if version >= 12:
        assert table.indexes[2].predicate == "id > 1"
    key = ForeignKey("fk", (1,), "u", (0,), Action.CASCADE, Action.SET_NULL)
    assert table.foreign_keys == ((key,) if version >= 13 else ())
    named = version >= 60
    if version >= 15:
        alike = version >= 23
        assert table.uniqueness == (
            Uniqueness(True, (0,), alike, "pk" if named else None),
            Uniqueness(False, (1,), alike),
        )
    if version >= 23:
        assert table.checks == (
            Check("id > 0", "positive" if named else None),
            Check("n < 5", None, version < 87),
        )
    said = table.columns[1].extras
    since = {
        "runtime_default": 15,
        "enum": 29,
        "domain": 30,
        "on_update": 32,
        "collation": 34,
        "enum_labels": 41,
        "set_labels": 42,
        "generated": 50,
        "default_sql": 58,
        "composite": 63,
        "acl": 65,
        "collate": 88,
        "mysql_fraction_digits": 82,
        "mysql_timestamp": 93,
        "mysql_float": 94,
    }
    assert said.keys() == {name for name, first in since.items() if version >= first}
    assert ("partition" in table.extras) is (version >= 49)
    assert catalogue.views == ((View("v", ("c",), "SELECT id FROM a"),) if version >= 27 else ()) + (
        (View("m", (), "SELECT 2", True),) if version >= 28 else ()
    )
    assert ("operator_classes" in catalogue.objects) is (version == 100)


def text_index(*entries: tuple[str, tuple[bytes, ...]]) -> bytes:
    found = w.list32(*(w.u8(1) + w.text(key, 60) + w.list32(*locators) for key, locators in entries))
    return w.text("by_text") + w.u16(1) + w.u8(0) + found + w.index_tail(60)


def test_indexes_of_texts_and_of_many_rows_a_key(tmp_path: Path) -> None:
    """Other indexes may speak of the same rows in segments; those of more cannot be right."""
    columns = [T, w.column("x", TEXT)]
    many = tuple(w.hot(number) for number in range(9000))
    text = text_index(("a", (w.cold(3), w.hot(0))), ("x" * 70_000, ()), ("", many))
    entries = [(number, [w.cold(3)]) for number in (5, 6)]
    table = w.table(60, "t", columns, [], [text, w.btree(60, "i", 0, entries)])
    with Snapshot(put(tmp_path, w.catalog(60, table))) as snapshot:
        (found,) = snapshot.catalogue.tables
        assert list(snapshot.cold_keys(found)) == [ColdKey(5, 3), ColdKey(6, 3)]
    with pytest.raises(MalformedSpgFile, match="by_text of t speaks of 1 row in segments, of which 0"):
        read_everything(put(tmp_path, w.catalog(60, w.table(60, "t", columns, [], [text]))))
    wrong = text_index(("a", (*many[:5000], b"\2" + bytes(8))))
    with pytest.raises(UnknownSpgTag, match="the locator 2"):
        read_everything(put(tmp_path, w.catalog(60, w.table(60, "t", columns, [], [wrong]))))


@pytest.mark.parametrize("fields", [1, 2])
def test_version_12_as_its_first_releases_wrote_it(tmp_path: Path, fields: int) -> None:
    index = w.btree(12, "i", 0, [(1, [w.hot(0)])], tail_fields=fields)
    table = w.table(12, "t", [w.column("id", INT)], [w.row(w.i32(1))], [index])
    assert rows_of(put(tmp_path, w.catalog(12, table))) == {"t": [[1]]}


def test_version_15_without_its_block_of_defaults(tmp_path: Path) -> None:
    assert rows_of(put(tmp_path, rich(15, left_out=[8])))["a"][0] == [1, "one", "1.50"]


def test_version_59_as_a_build_of_it_wrote_real(tmp_path: Path) -> None:
    columns = [w.column("x", w.u8(66)), w.column("y", INT)]
    stored = [w.row(struct.pack("<f", 0.5), w.i32(number)) for number in range(3)]
    path = put(tmp_path, w.catalog(59, w.table(59, "t", columns, stored)))
    assert rows_of(path) == {"t": [[0.5, 0], [0.5, 1], [0.5, 2]]}
    whole = [w.row(w.u64(0x16_B374_D848), w.i32(1))]
    assert rows_of(put(tmp_path, w.catalog(59, w.table(59, "t", columns, whole)))) == {"t": [["16/B374D848", 1]]}


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_envelopes(tmp_path: Path, version: int) -> None:
    section = w.publications(("every", 0, ()), ("some", 1, ("a",)), ("but", 2, ("b",)))
    path = put(tmp_path, w.envelope(version, rich(60), b"any users", section))
    with Snapshot(path) as snapshot:
        assert snapshot.catalogue.envelope_version == version
        assert len(list(snapshot.rows(snapshot.catalogue.tables[0]))) == 2
        expected = (
            StoredPublication("every", 0),
            StoredPublication("some", 1, ("a",)),
            StoredPublication("but", 2, ("b",)),
        )
        assert snapshot.catalogue.publications == (expected if version >= 3 else ())


# -- damage ---------------------------------------------------------------------------------------------------


def read_everything(path: Path) -> None:
    with Snapshot(path) as snapshot:
        for table in snapshot.catalogue.tables:
            list(snapshot.rows(table))
            list(snapshot.cold_keys(table))


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_every_truncation_is_an_error(tmp_path: Path, name: str) -> None:
    content = (VECTORS / name).read_bytes()
    path = put(tmp_path, content)
    small = EVERY or name[0] in "abcd" or name == "sweep_v053x.catalog"
    for size in reversed(range(0, len(content), 1 if small else 7)):
        with open(path, "r+b") as file:
            file.truncate(size)
        with pytest.raises(SpgFileError, match=r"snapshot\.db"):
            read_everything(path)


@given(name=st.sampled_from(SNAPSHOTS), at=st.integers(0, 5000), wrong=st.integers(1, 255))
def test_a_wrong_byte_gives_an_error_or_a_result(name: str, at: int, wrong: int) -> None:
    content = bytearray((VECTORS / name).read_bytes())
    content[at % len(content)] ^= wrong
    with quick_folder() as folder, contextlib.suppress(SpgFileError):
        read_everything(put(folder, bytes(content)))


@given(
    version=st.sampled_from([v for v in VERSIONS if v < 54]), at=st.integers(0, 5000), wrong=st.integers(1, 255)
)
def test_a_wrong_byte_in_any_block_gives_an_error_or_a_result(version: int, at: int, wrong: int) -> None:
    content = bytearray(rich(version))
    content[at % len(content)] ^= wrong
    with quick_folder() as folder, contextlib.suppress(SpgFileError):
        read_everything(put(folder, bytes(content)))


def with_rows(count: int) -> bytes:
    return b"SPGDB001\x08" + w.u32(1) + w.text("t") + w.list16(T) + w.u32(count) + bytes(9)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", UnknownSpgVersion, "not an SPG snapshot"),
        (b"SQLite format 3\0" + bytes(99), UnknownSpgVersion, "not an SPG snapshot"),
        (b"SPGDB001\x07" + bytes(4), UnknownSpgVersion, "FILE_VERSION 7; 8 to 100"),
        (b"SPGDB001\x65" + bytes(4), UnknownSpgVersion, "FILE_VERSION 101"),
        (b"SPGENV01\x06" + bytes(40), UnknownSpgVersion, "version 6; 1 to 5"),
        (b"SPGENV01\x05" + w.u32(188) + bytes(87), SpgFileTruncated, "188 bytes are announced, 87 bytes follow$"),
        (w.catalog(8) + b"!", MalformedSpgFile, "1 byte follows the end of the catalog .FILE_VERSION 8."),
        (w.envelope(1, w.catalog(8)) + b"!", MalformedSpgFile, "1 byte follows the end of the envelope"),
        (w.envelope(2, w.catalog(8))[:-1] + b"!", SpgChecksumMismatch, "CRC-32 "),
        (w.catalog(54)[:-1] + b"!", SpgChecksumMismatch, "CRC-32C"),
        (b"SPGDB001\x08" + w.u32(2**32 - 1), SpgFileTruncated, "4294967295 items of at least 10 bytes"),
        (with_rows(2**32 - 1), SpgFileTruncated, "4294967295 items"),
        (w.catalog(8, w.table(8, "t", [w.column("x", w.u8(99))], [])), UnknownSpgTag, "at byte 21.*type tag 99"),
        (
            w.catalog(8, w.table(8, "t", [T], [], [w.text("i") + w.u16(0) + w.u8(9)])),
            UnknownSpgTag,
            "kind of the index 'i': 9",
        ),
        (w.catalog(49, w.table(49, "t", [T], [], blocks={17: w.u8(9)})), UnknownSpgTag, "partition role 9"),
        (
            w.catalog(8, w.table(8, "t", [w.column("x", INT, 1, w.u8(13))], [])),
            UnknownSpgTag,
            "the value tag 13 is not known",
        ),
        (w.catalog(8, w.table(8, "t", [T], [b"\x02"])), MalformedSpgFile, "a bitmap of NULLs 0x2 for 1 column"),
        (w.catalog(8, w.table(8, "t", [], [b"", b""])), MalformedSpgFile, "2 rows of a table without a column"),
        (w.catalog(8, *[w.table(8, "t", [T], [])] * 2), MalformedSpgFile, "stands there twice"),
        (
            w.catalog(56, w.table(56, "t", [w.column("x", NUMERIC)], [w.row(b"\x09")])),
            UnknownSpgTag,
            "the form 9 of a NUMERIC is not known",
        ),
        (
            w.catalog(53, w.table(53, "t", [T], [w.row(w.i32(1))], blocks={21: w.u32(0) + w.u64(1)})),
            MalformedSpgFile,
            "0 row headers for 1 row",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, kind: type[SpgFileError], words: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(kind, match=words) as caught:
        read_everything(path)
    assert caught.value.file == str(path)


def test_text_that_is_not_utf8_is_named_when_its_row_is_read(tmp_path: Path) -> None:
    table = w.table(8, "t", [w.column("x", TEXT)], [w.row(b"\x01\0\xff")])
    with pytest.raises(MalformedSpgFile, match=r"a row that starts here.*utf-8"):
        rows_of(put(tmp_path, w.catalog(8, table)))


# -- size -----------------------------------------------------------------------------------------------------


def test_rows_across_blocks_and_rows_larger_than_a_block(tmp_path: Path) -> None:
    long = "é" * BLOCK
    rows = [(number, "x" * (number % 300) if number % 97 else long) for number in range(400)]
    stored = [w.row(w.i32(number), w.text(name, 60)) for number, name in rows]
    dead = range(0, 400, 7)
    table = w.table(60, "t", [T, w.column("x", TEXT)], stored, dead=[*dead])
    found = rows_of(put(tmp_path, w.catalog(60, table)))["t"]
    assert found == [[*row] for row in rows if row[0] not in dead]


def test_memory_is_bound_by_a_row(tmp_path: Path) -> None:
    stored = [w.row(w.i32(number), w.text("some text of a row")) for number in range(25_000)]
    entries = [(number, [w.hot(number)]) for number in range(25_000)]
    table = w.table(53, "t", [T, w.column("x", TEXT)], stored, [w.btree(53, "i", 0, entries)])
    path = put(tmp_path, w.catalog(53, table))
    del stored, entries, table
    tracemalloc.start()
    try:
        with Snapshot(path) as snapshot:
            assert sum(1 for _ in snapshot.rows(snapshot.catalogue.tables[0])) == 25_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * BLOCK < path.stat().st_size


def test_progress_tells_how_far_reading_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "BATCH", 10)
    table = w.table(8, "t", [T], [w.row(w.i32(number)) for number in range(100)])
    seen: list[int] = []
    with Snapshot(put(tmp_path, w.catalog(8, table))) as snapshot:
        (found,) = snapshot.catalogue.tables
        list(snapshot.rows(found, seen.append))
        assert len(seen) == 10
        assert seen == sorted(seen)
        assert seen[-1] == found.rows_end


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_the_checksum_by_table(data: bytes, more: bytes) -> None:
    assert crc32c_by_table(b"123456789") == 0xE3069283
    assert crc32c(data + more) == crc32c_by_table(data + more) == crc32c_by_table(more, crc32c(data))
