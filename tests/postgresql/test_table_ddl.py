"""What a table of SQLite declares beside its columns: the same in PostgreSQL, or left out by name."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

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


TABLE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, first TEXT NOT NULL CHECK (first <> ''), last TEXT, age INTEGER
    CONSTRAINT old_enough CHECK (age BETWEEN 0 AND 150), kind TEXT CHECK (kind IN ('a', 'b')), active BOOLEAN
    CHECK (active IN (0, 1)), r REAL CHECK (r > -1), gone DATETIME, noted TEXT COLLATE NOCASE CHECK (noted > 'a'),
    whole TEXT GENERATED ALWAYS AS (first || ' ' || coalesce(last, '?')) STORED, size INTEGER AS (length(first)),
    is_old BOOL AS (age > 99), many INTEGER AS (age * 2), small TEXT AS (lower(first)),
    CHECK (first <= last OR last IS NULL OR NOT length(last) > 0), CHECK (age * 2 < 100 OR age % 2 = 0))
"""


def checks(database: Database, table: str = "people") -> int:
    query = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = to_regclass(%s)"
    (count,) = database.query(query, table)[0]
    assert isinstance(count, int)
    return count


def test_checks_and_generated_columns_that_mean_the_same_are_made(
    engine: PostgresqlEngine, database: Database, tmp_path: Path, logged: list[str]
) -> None:
    """And what may mean something else is named once."""
    rows = [
        "INSERT INTO people (id, first, last, age, kind, active, r) VALUES (1, 'Ada', 'B', 100, 'a', 1, 0)",
        "INSERT INTO people (id, first, age) VALUES (2, 'ÄB', NULL)",
    ]
    install(engine, tmp_path / "received", TABLE, *rows)
    found = database.query("SELECT id, whole, size, is_old, small FROM people ORDER BY id")
    with closing(sqlite3.connect(":memory:")) as source:
        for statement in (TABLE, *rows):
            source.execute(statement)
        assert found == source.execute("SELECT id, whole, size, is_old, small FROM people ORDER BY id").fetchall()
        for values in (
            "(3, '', NULL, 1, 'a', 1, 0)",
            "(3, 'a', NULL, 151, 'a', 1, 0)",
            "(3, 'a', NULL, 1, 'c', 1, 0)",
            "(3, 'a', NULL, 1, 'a', 1, -1)",
            "(3, 'b', 'B', 1, 'a', 1, 0)",
        ):
            insert = f"INSERT INTO people (id, first, last, age, kind, active, r) VALUES {values}"
            with pytest.raises(sqlite3.IntegrityError):
                source.execute(insert)
            with pytest.raises(psycopg.errors.CheckViolation):
                database.query(insert.replace("1, -1", "true, -1").replace("1, 0)", "true, 0)"))
    assert checks(database) == 6
    named = " ".join(one for one in logged if "left out" in one)
    for part in ("people.many is generated", "age * 2 < 100", "noted > 'a'"):
        assert named.count(part) == 1


def test_a_unique_index_judges_as_sqlites_does_or_is_left_out(
    engine: PostgresqlEngine, database: Database, tmp_path: Path, logged: list[str]
) -> None:
    install(
        engine,
        tmp_path / "received",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b TEXT, gone DATETIME, n INTEGER)",
        "CREATE UNIQUE INDEX alive ON t (b) WHERE gone IS NULL",
        "CREATE UNIQUE INDEX odd ON t (n % 7)",
        "CREATE UNIQUE INDEX lowered ON t (lower(b), n DESC)",
        "CREATE INDEX plain ON t (length(b)) WHERE n > 3",
        "CREATE INDEX greater ON t (n + 1)",
        "INSERT INTO t VALUES (1, 'É', 'x', '2024-01-01', 1), (2, 'é', 'x', NULL, 8 - 1), (3, 'Z', 'Y', NULL, 3)",
    )
    query = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1"
    made = database.query(query)
    assert made == [(name,) for name in ("alive", "lowered", "plain", "t_lower_idx", "t_pkey")]
    for name in ("odd", "greater"):
        assert sum(f"the index {name} of t is left out" in one for one in logged) == 1
    database.query(f"INSERT INTO t VALUES (5, 'w', 'w', NULL, {2**63 - 1})")
    for values in ("(4, 'z', 'q', NULL, 9)", "(4, 'q', 'x', NULL, 9)", "(4, 'q', 'y', '2024-01-01', 3)"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            database.query(f"INSERT INTO t VALUES {values}")
