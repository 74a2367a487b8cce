"""Whole SQLite databases: looking at a received one, and copying one over another or beside it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import apsw

from spgrepl.disk.files import make_private
from spgrepl.errors import SnapshotError
from spgrepl.sqlite import snapshot_digest
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import Patience, plain_connection
from spgrepl.text.placing import PlacingStep

SQLITE_MAGIC = b"SQLite format 3\0"
_SPG_MAGICS = (b"SPGENV01", b"SPGDB001")


_LOOK_STEPS = 1_000_000
"""Steps of SQLite's machine between two looks at the time."""

_STEP = 4096
"""So many pages are copied before it is looked whether to go on."""

_ADVICE = "follow that master with --engine archive"


def check_head(head: bytes, advice: str = _ADVICE, spg: bool = False) -> None:
    """Look whether a file's first bytes are those of a SQLite database.

    Args:
        head: The first bytes.
        advice: What to do where they are not.
        spg: Whether those of an SPG snapshot will do as well.

    Raises:
        SnapshotError: They are not.
    """
    if head.startswith(_SPG_MAGICS):
        if spg:
            return
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
    snapshot_digest.check(path)
    try:
        with contextlib.closing(plain_connection(path, immutable=True)) as connection:
            checking = PlacingStep("check")

            def look() -> bool:
                checking.tell()
                return False

            connection.set_progress_handler(look, _LOOK_STEPS)
            verdict = str(connection.pragma("quick_check", 1))
            if verdict != "ok":
                # The quick one misjudges tables WITHOUT ROWID whose key has another order than their columns.
                verdict = str(connection.pragma("integrity_check", 1))
    except apsw.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise SnapshotError(f"the master's snapshot is a damaged SQLite database: {verdict}")


def overwrite_database(path: Path, target: apsw.Connection, patience: Patience | None = None) -> None:
    """Replace all content of an open database by that of a file, in one transaction of SQLite's backup.

    Args:
        path: The file. Where its page size is not the target's, a copy of it is made beside it for a while.
        target: The database that is replaced. Programs that have it open see the old content, then the new. This
            connection keeps in mind how texts were encoded before: it is to be closed and opened again.
        patience: Waits for locks, and ends the copying when it is stopped.

    Raises:
        apsw.Error: The disk refused, or another program kept the target locked.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(contextlib.closing(plain_connection(path)))
        wanted, present = (one.pragma("page_size") for one in (target, source))
        if wanted != present:
            # A database in WAL mode keeps its page size. VACUUM INTO, other than VACUUM, keeps all row numbers.
            refitted = path.with_name(path.name + "-refitted")
            refitted.unlink(missing_ok=True)
            stack.callback(refitted.unlink, missing_ok=True)
            source.execute(f"PRAGMA page_size = {wanted}")
            source.execute("VACUUM INTO ?", (str(refitted),))
            source = stack.enter_context(contextlib.closing(plain_connection(refitted)))
        _back_up(source, target, patience or Patience())


def _back_up(source: apsw.Connection, target: apsw.Connection, patience: Patience) -> None:
    """Copy a database page by page, as it is at one moment.

    Raises:
        apsw.Error: The disk refused, another program kept one of them locked, or the patience was stopped.
    """
    end = time.monotonic() + patience.seconds
    # What is read stays as it is between two steps.
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").get  # noqa: B018 - reads
    with target.backup("main", source, "main") as backup:
        replacing, page = PlacingStep("replace"), int(source.pragma("page_size"))
        while True:
            if patience.stopped:
                raise apsw.InterruptError("the copying was ended, because a service is being stopped")
            try:
                if backup.step(_STEP):
                    break
                done = backup.page_count - backup.remaining
                replacing.tell(bytes=done * page, bytes_total=backup.page_count * page)
            except (apsw.BusyError, apsw.LockedError) as error:
                if patience.over or time.monotonic() > end:
                    raise type(error)("another program keeps the database locked") from error
                time.sleep(0.02)
    source.execute("ROLLBACK")


def save_database(database: Path, path: Path, patience: Patience | None = None) -> int:
    """Write a consistent copy of a database while others write it.

    The copy is made page by page under one read transaction. (VACUUM INTO would be smaller, but may number the
    rows of a table again, and the log speaks of those numbers.)

    Args:
        database: A database with a state row.
        path: The file to write; it does not exist. It is not fsynced.
        patience: Waits for locks, and ends the copying when it is stopped.

    Returns:
        The position in the database's own log from which on it has to be read, from the copy itself: where it
        stands, or where the transactions begin that are open there. `spgrepl.sqlite.snapshot_histories` says what
        the copy holds beyond that.

    Raises:
        SnapshotError: The database has no state row, or cannot be read.
    """
    make_private(path)
    try:
        with (
            contextlib.closing(plain_connection(database, patience, read_only=True)) as source,
            contextlib.closing(plain_connection(path)) as target,
        ):
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            _back_up(source, target, patience or Patience())
            stored = sqlite_state.read_state(target)
            # Out of the mode that it was copied in: what is written now has to stand in this one file.
            target.execute("PRAGMA journal_mode = DELETE")
            snapshot_digest.reserve(target)
        snapshot_digest.seal(path)
    except (apsw.Error, OSError) as error:
        raise SnapshotError(f"{database} cannot be copied: {error}") from error
    if stored is None:
        raise SnapshotError(f"{database} has no replication state; run `spgrepl exec --db {database}` once")
    return stored.replay.resumes_at - stored.replay.base
