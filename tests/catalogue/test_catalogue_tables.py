"""The catalogue in a SQLite database: what a log leaves there, what a primary accepts, and what is shown."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from spgrepl.catalogue.catalogue_tables import (
    note_control,
    read_subscriptions,
    reason_against,
    show,
)
from spgrepl.catalogue.statements import (
    CreateSubscription,
    ShowPublications,
    ShowSubscriptions,
    parse_catalog_change,
)
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.sqlite import state as sqlite_state


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


# -- judging --------------------------------------------------------------------------------------------------


def reason(connection: sqlite3.Connection, sql: str) -> str | None:
    change = parse_catalog_change(sql)
    assert change is not None
    return reason_against(connection, change)


@pytest.fixture
def primary(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A database with tables, a view, and one publication and subscription."""
    connection.executescript(
        'CREATE TABLE Orders (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE "odd name" (a);'
        "CREATE VIEW v AS SELECT 1; CREATE INDEX i ON Orders (id); CREATE VIRTUAL TABLE words USING fts5(w)"
    )
    note(connection, "CREATE PUBLICATION p", "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p")
    return connection


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE PUBLICATION q",
        'CREATE PUBLICATION "P"',
        'CREATE PUBLICATION s FOR TABLE orders, ORDERS, "Orders", public.orders, words',
        'CREATE PUBLICATION q FOR ALL TABLES EXCEPT "odd name"',
        "CREATE SUBSCRIPTION p CONNECTION 'host=h port=1' PUBLICATION anything",
        "DROP PUBLICATION p",
        "DROP SUBSCRIPTION s",
        "DROP PUBLICATION IF EXISTS q",
        "DROP SUBSCRIPTION IF EXISTS q",
    ],
)
def test_what_a_primary_accepts(primary: sqlite3.Connection, sql: str) -> None:
    assert reason(primary, sql) is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE PUBLICATION p", 'the publication "p" exists already: drop it first'),
        ("CREATE PUBLICATION P FOR TABLE nowhere", 'the publication "p" exists already'),
        ("CREATE SUBSCRIPTION s CONNECTION 'd' PUBLICATION p", 'the subscription "s" exists already'),
        ("CREATE SUBSCRIPTION q CONNECTION '' PUBLICATION p", "the connection string '' names no host"),
        (
            "CREATE SUBSCRIPTION q CONNECTION 'user=u dbname=d' PUBLICATION p",
            "the connection string 'user=u dbname=d' names no host",
        ),
        (
            "CREATE SUBSCRIPTION q CONNECTION 'postgresql://h:1/d' PUBLICATION p",
            "the connection string 'postgresql://h:1/d' is a URI, which is not understood: write 'host=h port=1'",
        ),
        ('DROP PUBLICATION "P"', 'there is no publication "P": SHOW PUBLICATIONS lists those that exist'),
        ("DROP SUBSCRIPTION p", 'there is no subscription "p": SHOW SUBSCRIPTIONS lists'),
        ("CREATE PUBLICATION q FOR TABLE orders, nowhere", 'there is no table "nowhere": create it first'),
        ("CREATE PUBLICATION q FOR ALL TABLES EXCEPT nowhere", 'there is no table "nowhere"'),
        (
            "CREATE PUBLICATION q FOR TABLE other.orders",
            'there is no table "other.orders": SQLite knows no schemas',
        ),
        ("CREATE PUBLICATION q FOR TABLE v", '"v" is a view, which holds no rows of its own: publish its tables'),
        ("CREATE PUBLICATION q FOR TABLE i", 'there is no table "i"'),
        ("CREATE PUBLICATION q FOR TABLE sqlite_sequence", '"sqlite_sequence" belongs to SQLite'),
        ("CREATE PUBLICATION q FOR TABLE spgrepl_publications", '"spgrepl_publications" belongs to spgrepl'),
        ('CREATE PUBLICATION q FOR ALL TABLES EXCEPT "SPGREPL_x"', '"SPGREPL_x" belongs to spgrepl'),
    ],
)
def test_what_a_primary_refuses(primary: sqlite3.Connection, sql: str, message: str) -> None:
    assert (reason(primary, sql) or "").startswith(message)


def test_a_database_without_a_catalogue_has_no_names(connection: sqlite3.Connection) -> None:
    assert reason(connection, "CREATE PUBLICATION p") is None
    assert reason(connection, "DROP PUBLICATION IF EXISTS p") is None
    assert reason(connection, "DROP PUBLICATION p") is not None
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []


# -- reading and showing --------------------------------------------------------------------------------------


def test_nothing_is_shown_where_nothing_is(connection: sqlite3.Connection) -> None:
    assert read_subscriptions(connection) == []
    publications, subscriptions = show(connection, ShowPublications()), show(connection, ShowSubscriptions())
    assert (publications.columns, publications.rows) == (("name", "scope", "table_count"), [])
    assert subscriptions.columns == ("name", "conn_str", "publications", "enabled", "last_received_pos")
    assert subscriptions.rows == []
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []


def test_publications_are_shown_by_name(connection: sqlite3.Connection) -> None:
    note(
        connection,
        "CREATE PUBLICATION some FOR TABLE b, a",
        "CREATE PUBLICATION everything",
        'CREATE PUBLICATION "but one" FOR ALL TABLES EXCEPT "Odd, name"',
    )
    assert show(connection, ShowPublications()).rows == [
        ("but one", "FOR ALL TABLES EXCEPT Odd, name", 1),
        ("everything", "FOR ALL TABLES", None),
        ("some", "FOR TABLE b, a", 2),
    ]


def test_subscriptions_are_shown_by_name_with_what_they_received(connection: sqlite3.Connection) -> None:
    note(
        connection,
        "CREATE SUBSCRIPTION t CONNECTION 'host=h' PUBLICATION p, q",
        "CREATE SUBSCRIPTION s CONNECTION 'host=g' PUBLICATION r",
    )
    assert read_subscriptions(connection) == [
        CreateSubscription("s", "host=g", ("r",)),
        CreateSubscription("t", "host=h", ("p", "q")),
    ]
    rows = [("s", "host=g", "r", 1, None), ("t", "host=h", "p, q", 1, None)]
    assert show(connection, ShowSubscriptions()).rows == rows
    connection.execute("CREATE TABLE spgrepl_subscriber (name TEXT PRIMARY KEY, position INTEGER, more)")
    connection.execute("INSERT INTO spgrepl_subscriber VALUES ('s', 622, 0), ('elsewhere', 7, 0)")
    assert show(connection, ShowSubscriptions()).rows == [("s", "host=g", "r", 1, 622), rows[1]]


@pytest.mark.parametrize(("role", "enabled"), [(sqlite_state.ROLE_PRIMARY, 1), (sqlite_state.ROLE_FOLLOWER, 0)])
def test_a_copy_does_not_start_the_subscriptions_of_its_master(
    connection: sqlite3.Connection, role: str, enabled: int
) -> None:
    sqlite_state.ensure_table(connection)
    sqlite_state.write_state(connection, role, ReplayState(9, 0))
    note(connection, "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p")
    assert show(connection, ShowSubscriptions()).rows == [("s", "c", "p", enabled, None)]
