"""Going on where a database or its log is lost: a new log for the rows, or a primary's rows from its log.

Nothing is thrown away: a log that is given up keeps its bytes, under another name beside its place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import attrs

from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import (
    DatabasePaths,
    create_private,
    make_private,
    own_name,
    refuse_orphaned_journal,
    remove_own,
    sync_folder,
)
from spgrepl.errors import EngineFailed, LocalFilesDamaged, UsageError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.durable import read_durable_of
from spgrepl.log.file_kinds import FileKind, what_it_looks_like
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.reader import Damage, scan_log
from spgrepl.log.writer import LogWriter
from spgrepl.pairs.pair import LogBond, read_pair
from spgrepl.pairs.texts import Owner
from spgrepl.primary.running.session import WriterSession
from spgrepl.primary.writing.recovery import examine_log, roll_forward
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import forget_rows, rows_follow
from spgrepl.sqlite.state import StoredState

_REBUILDING = "rebuilding"
_BUSY_MILLISECONDS = 10_000
_SQLITE_FILES = ("", "-wal", "-shm", "-journal")


@attrs.frozen
class Rebuilt:
    """What `rebuild_database` made.

    Attributes:
        position: The position that the database stands at, in bytes.
        subscriptions: Those that it has; how far they had come stood in the lost database alone.
    """

    position: int
    subscriptions: tuple[str, ...]


@attrs.frozen
class NewLog:
    """What `begin_new_log` did.

    Attributes:
        aside: Where the file is now that had the log's name; None where there was none.
        of_primary: Whether the database is a primary's.
    """

    aside: Path | None
    of_primary: bool


def move_aside(path: Path) -> Path | None:
    """Give a file another name beside its place, which nothing has; None where nothing is there.

    Raises:
        OSError: The disk refuses.
    """
    if not os.path.lexists(path):
        return None
    aside = _asides(path)[0]
    os.rename(path, aside)
    sync_folder(path.parent)
    return aside


def copy_aside(path: Path) -> Path:
    """Copy a file to such a name.

    Raises:
        OSError: The disk refuses.
    """
    aside = _asides(path)[0]
    with open(create_private(aside), "wb") as file:
        file.write(path.read_bytes())
    return aside


def last_aside(path: Path) -> Path | None:
    """The last name that `move_aside` gave to a file of this name; None where it gave none."""
    return _asides(path)[1]


def _asides(path: Path) -> tuple[Path, Path | None]:
    """The first name that is free, and the one before it."""
    number, last = 1, None
    while os.path.lexists(aside := path.with_name(f"{path.name}.old-{number}")):
        number, last = number + 1, aside
    return aside, last


@contextlib.contextmanager
def locked(paths: DatabasePaths, purpose: str) -> Iterator[LogWriter]:
    """Keep writers away, of the database and of the log under any name; the log is open where it is there."""
    paths.require_distinct()
    lock, log = LockFile(paths.writer_lock, purpose), LogWriter(paths.wal)
    lock.acquire()
    try:
        if paths.wal.exists():
            log.open()
        yield log
    except BaseException:
        lock.withdraw()
        raise
    finally:
        log.close()
        lock.release()


def begin_new_log(paths: DatabasePaths) -> NewLog:
    """Let a primary's or a follower's database begin a new log, with all the rows that it has.

    A primary's begins at position 0, a follower's at the position that the copy has reached.

    Copies that were made from the old log find that the history is different, and take a fresh snapshot.

    Args:
        paths: The database, and the log that is lost, or is not the database's.

    Returns:
        What was done.

    Raises:
        UsageError: There is no such database, or its log can be used, or the log's name is that of something else.
        DatabaseLocked: Another process writes it.
        OSError: The disk refuses.
    """
    kind = what_it_looks_like(paths.database)
    if kind is FileKind.MISSING:
        raise UsageError(f"--new-log: there is no database {paths.database} that could go on without its log")
    if kind is not FileKind.SQLITE:
        raise UsageError(f"--new-log: {paths.database} is {kind}; name the database that goes on with --db")
    try:
        connect = apsw.Connection(str(paths.database), flags=apsw.SQLITE_OPEN_READWRITE)
        with locked(paths, "begins a new log"), contextlib.closing(connect) as connection:
            connection.set_busy_timeout(_BUSY_MILLISECONDS)
            stored = sqlite_state.read_state(connection)
            if stored is None:
                raise UsageError(f"--new-log: {paths.database} was written beside no log")
            _refuse_other_file(paths, stored.replay)
            _refuse_sound_log(paths, stored)
            aside = move_aside(paths.wal)
            # Until the commit is durable the database still asks for the log that was moved.
            move_aside(paths.pair)
            move_aside(paths.subscription_marks)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            sqlite_state.ensure_table(connection)
            state = _at_new_log(stored)
            sqlite_state.write_state(connection, stored.role, state)
            if stored.role == sqlite_state.ROLE_PRIMARY:
                # The new log has to say for itself that it holds rows.
                forget_rows(connection)
            else:
                rows_follow(connection, state.base)
            connection.execute("COMMIT")
    except apsw.Error as error:
        raise EngineFailed(f"{paths.database} cannot begin a new log: {error}") from error
    return NewLog(aside, stored.role == sqlite_state.ROLE_PRIMARY)


def _at_new_log(stored: StoredState) -> ReplayState:
    if stored.role == sqlite_state.ROLE_PRIMARY:
        return ReplayState(0, 0)
    # The fence stays: it is what the master's log has to begin with.
    return attrs.evolve(stored.replay, base=stored.replay.position, pair=None)


def _refuse_other_file(paths: DatabasePaths, state: ReplayState) -> None:
    """What has the log's name is moved aside only where it is a log, and not the log of another database."""
    _refuse_no_log("--new-log", paths)
    pair = read_pair(paths.pair)
    if pair is not None and state.pair is not None and pair.id != state.pair:
        raise UsageError(
            f"--new-log: {paths.wal} is the log of {pair.database}; name a new log for {paths.database} with --wal"
        )


