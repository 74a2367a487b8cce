"""What all connections that apply statements share: settings that change what statements do, and faults.

Settings are compiled in with different defaults here and there. A primary and its copies must agree on them, or
the same statement has another effect: so every connection that applies statements sets them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

BUSY_SECONDS = 30.0
"""How long to wait for another program that keeps a database locked."""

_SETTINGS = (
    # As in every SQLite that nobody told otherwise: constraints are declared, applications keep them. A copy could
    # not apply in any other order than the log's, and a check at COMMIT would come too late for the log.
    "PRAGMA foreign_keys = OFF",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA case_sensitive_like = OFF",
    "PRAGMA ignore_check_constraints = OFF",
    "PRAGMA legacy_alter_table = OFF",
    "PRAGMA reverse_unordered_selects = OFF",
    # Triggers and defaults may call the functions that the primary puts in place of SQLite's own.
    "PRAGMA trusted_schema = ON",
)

STORAGE_FAULTS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""What says nothing about a statement, but that the disk, the memory or another program stands in the way."""


def prepare_session(connection: sqlite3.Connection) -> None:
    """Give a connection the settings with which statements mean the same on a primary and on its copies."""
    for setting in _SETTINGS:
        connection.execute(setting)


def plain_connection(database: Path | str, uri: bool = False) -> sqlite3.Connection:
    """Open a database, without any settings yet.

    Args:
        database: The file, or its URI.
        uri: Whether it is a URI.
    """
    # Distinct statements would only churn the statement cache. The thread check is the worker's business.
    return sqlite3.connect(
        database,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=0,
        uri=uri,
    )


def prepare_applying(connection: sqlite3.Connection) -> None:
    """Give a connection the settings of one that applies the statements of a log."""
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, so that a position which was told to anybody is never taken back by a loss of power.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    prepare_session(connection)
    # A log has no business with other files of this machine.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
