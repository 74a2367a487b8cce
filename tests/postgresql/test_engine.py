"""The engine of a follower on a real PostgreSQL: what one commit is, and what it costs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import EngineFailed, LocalFilesDamaged, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.postgresql.conftest import Database


@pytest.fixture
def engine(tmp_path: Path, database: Database) -> Iterator[PostgresqlEngine]:
    snapshot = tmp_path / "snapshot"
    with contextlib.closing(sqlite3.connect(snapshot)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    made.install_snapshot(snapshot, ReplayState(10, 10))
    made.begin()
    made.execute([ROWS_FROM_HERE])
    made.commit(ReplayState(20, 10))
    yield made
    made.close()


def insert(number: int) -> bytes:
    return f"INSERT INTO t(id,name)VALUES({number},'x')".encode()


def test_a_commit_from_a_position_that_was_moved_keeps_nothing(
    engine: PostgresqlEngine, database: Database
) -> None:
    engine.begin()
    engine.execute([insert(1)])
    database.query("UPDATE spgrepl.copies SET position = 99")
    with pytest.raises(LocalFilesDamaged, match="is not at position 20, where it was left"):
        engine.commit(ReplayState(30, 10))
    engine.rollback()
    assert database.query("SELECT count(*) FROM t") == [(0,)]
    assert database.query("SELECT position FROM spgrepl.copies") == [(99,)]


def test_one_row_is_two_ways_there_and_back(engine: PostgresqlEngine, database: Database, tmp_path: Path) -> None:
    engine.begin()
    engine.execute([insert(1)])
    engine.commit(ReplayState(30, 10))
    pgconn = engine._server.session.open().pgconn
    with open(tmp_path / "trace", "wb") as trace:
        pgconn.trace(trace.fileno())
        engine.begin()
        engine.execute([insert(2)])
        engine.commit(ReplayState(40, 10))
        pgconn.untrace()
    assert (tmp_path / "trace").read_text().count("ReadyForQuery") == 2
    assert database.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_refused_row_leaves_the_next_transaction_as_it_was(engine: PostgresqlEngine, database: Database) -> None:
    for before in ([], [insert(5)]):
        engine.begin()
        with pytest.raises(StatementRefused):
            engine.execute([*before, b"INSERT INTO t(id,name)VALUES('no',NULL)"])
        engine.rollback()
    engine.begin()
    engine.commit(ReplayState(30, 10))
    engine.begin()
    engine.execute([insert(number) for number in range(100)])
    engine.commit(ReplayState(40, 10))
    assert database.query("SELECT count(*), sum(id) FROM t") == [(100, 4950)]
    assert database.query("SELECT position FROM spgrepl.copies") == [(40,)]


def test_a_connection_that_ends_before_the_commit_loses_all_of_it(
    engine: PostgresqlEngine, database: Database
) -> None:
    engine.begin()
    engine.execute([insert(1)])
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'spgrepl copy%%'"
    )
    with pytest.raises(EngineFailed, match="lost"):
        engine.commit(ReplayState(30, 10))
    assert engine.reopen() == ReplayState(20, 10)
    assert database.query("SELECT count(*) FROM t") == [(0,)]
