"""Texts that a server would keep another value of: none is stored, whichever way the rows come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import CopyRefused, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.exact_texts import is_exact
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run


@pytest.mark.parametrize(
    ("base", "modifier", "text", "exact"),
    [
        ("date", -1, "2024-01-01", True),
        ("date", -1, "0044-03-15 BC", True),
        ("date", -1, "infinity", True),
        ("date", -1, "2024-01-01 10:00", False),
        ("date", -1, "01/02/03", False),
        ("date", -1, "today", False),
        ("timestamp", -1, "2024-01-01T10:00:00.123456", True),
        ("timestamp", -1, "2024-01-01 10:00:00.123456000", True),
        ("timestamp", -1, "2024-01-01 10:00:00.1234567", False),
        ("timestamp", -1, "2024-01-01 10:00:00+02", False),
        ("timestamp", -1, "0044-03-15 10:00:00 BC", True),
        ("timestamp", -1, "now", False),
        ("timestamp", 0, "2024-01-01 10:00:00.000", True),
        ("timestamp", 0, "2024-01-01 10:00:00.7", False),
        ("timestamptz", -1, "2024-01-01 10:00:00.5+00", True),
        ("timestamptz", -1, "2024-01-01 10:00:00Z", True),
        ("timestamptz", -1, "0044-03-15 00:00:00+00 BC", True),
        ("timestamptz", -1, "0044-03-15 00:00:00 BC+00", True),
        ("timestamptz", -1, "2024-01-01 10:00 Europe/Berlin", False),
        ("time", -1, "10:00:00.5", True),
        ("time", 0, "10:00:00.5", False),
        ("time", -1, "2024-01-01 10:00", False),
        ("timetz", -1, "10:00:00+02:30", True),
        ("money", -1, "12.34", True),
        ("money", -1, "1.239", False),
        ("name", -1, "é" * 31, True),
        ("name", -1, "é" * 32, False),
        ("char", -1, "a", True),
        ("char", -1, "ab", False),
        ("interval", -1, "P1M", True),
        ("interval", 589823, "1 day 10:00", False),
        ("_date", -1, "{2024-01-01,NULL}", True),
        ("_date", -1, "{today}", False),
        ("tsrange", -1, "[now,)", False),
        ("jsonb", -1, '"today"', True),
        ("uuid", -1, "anything", True),
    ],
)
def test_what_a_column_keeps(base: str, modifier: int, text: str, exact: bool) -> None:
    assert is_exact(base, modifier, text) is exact


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", "2024-01-01 10:00"),
        ("timestamp(0)", "2024-01-01 10:00:00.7"),
        ("money", "1.239"),
        ("name", "x" * 64),
    ],
)
def test_nothing_is_cut_whichever_way_it_comes(kind: str, text: str, database: Database, tmp_path: Path) -> None:
    database.query(f"CREATE TABLE t (id BIGINT PRIMARY KEY, c {kind})")
    snapshot = tmp_path / "snapshot"

    def write(*rows: str) -> Path:
        snapshot.unlink(missing_ok=True)
        with closing(sqlite3.connect(snapshot)) as connection, connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)")
            connection.executemany("INSERT INTO t (c) VALUES (?)", [(row,) for row in rows])
        return snapshot

    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    with pytest.raises(CopyRefused, match=r"does not fit the type .* exactly"):
        engine.install_snapshot(write(text), ReplayState(10, 10))
    engine.install_snapshot(write(), ReplayState(10, 10))
    run(engine, [ROWS_FROM_HERE.decode()])
    for count in (1, 80):
        given = [f"INSERT INTO t(id,c)VALUES({number},'{text}')" for number in range(count)]
        with pytest.raises(StatementRefused, match=r"table t, row id=0.*does not fit the type .* exactly"):
            run(engine, given, 300)
        engine.rollback()
    assert database.query("SELECT count(*) FROM t") == [(0,)]
    engine.close()
