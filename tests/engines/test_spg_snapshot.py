"""Snapshots of SPG made ones of SQLite, and their rows in segments put in later."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from spgrepl.engines import cold_rows
from spgrepl.engines.spg_snapshot import convert_if_spg
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import LocalFilesDamaged, MalformedSpgFile, SegmentDamaged, SnapshotError
from spgrepl.interfaces.engine import ReplayState
from tests import sql as sqlite3
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.spg.samples import ROWS, VECTORS, put, snapshot_with


def installed(folder: Path, content: bytes) -> SqliteEngine:
    """An engine with a copy that began with a snapshot of SPG."""
    engine = SqliteEngine(folder / "copy.db")
    path = put(folder, content)
    assert engine.open() is None
    engine.check_snapshot_head(content[:16])
    engine.check_snapshot(path)
    engine.install_snapshot(path, ReplayState(7, 7))
    return engine


def rows(folder: Path, sql: str = "SELECT * FROM t ORDER BY id") -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "copy.db")) as connection:
        return connection.execute(sql).fetchall()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = put(tmp_path, b"SQLite format 3\0 and more")
    assert convert_if_spg(path) is False
    assert path.read_bytes() == b"SQLite format 3\0 and more"


@pytest.mark.parametrize("content", [b"SPGDB001\x08", (VECTORS / "b_v11.env5").read_bytes()[:-1]])
def test_damage_leaves_the_file_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, content)
    with pytest.raises(SnapshotError, match=r"cannot be read: .*at byte .*--engine archive"):
        convert_if_spg(path)
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["snapshot.db"]


def test_rows_are_put_in_and_the_note_goes(tmp_path: Path) -> None:
    content = snapshot_with(tmp_path, [(7, [w.cold(3)]), (-1, [w.cold(3)]), (9, [w.cold(4)])]).read_bytes()
    engine = installed(tmp_path, content)
    put_segments(tmp_path / "segments", {3: w.segment(ROWS), 4: w.segment([(9, ROWS[2][1])])})
    places = {number: tmp_path / "segments" / f"seg_{number}.spg" for number in (3, 4, 5)}
    assert engine.cold_rows_pending()
    assert engine.settle_cold_rows({}) == ("3 rows of t: key -1 (segment 3), key 7 (segment 3), key 9 (segment 4)")
    assert engine.settle_cold_rows({3: places[3], 5: places[5]}) == "1 row of t: key 9 (segment 4)"
    assert rows(tmp_path) == [(-1, None), (1, "hot"), (7, "seven")]
    engine.close()
    again = SqliteEngine(tmp_path / "copy.db")
    assert again.open() == ReplayState(7, 7)
    assert again.cold_rows_pending()
    assert again.settle_cold_rows({4: places[4]}) is None
    assert not again.cold_rows_pending()
    assert rows(tmp_path)[-1] == (9, "x" * 900)
    assert rows(tmp_path, "SELECT 1 FROM sqlite_master WHERE name = 'spgrepl_spg_cold'") == []
    assert again.settle_cold_rows({}) is None
    again.close()


def test_doing_without_is_for_good(tmp_path: Path) -> None:
    engine = installed(tmp_path, snapshot_with(tmp_path, [(7, [w.cold(3)])]).read_bytes())
    assert "cold_rows_left_out" not in engine.statistics()
    engine.forgo_cold_rows()
    assert not engine.cold_rows_pending()
    told = {"t": {"rows": 1, "first_key": 7}}
    assert engine.statistics()["cold_rows_left_out"] == told
    engine.close()
    again = SqliteEngine(tmp_path / "copy.db")
    assert again.open() is not None
    assert again.statistics()["cold_rows_left_out"] == told
    assert rows(tmp_path) == [(1, "hot")]
    # Nothing is missing any more: what is known stays.
    again.forgo_cold_rows()
    assert again.statistics()["cold_rows_left_out"] == told
    # A copy of this copy lacks them as well; a fresh snapshot does not.
    again.save_snapshot(tmp_path / "third")
    other = SqliteEngine(tmp_path / "third.db")
    other.check_snapshot(tmp_path / "third")
    other.install_snapshot(tmp_path / "third", ReplayState(7, 7))
    assert other.statistics()["cold_rows_left_out"] == told
    whole = snapshot_with(tmp_path, []).rename(tmp_path / "whole")
    other.check_snapshot(whole)
    other.install_snapshot(whole, ReplayState(9, 9))
    assert "cold_rows_left_out" not in other.statistics()
    other.close()
    again.close()


def test_many_missing_rows_are_named_in_part(tmp_path: Path) -> None:
    content = snapshot_with(tmp_path, [(key, [w.cold(3)]) for key in range(10, 60)]).read_bytes()
    engine = installed(tmp_path, content)
    said = engine.settle_cold_rows({})
    assert said is not None
    assert said.startswith("50 rows of t: key 10 (segment 3), ")
    assert said.endswith("key 29 (segment 3) and 30 more")
    engine.close()


GOOD = (5, w.row(w.i32(5), None))


@pytest.mark.parametrize(
    ("segment", "kind", "words"),
    [
        (w.segment([GOOD, (8, b"")]), MalformedSpgFile, "key 7 of t lives in this segment, which has no such row"),
        (w.segment([GOOD, (7, b"\0")]), MalformedSpgFile, "does not fit the table's columns"),
        (w.segment(ROWS)[:-1] + b"?", SegmentDamaged, "it is damaged"),
        (w.segment([GOOD, (7, w.row(w.i32(1), None))]), SnapshotError, "breaks a constraint"),
    ],
)
def test_segments_that_do_not_fit_change_nothing(
    tmp_path: Path, segment: bytes, kind: type[Exception], words: str
) -> None:
    columns = [w.column("id", w.u8(1), 0), w.column("x", w.u8(4))]
    table = w.table(
        60,
        "t",
        columns,
        [w.row(w.i32(1), w.text("hot"))],
        [w.btree(60, "i", 0, [(5, [w.cold(3)]), (7, [w.cold(3)])])],
        blocks={7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0))},
    )
    engine = installed(tmp_path, w.catalog(60, table))
    put_segments(tmp_path / "segments", {3: segment})
    with pytest.raises(kind, match=words):
        engine.settle_cold_rows({3: tmp_path / "segments" / "seg_3.spg"})
    assert engine.cold_rows_pending()
    assert rows(tmp_path) == [(1, "hot")]
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (2, 'goes on')"], {})
    engine.commit(ReplayState(9, 7))
    engine.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE spgrepl_spg_columns SET tag = 200",
        "UPDATE spgrepl_spg_columns SET parameters = '{'",
        "DELETE FROM spgrepl_spg_columns",
        "UPDATE spgrepl_spg_objects SET definition = 'x'",
        "DELETE FROM spgrepl_spg_objects",
    ],
)
def test_side_tables_that_are_damaged_are_named(tmp_path: Path, damage: str) -> None:
    engine = installed(tmp_path, snapshot_with(tmp_path, [(7, [w.cold(3)])]).read_bytes())
    put_segments(tmp_path / "segments", {3: w.segment(ROWS)})
    assert engine._applier is not None
    engine._applier.connection.execute(damage)
    with pytest.raises(LocalFilesDamaged, match="spgrepl_spg_"):
        engine.settle_cold_rows({3: tmp_path / "segments" / "seg_3.spg"})
    engine.close()


def test_the_note_travels_with_the_copys_own_snapshots(tmp_path: Path) -> None:
    engine = installed(tmp_path, snapshot_with(tmp_path, [(7, [w.cold(3)])]).read_bytes())
    engine.save_snapshot(tmp_path / "saved")
    engine.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "saved")) as connection:
        assert cold_rows.pending(connection)