def _refuse_no_log(option: str, paths: DatabasePaths) -> None:
    kind = what_it_looks_like(paths.wal)
    if kind is not FileKind.MISSING and not kind.may_be_log:
        raise UsageError(f"{option}: {paths.wal} is {kind}; name a log for {paths.database} with --wal")


def _refuse_sound_log(paths: DatabasePaths, stored: StoredState) -> None:
    """A log that is the database's own, and whole, may hold what the database does not."""
    if not paths.wal.exists():
        return
    try:
        LogBond(paths, Owner.PRIMARY).judge(stored.replay)
        if stored.role == sqlite_state.ROLE_PRIMARY:
            found = os.stat(paths.wal)
            durable = read_durable_of(paths.wal, found.st_ino, found.st_size)
            examine_log(paths, stored.replay, DEFAULT_MAX_RECORD, durable)
    except LocalFilesDamaged:
        return
    raise UsageError(
        f"--new-log: {paths.wal} is the log of {paths.database}, and can be used: go on with it. Where followers "
        f"should begin with a fresh snapshot, give them --on-divergence resnapshot"
    )


def rebuild_database(paths: DatabasePaths, max_record: int = DEFAULT_MAX_RECORD) -> Rebuilt:
    """Make a primary's database again, by running its whole log.

    Args:
        paths: The database, which is missing, and its log.
        max_record: The most bytes of SQL or payload that a record may have.

    Returns:
        What was made.

    Raises:
        UsageError: The database is there, or the log is something else.
        LocalFilesDamaged: The log does not tell all of the database, or cannot be read; no database was made.
        DatabaseLocked: Another process writes the log.
        EngineFailed: The disk refuses.
    """
    if paths.database.exists():
        raise UsageError(f"--rebuild: {paths.database} is there; it is made from its log where it is missing")
    _refuse_no_log("--rebuild", paths)
    refuse_orphaned_journal(paths.database)
    pair = read_pair(paths.pair)
    if pair is not None and not pair.is_of(paths.database) and pair.database.exists():
        raise UsageError(f"--rebuild: {paths.wal} is the log of {pair.database}, which is there")
    if pair is not None and pair.from_empty is False:
        raise LocalFilesDamaged(
            f"{paths.wal} does not tell all rows of {paths.database}: there were some before it began. Restore a "
            f"backup of the database: what the log holds beyond it is applied"
        )
    report = scan_log(paths.wal, max_record=max_record)
    if report.damage is Damage.BROKEN:
        raise LocalFilesDamaged(
            f"{paths.wal} is broken at position {report.whole_end} of {report.length}: {report.error}. Restore it "
            f"before the database is made from it"
        )
    with locked(paths, "makes the database from its log") as log:
        remove_own(paths.database, _REBUILDING, _SQLITE_FILES)
        making = own_name(paths.database, _REBUILDING)
        try:
            start = ReplayState(0, 0, pair=None if pair is None else pair.id)
            rebuilt = _run_log(log, making, max_record, start, report.whole_end)
            with open(making, "rb") as file:
                os.fsync(file.fileno())
            os.rename(making, paths.database)
            sync_folder(paths.database.parent)
        finally:
            remove_own(paths.database, _REBUILDING, _SQLITE_FILES)
    return rebuilt


def _run_log(log: LogWriter, making: Path, max_record: int, start: ReplayState, end: int) -> Rebuilt:
    make_private(making)
    session = WriterSession(making, max_record)
    try:
        session.prepare()
        session.begin()
        sqlite_state.ensure_table(session.connection)
        session.write_state(start)
        session.commit()
        state = roll_forward(session, log, start, max_record, end=end)
        tables = session.connection.execute(
            "SELECT name FROM sqlite_master WHERE name = 'spgrepl_subscriptions'"
        ).fetchall()
        names = session.connection.execute("SELECT name FROM spgrepl_subscriptions") if tables else ()
        return Rebuilt(state.position, tuple(str(name) for (name,) in names))
    finally:
        session.close()
