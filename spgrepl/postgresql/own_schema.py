"""The schema ``spgrepl`` in a server: how far its subscriptions and its copy have come, and what was put aside."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from spgrepl.postgresql import driver
from spgrepl.postgresql.names import SCHEMA

_TABLES = (
    "subscriptions (name text PRIMARY KEY, position bigint NOT NULL, effective_start bigint NOT NULL, "
    "publications text NOT NULL, history text NOT NULL)",
    "copies (name text PRIMARY KEY, position bigint NOT NULL, base bigint NOT NULL, state text NOT NULL)",
    "skipped (subscription text NOT NULL, position bigint NOT NULL, crc bigint NOT NULL, record bytea NOT NULL, "
    "sql text NOT NULL, reason text NOT NULL, skipped_at timestamptz NOT NULL DEFAULT now())",
    "copied (subscription text NOT NULL, table_name text NOT NULL, shape text NOT NULL, "
    "PRIMARY KEY (subscription, table_name))",
    "columns (table_name text PRIMARY KEY, columns text NOT NULL)",
    "cluster (id text PRIMARY KEY)",
    "leases (name text PRIMARY KEY, owner text NOT NULL, until timestamptz NOT NULL)",
    "copy_tables (table_name text PRIMARY KEY)",
    "source (place bigint PRIMARY KEY, kind text NOT NULL, name text NOT NULL, sql text NOT NULL)",
)

_TRIES = 5
_RACE = ("23505", "42P06", "42P07", "42710")
"""What a server says to the slower one of two that make the same schema or table at once."""


def is_there(connection: Any) -> bool:
    """Whether the schema has been made, with all its tables."""
    query = (
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY (%s)"
    )
    names = [table.partition(" ")[0] for table in _TABLES]
    return bool(connection.execute(query, (SCHEMA, names)).fetchone()[0] == len(names))


def ensure(connection: Any) -> None:
    """Make the schema and its tables where they are missing; no transaction may be open.

    Raises:
        psycopg.Error: The server refuses.
    """
    psycopg = driver.load()
    tables = [f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{table}" for table in _TABLES]
    for attempt in range(1, _TRIES + 1):
        if is_there(connection):
            return
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchone()
        # A schema that somebody made for this role is no reason to need the right to make one.
        schema = [] if found else [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"]
        try:
            # All in one transaction: one way there and back, one flush.
            connection.execute("; ".join([*schema, *tables]))
        except psycopg.Error as error:
            if error.sqlstate not in _RACE or attempt == _TRIES:
                raise
        else:
            return


def cluster_id(connection: Any) -> int:
    """The id of this server's side, by which a loop is noticed; made once, by whoever asks first."""
    connection.execute(
        f"INSERT INTO {SCHEMA}.cluster SELECT %s WHERE NOT EXISTS (SELECT 1 FROM {SCHEMA}.cluster)",
        (f"{secrets.randbits(63) | 1:016x}",),
    )
    rows = connection.execute(f"SELECT min(id) FROM {SCHEMA}.cluster").fetchone()
    return int(rows[0], 16)


# -- tables that were copied ----------------------------------------------------------------------------------


def note_copied(connection: Any, name: str, shapes: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write down, in the open transaction, what the copied tables of a subscription look like."""
    connection.execute(f"DELETE FROM {SCHEMA}.copied WHERE subscription = %s", (name,))
    for table, shape in shapes:
        connection.execute(f"INSERT INTO {SCHEMA}.copied VALUES (%s, %s, %s)", (name, table, json.dumps(shape)))


def copied_shapes(connection: Any, name: str) -> dict[str, dict[str, Any]]:
    """What the copied tables of a subscription looked like, by name."""
    rows = connection.execute(f"SELECT table_name, shape FROM {SCHEMA}.copied WHERE subscription = %s", (name,))
    return {table: json.loads(shape) for table, shape in rows.fetchall()}


def copied_alone(connection: Any, name: str) -> frozenset[str]:
    """The tables that this subscription has filled, and no other one."""
    rows = connection.execute(
        f"SELECT table_name FROM {SCHEMA}.copied GROUP BY table_name HAVING bool_and(subscription = %s)", (name,)
    )
    return frozenset(str(table) for (table,) in rows.fetchall())


def note_columns(connection: Any, table: str, kinds: Mapping[str, Any]) -> None:
    """Write down, in the open transaction, what is to be known of a table's columns beside their types.

    Args:
        connection: The server.
        table: The table.
        kinds: It, by the columns' names; `spgrepl.postgresql.tables` has what there may be.
    """
    connection.execute(f"DELETE FROM {SCHEMA}.columns WHERE table_name = %s", (table,))
    if kinds:
        connection.execute(f"INSERT INTO {SCHEMA}.columns VALUES (%s, %s)", (table, json.dumps(kinds)))
