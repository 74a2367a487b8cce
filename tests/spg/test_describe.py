"""What is said of a snapshot: what it holds, after every row of it was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spgrepl.errors import SpgFileError
from spgrepl.spg.describe import describe
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import Progress
from tests.spg import writer as w
from tests.spg.samples import EXPECTED, SNAPSHOTS, VECTORS, put, snapshot_with

INT, TEXT = w.u8(1), w.u8(4)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_vectors(name: str) -> None:
    progress: list[Progress] = []
    with Snapshot(VECTORS / name) as snapshot:
        found = describe(snapshot, progress.append)
        catalogue = snapshot.catalogue
    assert {one["name"]: one["rows"] + sum(one["cold"].values()) for one in found["tables"]} == {
        table: len(rows) for table, rows in EXPECTED[name].items()
    }
    assert found["versions"] == {"envelope": catalogue.envelope_version, "file_version": catalogue.file_version}
    assert found["bytes"] == (VECTORS / name).stat().st_size
    assert json.loads(json.dumps(found)) == found
    offsets = [one.offset for one in progress]
    assert offsets == sorted(offsets)


def test_a_table(tmp_path: Path) -> None:
    columns = [w.column("id", INT, 0, None, 1), w.column("x", TEXT, 1, w.u8(4) + w.text("y"))]
    rows = [w.row(w.i32(number), w.text("a")) for number in range(3)]
    blocks = {7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0)), 9: w.list16(w.text("id > 0"))}
    content = w.table(100, "t", columns, rows, [w.btree(100, "i", 1, unique=1)], dead=(1,), blocks=blocks)
    objects = {3: w.list32(w.text("v") + w.list16() + w.lstr("SELECT 1") + w.u8(0))}
    published = w.publications(("some", 1, ("t",)), ("others", 2, ("u",)), ("all", 0, ()))
    whole = w.envelope(5, w.catalog(100, content, objects=objects), b"", published)
    with Snapshot(put(tmp_path, whole)) as snapshot:
        found = describe(snapshot)
    (table,) = found["tables"]
    assert (table["rows"], table["dead"]) == (2, 1)
    assert [(one["name"], one["type"], one["flags"]) for one in table["columns"]] == [
        ("id", "INT", ["NOT NULL", "AUTO_INCREMENT"]),
        ("x", "TEXT", ["DEFAULT 'y'"]),
    ]
    assert table["constraints"] == ["primary key (id)", "check id > 0", "unique btree index i (x)"]
    assert table["notes"] == ["the check id > 0 is not enforced"]
    assert [(one["name"], one["scope"]) for one in found["publications"]] == [
        ("some", "tables"),
        ("others", "all tables except"),
        ("all", "all tables"),
    ]
    assert found["views"] == [{"name": "v", "sql": "SELECT 1", "materialized": False}]
    assert "views" not in found["objects"]


def test_rows_of_segments_by_segment(tmp_path: Path) -> None:
    entries = [(1, [w.hot(0)]), (5, [w.cold(9)]), (6, [w.cold(9)]), (7, [w.cold(10)])]
    with Snapshot(snapshot_with(tmp_path, entries)) as snapshot:
        assert describe(snapshot)["tables"][0]["cold"] == {"9": 2, "10": 1}


def test_what_sqlite_cannot_hold_is_a_note_and_damage_an_error(tmp_path: Path) -> None:
    tables = [w.table(100, name, [w.column("x", TEXT)], []) for name in ("t", "T")]
    with Snapshot(put(tmp_path, w.catalog(100, *tables))) as snapshot:
        assert all("differ in capital letters only" in one["notes"][0] for one in describe(snapshot)["tables"])
    bad = w.table(100, "t", [w.column("x", TEXT)], [w.row(w.u16(1) + b"\xff")])
    with Snapshot(put(tmp_path, w.catalog(100, bad))) as snapshot, pytest.raises(SpgFileError):
        describe(snapshot)
