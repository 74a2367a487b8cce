"""The `postgresql` target: a subscription's rows in a server that speaks PostgreSQL's protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import attrs
from zope.interface import implementer

from spgrepl.engines.left_out_rows import LeftOutNotes, LeftOutRows
from spgrepl.engines.postgresql.log_statements import LogStatements, Running
from spgrepl.engines.postgresql.log_work import LogWork
from spgrepl.engines.postgresql.row_writer import RowWriter
from spgrepl.engines.postgresql.spg_log import SpgLog, Told
from spgrepl.engines.row_applier import RowCounts
from spgrepl.engines.targets import stored_state
from spgrepl.engines.targets.copy_report import (
    NO_COPY,
    judge_cold_rows,
    judge_snapshot,
    report_copy,
)
from spgrepl.engines.targets.initial_copy import CopyPlan
from spgrepl.engines.targets.options import DEFAULT_OPTIONS, TargetOptions
from spgrepl.engines.targets.server_state import (
    begin_subscription,
    check_shapes,
    keep_skipped,
    move_subscription,
    read_counts,
    read_subscription,
)
from spgrepl.engines.targets.transaction_words import refuse_transaction_control
from spgrepl.errors import ConfigurationError, DatabaseLocked, StatementRefused
from spgrepl.interfaces.conflicts import ConflictCounts
from spgrepl.interfaces.engine import IClocked, Mark
from spgrepl.interfaces.target import IRemoteTarget, SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.snapshot_copy import CopyProgress, SnapshotCopy
from spgrepl.postgresql.tables import TableBook
from spgrepl.postgresql.transactions import Transactor
from spgrepl.rows.recognise import Recogniser
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.sqlite.database_copy import check_head
from spgrepl.text.placing import PlacingStep
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

_NOTHING: Mapping[int, RecordType] = {}


@attrs.frozen
class _Skipped:
    """A record that is to be kept and skipped."""

    position: int
    record: bytes
    sql: bytes
    reason: str


@attrs.frozen
class _Given:
    """Records that are to be applied."""

    statements: Sequence[bytes]
    types: Mapping[int, RecordType]
    rows: bool
    told: Told


@implementer(IRemoteTarget, IClocked)
class PostgresqlTarget:
    """Applies what a subscription gets to tables of a server.

    What `execute` is given goes out when `commit` is called, all of it in one transaction with the position. A
    transaction that met another one is done again; after a lost connection `reopen` tells from what is stored
    whether the last one took effect.

    Args:
        address: The server.
        name: The subscription's name.
        options: How rows are taken.
    """

    kind = "postgresql"
    files: tuple[Path, ...] = ()

    _log = RoleLogger()

    def __init__(
        self,
        address: ServerAddress,
        name: str,
        options: TargetOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._address = address
        self._name = name
        self._without_cold_rows = options.without_cold_rows
        self._accept = options.accept_changed_tables
        self._seconds = options.statement_seconds
        self._server = Transactor(address, "subscription", name, options.fire_triggers)
        self._tables = TableBook(lambda: self._server.session.features.row_versions)
        self._recogniser = Recogniser()
        self._state: SubscriptionState | None = None
        self._spg = SpgLog(options.nondeterministic is Nondeterministic.APPROXIMATE)
        self._told = Told()
        self._held_statements = False
        self._given: list[_Given | _Skipped] = []
        self._statements = self._skipped = 0
        self._rows = RowCounts()
        self._left_out = LeftOutNotes(name, server=True)
        self._conflicts = ConflictCounts()
        self._unknown: tuple[str, ...] = ()
        self._progress: CopyProgress | None = None

    @property
    def address(self) -> ServerAddress:
        """The server."""
        return self._address

    # -- opening and closing ----------------------------------------------------------------------------------

    def cluster_id(self) -> int:
        """The id of this server's side, by which a loop is noticed; it is stored in the server.

        Raises:
            EngineFailed: The server cannot be reached.
            ConfigurationError: It refuses.
        """
        if self._server.session.stopped.is_set():
            self._server.begin_again()
        connection = self._server.wait_for_server()
        with self._server.session.storing():
            own_schema.ensure(connection)
            return own_schema.cluster_id(connection)

    def open(self) -> SubscriptionState | None:
        """See `ITarget`.

        Raises:
            ConfigurationError: The server refuses, or a follower keeps its copy there.
            DatabaseLocked: Another process works on this subscription.
            EngineFailed: The server could not be reached for a minute.
            TableMismatch: A table that was copied is another one now.
        """
        if self._server.session.stopped.is_set():
            self._server.begin_again()
        self._server.wait_for_server()
        return self.reopen()

    def reopen(self) -> SubscriptionState | None:
        """See `IRemoteTarget`."""
        connection = self._server.connection()
        self._tables.forget()
        with self._server.session.storing():
            self._state = None
            if own_schema.is_there(connection):
                self._refuse_other_roles(connection)
                self._state = read_subscription(connection, self._name)
                self._spg.load(read_counts(connection, self._name))
                self._left_out.look(connection)
                if self._state is not None:
                    check_shapes(connection, self._name, self._address, self._accept)
        return self._state

    def look(self) -> None:
        """See `IRemote`."""
        self._server.look()

    def interrupt(self) -> None:
        """See `ITarget`."""
        self._server.session.interrupt()

    def close(self) -> None:
        """See `ITarget`."""
        self._given.clear()
        self._server.close()

    def _refuse_other_roles(self, connection: Any) -> None:
        found = connection.execute("SELECT name FROM spgrepl.copies").fetchone()
        if found is not None:
            raise ConfigurationError(
                f"{self._address} holds a follower's copy, whose rows are its master's and nobody else's: name "
                f"another database for the subscription {self._name!r}"
            )

    # -- beginning --------------------------------------------------------------------------------------------

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        self._prepare_schema()
        self._server.transact(lambda connection: self._begin_with(connection, state))
        self._left_out.committed()
        self._state = state

    def _prepare_schema(self) -> None:
        connection = self._server.connection()
        with self._server.session.storing():
            own_schema.ensure(connection)

    def _begin_with(self, connection: Any, state: SubscriptionState, left_out: Sequence[LeftOutRows] = ()) -> None:
        self._refuse_other_roles(connection)
        begin_subscription(connection, self._name, state)
        self._left_out.note(connection, left_out)
        self._server.renew(connection)

    def check_snapshot_head(self, head: bytes) -> None:
        """See `ITarget`."""
        check_head(head, NO_COPY, spg=True)

    def copy_snapshot(
        self,
        path: Path,
        publications: Sequence[str],
        position: int,
        segments: Path | None = None,
        before: Mark | None = None,
    ) -> SubscriptionState:
        """See `ITarget`. The snapshot's file stays as it is; `snapshot_copy` says what is copied."""
        plan, state = judge_snapshot(path, publications, position, segments, before)
        left_out = judge_cold_rows(plan, self._without_cold_rows)
        self._prepare_schema()

        def copy(connection: Any) -> SnapshotCopy:
            again = self._is_to_be_copied_again(connection)
            replaceable = own_schema.copied_alone(connection, self._name) if again else ()
            copying = SnapshotCopy(connection, self._address, path, self._server.session.features, self._noted)
            way_out = f"leave the table out of the publication, or {NO_COPY}"
            copying.copy([table.shape.name for table in plan.tables], frozenset(replaceable), way_out)
            own_schema.note_copied(connection, self._name, copying.shapes())
            self._begin_with(connection, state, left_out)
            PlacingStep("commit")
            return copying

        self._tables.forget()
        try:
            copied = self._server.transact(copy)
        finally:
            self._tables.forget()
        self._left_out.committed()
        self._state = state
        self._report(plan, copied)
        return state

    def _noted(self, progress: CopyProgress) -> None:
        self._progress = progress

    def _is_to_be_copied_again(self, connection: Any) -> bool:
        """Whether rows that are there may be replaced: they are an empty log's, or of a different history."""
        known = read_subscription(connection, self._name)
        return known is not None and (known.position == 0 or known.diverged is not None)

    def _report(self, plan: CopyPlan, copied: SnapshotCopy) -> None:
        self._unknown = plan.unknown
        report_copy(plan, self._address.shown, self._name)
        for note in copied.notes:
            self._log.warn("{note}", note=note)
        self._log.info(
            "{rows} copied to {server}",
            rows=number_of(copied.progress.rows, "row was", "rows were"),
            server=self._address.shown,
        )

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`."""
        self._given = []

    def execute(
        self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING, rows: bool = False
    ) -> None:
        """See `ITarget`. It goes out when `commit` is called, which raises what this one may raise."""
        statements = list(statements)
        refuse_transaction_control(statements)
        self._given.append(_Given(statements, types, rows, self._told))

    def tell_clock(self, clock: Callable[[int], int | None]) -> None:
        """See `IClocked`."""
        self._told = Told(clock)

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`. It is kept in the table ``spgrepl.skipped``."""
        self._given.append(_Skipped(position, record, sql, reason))

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`.

        Raises:
            StatementRefused: A record failed; its index counts over all that was given since `begin`.
            TableMismatch: A table that was copied is another one now.
            DatabaseLocked: The subscription's row is not where this object left it: somebody else moves it too.
        """
        stored_state.check_position(state.position)
        try:
            work = self._server.transact(lambda connection: self._commit(connection, state))
        except StatementRefused as refused:
            self._conflicts.note(refused)
            self._tables.forget()  # what was in the way may be gone when it comes again
            raise
        given, self._given = self._given, []
        self._state = state
        statements = sum(len(one.statements) for one in given if isinstance(one, _Given))
        self._held_statements |= any(isinstance(one, _Given) and not one.rows for one in given)
        self._spg.committed()
        skipped = sum(isinstance(one, _Skipped) for one in given)
        if given:
            self._conflicts.went_on()
        self._rows.merge(work.counts)
        self._statements += statements
        self._skipped += skipped

    def _commit(self, connection: Any, state: SubscriptionState) -> LogWork:
        self._spg.undone()
        number = 0
        running = Running.of(self._server, self._seconds)
        work = LogWork(
            connection,
            self._recogniser,
            RowWriter(self._tables, keeps_order=self._server.rows_act, clears=False),
            LogStatements(self._tables, spg=self._spg, running=running),
        )
        for one in self._given:
            if isinstance(one, _Skipped):
                work.flush()
                keep_skipped(
                    connection, self._name, one.position, crc32(one.record), one.record, one.sql, one.reason
                )
            else:
                # Its clock counts from its own first record.
                self._spg.told = Told(lambda index, told=one.told, first=number: told.clock(index - first))  # type: ignore[misc]
                work.add(one.statements, one.types, one.rows)
                number += len(one.statements)
        work.flush()
        check = partial(check_shapes, connection, self._name, self._address, self._accept)
        self._tables.require_unchanged(connection, self._address, check)
        known = self._state
        if known is None or not move_subscription(connection, self._name, known, state, self._spg.counts()):
            raise DatabaseLocked(
                f"the subscription {self._name!r} in {self._address} is not at the position where it was left: it "
                f"was dropped, or another process works on it; let one process do that"
            )
        self._server.renew(connection)
        self._server.mark_commit(connection, state.position)
        return work

    def rollback(self) -> None:
        """See `ITarget`."""
        self._given = []
        self._server.session.rollback()

    def statistics(self) -> Mapping[str, object]:
        """See `ITarget`: all since start; ``rows`` are by table, ``conflicts`` by kind."""
        features = self._server.session.known_features
        return {
            "statements": self._statements,
            "skipped": self._skipped,
            "rows": self._rows.as_values(),
            "conflicts": self._conflicts.as_values(),
            "unknown_at_copy": list(self._unknown),
            "copied": self._progress and self._progress.as_values(),
            **({"spg": self._spg.as_values()} if self._held_statements else {}),
            **self._left_out.as_values(),
            "server": {
                "address": self._address.shown,
                **(features.as_values() if features is not None else {}),
                "retried": self._server.retried,
                "reconnected": self._server.reconnected,
            },
        }
