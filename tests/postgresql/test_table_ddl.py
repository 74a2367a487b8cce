"""What a table of SQLite declares beside its columns: the same in PostgreSQL, or left out by name."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from tests.postgresql.conftest import Database
from tests.postgresql.test_subscriber import plain


@pytest.fixture
def engine(database: Database) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    yield made
    made.close()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The texts of what is logged."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def install(engine: PostgresqlEngine, path: Path, *statements: str) -> None:
    """Begin with a snapshot of a database in which these were run."""
    with closing(sqlite3.connect(path)) as source, source:
        for statement in statements:
            source.execute(statement)
    engine.check_snapshot(path)
    engine.install_snapshot(path, ReplayState(100, 100))


CONSTANTS = [
    ("TEXT", "'it''s \\'"),
    ("TEXT", "7"),
    ("TEXT", "(1 + 1)"),
    ("TEXT", "('a' || 'b')"),
    ("TEXT", "(upper('x') || length('abc'))"),
    ("INTEGER", "-5"),
    ("INTEGER", "'12'"),
    ("INTEGER", "(2 * 21)"),
    ("BIGINT", "TRUE"),
    ("REAL", "1"),
    ("REAL", "(1.0 / 3)"),
    ("REAL", "9e999"),
    ("BLOB", "x'00ff'"),
    ("NUMERIC", "1.50"),
    ("DECIMAL(10,2)", "(0.1 + 0.2)"),
    ("BOOLEAN", "FALSE"),
    ("BOOLEAN", "1"),
    ("DATETIME", "'2024-01-02'"),
    ("DATETIME", "20240102"),
    ("JSON", "'[1, 2]'"),
    ("TEXT", "NULL"),
    ("VARCHAR(3)", "hello"),
]


def test_a_default_that_is_a_constant_has_the_same_value(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    columns = [f"c{number} {declared} DEFAULT {default}" for number, (declared, default) in enumerate(CONSTANTS)]
    create = f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(columns)})"
    install(engine, tmp_path / "received", create)
    with closing(sqlite3.connect(":memory:")) as source:
        source.execute(create)
        source.execute("INSERT INTO t (id) VALUES (1)")
        expected = source.execute("SELECT * FROM t").fetchone()
    # A text column that takes numbers has them as texts.
    expected = [
        str(one) if default == "20240102" else one
        for one, (_, default) in zip(expected[1:], CONSTANTS, strict=True)
    ]
    database.query("INSERT INTO t (id) VALUES (1)")
    (found,) = database.query("SELECT * FROM t")
    assert [plain(one) for one in found[1:]] == expected


def test_a_default_that_is_the_moment_is_written_as_sqlite_writes_it(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    moments = ("DATETIME DEFAULT CURRENT_TIMESTAMP", "TEXT DEFAULT CURRENT_DATE", "TEXT DEFAULT (time('now'))")
    more = ("TEXT DEFAULT (datetime('now'))", "INTEGER DEFAULT (unixepoch())")
    columns = ", ".join(f"{name} {one}" for name, one in zip("abcde", (*moments, *more), strict=True))
    install(engine, tmp_path / "received", f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
    with database.server.connect(database.name) as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        connection.execute("INSERT INTO t (id) VALUES (1)")
    (found,) = database.query("SELECT a, b, c, d, e FROM t")
    with closing(sqlite3.connect(":memory:")) as source:
        a, b, c, d, e = found
        assert source.execute("SELECT datetime(?), date(?), time(?), datetime(?)", (a, b, c, d)).fetchone() == (
            a,
            b,
            c,
            d,
        )
        (now,) = source.execute("SELECT unixepoch()").fetchone()
        (written,) = source.execute("SELECT unixepoch(?)", (a,)).fetchone()
        assert now - 60 <= written <= now
        assert written == e


def test_what_may_have_another_value_is_left_out_by_name(
    engine: PostgresqlEngine, database: Database, tmp_path: Path, logged: list[str]
) -> None:
    install(
        engine,
        tmp_path / "received",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER DEFAULT (random()), b INTEGER DEFAULT 'x', "
        "c INTEGER DEFAULT CURRENT_TIMESTAMP, d TEXT DEFAULT (strftime('%s', 'now')))",
    )
    assert database.query("SELECT count(*) FROM pg_attrdef WHERE adrelid = 't'::regclass") == [(0,)]
    named = [found[1] for one in logged if (found := re.search(r"the default .* of t\.(\w) is left out", one))]
    assert sorted(set(named)) == ["a", "b", "c", "d"]
