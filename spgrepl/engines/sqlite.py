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
from spgrepl.engines.sqlite_applier import StatementApplier, raise_if_storage_failed
from spgrepl.engines.sqlite_copy import check_head, inspect_snapshot, overwrite_database, save_database
from spgrepl.engines.sqlite_session import plain_connection, prepare_applying
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SnapshotError
from spgrepl.files import sync_folder
from spgrepl.publications.catalog import note_control
from spgrepl.wal.records import RecordType

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
        self._applier: StatementApplier | None = None
        self._segments = sqlite_segments.SegmentTable()
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
        with contextlib.closing(plain_connection(self._database)) as connection:
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

    def _connect(self) -> sqlite3.Connection:
        connection = plain_connection(self._database)
        self._applier = StatementApplier(connection, self._database, note_control)
        prepare_applying(connection)
        return connection

    def close(self) -> None:
        """See `IEngine`."""
        if self._applier is not None:
            applier, self._applier = self._applier, None
            applier.connection.close()

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `IEngine`."""
        if self._applier is not None:
            self._applier.begin()
        self._pending = 0

    def commit(self, state: ReplayState) -> None:
        """See `IEngine`."""
        try:
            connection = self._opened().ready()
            self._segments.write(connection)
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, state)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._segments.written()
        self._statements += self._pending

    def rollback(self) -> None:
        """See `IEngine`."""
        if self._applier is not None:
            self._applier.rollback()

    def _opened(self) -> StatementApplier:
        if self._applier is None:
            raise LocalFilesDamaged(f"{self._database} is not open, or no snapshot has been put in place yet")
        return self._applier

    # -- statements -------------------------------------------------------------------------------------------

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING) -> None:
        """See `IEngine`."""
        self._opened().execute(statements, types)
        self._pending += len(statements)

    def control(self, statement: bytes) -> None:
        """See `IEngine`."""
        note_control(self._opened().ready(), statement)

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
            raise_if_storage_failed(error, path)
            raise SnapshotError(f"the master's snapshot cannot take this copy's own table: {error}") from error
        self._segments.write_all_again()
        if self._applier is None and not self._database.exists():
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
            overwrite_database(path, self._applier.connection if self._applier else self._connect())
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
        if self._applier is None:
            return
        connection = self._applier.connection
        if connection.in_transaction or not self._segments.missing(connection):
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
