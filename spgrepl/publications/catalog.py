"""The catalogue of publications and subscriptions in a SQLite database: what the log said of them."""

from __future__ import annotations

import json
import sqlite3

from spgrepl.errors import StatementRefused
from spgrepl.publications.statements import (
    CreatePublication,
    CreateSubscription,
    DropPublication,
    parse_catalog_change,
)

_TABLES = (
    "CREATE TABLE IF NOT EXISTS spgrepl_publications "
    "(name TEXT PRIMARY KEY, scope TEXT NOT NULL, tables TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spgrepl_subscriptions "
    "(name TEXT PRIMARY KEY, connection TEXT NOT NULL, publications TEXT NOT NULL)",
)


def note_control(connection: sqlite3.Connection, statement: bytes) -> None:
    """Take a statement of PROTOCOL section 5 into the catalogue, inside the transaction that is open.

    A name that exists is replaced and a missing one dropped without complaint: the master has judged that, and
    older ones logged the drop of a missing name as a success.

    Args:
        connection: The database.
        statement: The statement in UTF-8; one that changes no catalogue (SHOW, SET, WAIT FOR) does nothing.

    Raises:
        StatementRefused: It is not of that section's form.
    """
    try:
        change = parse_catalog_change(statement.decode("utf-8"))
    except ValueError as error:
        raise StatementRefused(0, statement, str(error)) from error
    if change is None:
        return
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
            (change.name, change.connection, json.dumps(change.publications)),
        )
    else:
        kind = "publications" if isinstance(change, DropPublication) else "subscriptions"
        connection.execute(f"DELETE FROM spgrepl_{kind} WHERE name = ?", (change.name,))
