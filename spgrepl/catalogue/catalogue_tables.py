"""The catalogue of publications and subscriptions in a SQLite database.

It is two tables of spgrepl's own, so it survives a restart, travels with snapshots, and changes in the very
transaction in which a statement stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from spgrepl.base.results import QueryResult
from spgrepl.catalogue.connection_string import parse_connection
from spgrepl.catalogue.definitions import LONGEST_NAME, MOST_ASKED_FOR
from spgrepl.catalogue.statements import (
    CatalogChange,
    CatalogLook,
    CreatePublication,
    CreateSubscription,
    DropPublication,
    DropSubscription,
    Scope,
    ShowPublications,
    parse_catalog_change,
)
from spgrepl.catalogue.stored import read_publications
from spgrepl.errors import StatementRefused, UsageError
from spgrepl.errors.shown import shown_connection
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.sqlite.state import OWN_PREFIX, ROLE_FOLLOWER, read_state
from spgrepl.text.quantities import number_of

_TABLES = (
    "CREATE TABLE IF NOT EXISTS spgrepl_publications "
    "(name TEXT PRIMARY KEY, scope TEXT NOT NULL, tables TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spgrepl_subscriptions "
    "(name TEXT PRIMARY KEY, connection TEXT NOT NULL, publications TEXT NOT NULL)",
)
_SCOPES = {
    Scope.ALL: "FOR ALL TABLES",
    Scope.ONLY: "FOR TABLE ",
    Scope.EXCEPT: "FOR ALL TABLES EXCEPT ",
}


# -- changing -------------------------------------------------------------------------------------------------


def note_control(connection: SqlConnection, statement: bytes) -> None:
    """Take a statement of a log into the catalogue, inside the transaction that is open.

    A name that exists is replaced and a missing one dropped without complaint: the master has judged that, and
    older ones logged the drop of a missing name as a success.

    Args:
        connection: The database.
        statement: The statement in UTF-8; one that changes no catalogue (SHOW, SET, WAIT FOR) does nothing.

    Raises:
        StatementRefused: It is not of the form of PROTOCOL section 5.
    """
    try:
        change = parse_catalog_change(statement.decode("utf-8"))
    except ValueError as error:
        raise StatementRefused(0, statement, str(error)) from error
    if change is not None:
        note_change(connection, change)


def note_change(connection: SqlConnection, change: CatalogChange) -> None:
    """Make a change of the catalogue, inside the transaction that is open; see `note_control`."""
    for table in _TABLES:
        connection.execute(table)
    if isinstance(change, CreatePublication):
        connection.execute(
            "INSERT OR REPLACE INTO spgrepl_publications VALUES (?, ?, ?)",
            (change.name, change.scope.value, json.dumps(change.tables)),
        )
    elif isinstance(change, CreateSubscription):
        connection.execute(
            "INSERT OR REPLACE INTO spgrepl_subscriptions VALUES (?, ?, ?)",
            (change.name, shown_connection(change.connection), json.dumps(change.publications)),
        )
    else:
        connection.execute(f"DELETE FROM spgrepl_{_kind(change)}s WHERE name = ?", (change.name,))
    if isinstance(change, CreateSubscription | DropSubscription) and has_table(connection, "spgrepl_subscriber"):
        # How far an earlier one of that name had come says nothing of this one.
        connection.execute("DELETE FROM spgrepl_subscriber WHERE name = ?", (change.name,))


def _kind(change: CatalogChange) -> str:
    return "publication" if isinstance(change, CreatePublication | DropPublication) else "subscription"


# -- judging --------------------------------------------------------------------------------------------------


def reason_against(connection: SqlConnection, change: CatalogChange) -> str | None:
    """Why a primary cannot accept a change of its catalogue.

    Args:
        connection: The primary's database.
        change: What is asked for.

    Returns:
        What is in the way and what to do; None where nothing is.
    """
    kind, name = _kind(change), change.name
    exists = (
        has_table(connection, f"{OWN_PREFIX}{kind}s")
        and connection.execute(f"SELECT 1 FROM {OWN_PREFIX}{kind}s WHERE name = ?", (name,)).fetchone()
    )
    if isinstance(change, DropPublication | DropSubscription):
        if exists or change.missing_ok:
            return None
        return f'there is no {kind} "{name}": SHOW {kind.upper()}S lists those that exist, IF EXISTS is content'
    if exists:
        return f'the {kind} "{name}" exists already: drop it first, or choose another name'
    if isinstance(change, CreatePublication):
        size = len(name.encode("utf-8"))
        if size > LONGEST_NAME:
            return (
                f"the publication's name has {number_of(size, 'byte')}, and a subscriber can ask for "
                f"one of {LONGEST_NAME}: choose a shorter one"
            )
        return next(_reasons_against_tables(connection, change.tables), None)
    size = sum(2 + len(one.encode("utf-8")) for one in change.publications)
    if len(change.publications) > MOST_ASKED_FOR or size > LONGEST_NAME + 2:
        return (
            f"the subscription asks for {number_of(len(change.publications), 'publication')} with "
            f"names of {number_of(size, 'byte')}; a "
            f"subscriber can ask for {MOST_ASKED_FOR} and {LONGEST_NAME + 2}: make several subscriptions of it"
        )
    try:
        parse_connection(change.connection)
    except UsageError as error:
        return str(error)
    return None


def _reasons_against_tables(connection: SqlConnection, tables: tuple[str, ...]) -> Iterator[str]:
    for table in tables:
        if table.lower().startswith(OWN_PREFIX):
            yield f'"{table}" belongs to spgrepl: its own tables are never published'
            continue
        if table.lower().startswith("sqlite_"):
            yield f'"{table}" belongs to SQLite: its own tables are never published'
            continue
        found = connection.execute(
            "SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')", (table,)
        ).fetchone()
        if found is None and "." in table:
            yield f'there is no table "{table}": SQLite knows no schemas, all tables are in public'
        elif found is None:
            yield f'there is no table "{table}": create it first'
        elif found[0] == "view":
            yield f'"{table}" is a view, which holds no rows of its own: publish its tables'


def has_table(connection: SqlConnection, name: str) -> bool:
    """Whether a database has a table of a name."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


