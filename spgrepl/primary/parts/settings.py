"""The settings of a primary that change what its statements do, and that last: they are stored in its database.

They concern the primary alone. Its copies get the rows that came out, with all that foreign keys and triggers did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import apsw

from spgrepl.sqlite.any_connection import SqlConnection

_CREATE = "CREATE TABLE IF NOT EXISTS spgrepl_settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_settings'"


SUBSCRIBERS = "subscribers"
"""The setting that there may be subscribers: once there might have been, it stays."""


DRAINED = "drained"
"""The setting that the primary takes no more writes."""


def store_setting(connection: SqlConnection, name: str, on: bool) -> None:
    """Store a setting, in the open transaction.

    Args:
        connection: The primary's database.
        name: ``foreign_keys``, ``recursive_triggers`` or `SUBSCRIBERS`.
        on: Whether it is on.
    """
    connection.execute(_CREATE)
    connection.execute("INSERT OR REPLACE INTO spgrepl_settings VALUES (?, ?)", (name, int(on)))


def read_settings(connection: SqlConnection) -> dict[str, bool]:
    """Read the settings that were ever changed; all others are off."""
    if connection.execute(_THERE).fetchone() is None:
        return {}
    found = connection.execute("SELECT name, value FROM spgrepl_settings")
    return {name: bool(value) for name, value in found}


def note_subscribers(connection: apsw.Connection) -> None:
    """Write down, in the open transaction, that there may be subscribers, for writers that know of none."""
    if not read_settings(connection).get(SUBSCRIBERS):
        last = connection.last_insert_rowid()  # a user may still ask for it
        store_setting(connection, SUBSCRIBERS, on=True)
        connection.set_last_insert_rowid(last)


def is_drained(connection: SqlConnection) -> bool:
    """Whether the primary takes no more writes."""
    return read_settings(connection).get(DRAINED, False)


def use_settings(connection: apsw.Connection, instead: Mapping[str, bool]) -> bool:
    """Let a connection work by the settings, which works inside a transaction, too.

    Args:
        connection: The primary's connection.
        instead: Settings that hold whatever is stored.

    Returns:
        Whether foreign keys are kept.
    """
    found = {**read_settings(connection), **instead}
    foreign_keys = found.get("foreign_keys", False)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, int(foreign_keys))
    connection.execute(f"PRAGMA recursive_triggers = {'ON' if found.get('recursive_triggers') else 'OFF'}")
    return foreign_keys


@contextlib.contextmanager
def only_rows(connection: apsw.Connection) -> Iterator[None]:
    """Inside the block a statement that changes a row changes that row alone: no trigger, no foreign key acts."""
    switches = (
        apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER,
        apsw.SQLITE_DBCONFIG_ENABLE_FKEY,
        apsw.SQLITE_DBCONFIG_DQS_DML,
    )
    before = [connection.config(switch, -1) for switch in switches]
    for switch in switches:
        connection.config(switch, 0)
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            connection.config(switch, value)
