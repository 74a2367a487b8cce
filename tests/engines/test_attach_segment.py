"""Segments that engines are told of: listed, counted, and never part of a transaction of the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.interfaces.engine import ReplayState
from tests import sql as sqlite3


def snapshot(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a);" + ";".join(statements))
    return path


def listed(database: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT id, path FROM spgrepl_segments ORDER BY id").fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
def engine(tmp_path: Path, database: Path) -> Iterator[SqliteEngine]:
    made = SqliteEngine(database)
    made.open()
    made.install_snapshot(snapshot(tmp_path / "snapshot"), ReplayState(10, 10))
    yield made
    made.close()


def test_sqlite_lists_them(engine: SqliteEngine, database: Path) -> None:
    for number, name in ((7, "seven"), (3, "three"), (7, "seven again")):
        engine.attach_segment(number, Path(name))
    assert listed(database) == [(3, "three"), (7, "seven again")]
    assert engine.statistics() == {"statements": 0, "attached": 2, "rows": {}}


def test_a_rolled_back_transaction_does_not_take_them_along(engine: SqliteEngine, database: Path) -> None:
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (1)"], {})
    engine.attach_segment(7, Path("seven"))
    engine.rollback()
    engine.begin()
    engine.commit(ReplayState(20, 10))
    assert listed(database) == [(7, "seven")]


def test_within_a_transaction_they_come_with_its_commit(engine: SqliteEngine, database: Path) -> None:
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (1)"], {})
    engine.attach_segment(7, Path("seven"))
    engine.commit(ReplayState(20, 10))
    assert listed(database) == [(7, "seven")]


def test_a_snapshot_does_not_bring_its_masters_list(engine: SqliteEngine, database: Path, tmp_path: Path) -> None:
    engine.attach_segment(7, Path("ours"))
    theirs = snapshot(
        tmp_path / "next",
        "CREATE TABLE spgrepl_segments (id INTEGER PRIMARY KEY, path TEXT NOT NULL)",
        "INSERT INTO spgrepl_segments VALUES (1, 'theirs')",
    )
    engine.install_snapshot(theirs, ReplayState(30, 30))
    assert listed(database) == [(7, "ours")]


def test_they_may_come_before_the_copy(database: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(database)
    engine.open()
    engine.attach_segment(7, Path("seven"))
    engine.install_snapshot(snapshot(tmp_path / "snapshot"), ReplayState(10, 10))
    engine.close()
    assert listed(database) == [(7, "seven")]


def test_what_is_listed_is_not_written_again(engine: SqliteEngine, database: Path) -> None:
    engine.attach_segment(7, Path("seven"))
    engine.close()
    again = SqliteEngine(database)
    again.open()
    with closing(sqlite3.connect(database)) as reader:
        before = reader.execute("PRAGMA data_version").fetchone()
        again.attach_segment(7, Path("seven"))
        assert reader.execute("PRAGMA data_version").fetchone() == before
    again.close()


def test_others_count_them(tmp_path: Path) -> None:
    for engine in (ArchiveEngine(tmp_path / "a"), CountingEngine(tmp_path / "b")):
        engine.attach_segment(7, Path("seven"))
        engine.attach_segment(7, Path("seven"))
        engine.attach_segment(8, Path("eight"))
        assert engine.statistics()["attached"] == 2
