"""The `sqlite` target: a subscription's rows in a SQLite database, which others may read and write meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from twisted.logger import Logger
from zope.interface import implementer

from spgrepl.engines import sqlite_state
from spgrepl.engines.duplicates import DuplicateObject
from spgrepl.engines.sqlite_applier import StatementApplier
from spgrepl.engines.sqlite_copy import check_head, inspect_snapshot
from spgrepl.engines.sqlite_session import plain_connection, prepare_applying
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    EngineFailed,
    LocalFilesDamaged,
    StatementRefused,
)
from spgrepl.sqltext import split_statements
from spgrepl.subscriber import stored_state
from spgrepl.subscriber.initial_copy import CopyPlan, attached, copied_triggers, copy_tables, plan_copy
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, statement_kind

_NOTHING: Mapping[int, RecordType] = {}
_NO_COPY = "begin without the rows that are there, with --no-copy-data"

# The first letters of what a subscriber gets: with these nothing begins or ends a transaction.
_CHANGES = frozenset(
    word[:3].encode() for word in ("INSERT", "UPDATE", "DELETE", "REPLACE", "insert", "update", "delete")
)
_NO_TRANSACTION = frozenset({StatementKind.PLAIN, StatementKind.CONTROL})


@implementer(ITarget)
class SqliteTarget:
    """Applies what a subscription gets to a SQLite database in WAL journal mode.

    The database may hold other tables, and other subscriptions: each has a row of its own in the table
    ``spgrepl_subscriber``.

    Args:
        database: The database file; `start` and `copy_snapshot` make it where it is missing.
        name: The subscription's name.
    """

    kind = "sqlite"

    _log = Logger()

    def __init__(self, database: Path, name: str) -> None:
        self._database = database
        self._name = name
        self._applier: StatementApplier | None = None
        self._state: SubscriptionState | None = None
        self._tolerated: set[tuple[str, str]] = set()
        self._statements = self._skipped = 0
        self._pending_statements = self._pending_skipped = 0

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> SubscriptionState | None:
        """See `ITarget`.

        Raises:
            ConfigurationError: The subscription has begun here, and the database became a primary's or follower's.
        """
        if not self._database.exists():
            return None
        uri = f"{self._database.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(plain_connection(uri, uri=True)) as connection:
                self._state = stored_state.read_subscription(connection, self._name)
                if self._state is not None:
                    self._refuse_other_roles(connection)
        except sqlite3.Error as error:
            raise LocalFilesDamaged(
                f"{self._database} cannot be used as a SQLite database: {error}; restore it, or name another file"
            ) from error
        return self._state

    def close(self) -> None:
        """See `ITarget`."""
        if self._applier is not None:
            applier, self._applier = self._applier, None
            applier.connection.close()

    def _refuse_other_roles(self, connection: sqlite3.Connection) -> None:
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
            raise ConfigurationError(f"{self._database.parent} is no folder: make it, or name another place")
        # As a URI, so that a snapshot can be attached read-only.
        connection = plain_connection(self._database.absolute().as_uri(), uri=True)
        try:
            self._refuse_other_roles(connection)
            if encoding is not None:
                self._settle_encoding(connection, encoding)
            prepare_applying(connection)
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                raise EngineFailed(
                    f"{self._database} is in journal mode {mode} and cannot be put into WAL mode; put it on a "
                    f"local disk, and close other programs that have it open"
                )
        except BaseException:
            connection.close()
            raise
        self._applier = StatementApplier(connection, self._database, _pass_over, self._tolerate)
        return self._applier

    def _settle_encoding(self, connection: sqlite3.Connection, wanted: str) -> None:
        """SQLite reads from one database into another only where both encode their texts alike."""
        connection.execute(f"PRAGMA encoding = '{wanted}'")  # without effect where the database is made
        (present,) = connection.execute("PRAGMA encoding").fetchone()
        if present != wanted:
            raise ConfigurationError(
                f"{self._database} encodes its texts in {present}, the master's snapshot in {wanted}: name "
                f"another file, or {_NO_COPY}"
            )

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """Report what SQLite refuses of what is our own as a failure to store."""
        try:
            yield
        except sqlite3.Error as error:
            raise EngineFailed(f"{self._database} cannot be written: {error}") from error

    # -- beginning --------------------------------------------------------------------------------------------

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        with self._storing():
            applier = self._connect()
            self._begin_with(applier, state)

    def check_snapshot_head(self, head: bytes) -> None:
        """See `ITarget`."""
        check_head(head, _NO_COPY)

    def copy_snapshot(self, path: Path, publications: Sequence[str], position: int) -> SubscriptionState:
        """See `ITarget`. The snapshot's file stays as it is; `initial_copy` says what is copied."""
        state = SubscriptionState(tuple(publications), position, position)
        stored_state.check_position(position)
        inspect_snapshot(path, _NO_COPY)
        plan = plan_copy(path, publications)
        with self._storing():
            applier = self._connect(plan.encoding)
            with attached(applier.connection, plan):
                self._begin_with(applier, state, lambda: self._copy(applier.connection, plan, position))
        self._report(plan)
        return state

    def _copy(self, connection: sqlite3.Connection, plan: CopyPlan, position: int) -> None:
        copy_tables(connection, self._database, plan, stored_state.replaceable_tables(connection, self._name))
        if position == 0:
            stored_state.note_copied(connection, self._name, (table.shape.name for table in plan.tables))

    def _begin_with(
        self, applier: StatementApplier, state: SubscriptionState, more: Callable[[], None] | None = None
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
            connection.execute("COMMIT")
        finally:
            applier.rollback()
        self._state = state

    def _report(self, plan: CopyPlan) -> None:
        for name in plan.unknown:
            self._log.warn("the master's snapshot knows no publication {name}: it adds nothing", name=name)
        for name in plan.missing:
            self._log.warn("the published table {name} is not in the master's snapshot", name=name)
        triggers = copied_triggers(plan)
        if triggers:
            self._log.warn(
                "triggers are not copied, and the log does not tell what they do on the master: make those here "
                "that the published tables need: {triggers}",
                triggers=", ".join(triggers),
            )
        if plan.tables:
            self._log.info(
                "{count} tables were copied to {path}: {tables}",
                count=len(plan.tables),
                path=str(self._database),
                tables=", ".join(table.shape.name for table in plan.tables),
            )
        else:
            self._log.warn("there was nothing to copy: the subscription {name} begins empty", name=self._name)

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`."""
        self._pending_statements = self._pending_skipped = 0
        if self._applier is not None:
            self._applier.begin()

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`.

        Raises:
            DatabaseLocked: The subscription's row is not where this object left it: somebody else moves it too.
        """
        with self._storing():
            connection = self._connect().ready()
            known = self._state
            if known is None or not stored_state.move_subscription(connection, self._name, known, state):
                raise DatabaseLocked(
                    f"the subscription {self._name!r} in {self._database} is not at the position where it was "
                    f"left: it was dropped, or another process works on it; let one process do that"
                )
            connection.execute("COMMIT")
        self._state = state
        self._statements += self._pending_statements
        self._skipped += self._pending_skipped

    def rollback(self) -> None:
        """See `ITarget`."""
        if self._applier is not None:
            self._applier.rollback()

    # -- records ----------------------------------------------------------------------------------------------

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType] = _NOTHING) -> None:
        """See `ITarget`."""
        if not {statement[:3] for statement in statements} <= _CHANGES:
            _refuse_transaction_control(statements)
        with self._storing():
            applier = self._connect()
        applier.execute(statements, types)
        self._pending_statements += len(statements)

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
        """See `ITarget`: ``statements`` and ``skipped``, both since start."""
        return {"statements": self._statements, "skipped": self._skipped}


def _pass_over(_connection: sqlite3.Connection, _statement: bytes) -> None:
    """What the master publishes and subscribes to is no business of a subscriber's database."""


def _refuse_transaction_control(statements: Sequence[bytes]) -> None:
    """A master sends no BEGIN or COMMIT to a subscriber; one that did would part rows and position."""
    for index, statement in enumerate(statements):
        if statement_kind(statement) not in _NO_TRANSACTION and _is_alone(statement):
            raise StatementRefused(
                index, statement, "transaction control is not for subscribers, whose transactions are their own"
            )


def _is_alone(statement: bytes) -> bool:
    return len(split_statements(statement.decode("utf-8", "replace"))) == 1
