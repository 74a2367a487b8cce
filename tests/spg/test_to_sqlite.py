"""Snapshots written into SQLite: exact values, as much of the schema as SQLite has, and the rest kept as text."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import ColdRowsMissing, SnapshotError
from spgrepl.spg.ddl import literal
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import Filled, Progress, SnapshotFiller
from spgrepl.spgsql.typed.schema import Schema
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.spg.samples import EXPECTED, ROWS, SNAPSHOTS, VECTORS, put, shown, snapshot_with
from tests.spg.test_snapshot import rich

INT, TEXT = w.u8(1), w.u8(4)
ID = w.column("id", INT, 0)


@contextlib.contextmanager
def filled(
    path: Path, segments: Path | None = None, without: bool = False, **more: Any
) -> Iterator[tuple[apsw.Connection, Filled]]:
    with contextlib.closing(apsw.Connection(":memory:")) as connection, Snapshot(path) as snapshot:
        connection.execute("BEGIN")
        found = SnapshotFiller(connection, snapshot, segments, **more).fill(without)
        connection.execute("COMMIT")
        yield connection, found


def rows(connection: apsw.Connection, table: str) -> list[tuple[Any, ...]]:
    return list(connection.execute(f'SELECT * FROM "{table}"'))


def one_table(folder: Path, *tables: bytes, version: int = 100) -> Path:
    return put(folder, w.catalog(version, *tables))


@pytest.mark.parametrize("name", [name for name in SNAPSHOTS if name != "d_v11.catalog"])
def test_all_rows_of_the_vectors(name: str) -> None:
    with filled(VECTORS / name) as (connection, found):
        for table, expected in EXPECTED[name].items():
            assert [[*map(shown, row)] for row in rows(connection, table)] == expected
        assert found.rows == sum(map(len, EXPECTED[name].values()))
        assert connection.pragma("integrity_check") == "ok"


def test_values_keep_the_kind_that_they_have_in_the_file() -> None:
    with filled(VECTORS / "types_v100.catalog") as (connection, _):
        names = [row[1] for row in connection.execute("PRAGMA table_info(ty)")]
        kinds = connection.execute(f"SELECT {', '.join(f'typeof({name})' for name in names)} FROM ty").fetchone()
        assert kinds is not None
        expected = {int: "integer", float: "real", str: "text", dict: "blob"}
        assert [*kinds] == [expected[type(value)] for value in EXPECTED["types_v100.catalog"]["ty"][0]]


def test_the_schema(tmp_path: Path) -> None:
    parent = w.table(
        100, "u", [ID, w.column("x", TEXT, 0)], [], blocks={7: w.list16(w.u8(0) + w.list16(w.u16(1)) + w.u8(0))}
    )
    child = w.table(
        100,
        "t",
        [
            ID,
            w.column("name", w.u8(8) + w.u32(9), 1, w.u8(4) + w.text("it's")),
            w.column("by", w.u8(18), 1, w.u8(14) + w.text("ab")),
            w.column("no", INT, 1, w.u8(0)),
        ],
        [w.row(w.i32(2), w.text("a"), None, None), w.row(w.i32(1), w.text("b"), None, None)],
        [
            w.btree(100, "t_pkey", 0, unique=1),
            w.btree(100, "once", 1, unique=1),
            w.btree(100, "often", 3),
            w.btree(100, "part", 3, predicate="no > 1", unique=1),
            w.btree(100, "u", 3),
        ],
        blocks={
            6: w.list16(
                w.opt(None) + w.list16(w.u16(1)) + w.text("u") + w.list16(w.u16(1)) + w.u8(1, 2) + w.u8(0, 0)
            ),
            7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0), w.u8(0) + w.list16(w.u16(2), w.u16(3)) + w.u8(1)),
            13: w.list16(w.u16(1) + w.u8(1)),
        },
    )
    with filled(one_table(tmp_path, child, parent)) as (connection, found):
        sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 't'").get
        assert sql == (
            'CREATE TABLE "t" ("id" INTEGER NOT NULL, '
            "\"name\" TEXT COLLATE NOCASE DEFAULT 'it''s', \"by\" BLOB DEFAULT x'6162', "
            '"no" INTEGER DEFAULT NULL, PRIMARY KEY ("id"), UNIQUE ("by", "no"), '
            'FOREIGN KEY ("name") REFERENCES "u" ("x") ON DELETE CASCADE ON UPDATE SET NULL)'
        )
        listed = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        assert [row[0] for row in listed] == [
            'CREATE UNIQUE INDEX "once" ON "t" ("name")',
            'CREATE INDEX "often" ON "t" ("no")',
        ]
        assert rows(connection, "t") == [(1, "b", None, None), (2, "a", None, None)]
        connection.execute("INSERT INTO t (id) VALUES (3)")
        assert connection.execute("SELECT * FROM t WHERE id = 3").fetchone() == (3, "it's", b"ab", None)
        assert [note.partition(":")[0] for note in found.notes["t"]] == [
            "name ignores case at SPG; here that holds for the letters A to Z only",
            'NULLs are distinct in the unique "by", "no", and are not at SPG',
            "the btree index part is left out",
            "the btree index u is left out",
        ]
        hazards = {hazard.what: hazard.events for hazard in Schema(connection).table("t").hazards}
        assert hazards == {
            't has a unique ("by", "no") in which NULLs are the same at the master, and not here': {
                "ON CONFLICT",
                "ON CONFLICT (…)",
            },
            "t has the unique index part at the master, and not here": {"ON CONFLICT"},
        }


def test_a_foreign_key_that_is_not_made_is_a_hazard_of_its_parent(tmp_path: Path) -> None:
    key = w.opt(None) + w.list16(w.u16(0)) + w.text("u") + w.list16(w.u16(0)) + w.u8(1, 4) + w.u8(0, 0)
    child = w.table(100, "t", [ID], [], blocks={6: w.list16(key)})
    with filled(one_table(tmp_path, child, w.table(100, "u", [ID], []))) as (connection, _):
        (hazard,) = Schema(connection).table("u").hazards
        assert hazard.events == {"DELETE"}
        assert "u has a foreign key of t that changes its rows at the master, and not here" in hazard.what


def test_what_sqlite_cannot_express_is_kept(tmp_path: Path) -> None:
    with filled(put(tmp_path, rich(100))) as (connection, found):
        types = list(
            connection.execute(
                "SELECT column_name, spg_type, tag, parameters, nullable, auto_increment FROM spgrepl_spg_columns "
                "WHERE table_name = 'a' ORDER BY position"
            )
        )
        assert types == [
            ("id", "INT", 1, "[]", 0, 1),
            ("name", "TEXT", 4, "[]", 1, 0),
            ("n", "NUMERIC(10,2)", 10, "[10, 2]", 1, 0),
        ]
        details = json.loads(
            connection.execute("SELECT details FROM spgrepl_spg_columns WHERE column_name = 'name'").get
        )
        assert details["enum_labels"] == ["a", "b"]
        assert details["generated"] == "upper(name)"
        kept = {(kind, name) for kind, name, _ in connection.execute("SELECT * FROM spgrepl_spg_objects")}
        assert {
            ("view", "v"),
            ("materialized view", "m"),
            ("check", "a"),
            ("sequences", "s"),
            ("enums", "mood"),
            ("table partition", "a"),
            ("schemas", "schemas"),
            ("collation", "collation"),
            ("source", "snapshot.db"),
        } <= kept
        assert not list(connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'view'"))
        assert "the check id > 0 is not enforced" in found.notes["a"]
        assert "a foreign key to u is left out: SQLite needs a unique key there" in found.notes["a"]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([("t", ["a"]), ("T", ["a"])], "'t' and 'T' differ in capital letters only"),
        ([("t", ["a", "A"])], "'t' has two columns 'a'"),
        ([("t", [])], "'t' has 0 columns"),
        ([("t", [f"c{number}" for number in range(2001)])], "has 2001 columns"),
        ([("spgrepl_replay", ["a"])], "kept for spgrepl"),
        ([("SQLite_x", ["a"])], "kept for SQLite"),
        ([("a\0b", ["a"])], "a zero byte"),
    ],
)
def test_names_that_sqlite_cannot_hold(tmp_path: Path, tables: list[tuple[str, list[str]]], words: str) -> None:
    blobs = [w.table(100, name, [w.column(one, INT) for one in columns], []) for name, columns in tables]
    with pytest.raises(SnapshotError, match=words), filled(one_table(tmp_path, *blobs)):
        pass


def test_rows_that_break_a_constraint_are_named(tmp_path: Path) -> None:
    stored = [w.row(w.i32(1)), w.row(w.i32(1))]
    key = {7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0))}
    with (
        pytest.raises(SnapshotError, match=r"a row of t breaks a constraint.*UNIQUE.*take another"),
        filled(one_table(tmp_path, w.table(100, "t", [ID], stored, blocks=key))),
    ):
        pass
    index = w.btree(100, "i", 0, unique=1)
    with (
        pytest.raises(SnapshotError, match="rows of t break a unique index"),
        filled(one_table(tmp_path, w.table(100, "t", [ID], stored, [index]))),
    ):
        pass
    # The same is right where one of them is dead.
    with filled(one_table(tmp_path, w.table(100, "t", [ID], stored, dead=[0], blocks=key))) as (connection, _):
        assert rows(connection, "t") == [(1,)]


def test_many_rows_and_many_columns(tmp_path: Path) -> None:
    columns = [w.column(f"c{number}", INT) for number in range(250)]
    stored = [w.row(*(w.i32(number + row) for number in range(250))) for row in range(300)]
    seen: list[Progress] = []
    path = one_table(tmp_path, w.table(100, "t", columns, stored))
    with filled(path, progress=seen.append) as (connection, found):
        assert rows(connection, "t") == [tuple(number + row for number in range(250)) for row in range(300)]
        assert (seen[-1].rows, seen[-1].table, found.rows) == (300, "t", 300)
        assert 0 < seen[-1].offset <= path.stat().st_size


# -- cold rows ------------------------------------------------------------------------------------------------


def test_cold_rows_follow_and_the_dead_stay_away(tmp_path: Path) -> None:
    put_segments(tmp_path / "segments", {3: w.segment(ROWS)})
    path = snapshot_with(tmp_path, [(1, [w.hot(0)]), (7, [w.cold(3)]), (8, [])])
    with filled(path, tmp_path / "segments") as (connection, found):
        assert rows(connection, "t") == [(1, "hot"), (7, "seven")]
        assert (found.rows, found.cold, found.missing) == (2, 1, ())


def test_missing_cold_rows_fail_unless_told(tmp_path: Path) -> None:
    path = snapshot_with(tmp_path, [(7, [w.cold(3)]), (9, [w.cold(4)])])
    words = (
        r"2 rows of t: id = 7 \(segment 3\), id = 9 \(segment 4\)\. Get the segments 3, 4 .*--without-cold-rows"
    )
    with pytest.raises(ColdRowsMissing, match=words), filled(path, tmp_path):
        pass
    with filled(path, None, True) as (connection, found):
        assert rows(connection, "t") == [(1, "hot")]
        assert [one.count for one in found.missing] == [2]


@given(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(), st.binary(), st.floats(allow_nan=False)))
def test_literals(value: Any) -> None:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        assert connection.execute(f"SELECT {literal(value)}").get == value