# -- reading --------------------------------------------------------------------------------------------------


def read_subscriptions(connection: SqlConnection) -> list[CreateSubscription]:
    """Read all subscriptions, by name; a follower's copy holds those of its master, which it never starts."""
    if not has_table(connection, "spgrepl_subscriptions"):
        return []
    rows = connection.execute("SELECT name, connection, publications FROM spgrepl_subscriptions ORDER BY name")
    return [CreateSubscription(name, where, tuple(json.loads(names))) for name, where, names in rows]


def show(connection: SqlConnection, statement: CatalogLook) -> QueryResult:
    """Answer SHOW PUBLICATIONS or SHOW SUBSCRIPTIONS.

    Args:
        connection: The database, inside a transaction: several tables are read.
        statement: What to show.

    Raises:
        LocalFilesDamaged: The catalogue holds what spgrepl does not write.
    """
    if isinstance(statement, ShowPublications):
        return _show_publications(connection)
    return _show_subscriptions(connection)


def _show_publications(connection: SqlConnection) -> QueryResult:
    return QueryResult(
        ("name", "scope", "table_count"),
        [
            (one.name, _SCOPES[one.scope] + ", ".join(one.tables), len(one.tables) or None)
            for _, one in sorted(read_publications(connection).by_name.items())
        ],
    )


def _show_subscriptions(connection: SqlConnection) -> QueryResult:
    stored = read_state(connection)
    # A follower learns its master's subscriptions from the log, and must not start them.
    enabled = int(stored is None or stored.role != ROLE_FOLLOWER)
    received: dict[str, int] = {}
    if has_table(connection, "spgrepl_subscriber"):
        received = dict(connection.execute("SELECT name, position FROM spgrepl_subscriber").fetchall())
    return QueryResult(
        ("name", "conn_str", "publications", "enabled", "last_received_pos"),
        [
            (one.name, one.connection, ", ".join(one.publications), enabled, received.get(one.name))
            for one in read_subscriptions(connection)
        ],
    )
