"""The `sqlite` engine on logs of rows: each changes exactly one row, or replay stops and names it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import EngineFailed, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.engines.test_sqlite import content, engine_with

TABLES = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY,name TEXT UNIQUE)",
    "INSERT INTO t VALUES(1,'one'),(2,'two')",
    "CREATE TABLE seen(what)",
    "CREATE TRIGGER note AFTER INSERT ON t BEGIN INSERT INTO seen VALUES(new.id); END",
    "CREATE TABLE child(id INTEGER PRIMARY KEY,t REFERENCES t(id))",
    "CREATE TABLE lenient(id INTEGER PRIMARY KEY ON CONFLICT REPLACE,a UNIQUE ON CONFLICT IGNORE)",
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SqliteEngine]:
    with engine_with(tmp_path, *TABLES) as made:
        apply(made, ROWS_FROM_HERE.decode())
        yield made


def apply(engine: SqliteEngine, *statements: str) -> None:
    engine.begin()
    try:
        engine.execute([statement.encode() for statement in statements], {})
        engine.commit(ReplayState(7, 0))
    finally:
        engine.rollback()


def test_rows_are_applied_and_counted_by_table(engine: SqliteEngine) -> None:
    apply(
        engine,
        *(f"INSERT INTO t(id,name)VALUES({number},'it''s {number}')" for number in range(3, 8)),
        "UPDATE t SET name='x' WHERE id=3",
        "DELETE FROM t WHERE id=1",
        "INSERT INTO child(id,t)VALUES(1,99) /* origin 0123456789abcdef */",
        "DELETE FROM child",
    )
    assert [row[0] for row in content(engine)] == [2, 3, 4, 5, 6, 7]
    assert content(engine, "SELECT name FROM t WHERE id IN (3, 7)") == [("x",), ("it's 7",)]
    assert engine.statistics()["rows"] == {
        "t": {"insert": 5, "update": 1, "delete": 1},
        "child": {"insert": 1, "delete": 1},
    }


def test_no_trigger_fires_on_a_copy(engine: SqliteEngine) -> None:
    apply(engine, "INSERT INTO t(id,name)VALUES(3,'c')", "INSERT INTO t(id,name)VALUES(4,'d')")
    apply(engine, "INSERT INTO t(id,name)VALUES(5,'e')")
    assert content(engine, "SELECT count(*) FROM seen") == [(0,)]


@pytest.mark.parametrize(
    ("statement", "conflict", "reason"),
    [
        ("INSERT INTO t(id,name)VALUES(1,'new')", "insert_exists", "table t, row id=1, name='new'.*UNIQUE"),
        ("INSERT INTO t(id,name)VALUES(9,'one')", "insert_exists", "t.name"),
        ("INSERT INTO lenient(id,a)VALUES(1,1)", "insert_exists", "table lenient"),
        ("UPDATE t SET name='two' WHERE id=1", "update_exists", "table t, row id=1"),
        ("UPDATE t SET name='x' WHERE id=77", "update_missing", "table t, row id=77: no such row is there"),
        ("DELETE FROM t WHERE id=77", "delete_missing", "table t, row id=77: no such row is there"),
        ("DELETE FROM seen WHERE what=1", "delete_missing", "2 rows are there instead of one"),
        ('DELETE FROM t WHERE "not there"=0', None, "no such column"),
        ("INSERT INTO nowhere(a)VALUES(1)", None, "no such table"),
    ],
)
def test_a_row_that_does_not_find_what_it_must_stops_replay(
    engine: SqliteEngine, statement: str, conflict: str | None, reason: str
) -> None:
    apply(engine, "INSERT INTO lenient(id,a)VALUES(1,1)", "INSERT INTO seen VALUES (1), (1)")
    before = content(engine)
    for others in ((), ("INSERT INTO t(id,name)VALUES(50,'a')", "INSERT INTO t(id,name)VALUES(51,'b')")):
        with pytest.raises(StatementRefused, match=reason) as caught:
            apply(engine, *others, statement)
        assert (caught.value.index, caught.value.conflict) == (len(others), conflict)
        assert content(engine) == before


def test_the_same_texts_mean_less_before_the_mark(tmp_path: Path) -> None:
    with engine_with(tmp_path, *TABLES) as engine:
        apply(engine, "DELETE FROM t WHERE id=77", "INSERT INTO t(id,name)VALUES(3,'c')")
        assert content(engine, "SELECT count(*) FROM seen") == [(1,)]
        engine.begin()
        engine.execute([ROWS_FROM_HERE, b"INSERT INTO t(id,name)VALUES(4,'d')"])
        engine.rollback()
        apply(engine, "DELETE FROM t WHERE id=77")  # the mark was rolled back


def test_the_mark_is_remembered(tmp_path: Path, engine: SqliteEngine) -> None:
    engine.close()
    again = SqliteEngine(tmp_path / "copy.db")
    again.open()
    try:
        with pytest.raises(StatementRefused, match="no such row"):
            apply(again, "DELETE FROM t WHERE id=77")
    finally:
        again.close()


def test_what_else_a_log_of_rows_holds(engine: SqliteEngine) -> None:
    apply(
        engine,
        'CREATE TABLE "New"(a PRIMARY KEY, b CHECK (b <> "text"))',
        "INSERT INTO \"New\"(a,b)VALUES(1,CAST(x'610062' AS TEXT))",
        "ALTER TABLE t ADD COLUMN more DEFAULT 5",
        "UPDATE t SET more=NULL WHERE id=1",
        "PRAGMA user_version = 12",
        "PRAGMA application_id = 13",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "INSERT INTO f_content(id,c0)VALUES(1,'word')",
        "CREATE VIRTUAL TABLE r USING rtree(id,a,b)",
        "CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO counted(id)VALUES(7)",
        "UPDATE sqlite_sequence SET seq=99 WHERE name='counted'",
        "ANALYZE",
        "REINDEX",
    )
    assert content(engine, "PRAGMA user_version") == [(12,)]
    assert content(engine, "SELECT a, length(CAST(b AS BLOB)) FROM New") == [(1, 3)]
    assert content(engine, "SELECT seq FROM sqlite_sequence") == [(99,)]
    assert content(engine, "SELECT c0 FROM f_content") == [("word",)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE OR REPLACE 'spgrepl_replay' SET position = 1",
        "ALTER TABLE t RENAME TO 'spgrepl_evil'",
        "ALTER TABLE spgrepl_replay RENAME TO mine",
        "CREATE TEMP VIEW t AS SELECT 1 AS id",
        "CREATE TEMP TRIGGER g AFTER INSERT ON child BEGIN DELETE FROM spgrepl_replay; END",
        "CREATE TRIGGER g AFTER INSERT ON child BEGIN DELETE FROM spgrepl_replay; END",
        "CREATE TRIGGER g AFTER UPDATE ON spgrepl_replay BEGIN DELETE FROM t; END",
        "CREATE VIEW v AS SELECT * FROM spgrepl_replay",
        "INSERT INTO seen SELECT position FROM spgrepl_replay",
        "DELETE FROM spgrepl_replay WHERE id=1",
        "DELETE FROM spgrepl_replay",
        "UPDATE spgrepl_replay SET position=9 WHERE id=1",
        "INSERT INTO spgrepl_rows(id,position)VALUES(1,1)",
        "PRAGMA writable_schema = 1",
        "PRAGMA foreign_keys = 1",
        "PRAGMA journal_mode",
        "ATTACH ':memory:' AS other",
        "COMMIT",
    ],
)
def test_what_a_hostile_log_of_rows_may_not_do(engine: SqliteEngine, statement: str) -> None:
    query = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    before = content(engine, query), content(engine, "SELECT * FROM spgrepl_replay")
    with pytest.raises(StatementRefused):
        apply(engine, statement)
    assert (content(engine, query), content(engine, "SELECT * FROM spgrepl_replay")) == before
    apply(engine, "INSERT INTO t(id,name)VALUES(3,'and goes on')")


def test_what_the_copy_writes_itself_is_not_run_for_a_log_from_a_cache(engine: SqliteEngine) -> None:
    own = "UPDATE spgrepl_replay SET role=role WHERE id=1"
    engine._opened().connection.execute(own)
    with pytest.raises(StatementRefused, match="belongs to spgrepl"):
        apply(engine, own)


def test_a_statement_that_runs_is_interrupted(engine: SqliteEngine) -> None:
    endless = (
        "INSERT INTO seen SELECT count(*) FROM (WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
        "SELECT i FROM n)"
    )
    ended: list[BaseException] = []

    def run() -> None:
        try:
            apply(engine, endless)
        except EngineFailed as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while thread.is_alive() and time.monotonic() < end:
        engine.interrupt()
        thread.join(0.05)
    assert len(ended) == 1
    with pytest.raises(EngineFailed, match="being closed"):
        apply(engine, "DELETE FROM t WHERE id=1")
    engine.close()
    assert engine.open() is not None
    apply(engine, "DELETE FROM t WHERE id=1")


def test_a_copy_goes_on_after_a_snapshot_in_another_encoding(tmp_path: Path, engine: SqliteEngine) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with contextlib.closing(sqlite3.connect(other / "primary.db", isolation_level=None)) as source:
        for statement in ("PRAGMA encoding = 'UTF-16le'", *TABLES):
            source.execute(statement)
    shutil.copy(other / "primary.db", tmp_path / "snapshot16")
    engine.check_snapshot(tmp_path / "snapshot16")
    engine.install_snapshot(tmp_path / "snapshot16", ReplayState(40, 40))
    apply(engine, ROWS_FROM_HERE.decode(), "INSERT INTO t(id,name)VALUES(3,'Größe')")
    assert content(engine, "PRAGMA encoding") == [("UTF-16le",)]
    assert content(engine, "SELECT name FROM t WHERE id = 3") == [("Größe",)]
