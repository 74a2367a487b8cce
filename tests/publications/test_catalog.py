"""The catalogue that a log's publication statements leave in a copy."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from spgrepl.errors import StatementRefused
from spgrepl.publications.catalog import note_control


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        yield made


def note(connection: sqlite3.Connection, *statements: str) -> None:
    for statement in statements:
        note_control(connection, statement.encode())


def test_publications_and_subscriptions_are_kept(connection: sqlite3.Connection) -> None:
    note(
        connection,
        "CREATE PUBLICATION p FOR TABLE a, b",
        "CREATE PUBLICATION q",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p, q",
        "SHOW PUBLICATIONS",
        "SET effective_wal_level = 'replica'",
    )
    assert connection.execute("SELECT * FROM spgrepl_publications ORDER BY 1").fetchall() == [
        ("p", "only", '["a", "b"]'),
        ("q", "all", "[]"),
    ]
    assert connection.execute("SELECT * FROM spgrepl_subscriptions").fetchall() == [("s", "host=h", '["p", "q"]')]


def test_replay_tolerates_what_older_servers_logged(connection: sqlite3.Connection) -> None:
    note(connection, "DROP PUBLICATION never_there", "DROP SUBSCRIPTION never_there")
    note(connection, "CREATE PUBLICATION p FOR TABLE a", "CREATE PUBLICATION p FOR TABLE b", "DROP PUBLICATION p")
    assert connection.execute("SELECT * FROM spgrepl_publications").fetchall() == []


def test_a_statement_that_changes_nothing_makes_no_tables(connection: sqlite3.Connection) -> None:
    note(connection, "WAIT FOR WAL POSITION 7")
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize("statement", [b"CREATE PUBLICATION", b"ALTER PUBLICATION p", b"CREATE PUBLICATION \xff"])
def test_what_cannot_be_read_is_refused(connection: sqlite3.Connection, statement: bytes) -> None:
    with pytest.raises(StatementRefused) as caught:
        note_control(connection, statement)
    assert caught.value.sql == statement
