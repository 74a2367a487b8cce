"""Statements on the schema, and what a copy needs to make the same change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.errors import StatementFailed
from spgrepl.primary.changes.layout import Unwritable
from spgrepl.primary.changes.schema_changes import SchemaChanges
from tests.primary.changes.recorded import Recorded

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded(TABLE, "INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    assert isinstance(made.schema_changes, SchemaChanges)
    with closing(made.connection):
        yield made


@pytest.mark.parametrize(
    ("sql", "logged"),
    [
        ("CREATE INDEX i ON t (a)", True),
        ("CREATE TABLE IF NOT EXISTS t (b)", False),
        ("DROP TABLE IF EXISTS nowhere", False),
        ("DROP VIEW IF EXISTS nowhere", False),
        ("ANALYZE", True),
        ("PRAGMA user_version = 5", True),
    ],
)
def test_what_changed_something_is_recorded_as_it_was_written(recorded: Recorded, sql: str, logged: bool) -> None:
    recorded.change(sql)
    assert recorded.statements() == [sql] * logged


def test_a_table_made_of_a_query_is_recorded_with_its_rows(recorded: Recorded) -> None:
    recorded.change("CREATE TABLE c AS SELECT random() AS r, a FROM t")
    recorded.assert_same_on_copy(recorded.statements())


def test_a_dropped_table_takes_rows_of_others_along(recorded: Recorded) -> None:
    recorded.connection.execute("PRAGMA foreign_keys = ON")
    recorded.change("CREATE TABLE c (p REFERENCES t ON DELETE CASCADE)")
    recorded.run("INSERT INTO c VALUES (1), (2)")
    recorded.change("DROP TABLE t")
    found = recorded.statements()
    assert found[-3:] == ["DELETE FROM c WHERE rowid=1", "DELETE FROM c WHERE rowid=2", "DROP TABLE t"]
    recorded.assert_same_on_copy(found)


def test_counters_are_settled_before_the_schema_changes(recorded: Recorded) -> None:
    recorded.change("CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)")
    recorded.run("INSERT OR IGNORE INTO n VALUES (5, 1), (9, 1)")
    recorded.run("INSERT OR IGNORE INTO n (a) VALUES (1)")
    recorded.change("ALTER TABLE n RENAME TO m")
    recorded.assert_same_on_copy(recorded.statements())


def test_what_looks_like_our_own_is_refused(recorded: Recorded) -> None:
    with pytest.raises(StatementFailed, match="names that begin with spgrepl_ belong to spgrepl"):
        recorded.change("CREATE VIRTUAL TABLE spgrepl USING fts5(a)")  # it makes spgrepl_data


def test_a_table_whose_rows_cannot_be_replicated_is_refused(recorded: Recorded) -> None:
    with pytest.raises(Unwritable, match="cannot be named on a copy"):
        recorded.change("CREATE TABLE h (rowid, _rowid_, oid)")


def test_what_sqlite_refuses_is_not_recorded(recorded: Recorded) -> None:
    with pytest.raises(apsw.SQLError):
        recorded.change("CREATE TABLE t (b)")
    assert recorded.statements() == []
