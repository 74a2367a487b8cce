"""What all connections that apply statements share: settings that change what statements do, waiting, and faults.

Settings are compiled in with different defaults here and there. A primary and its copies must agree on them, or
the same statement has another effect: so every connection that applies statements sets them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from spgrepl.disk.unnamed_files import database_uri
from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.sqlite.any_connection import SqlConnection

BUSY_SECONDS = 30.0
"""How long to wait for another program that keeps a database locked."""

_LONGEST_NAP = 0.05
"""Seconds between two looks at a lock."""

_ANY_READ = "SELECT 1 FROM sqlite_schema LIMIT 1"

_SETTINGS = (
    # As in every SQLite that nobody told otherwise: constraints are declared, applications keep them. A copy could
    # not apply in any other order than the log's, and a check at COMMIT would come too late for the log.
    "PRAGMA foreign_keys = OFF",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA case_sensitive_like = OFF",
    "PRAGMA ignore_check_constraints = OFF",
    "PRAGMA legacy_alter_table = OFF",
    "PRAGMA reverse_unordered_selects = OFF",
    # Triggers and defaults may call the functions that the embedding program has registered at its primary.
    "PRAGMA trusted_schema = ON",
)

STORAGE_FAULTS = frozenset(
    {
        apsw.SQLITE_FULL,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_CORRUPT,
        apsw.SQLITE_NOTADB,
        apsw.SQLITE_BUSY,
        apsw.SQLITE_LOCKED,
        apsw.SQLITE_NOMEM,
        apsw.SQLITE_READONLY,
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_PROTOCOL,
        apsw.SQLITE_INTERRUPT,
    }
)
"""What says nothing about a statement, but that the disk, the memory, another program or a stop is in the way."""


def result_code(error: BaseException) -> int:
    """SQLite's primary result code of an error; 0 where it is not one of SQLite's."""
    code: Any = getattr(error, "result", 0)
    return int(code) & 0xFF


def extended_code(error: BaseException) -> int:
    """SQLite's extended result code of an error; 0 where it is not one of SQLite's."""
    code: Any = getattr(error, "extendedresult", 0)
    return int(code)


def cannot_open(error: Exception, database: Path, advice: str) -> EngineFailed | LocalFilesDamaged:
    """Tell a database that cannot be opened at present from one that is damaged.

    Args:
        error: What SQLite said.
        database: The database's file.
        advice: What to do about one that is damaged.

    Returns:
        The error to raise.
    """
    code = result_code(error)
    if code in (apsw.SQLITE_BUSY, apsw.SQLITE_LOCKED):
        return EngineFailed(f"another program keeps {database} locked: {error}; end that, and start again")
    if code in STORAGE_FAULTS - {apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB}:
        return EngineFailed(f"{database} cannot be used at present: {error}")
    return LocalFilesDamaged(f"{database} cannot be used as a SQLite database: {error}; {advice}")


def prepare_session(connection: SqlConnection) -> None:
    """Give a connection the settings with which statements mean the same on a primary and on its copies."""
    for setting in _SETTINGS:
        connection.execute(setting)


class Patience:
    """Waits for a database that another program keeps locked, for a while or until it is told to stop.

    One may serve several connections, also of several threads.

    Args:
        seconds: The longest wait; None for `BUSY_SECONDS`.
        given_up: Asked whether to wait no more, in the threads that wait.

    Attributes:
        stopped: Whether to wait no more. May be set in any thread.
    """

    def __init__(self, seconds: float | None = None, given_up: Callable[[], bool] = bool) -> None:
        self.stopped = False
        self._seconds = seconds
        self._given_up = given_up
        self._waiting = threading.local()

    @property
    def over(self) -> bool:
        """Whether to wait no more, however little time went by."""
        return self.stopped or self._given_up()

    @property
    def seconds(self) -> float:
        """The longest wait."""
        return BUSY_SECONDS if self._seconds is None else self._seconds

    def __call__(self, tries: int) -> bool:
        """Called by SQLite in the thread that waits; returns whether to try again."""
        now = time.monotonic()
        if tries == 0:
            self._waiting.end = now + self.seconds
        if self.over or now > self._waiting.end:
            return False
        time.sleep(min(0.001 * 2 ** min(tries, 10), _LONGEST_NAP))
        return True


def plain_connection(
    database: Path, patience: Patience | None = None, *, read_only: bool = False, immutable: bool = False
) -> apsw.Connection:
    """Open a database, without any settings yet.

    Args:
        database: The file; it is made where it is missing, unless it is only read.
        patience: Waits for locks; None for `BUSY_SECONDS`, whatever happens.
        read_only: Whether it is only read. A transaction that a loss of power left half done is undone first, as
            SQLite does when it opens a database to write.
        immutable: Whether it is read as a file that nobody changes, without locks.

    Raises:
        apsw.Error: It cannot be opened.
    """
    uri, waits = database_uri(database, immutable), patience or Patience()
    if immutable:
        return _connection(uri, apsw.SQLITE_OPEN_READONLY, waits)
    if not read_only:
        return _connection(uri, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, waits)
    connection = _connection(uri, apsw.SQLITE_OPEN_READONLY, waits)
    try:
        connection.execute(_ANY_READ)
    except apsw.ReadOnlyError:
        with contextlib.closing(_connection(uri, apsw.SQLITE_OPEN_READWRITE, waits)) as undoing:
            undoing.execute(_ANY_READ)
    except apsw.Error:
        connection.close()
        raise
    return connection


def _connection(uri: str, mode: int, patience: Patience) -> apsw.Connection:
    connection = apsw.Connection(uri, flags=mode | apsw.SQLITE_OPEN_URI)
    connection.set_busy_handler(patience)
    return connection


def prepare_applying(connection: apsw.Connection) -> None:
    """Give a connection the settings of one that applies the statements of a log."""
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, so that a position which was told to anybody is never taken back by a loss of power.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    prepare_session(connection)
    # A log has no business with other files of this machine.
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
