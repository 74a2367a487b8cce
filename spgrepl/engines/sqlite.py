"""The `sqlite` engine: the log applied to a SQLite database, which others may read meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from zope.interface import implementer

from spgrepl.engines import sqlite_segments, sqlite_state
from spgrepl.engines.interfaces import IEngine, ReplayState
from spgrepl.engines.own_names import ForbiddenStatement, refuse_forbidden
from spgrepl.engines.sqlite_copy import (
    BUSY_SECONDS,
    check_head,
    inspect_snapshot,
    overwrite_database,
    save_database,
)
from spgrepl.engines.sqlite_script import execute_piece, joined_script
from spgrepl.engines.sqlite_session import STORAGE_FAULTS, prepare_session
from spgrepl.engines.translate import MYSQL, POSTGRESQL, TranslationFailed, ValueOfThisMachine, to_sqlite
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SnapshotError, StatementRefused
from spgrepl.files import sync_folder
from spgrepl.publications.catalog import note_control
from spgrepl.sqltext import split_statements
from spgrepl.wal.records import RecordType

_INNER_SAVEPOINT = "spgrepl_inner"
_REFUSALS = (sqlite3.Error, sqlite3.Warning, ValueError, TranslationFailed, ForbiddenStatement)
_NOTHING: Mapping[int, RecordType] = {}


@implementer(IEngine)
class SqliteEngine:
    """Applies a log to a SQLite database in WAL journal mode.

    Args:
        database: The database file.
    """

    name = "sqlite"
    applies = True

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._segments = sqlite_segments.SegmentTable()
        self._untouched = True
        self._statements = 0
        self._pending = 0

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        try:
            return self._open()
        except sqlite3.Error as error:
            self.close()
            raise LocalFilesDamaged(
                f"{self._database} cannot be used as a SQLite database: {error}; restore it, or move it away "
                f"to start from a fresh snapshot"
            ) from error
        except LocalFilesDamaged:
            self.close()
            raise

    def _open(self) -> ReplayState | None:
        if not self._database.exists():
            return None
        with contextlib.closing(self._plain_connection()) as connection:
            found = self._stored_state(connection)
        self._connect()
        return found

    def _stored_state(self, connection: sqlite3.Connection) -> ReplayState | None:
        stored = sqlite_state.read_state(connection)
        if stored is None:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise LocalFilesDamaged(
                    f"{self._database} holds tables but was not made by spgrepl; a follower replaces its whole "
                    f"database: name another file, or move this one away"
                )
            return None
        if stored.role != sqlite_state.ROLE_FOLLOWER:
            raise LocalFilesDamaged(
                f"{self._database} is a primary's database; a follower would overwrite it: name another file"
            )
        return stored.replay

    def _plain_connection(self) -> sqlite3.Connection:
        # Distinct statements would only churn the statement cache. The thread check is the worker's business.
        return sqlite3.connect(
            self._database,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=0,
        )

    def _connect(self) -> sqlite3.Connection:
        connection = self._connection = self._plain_connection()
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL, so that a position which was told to anybody is never taken back by a loss of power.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        prepare_session(connection)
        # A log has no business with other files of this machine.
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        return connection

    def close(self) -> None:
        """See `IEngine`."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `IEngine`."""
        self._untouched = True
        self._pending = 0

    def commit(self, state: ReplayState) -> None:
        """See `IEngine`."""
        try:
            connection = self._ready()
            self._segments.write(connection)
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, state)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._segments.written()
        self._statements += self._pending

    def rollback(self) -> None:
        """See `IEngine`."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _ready(self) -> sqlite3.Connection:
        """The connection, with the transaction really begun."""
        connection = self._opened()
        if self._untouched:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise EngineFailed(f"{self._database} cannot be written: {error}") from error
            self._untouched = False
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LocalFilesDamaged(f"{self._database} is not open, or no snapshot has been put in place yet")
        return self._connection

    # -- statements -------------------------------------------------------------------------------------------

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING) -> None:
        """See `IEngine`.

        Plain statements that open a transaction go to SQLite as one script, which spares a call for each. The
        script is only tried where no statement can run into the next one; where it fails, it is undone and the
        statements are taken singly, so that the one at fault is found.
        """
        if self._untouched and not types and len(statements) > 1:
            script = joined_script(statements)
            if script is not None and self._run_script(script):
                self._pending += len(statements)
                return
        connection = self._ready()
        for index, statement in enumerate(statements):
            try:
                self._execute_one(connection, statement, types.get(index, RecordType.SQL))
            except StatementRefused as refused:
                raise StatementRefused(index, statement, refused.reason) from refused
            except _REFUSALS as error:
                _raise_if_storage_failed(error, self._database)
                raise StatementRefused(index, statement, str(error)) from error
            self._pending += 1

    def _run_script(self, script: str) -> bool:
        connection = self._opened()
        try:
            connection.executescript(script)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            _raise_if_storage_failed(error, self._database)
            return False
        self._untouched = False
        return True

    def _execute_one(self, connection: sqlite3.Connection, statement: bytes, kind: RecordType) -> None:
        text = statement.decode("utf-8")
        if kind is RecordType.MYSQL:
            # Never tried as it is: a backslash in a string would be accepted and mean something else.
            self._execute_all(connection, to_sqlite(text, MYSQL))
            return
        pieces = split_statements(text) if ";" in text else [text]
        try:
            self._execute_all(connection, pieces)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            self._execute_translated(connection, text, pieces, error)

    @staticmethod
    def _execute_all(connection: sqlite3.Connection, pieces: Sequence[str]) -> None:
        """Run the statements of one record: all or none, where there are several."""
        for piece in pieces:
            refuse_forbidden(piece)
        if len(pieces) == 1:
            connection.execute(pieces[0])
            return
        connection.execute(f"SAVEPOINT {_INNER_SAVEPOINT}")
        try:
            for piece in pieces:
                execute_piece(connection, piece)
        except (*_REFUSALS, StatementRefused):
            if connection.in_transaction:
                connection.execute(f"ROLLBACK TO {_INNER_SAVEPOINT}")
                connection.execute(f"RELEASE {_INNER_SAVEPOINT}")
            raise
        connection.execute(f"RELEASE {_INNER_SAVEPOINT}")

    def _execute_translated(
        self, connection: sqlite3.Connection, text: str, pieces: Sequence[str], refusal: sqlite3.Error
    ) -> None:
        try:
            translated = to_sqlite(text, POSTGRESQL)
        except ValueOfThisMachine:
            raise
        except TranslationFailed:
            raise refusal from None
        if [piece.strip() for piece in translated] == [piece.strip() for piece in pieces]:
            raise refusal
        try:
            self._execute_all(connection, translated)
        except sqlite3.Error as error:
            raise TranslationFailed(f"{refusal}; translated from PostgreSQL's dialect: {error}") from error

    def control(self, statement: bytes) -> None:
        """See `IEngine`."""
        note_control(self._ready(), statement)

    # -- snapshots --------------------------------------------------------------------------------------------

    def check_snapshot_head(self, head: bytes) -> None:
        """See `IEngine`."""
        check_head(head)

    def check_snapshot(self, path: Path) -> None:
        """See `IEngine`."""
        inspect_snapshot(path)

    def install_snapshot(self, path: Path, state: ReplayState) -> None:
        """See `IEngine`.

        The state is written into the received file first. Where there is no database yet, the file is renamed
        into place; where there is one, SQLite's backup writes over it in one transaction, so that programs which
        have it open see the old copy and then the new one.
        """
        try:
            self._stamp(path, state)
        except sqlite3.Error as error:
            _raise_if_storage_failed(error, path)
            raise SnapshotError(f"the master's snapshot cannot take this copy's own table: {error}") from error
        self._segments.write_all_again()
        if self._connection is None and not self._database.exists():
            # A log that a removed database left behind would be taken for the new one's.
            for suffix in ("-wal", "-shm", "-journal"):
                self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
            os.rename(path, self._database)
            sync_folder(self._database.parent)
            self._connect()
            self._write_segments()
            return
        self.rollback()
        try:
            overwrite_database(path, self._connection or self._connect())
        except sqlite3.Error as error:
            raise EngineFailed(f"{self._database} cannot be replaced: {error}") from error
        path.unlink()
        self._write_segments()

    @staticmethod
    def _stamp(path: Path, state: ReplayState) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            sqlite_state.ensure_table(connection)
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, state)
            sqlite_segments.drop(connection)
        finally:
            connection.close()
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`."""
        if not self._database.exists():
            raise SnapshotError(f"{self._database} holds no copy yet; try again when this follower has one")
        return save_database(self._database, path)

    # -- segments ---------------------------------------------------------------------------------------------

    def attach_segment(self, segment_id: int, path: Path) -> None:
        """See `IEngine`. The segment is listed in the table ``spgrepl_segments``."""
        self._segments.attach(segment_id, path)
        self._write_segments()

    def _write_segments(self) -> None:
        """List what is not listed yet; inside a transaction, and without a copy, that comes later."""
        connection = self._connection
        if connection is None or connection.in_transaction or not self._segments.missing(connection):
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._segments.write(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._segments.written()

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`."""
        return {"statements": self._statements, "attached": len(self._segments)}


def _raise_if_storage_failed(error: Exception, database: Path) -> None:
    """Tell a disk that refuses from a statement that is refused."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in STORAGE_FAULTS:
        raise EngineFailed(f"{database} cannot be written: {error}") from error
