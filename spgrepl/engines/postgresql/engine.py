"""The `postgresql` engine: a master's whole log applied to a server, whose tables others may read meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from zope.interface import implementer

from spgrepl.disk.limits import DEFAULT_LIMITS
from spgrepl.engines.cold_rows import IColdRows
from spgrepl.engines.postgresql.copy_state import state_of, text_of
from spgrepl.engines.postgresql.log_statements import Dialect, LogStatements, Running
from spgrepl.engines.postgresql.log_work import LogWork
from spgrepl.engines.postgresql.received import drop_copy, look_at, refuse_acting_tables
from spgrepl.engines.postgresql.row_writer import RowWriter
from spgrepl.engines.postgresql.schema_changes import SchemaChanges
from spgrepl.engines.postgresql.spg_log import SpgLog, Told
from spgrepl.engines.row_applier import RowCounts
from spgrepl.engines.server_cold_rows import ServerColdRows
from spgrepl.engines.spg_snapshot import convert_if_spg
from spgrepl.errors import ConfigurationError, EngineFailed, LocalFilesDamaged, SnapshotError, StatementRefused
from spgrepl.interfaces.engine import IClocked, IOwnRows, IRemoteEngine, ReplayState
from spgrepl.log.format.records import RecordType
from spgrepl.postgresql import driver, own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.snapshot_copy import CopyProgress, SnapshotCopy
from spgrepl.postgresql.copying.source_schema import SchemaObject
from spgrepl.postgresql.faults import Fault, judge
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.tables import TableBook
from spgrepl.postgresql.transactions import TRIES, Transactor
from spgrepl.rows.recognise import Recogniser
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.sqlite.database_copy import check_head, inspect_snapshot
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.text.placing import PlacingStep
from spgrepl.text.role_log import RoleLogger

_NAME = "follower"
_MOST_KEPT = 32 * 1024 * 1024
"""So many bytes of SQL a transaction may have to be done again from memory; a longer one comes again."""

_READ = f"SELECT position, base, state FROM {SCHEMA}.copies WHERE name = '{_NAME}'"
# An error where nothing was moved: the COMMIT that is sent with it, unseen, has no effect then.
_MOVE = (
    f"WITH moved AS (UPDATE {SCHEMA}.copies SET position = %s, base = %s, state = %s "
    f"WHERE name = '{_NAME}' AND position = %s RETURNING 1) SELECT 1 / count(*) FROM moved"
)
_BEGIN = (
    f"INSERT INTO {SCHEMA}.copies VALUES ('{_NAME}', %s, %s, %s) ON CONFLICT (name) DO UPDATE SET "
    f"position = excluded.position, base = excluded.base, state = excluded.state"
)
_NOTHING: Mapping[int, RecordType] = {}

Step = Callable[[LogWork], None]


@implementer(IRemoteEngine, IOwnRows, IClocked)
class PostgresqlEngine:
    """Applies a log to tables of a server.

    It begins with the snapshot of a master of spgrepl, or with that of an SPG server.

    Args:
        address: The server.
        nondeterministic: What to do about values in an SPG server's log that every replica computes for itself.
        seconds: How long a statement may run.
    """

    name = "postgresql"
    applies = True

    _log = RoleLogger()

    def __init__(
        self,
        address: ServerAddress,
        nondeterministic: Nondeterministic = Nondeterministic.STOP,
        *,
        seconds: float = DEFAULT_LIMITS.statement_seconds,
    ) -> None:
        self._address = address
        self._spg = SpgLog(nondeterministic is Nondeterministic.APPROXIMATE)
        self._server = Transactor(address, "copy", _NAME)
        self._cold = ServerColdRows(self._server)
        self._tables = TableBook(lambda: self._server.session.features.row_versions)
        self._recogniser = Recogniser()
        self._schema = SchemaChanges()
        self._seconds = seconds
        self._state: ReplayState | None = None
        self._takes_rows = self._stored_rows = False
        self._work: LogWork | None = None
        self._steps: list[Step] | None = []
        self._kept = 0
        self._pending = self._statements = 0
        self._rows = RowCounts()
        self._segments: set[int] = set()
        self._progress: CopyProgress | None = None

    @property
    def address(self) -> ServerAddress:
        """The server."""
        return self._address

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        if self._server.session.stopped.is_set():
            self._server.begin_again()
        self._server.wait_for_server()
        return self.reopen()

    def reopen(self) -> ReplayState | None:
        """See `IRemoteEngine`."""
        self.rollback()
        connection = self._server.connection()
        self._tables.forget()
        self._state = None
        with self._server.session.storing():
            if not own_schema.is_there(connection):
                return None
            row = connection.execute(_READ).fetchone()
            if row is None:
                return None
            self._refuse_subscriptions(connection)
            self._state, self._takes_rows, counts = state_of(*row)
            self._spg.load(counts)
            self._stored_rows = self._takes_rows
            self._schema.load(connection)
            self._cold.look(connection)
        return self._state

    def look(self) -> None:
        """See `IRemote`."""
        self._server.look()

    def __conform__(self, interface: object) -> ServerColdRows | None:
        """Rows that are in cold segments are somebody else's business."""
        return self._cold if interface is IColdRows else None

    def _refuse_subscriptions(self, connection: Any) -> None:
        found = connection.execute(f"SELECT name FROM {SCHEMA}.subscriptions LIMIT 1").fetchone()
        if found is not None:
            raise ConfigurationError(
                f"{self._address} is the target of the subscription {found[0]!r}: a follower's copy is its "
                f"master's and nobody else's; name another database"
            )

    def close(self) -> None:
        """See `IEngine`."""
        self._work = None
        self._server.close()

    def interrupt(self) -> None:
        """See `IEngine`."""
        self._server.session.interrupt()

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `IEngine`. The server hears of it with the first statement."""
        self._work, self._steps, self._kept, self._pending = None, [], 0, 0

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING) -> None:
        """See `IEngine`."""
        self._kept += sum(map(len, statements))
        told = self._spg.told
        self._do(lambda work: self._add(work, statements, types, told))
        self._pending += len(statements)

    def _add(
        self, work: LogWork, statements: Sequence[bytes], types: Mapping[int, RecordType], told: Told
    ) -> None:
        self._spg.told = told
        work.restart_numbers()
        if not self._takes_rows and ROWS_FROM_HERE in statements:
            at = statements.index(ROWS_FROM_HERE)
            before = {index: kind for index, kind in types.items() if index < at}
            work.add(statements[:at], before, rows=False)
            self._takes_rows = True
            after = {index - at - 1: kind for index, kind in types.items() if index > at}
            work.skip_number()
            work.add(statements[at + 1 :], after, rows=True)
        else:
            work.add(statements, types, rows=self._takes_rows)
        work.flush()

    def control(self, statement: bytes) -> None:
        """See `IEngine`. What the master publishes is no business of a server that serves nobody from here."""

    def tell_clock(self, clock: Callable[[int], int | None]) -> None:
        """See `IClocked`."""
        self._spg.told = attrs.evolve(self._spg.told, clock=clock)

    def expect_own_rows(self, expected: bool) -> None:
        """See `IOwnRows`."""
        self._spg.told = attrs.evolve(self._spg.told, may_be_held=expected and not self._takes_rows)

    def take_met(self) -> int:
        """See `IOwnRows`."""
        return self._spg.take_met()

    def _do(self, step: Step) -> None:
        """Do something in the open transaction; all of it again where the server asks for that."""
        psycopg = driver.load()
        if self._kept > _MOST_KEPT:
            self._steps = None
        if self._steps is not None:
            self._steps.append(step)
        try:
            step(self._begun())
        except psycopg.Error as error:
            self._repeat(error)

    def _repeat(self, error: Exception) -> None:
        """Do all of the transaction again, where that can help."""
        psycopg = driver.load()
        steps = self._steps
        for attempt in range(1, TRIES):
            again = judge(error, self._work and self._work.connection) is Fault.AGAIN
            failure = self._server.session.failed(error) if not again or steps is None else None
            self._undo()
            if failure is not None or steps is None:
                raise failure or EngineFailed(str(error)) from error
            self._server.pause(attempt)
            try:
                work = self._begun()
                for step in steps:
                    step(work)
            except psycopg.Error as next_error:
                error = next_error
            except StatementRefused as refused:
                # Which of the calls it belongs to is not known: it comes again, and is named then.
                raise EngineFailed(f"a transaction that was done again is refused: {refused.reason}") from refused
            else:
                return
        raise self._server.session.failed(error) from error

    def _begun(self) -> LogWork:
        """The transaction; begun where that was not done yet."""
        if self._work is None:
            connection = self._server.connection()
            self._work = LogWork(
                connection,
                self._recogniser,
                RowWriter(self._tables, keeps_order=self._server.rows_act, clears=True),
                LogStatements(
                    self._tables,
                    schema=self._schema,
                    dialect=lambda: Dialect.SQLITE if self._takes_rows else Dialect.POSTGRESQL,
                    spg=self._spg,
                    running=Running.of(self._server, self._seconds),
                ),
                begun=False,
            )
        return self._work

    def commit(self, state: ReplayState) -> None:
        """See `IEngine`."""
        known = self._state
        self._do(lambda work: self._commit(work, known, state))
        work = self._work
        assert work is not None
        self._work = None
        self._state = state
        self._stored_rows = self._takes_rows
        self._schema.committed()
        self._spg.committed()
        self._statements += self._pending
        self._rows.merge(work.counts)

    def _commit(self, work: LogWork, known: ReplayState | None, state: ReplayState) -> None:
        """Move the position and commit, both in one way there and back."""
        if known is None:
            raise LocalFilesDamaged(f"{self._address} holds no copy yet, or it was dropped")
        psycopg = driver.load()
        work.begin()
        connection = work.connection
        self._server.renew(connection)
        text = text_of(state, self._takes_rows, self._spg.counts())
        values = (state.position, state.base, text, known.position)
        try:
            with self._tables.guarded(connection, self._address):
                connection.execute(_MOVE, values, prepare=True)
                self._server.mark_commit(connection, state.position)
                connection.execute("COMMIT")
        except psycopg.errors.DivisionByZero as error:
            raise LocalFilesDamaged(
                f"the copy in {self._address} is not at position {known.position}, where it was left: another "
                f"process works on it, or it was dropped"
            ) from error

    def rollback(self) -> None:
        """See `IEngine`."""
        self._undo()
        self._steps, self._kept, self._pending = [], 0, 0

    def _undo(self) -> None:
        self._spg.undone()
        if self._work is None:
            return
        self._work = None
        self._takes_rows = self._stored_rows
        self._tables.forget()
        self._server.session.rollback()
        if self._server.session.is_open:
            with self._server.session.storing():
                self._schema.rolled_back(self._server.connection())

    # -- snapshots --------------------------------------------------------------------------------------------

    def check_snapshot_head(self, head: bytes) -> None:
        """See `IEngine`."""
        check_head(head, spg=True)

    def check_snapshot(self, path: Path) -> None:
        """See `IEngine`. A snapshot of SPG is made one of SQLite."""
        if not convert_if_spg(path):
            inspect_snapshot(path)

    def install_snapshot(self, path: Path, state: ReplayState) -> None:
        """See `IEngine`. All of it is one transaction: readers see the old copy, and then the new one."""
        self.rollback()
        connection = self._server.connection()
        with self._server.session.storing():
            own_schema.ensure(connection)
            self._refuse_subscriptions(connection)
        objects, tables, rows = look_at(path)
        notes = self._server.transact(lambda one: self._install(one, path, state, objects, tables, rows))
        self._state = state
        self._takes_rows = self._stored_rows = rows
        self._spg.load([])
        self._tables.forget()
        with self._server.session.storing():
            self._schema.load(self._server.connection())
            self._cold.look(self._server.connection())
        for note in notes:
            self._log.warn("{note}", note=note)
        path.unlink(missing_ok=True)

    def _install(
        self,
        connection: Any,
        path: Path,
        state: ReplayState,
        objects: list[SchemaObject],
        tables: list[str],
        rows: bool,
    ) -> list[str]:
        known = {row[0] for row in connection.execute(f"SELECT table_name FROM {SCHEMA}.copy_tables").fetchall()}
        drop_copy(connection, self._address, sorted(known))
        refuse_acting_tables(connection, self._address, tables)
        notes: list[str] = []
        if tables:
            copying = SnapshotCopy(connection, self._address, path, self._server.session.features, self._noted)
            copying.copy(tables, way_out="follow with another engine")
            notes = copying.notes
        connection.execute(f"DELETE FROM {SCHEMA}.copy_tables")
        connection.execute(f"INSERT INTO {SCHEMA}.copy_tables SELECT unnest(%s::text[])", (tables,))
        self._schema.store(connection, objects)
        self._cold.note(connection, path)
        connection.execute(_BEGIN, (state.position, state.base, text_of(state, rows)))
        self._server.renew(connection)
        PlacingStep("commit")
        return notes

    def _noted(self, progress: CopyProgress) -> None:
        self._progress = progress

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`. There is none to give."""
        raise SnapshotError(f"the copy is in {self._address}, of which no snapshot is made")

    def attach_segment(self, segment_id: int, path: Path) -> None:
        """See `IEngine`."""
        self._segments.add(segment_id)

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`."""
        features = self._server.session.known_features
        return {
            "statements": self._statements,
            "attached": len(self._segments),
            "rows": self._rows.as_values(),
            "copied": self._progress and self._progress.as_values(),
            **({} if self._takes_rows else {"spg": self._spg.as_values()}),
            "left_out": sorted(self._schema.left_out),
            **self._cold.left_out.as_values(),
            "server": {
                "address": self._address.shown,
                **(features.as_values() if features is not None else {}),
                "retried": self._server.retried,
                "reconnected": self._server.reconnected,
            },
        }
