"""Opening a primary's database with APSW."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from spgrepl.errors import LocalFilesDamaged, WritesRefused
from spgrepl.sqlite.session import Patience, prepare_session
from spgrepl.text.role_log import RoleLogger

_log = RoleLogger()

Setup = Callable[[apsw.Connection], None]
"""Registers functions, collations or modules of the embedding program on a connection."""


def changed_by_others(database: Path) -> str:
    """Say, in the log of this program, too, that another program has written a primary's database."""
    warning = (
        f"another program has changed {database}: what it wrote is not in the log, and copies do not have it: "
        f"give them a fresh snapshot, and write through spgrepl only"
    )
    _log.warn("{what}", what=warning)
    return warning


def writes_refused(database: Path, position: int) -> WritesRefused:
    """Why a primary that was drained takes no writes."""
    return WritesRefused(
        f"{database} was drained at position {position}: nothing is written here any more. Write to the new "
        f"primary, or let this one be written again with `spgrepl drain --undo`"
    )


def unfit_values(error: apsw.BindingsError) -> str:
    """What to say when a statement was given fewer or more values than it has parameters."""
    return (
        f"the values do not fit the parameters of the statement, which are written ?, ?1, :name, @name or $name "
        f"({error}): give a value for each, or put text into single quotes"
    )


def open_database(
    database: Path, patience: Patience, *, read_only: bool = False, setup: Setup | None = None
) -> apsw.Connection:
    """Open a database, with the settings with which statements mean the same everywhere.

    Args:
        database: The file; made where it is missing, unless it is only to be read.
        patience: Waits for another program that holds a lock.
        read_only: Whether it is only to be read.
        setup: Called with the connection.

    Raises:
        apsw.Error: It cannot be opened.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(database), flags=flags)
    connection.set_busy_handler(patience)
    prepare_session(connection)
    if setup is not None:
        setup(connection)
    return connection


def set_up(connection: apsw.Connection, database: Path) -> None:
    """Set a connection up for writing: the journal, and what makes its commits durable.

    Raises:
        LocalFilesDamaged: The database cannot be put into WAL journal mode.
    """
    mode = connection.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise LocalFilesDamaged(
            f"{database} is in journal mode {mode} and cannot be put into WAL mode; put it on a local disk, and "
            f"close other programs that have it open"
        )
    # The log is durable before a commit: what a loss of power takes from the database is applied again.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
