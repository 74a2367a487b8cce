"""The `sqlite` target: a subscription's rows in a SQLite database, which others may read and write meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import apsw
from zope.interface import implementer

from spgrepl.disk.file_watch import FileWatch
from spgrepl.disk.files import DatabasePaths, make_private, refuse_orphaned_journal
from spgrepl.engines.left_out_rows import LeftOutNotes, LeftOutRows
from spgrepl.engines.row_applier import RowCounts
from spgrepl.engines.spg_snapshot import keep_types
from spgrepl.engines.sqlite_applier import StatementApplier
from spgrepl.engines.targets import stored_state
from spgrepl.engines.targets.copy_report import (
    NO_COPY,
    judge_cold_rows,
    judge_snapshot,
    report_copy,
)
from spgrepl.engines.targets.initial_copy import (
    ATTACHED_SNAPSHOT,
    CopyPlan,
    attached,
    copy_tables,
)
from spgrepl.engines.targets.options import DEFAULT_OPTIONS, TargetOptions
from spgrepl.engines.targets.stored_shapes import ShapeGuard
from spgrepl.engines.targets.subscribed_rows import SubscribedRows
from spgrepl.engines.targets.transaction_words import refuse_transaction_control
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    EngineFailed,
    StatementRefused,
)
from spgrepl.interfaces.conflicts import ConflictCounts
from spgrepl.interfaces.engine import IClocked, Mark
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.pairs.copied_by import refuse_copy_of_another_engine
from spgrepl.spgsql.replay import holds_spg
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import check_head
from spgrepl.sqlite.duplicates import DuplicateObject
from spgrepl.sqlite.session import Patience, cannot_open, plain_connection, prepare_applying
from spgrepl.text.placing import PlacingStep
from spgrepl.text.role_log import RoleLogger

_NOTHING: Mapping[int, RecordType] = {}


@implementer(ITarget, IClocked)
class SqliteTarget:
    """Applies what a subscription gets to a SQLite database in WAL journal mode.

    The database may hold other tables, and other subscriptions: each has a row of its own in the table
    ``spgrepl_subscriber``.

    Args:
        database: The database file; `start` and `copy_snapshot` make it where it is missing.
        name: The subscription's name.
        options: How rows are taken.
    """

    kind = "sqlite"

    _log = RoleLogger()

    def __init__(
        self,
        database: Path,
        name: str,
        options: TargetOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._database = database
        self.files = (database,)
        self._name = name
        self._without_cold_rows = options.without_cold_rows
        self._applier: StatementApplier | None = None
        self._state: SubscriptionState | None = None
        self._watch = FileWatch()
        self._tolerated: set[tuple[str, str]] = set()
        self._statements = self._skipped = 0
        self._pending_statements = self._pending_skipped = 0
        self._fire_triggers = options.fire_triggers
        self._seconds = options.statement_seconds
        self._nondeterministic = options.nondeterministic
        self._unknown: tuple[str, ...] = ()
        self._rows = RowCounts()
        self._left_out = LeftOutNotes(name)
        self._conflicts = ConflictCounts()
        self._patience = Patience()
        self._clock: Callable[[int], int | None] = lambda _index: None
        self._shapes = ShapeGuard(database, name, options.accept_changed_tables)

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> SubscriptionState | None:
        """See `ITarget`.

        Raises:
            ConfigurationError: The database is a primary's or a follower's, or its name that of such a copy.
            TableMismatch: A table that was copied is another one now.
        """
        self._patience = Patience()
        refuse_copy_of_another_engine(DatabasePaths.of(self._database))
        if not self._database.exists():
            return None
        try:
            with contextlib.closing(
                plain_connection(self._database, self._patience, read_only=True)
            ) as connection:
                self._refuse_other_roles(connection)
                self._state = stored_state.read_subscription(connection, self._name)
                if self._state is not None:
                    self._shapes.check(connection)
                    self._left_out.look(connection)
        except apsw.Error as error:
            raise cannot_open(error, self._database, "restore it, or name another file") from error
        return self._state

    def interrupt(self) -> None:
        """See `ITarget`."""
        self._patience.stopped = True
        applier = self._applier
        if applier is not None:
            applier.interrupt()

    def close(self) -> None:
        """See `ITarget`."""
        self._watch.forget()
        if self._applier is not None:
            applier, self._applier = self._applier, None
            applier.connection.close()

    def _refuse_other_roles(self, connection: apsw.Connection) -> None:
        stored = sqlite_state.read_state(connection)
        if stored is None:
            return
        if stored.role == sqlite_state.ROLE_PRIMARY:
            what = "a primary's database, whose every change must stand in its own log"
        else:
            what = "a follower's copy, whose rows are its master's and nobody else's"
        raise ConfigurationError(
            f"{self._database} is {what}: name another file for the subscription {self._name!r}"
        )

    def _connect(self, encoding: str | None = None) -> StatementApplier:
        """Open the database for writing, where its role allows.

        Args:
            encoding: How texts are encoded where the database is made; None where that does not matter.
        """
        if self._applier is not None:
            return self._applier
        if not self._database.parent.is_dir():
            raise ConfigurationError(f"{self._database.parent} is not a folder: make it, or name another place")
        if not self._database.exists():
            refuse_orphaned_journal(self._database)
            make_private(self._database)
        connection = plain_connection(self._database, self._patience)
        try:
            self._refuse_other_roles(connection)
            if encoding is not None:
                self._settle_encoding(connection, encoding)
            prepare_applying(connection)
            mode = connection.pragma("journal_mode")
            if mode != "wal":
                raise EngineFailed(
                    f"{self._database} is in journal mode {mode} and cannot be put into WAL mode; put it on a "
                    f"local disk, and close other programs that have it open"
                )
        except BaseException:
            connection.close()
            raise
        self._applier = StatementApplier(connection, self._database, _pass_over, self._tolerate, self._seconds)
        self._watch.expect(self._database)
        if not self._fire_triggers:
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        return self._applier

    def _settle_encoding(self, connection: apsw.Connection, wanted: str) -> None:
        """SQLite reads from one database into another only where both encode their texts alike."""
        connection.execute(f"PRAGMA encoding = '{wanted}'")  # without effect where the database is made
        present = connection.pragma("encoding")
        if present != wanted:
            raise ConfigurationError(
                f"{self._database} encodes its texts in {present}, the master's snapshot in {wanted}: name "
                f"another file, or {NO_COPY}"
            )

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """Report what SQLite refuses of what is our own as a failure to store."""
        try:
            yield
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error

    # -- beginning --------------------------------------------------------------------------------------------

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        with self._storing():
            applier = self._connect()
            self._begin_with(applier, state)

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
        """See `ITarget`. The snapshot's file stays as it is; `initial_copy` says what is copied."""
        plan, state = judge_snapshot(path, publications, position, segments, before)
        left_out = judge_cold_rows(plan, self._without_cold_rows)
        with self._storing():
            applier = self._connect(plan.encoding)
            with attached(applier.connection, plan):
                self._begin_with(applier, state, lambda: self._copy(applier.connection, plan, position), left_out)
        self._unknown = plan.unknown
        report_copy(plan, str(self._database), self._name)
        return state

    def _copy(self, connection: apsw.Connection, plan: CopyPlan, position: int) -> None:
        known = self._state
        if known is not None and known.diverged is not None:
            # The rows that are there are of a different history: a fresh copy was ordered in their place.
            replaceable = self._shapes.copied(connection)
        else:
            replaceable = stored_state.replaceable_tables(connection, self._name)
        copy_tables(connection, self._database, plan, replaceable)
        self._shapes.note(connection, (table.shape.name for table in plan.tables))
        keep_types(connection, ATTACHED_SNAPSHOT, [table.shape.name for table in plan.tables])
        if position == 0:
            stored_state.note_copied(connection, self._name, (table.shape.name for table in plan.tables))

    def _begin_with(
        self,
        applier: StatementApplier,
        state: SubscriptionState,
        more: Callable[[], None] | None = None,
        left_out: Sequence[LeftOutRows] = (),
    ) -> None:
        """Store a subscription's first state, and do more with it, in one transaction."""
        applier.rollback()
        applier.begin()
        connection = applier.ready()
        try:
            # Between the first look and now another program could have made it a primary's.
            self._refuse_other_roles(connection)
            if more is not None:
                more()
            stored_state.begin_subscription(connection, self._name, state)
            self._left_out.note(connection, left_out)
            PlacingStep("commit")
            connection.execute("COMMIT")
        finally:
            applier.rollback()
        self._left_out.committed()
        self._state = state

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`."""
        self._pending_statements = self._pending_skipped = 0
        self._watch.require_in_place()
        if self._applier is not None:
            self._applier.begin()

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`.

        Raises:
            TableMismatch: A table that was copied is another one now.
            DatabaseLocked: The subscription's row is not where this object left it: somebody else moves it too.
        """
        with self._storing():
            connection = self._connect().ready()
            self._shapes.check_again(connection)
            known = self._state
            rows = self._applier.rows if self._applier is not None else None
            if known is None or not stored_state.move_subscription(connection, self._name, known, state):
                raise DatabaseLocked(
                    f"the subscription {self._name!r} in {self._database} is not at the position where it was "
                    f"left: it was dropped, or another process works on it; let one process do that"
                )
            if self._applier is not None and self._applier.spg is not None:
                self._applier.spg.store()
            connection.execute("COMMIT")
        if self._applier is not None and self._applier.spg is not None:
            self._applier.spg.committed()
        self._state = state
        if rows is not None:
            self._rows.merge(rows.counted())
        if self._pending_statements or self._pending_skipped:
            self._conflicts.went_on()
        self._statements += self._pending_statements
        self._skipped += self._pending_skipped

    def rollback(self) -> None:
        """See `ITarget`."""
        if self._applier is not None:
            if self._applier.connection.in_transaction:
                self._shapes.undone()
            self._applier.rollback()
            if self._applier.rows is not None:
                self._applier.rows.counted()

    # -- records ----------------------------------------------------------------------------------------------

    def execute(
        self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING, rows: bool = False
    ) -> None:
        """See `ITarget`."""
        statements = list(statements)
        refuse_transaction_control(statements)
        with self._storing():
            applier = self._connect()
        if rows and applier.rows is None:
            applier.take_rows(SubscribedRows(applier.connection, self._fire_triggers), self._fire_triggers)
        elif not rows:
            applier.take_statements(self._fire_triggers)
            if applier.spg is None:
                applier.take_spg(self._nondeterministic, holds_spg(applier.connection))
        if rows:
            applier.spg = None
        elif applier.spg is not None:
            applier.spg.tell_clock(self._clock)
        try:
            applier.execute(statements, types)
        except StatementRefused as refused:
            self._conflicts.note(refused)
            raise
        self._pending_statements += len(statements)

    def tell_clock(self, clock: Callable[[int], int | None]) -> None:
        """See `IClocked`."""
        self._clock = clock

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`. It is kept in the table ``spgrepl_skipped``."""
        with self._storing():
            connection = self._connect().ready()
            stored_state.keep_skipped(connection, self._name, position, record, sql, reason)
        self._pending_skipped += 1

    def _tolerate(self, duplicate: DuplicateObject) -> None:
        if (duplicate.kind, duplicate.name) not in self._tolerated:
            self._tolerated.add((duplicate.kind, duplicate.name))
            self._log.warn(
                "in {path}, {duplicate}: it is not made a second time",
                duplicate=str(duplicate),
                path=str(self._database),
            )

    def statistics(self) -> Mapping[str, object]:
        """See `ITarget`: all since start; ``rows`` are by table, ``conflicts`` by kind."""
        spg = None if self._applier is None else self._applier.spg
        return {
            "statements": self._statements,
            "skipped": self._skipped,
            "rows": self._rows.as_values(),
            "conflicts": self._conflicts.as_values(),
            "unknown_at_copy": list(self._unknown),
            **({} if spg is None else {"spg": spg.as_values()}),
            **self._left_out.as_values(),
        }


def _pass_over(_connection: apsw.Connection, _statement: bytes) -> None:
    """What the master publishes and subscribes to is no business of a subscriber's database."""
