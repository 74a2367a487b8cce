"""What a log may do to a copy, as SQLite understands it, whatever the words: our own tables stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.sqlite.log_guard import LogGuard
from spgrepl.sqlite.own_names import ForbiddenStatement

SCHEMA = (
    "CREATE TABLE t (a)",
    "CREATE TABLE spgrepl_own (a)",
    "CREATE VIEW v AS SELECT a FROM spgrepl_own",
    "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO spgrepl_own VALUES (NEW.a); END",
)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        for sql in SCHEMA:
            made.execute(sql)
        yield made


@pytest.fixture
def guard(connection: apsw.Connection) -> LogGuard:
    return LogGuard(connection)


def run(connection: apsw.Connection, guard: LogGuard, sql: str) -> None:
    with guard.guarding(sql):
        connection.execute(sql, can_cache=False).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX i ON t (a)",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE VIEW w AS SELECT * FROM t",
        "CREATE TABLE c AS SELECT * FROM t",
        "ALTER TABLE t ADD COLUMN b CHECK (b <> 1)",
        "ALTER TABLE t RENAME TO u",
        "PRAGMA user_version = 5",
        "ANALYZE",
        "REINDEX",
        "INSERT INTO t SELECT name FROM pragma_table_info('t')",
        "INSERT INTO t VALUES ('spgrepl_own')",
    ],
)
def test_what_changes_its_tables_is_run(connection: apsw.Connection, guard: LogGuard, sql: str) -> None:
    run(connection, guard, sql)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM 'SPGREPL_OWN'", "belongs to spgrepl"),
        ("SELECT * FROM v", "belongs to spgrepl"),
        ("INSERT INTO v VALUES (1)", "belongs to spgrepl"),
        ("ALTER TABLE t RENAME TO spgrepl_x", "are spgrepl's own"),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM spgrepl_own; END", "spgrepl"),
        ("CREATE VIEW w AS SELECT * FROM spgrepl_own", "spgrepl"),
        ("CREATE VIRTUAL TABLE spgrepl USING fts5(a)", "belongs to spgrepl"),
        ("PRAGMA foreign_keys = ON", "not the log's to change"),
        ("SELECT * FROM pragma_journal_mode", "not the log's to change"),
        ("PRAGMA optimize", "not the log's to change"),
        ("ATTACH ':memory:' AS other", "other files of this machine"),
        ("VACUUM INTO 'x'", "other files of this machine"),
        ("SELECT load_extension('x')", "other files of this machine"),
        ("SAVEPOINT s; ROLLBACK", "transactions of a copy are its own"),
    ],
)
def test_what_is_not_the_logs_is_refused(
    connection: apsw.Connection, guard: LogGuard, sql: str, reason: str
) -> None:
    connection.enable_load_extension(True)
    with pytest.raises(ForbiddenStatement, match=reason):
        run(connection, guard, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE t (a)",
        "CREATE TABLE temp.t (a)",
        "CREATE TEMP TABLE t AS SELECT 1 AS a",
        "CREATE VIRTUAL TABLE temp.t USING fts5(a)",
        "CREATE VIRTUAL TABLE temp.t USING dbstat",
        "CREATE TEMP VIEW t AS SELECT 1 AS a",
        "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END",
    ],
)
def test_nothing_stands_between_the_log_and_the_tables(
    connection: apsw.Connection, guard: LogGuard, sql: str
) -> None:
    """SQLite looks for a name in `temp` first: rows would go there, and be gone at the next start."""
    with pytest.raises(ForbiddenStatement, match="would stand between the log and the tables of the copy"):
        run(connection, guard, sql)
    run(connection, guard, "INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM main.t").get == 1


def test_what_is_our_own_is_not_judged(connection: apsw.Connection, guard: LogGuard) -> None:
    with pytest.raises(ForbiddenStatement):
        run(connection, guard, "DELETE FROM spgrepl_own")
    connection.execute("INSERT INTO spgrepl_own VALUES (1)")
    with pytest.raises(apsw.SQLError), guard.guarding("nothing"):
        connection.execute("nothing")
    connection.execute("DELETE FROM spgrepl_own")
