"""Whole SQLite databases: looking at a received one, and copying one over another or beside it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from spgrepl.engines import sqlite_state
from spgrepl.engines.sqlite_session import BUSY_SECONDS
from spgrepl.errors import SnapshotError

SQLITE_MAGIC = b"SQLite format 3\0"
_SPG_MAGICS = (b"SPGENV01", b"SPGDB001")


_ADVICE = "follow that master with --engine archive"


def check_head(head: bytes, advice: str = _ADVICE) -> None:
    """Look whether a file's first bytes are those of a SQLite database.

    Args:
        head: The first bytes.
        advice: What to do where they are not.

    Raises:
        SnapshotError: They are not.
    """
    if head.startswith(_SPG_MAGICS):
        raise SnapshotError(
            f"the master's snapshot is an SPG server's own ({head[:8].decode()}), which SQLite cannot read; "
            f"{advice}"
        )
    if head[: len(SQLITE_MAGIC)] != SQLITE_MAGIC:
        raise SnapshotError(
            f"the master's snapshot begins with {head!r}, this side expects a SQLite database ({SQLITE_MAGIC!r}); "
            f"{advice}"
        )


def inspect_snapshot(path: Path, advice: str = _ADVICE) -> None:
    """Look whether a received snapshot is a sound SQLite database.

    Args:
        path: The file.
        advice: What to do where it is something else.

    Raises:
        SnapshotError: It is something else, or SQLite finds it damaged.
    """
    with open(path, "rb") as file:
        check_head(file.read(len(SQLITE_MAGIC)), advice)
    try:
        uri = f"{path.absolute().as_uri()}?immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                # The quick one misjudges tables WITHOUT ROWID whose key has another order than their columns.
                (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise SnapshotError(f"the master's snapshot is a damaged SQLite database: {verdict}")


def overwrite_database(path: Path, target: sqlite3.Connection) -> None:
    """Replace all content of an open database by that of a file, in one transaction of SQLite's backup.

    Args:
        path: The file. Where its page size is not the target's, a copy of it is made beside it for a while.
        target: The database that is replaced. Programs that have it open see the old content, then the new.

    Raises:
        sqlite3.Error: The disk refused, or another program kept the target locked.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        (wanted,) = target.execute("PRAGMA page_size").fetchone()
        (present,) = source.execute("PRAGMA page_size").fetchone()
        if wanted != present:
            # A database in WAL mode keeps its page size. VACUUM INTO, other than VACUUM, keeps all row numbers.
            refitted = path.with_name(path.name + "-refitted")
            refitted.unlink(missing_ok=True)
            stack.callback(refitted.unlink, missing_ok=True)
            source.execute(f"PRAGMA page_size = {wanted}")
            source.execute("VACUUM INTO ?", (str(refitted),))
            source = stack.enter_context(contextlib.closing(sqlite3.connect(refitted, isolation_level=None)))
        source.backup(target, pages=-1, progress=_stop_when_locked(time.monotonic() + BUSY_SECONDS))


def _stop_when_locked(end: float) -> Callable[[int, int, int], None]:
    """Without this, a backup waits for ever for whoever keeps the target locked."""

    def judge(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > end:
            raise sqlite3.OperationalError("another program keeps the database locked")

    return judge


def save_database(database: Path, path: Path) -> int:
    """Write a consistent copy of a database while others write it.

    The copy is made page by page under one read transaction. (VACUUM INTO would be smaller, but may number the
    rows of a table anew, and later statements of the log may speak of those numbers.)

    Args:
        database: A database with a state row.
        path: The file to write; it does not exist. It is not fsynced.

    Returns:
        The position in the database's own log that the copy stands at, read from the copy itself.

    Raises:
        SnapshotError: The database has no state row, or cannot be read.
    """
    uri = f"{database.absolute().as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as source,
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target, pages=-1)
            stored = sqlite_state.read_state(target)
    except sqlite3.Error as error:
        raise SnapshotError(f"{database} cannot be copied: {error}") from error
    if stored is None:
        raise SnapshotError(f"{database} has no replication state; run `spgrepl exec --db {database}` once")
    return stored.replay.position - stored.replay.base
