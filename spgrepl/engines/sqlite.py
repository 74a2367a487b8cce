"""The `sqlite` engine: the log applied to a SQLite database, which others may read meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw
from zope.interface import implementer

from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.disk.files import refuse_orphaned_journal, sync_folder
from spgrepl.disk.limits import DEFAULT_LIMITS
from spgrepl.engines import cold_rows, sqlite_segments
from spgrepl.engines.left_out_rows import LeftOutNotes
from spgrepl.engines.row_applier import RowCounts
from spgrepl.engines.spg_snapshot import convert_if_spg
from spgrepl.engines.sqlite_applier import StatementApplier, raise_if_storage_failed
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SnapshotError
from spgrepl.interfaces.engine import IClocked, IEngine, IOwnRows, ReplayState
from spgrepl.log.format.records import RecordType
from spgrepl.spgsql.replay import Nondeterministic, holds_spg
from spgrepl.sqlite import snapshot_digest
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import check_head, inspect_snapshot, overwrite_database, save_database
from spgrepl.sqlite.row_mark import note_rows, rows_begin, rows_follow
from spgrepl.sqlite.session import Patience, cannot_open, plain_connection, prepare_applying

_NOTHING: Mapping[int, RecordType] = {}


@implementer(IEngine, IOwnRows, IClocked, cold_rows.IColdRows)
class SqliteEngine:
    """Applies a log to a SQLite database in WAL journal mode.

    It begins with the snapshot of a master of spgrepl, or with that of an SPG server.

    Args:
        database: The database file.
        setup: Called with the connection that applies, to register what the schema needs: collations of columns,
            functions in indexes, tokenizers. It runs in the engine's thread.
        nondeterministic: What to do about values in an SPG server's log that every replica computes for itself.
        statement_seconds: How long a statement may run.
    """

    name = "sqlite"
    applies = True

    def __init__(
        self,
        database: Path,
        setup: Callable[[apsw.Connection], None] | None = None,
        nondeterministic: Nondeterministic = Nondeterministic.STOP,
        statement_seconds: float = DEFAULT_LIMITS.statement_seconds,
    ) -> None:
        self._database = database
        self._setup = setup
        self._nondeterministic = nondeterministic
        self._seconds = statement_seconds
        self._patience = Patience()
        self._applier: StatementApplier | None = None
        self._segments = sqlite_segments.SegmentTable()
        self._statements = 0
        self._pending = 0
        self._left_out = LeftOutNotes()
        self._cold_pending = False
        self._rows_noted = False
        self._rows = RowCounts()

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        self._patience = Patience()
        try:
            return self._open()
        except apsw.Error as error:
            self.close()
            advice = "restore it, or move it away to start from a fresh snapshot"
            raise cannot_open(error, self._database, advice) from error
        except LocalFilesDamaged:
            self.close()
            raise

    def _open(self) -> ReplayState | None:
        if not self._database.exists():
            refuse_orphaned_journal(self._database)
            return None
        with contextlib.closing(plain_connection(self._database, self._patience)) as connection:
            found = self._stored_state(connection)
        connection = self._connect()
        if found is not None:
            sqlite_state.ensure_table(connection)
        return found

    def _stored_state(self, connection: apsw.Connection) -> ReplayState | None:
        stored = sqlite_state.read_state(connection)
        if stored is None:
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise LocalFilesDamaged(
                    f"{self._database} holds tables but was not made by spgrepl; a follower replaces its whole "
                    f"database: name another file, or move this one away"
                )
            return None
        if stored.role != sqlite_state.ROLE_FOLLOWER:
            raise LocalFilesDamaged(
                f"{self._database} is a primary's database; a follower would overwrite it. If this copy was "
                f"promoted, start it as `twistd spgrepl master`; if another one was, let this follow that with "
                f"`spgrepl follow`; else name another file"
            )
        return stored.replay

    def _connect(self) -> apsw.Connection:
        connection = plain_connection(self._database, self._patience)
        self._applier = StatementApplier(connection, self._database, note_control, seconds=self._seconds)
        prepare_applying(connection)
        if self._setup is not None:
            self._setup(connection)
        self._rows_noted = rows_begin(connection) is not None
        if self._rows_noted:
            self._applier.take_rows()
        elif holds_spg(connection):
            self._applier.take_spg(self._nondeterministic)
        self._cold_pending = cold_rows.pending(connection)
        self._left_out.look(connection)
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
            applier = self._opened()
            connection = applier.ready()
            self._segments.write(connection)
            if applier.rows is not None and not self._rows_noted:
                note_rows(connection, state.position)
            if applier.spg is not None:
                applier.spg.store()
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, state)
            connection.execute("COMMIT")
            if applier.spg is not None:
                applier.spg.committed()
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._segments.written()
        self._statements += self._pending
        if applier.rows is not None:
            self._rows_noted = True
            self._rows.merge(applier.rows.counted())

    def rollback(self) -> None:
        """See `IEngine`."""
        if self._applier is not None:
            self._applier.rollback()
            if self._applier.rows is not None:
                self._applier.rows.counted()
                if not self._rows_noted:
                    self._applier.take_statements()

    def _opened(self) -> StatementApplier:
        if self._applier is None:
            raise LocalFilesDamaged(f"{self._database} is not open, or no snapshot has been put in place yet")
        return self._applier

    # -- statements -------------------------------------------------------------------------------------------

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING) -> None:
        """See `IEngine`."""
        self._opened().execute(statements, types)
        self._pending += len(statements)

    def tell_clock(self, clock: Callable[[int], int | None]) -> None:
        """See `IClocked`."""
        if self._applier is not None and self._applier.spg is not None:
            self._applier.spg.tell_clock(clock)

    def expect_own_rows(self, expected: bool) -> None:
        """See `IOwnRows`."""
        if self._applier is not None:
            self._applier.own_rows.expected = expected and self._applier.spg is not None

    def take_met(self) -> int:
        """See `IOwnRows`."""
        return 0 if self._applier is None else self._applier.own_rows.take_met()

    def control(self, statement: bytes) -> None:
        """See `IEngine`."""
        note_control(self._opened().ready(), statement)

    # -- snapshots --------------------------------------------------------------------------------------------

    def check_snapshot_head(self, head: bytes) -> None:
        """See `IEngine`."""
        check_head(head, spg=True)

    def check_snapshot(self, path: Path) -> None:
        """See `IEngine`. A snapshot of SPG is made one of SQLite."""
        if not convert_if_spg(path):
            inspect_snapshot(path)

    def install_snapshot(self, path: Path, state: ReplayState) -> None:
        """See `IEngine`.

        The state is written into the received file first. Where there is no database yet, the file is renamed
        into place; where there is one, SQLite's backup writes over it in one transaction, so that programs which
        have it open see the old copy and then the new one.
        """
        try:
            self._stamp(path, state)
        except apsw.Error as error:
            raise_if_storage_failed(error, path)
            raise SnapshotError(f"the master's snapshot cannot take this copy's own table: {error}") from error
        self._segments.write_all_again()
        if self._applier is None and not self._database.exists():
            # What a removed database left would be taken for the new one's.
            refuse_orphaned_journal(self._database)
            os.rename(path, self._database)
            sync_folder(self._database.parent)
            self._connect()
            self._write_segments()
            return
        if self._applier is None:
            # Since `open` somebody may have put a file there, which is judged as it would have been then.
            self.open()
        self.rollback()
        try:
            overwrite_database(
                path, self._applier.connection if self._applier else self._connect(), self._patience
            )
            # An open connection keeps the encoding and the kind of log that the database had before.
            self.close()
            self._connect()
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be replaced: {error}") from error
        path.unlink()
        self._cold_pending = cold_rows.pending(self._opened().connection)
        self._write_segments()

    @staticmethod
    def _stamp(path: Path, state: ReplayState) -> None:
        connection = plain_connection(path)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            sqlite_state.ensure_table(connection)
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, state)
            rows_follow(connection, state.base)
            sqlite_segments.drop(connection)
            snapshot_digest.drop(connection)
        finally:
            connection.close()
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`."""
        if not self._database.exists():
            raise SnapshotError(f"{self._database} holds no copy yet; try again when this follower has one")
        return save_database(self._database, path, self._patience)

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
        except apsw.Error as error:
            self.rollback()
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._segments.written()

    # -- rows in segments -------------------------------------------------------------------------------------

    def cold_rows_pending(self) -> bool:
        """See `IColdRows`."""
        return self._cold_pending

    def settle_cold_rows(self, segments: Mapping[int, Path]) -> str | None:
        """See `IColdRows`."""
        try:
            missing = cold_rows.settle(self._opened().connection, segments)
        except apsw.ConstraintError as error:
            raise SnapshotError(f"a row of a cold segment breaks a constraint of its table: {error}") from error
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._cold_pending = missing is not None
        return missing

    def forgo_cold_rows(self) -> None:
        """See `IColdRows`."""
        try:
            cold_rows.give_up(self._opened().connection, self._left_out)
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error
        self._cold_pending = False

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`."""
        spg = None if self._applier is None else self._applier.spg
        return {
            "statements": self._statements,
            "attached": len(self._segments),
            "rows": self._rows.as_values(),
            **({} if spg is None else {"spg": spg.as_values()}),
            **self._left_out.as_values(),
        }

    def interrupt(self) -> None:
        """See `IEngine`."""
        self._patience.stopped = True
        applier = self._applier
        if applier is not None:
            applier.interrupt()
