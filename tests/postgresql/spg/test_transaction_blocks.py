"""Statements that PostgreSQL does not take in a transaction, or whose effect comes only after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import StatementRefused
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run, with_tables

TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)",
    "CREATE TYPE mood AS ENUM ('sad')",
    "CREATE TABLE m (id INT PRIMARY KEY, m mood)",
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
)


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    with with_tables(database, tmp_path / "received", TABLES) as made:
        yield made


@pytest.mark.parametrize(
    ("statements", "use"),
    [
        (["ALTER TYPE mood ADD VALUE 'glad'"], "INSERT INTO m VALUES (1, 'glad')"),
        (["ALTER TYPE mood ADD VALUE IF NOT EXISTS 'glad' BEFORE 'sad'"], "INSERT INTO m VALUES (1, 'glad')"),
        (["CREATE TYPE n AS ENUM ('a')", "ALTER TYPE n ADD VALUE 'b'"], "CREATE TABLE w (n n DEFAULT 'b')"),
    ],
)
def test_a_new_label_of_an_enum(
    statements: list[str], use: str, engine: PostgresqlEngine, database: Database
) -> None:
    """In the transaction that adds it PostgreSQL does not take it: that is named, by its own statement.

    Whoever replays commits what stands before it then, and so it is taken where the master has added it before.
    """
    with pytest.raises(StatementRefused, match="New enum values must be committed before they can be used") as one:
        run(engine, [*statements, use], 300)
    assert one.value.index == len(statements)
    run(engine, statements, 300)
    run(engine, [use], 400)
    assert database.query("SELECT m::text FROM m") == ([("glad",)] if "INTO m" in use else [])


def test_indexes_are_made_and_dropped_in_the_transaction(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "INSERT INTO t VALUES (1, 'concurrently')",
            "CREATE INDEX CONCURRENTLY i ON t (x)",
            "CREATE UNIQUE INDEX concurrently IF NOT EXISTS j ON t (x)",
            "CREATE INDEX k ON t (x)",
            "DROP INDEX CONCURRENTLY IF EXISTS i",
        ],
        300,
    )
    query = "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1"
    assert database.query(query) == [("j", True), ("k", True), ("t_pkey", True)]
    assert database.query("SELECT x FROM t") == [("concurrently",)]


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM",
        "VACUUM (FULL) t",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX DATABASE tests",
        "CLUSTER",
        "CREATE DATABASE other",
        "DROP DATABASE IF EXISTS other",
        "ALTER DATABASE tests SET TABLESPACE pg_default",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE TABLESPACE there LOCATION '/nowhere'",
        "DISCARD ALL",
    ],
)
def test_what_is_no_business_of_a_copy_is_skipped(statement: str, engine: PostgresqlEngine) -> None:
    run(engine, ["INSERT INTO t VALUES (1, 'a')", statement, "UPDATE t SET x = 'b'"], 300)
    spg = engine.statistics()["spg"]
    assert isinstance(spg, dict)
    assert list(spg["skipped"].values()) == [1]


def test_ddl_after_rows_whose_constraints_wait(engine: PostgresqlEngine, database: Database) -> None:
    """Transactions of the master go out together: what waits for the COMMIT of one is checked before the next."""
    run(
        engine,
        [
            "INSERT INTO child VALUES (1)",
            "INSERT INTO parent VALUES (1)",
            "ALTER TABLE child ADD COLUMN more INT",
            "INSERT INTO child VALUES (2, 3)",
            "INSERT INTO parent VALUES (2)",
            "TRUNCATE child",
        ],
        300,
    )
    assert database.query("SELECT count(*) FROM child") == [(0,)]
    with pytest.raises(StatementRefused, match="violates foreign key constraint") as refused:
        run(engine, ["INSERT INTO child VALUES (7, 7)", "ALTER TABLE child DROP COLUMN more"], 400)
    assert refused.value.index == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TEMP TABLE t (id INT)", "a temporary table is of one connection"),
        ("CREATE GLOBAL TEMPORARY TABLE t (id INT) ON COMMIT DROP", "a temporary table is of one connection"),
        ("SELECT id INTO TEMP other FROM t", "a temporary table is of one connection"),
        ("CREATE TEMP TABLE other AS SELECT id FROM t", "a temporary table is of one connection"),
        ("CREATE TEMP VIEW v AS SELECT 1", "CREATE TEMP VIEW: it is of one connection"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION: its transaction ends later"),
        ("DROP OWNED BY bob", "DROP OWNED: which tables it drops"),
        ("DROP EXTENSION hstore CASCADE", "DROP EXTENSION … CASCADE"),
        ("DROP SCHEMA app CASCADE", 'schema "app" does not exist'),
        ("DROP DOMAIN d CASCADE", 'type "d" does not exist'),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", '"t" is not partitioned'),
    ],
)
def test_what_cannot_be_done_here_stops_by_name(statement: str, said: str, engine: PostgresqlEngine) -> None:
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)
