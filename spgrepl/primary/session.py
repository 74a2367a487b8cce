"""The connection that writes a primary's database: requests are run here, one inside one savepoint each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from spgrepl.engines import sqlite_state
from spgrepl.engines.interfaces import ReplayState
from spgrepl.engines.sqlite_session import STORAGE_FAULTS, prepare_session
from spgrepl.errors import (
    EngineFailed,
    LocalFilesDamaged,
    NotReplayable,
    SpgReplError,
    StatementFailed,
    SubscriptionGone,
)
from spgrepl.primary.defaults import TableDefaults, fill_in_defaults, read_dependent_defaults
from spgrepl.primary.determinism import Moment, Outcome, rewrite
from spgrepl.primary.functions import TIME_FUNCTIONS, Evaluator, FunctionNet, explain
from spgrepl.primary.guard import ObjectGuard
from spgrepl.primary.marks import SubscriptionMark
from spgrepl.primary.statements import Effect, Statement, check_text, prepare
from spgrepl.publications.catalog import note_change, note_control, reason_against, show
from spgrepl.publications.statements import CatalogChange, CatalogLook, is_control
from spgrepl.results import QueryResult
from spgrepl.sqltext import quote_name
from spgrepl.subscriber.stored_state import begin_subscription, keep_skipped, move_subscription
from spgrepl.wal.records import encode_statement, encode_v2

_SAVEPOINT = "spgrepl_request"
_LAST_ROWID = 2**63 - 1
_SCHEMA_EFFECTS = frozenset({Effect.SCHEMA, Effect.COPY, Effect.TRIGGER, Effect.SAVEPOINT})


@attrs.frozen
class Request:
    """What a caller wants done, all or nothing.

    Attributes:
        statements: The statements' texts.
        transaction: Whether they are a transaction; if not, there is one statement.
        mark: The subscription whose rows they are, and how far it comes with them; None for all others.
    """

    statements: tuple[str, ...]
    transaction: bool = False
    mark: SubscriptionMark | None = None

    @property
    def size(self) -> int:
        """About how many bytes the statements take."""
        return sum(map(len, self.statements))


@attrs.frozen
class Applied:
    """A request that was run.

    Attributes:
        records: Its records for the log; none where it only looked.
        statements: The texts that were run, as they stand in the records.
        results: What its statements returned, those that return rows.
        mark: The subscription whose rows they are; None for all others.
    """

    records: bytes
    statements: tuple[str, ...]
    results: tuple[QueryResult, ...]
    mark: SubscriptionMark | None = None


class WriterSession:
    """The writing connection of a primary. Blocking; used by one thread at a time.

    Args:
        database: The database file.
        max_record: The most bytes of SQL that a record may have.
        busy_seconds: How long to wait for other programs that hold the database's lock.
    """

    _log = Logger()

    def __init__(self, database: Path, max_record: int, busy_seconds: float = 10.0) -> None:
        self._database = database
        self._max_record = max_record
        self._evaluator = Evaluator(max_record)
        self._net = FunctionNet(self._evaluator)
        self._guard = ObjectGuard()
        self._defaults: TableDefaults | None = None
        self._data_version: int | None = None
        self._durable = False
        # Without a cache every statement is compiled, and so seen by the guard.
        self.connection = sqlite3.connect(
            database, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=0
        )

    def prepare(self) -> None:
        """Set the connection up for writing: journal, settings, and the nets for what a copy cannot follow.

        Raises:
            LocalFilesDamaged: The database cannot be put into WAL journal mode.
        """
        connection = self.connection
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LocalFilesDamaged(
                f"{self._database} is in journal mode {mode} and cannot be put into WAL mode; put it on a local "
                f"disk, and close other programs that have it open"
            )
        # The log is durable before a commit: what a loss of power takes from the database is applied again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        prepare_session(connection)
        self._net.install(connection)
        self._guard.install(connection)

    def close(self) -> None:
        """Close the connection; a transaction that is open is rolled back."""
        self.connection.close()
        self._evaluator.close()

    # -- transactions -----------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.in_transaction

    def begin(self, durable: bool = False) -> None:
        """Begin the transaction of a group of requests.

        Args:
            durable: Whether its commit has to survive a loss of power by itself, without the log.

        Raises:
            EngineFailed: Another program holds the lock, or the disk refuses.
        """
        if durable is not self._durable:
            self._storage(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._storage("BEGIN IMMEDIATE")
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            if self._data_version is not None:
                self._log.warn(
                    "another program has changed {path}; what it wrote is not in the log, and copies do not have "
                    "it. Write through spgrepl only",
                    path=self._database,
                )
            self._data_version = version
            self._defaults = None

    def commit(self) -> None:
        """Commit.

        Raises:
            EngineFailed: The disk refuses. The transaction must be rolled back.
        """
        self._storage("COMMIT")

    def write_state(self, state: ReplayState) -> None:
        """Write the position that the rows correspond to, inside the open transaction."""
        try:
            sqlite_state.write_state(self.connection, sqlite_state.ROLE_PRIMARY, state)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def rollback(self) -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""
        if self.connection.in_transaction:
            self._defaults = None
            self._storage("ROLLBACK")

    def _storage(self, statement: str) -> None:
        try:
            self.connection.execute(statement)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> EngineFailed:
        return EngineFailed(f"{self._database} cannot be written at present: {error}")

    # -- requests ---------------------------------------------------------------------------------------------

    def apply(self, request: Request, instant: str) -> Applied:
        """Run a request inside the open transaction; one that fails leaves no trace.

        Args:
            request: The request.
            instant: What "now" means in it, in UTC, as ``2026-01-31 12:00:00.123``.

        Raises:
            StatementFailed: A statement was refused, by SQLite or because a copy could not follow.
            EngineFailed: The disk refuses.
        """
        self._storage(f"SAVEPOINT {_SAVEPOINT}")
        try:
            applied = self._apply(request, instant)
            if request.mark is not None:
                self.write_mark(request.mark)
        except SpgReplError:
            self._undo()
            raise
        self._storage(f"RELEASE {_SAVEPOINT}")
        return applied

    def _undo(self) -> None:
        self._defaults = None
        # Some failures end the whole transaction; then there is nothing left to go back to.
        if self.connection.in_transaction:
            self._storage(f"ROLLBACK TO {_SAVEPOINT}")
            self._storage(f"RELEASE {_SAVEPOINT}")

    def _apply(self, request: Request, instant: str) -> Applied:
        texts: list[str] = []
        results: list[QueryResult] = []
        outcome = Outcome()
        for number, sql in enumerate(request.statements, 1):
            try:
                statement = prepare(sql, self._max_record, request.transaction)
                if statement.control is not None:
                    text, result = statement.text, self._control(statement.control, statement.text)
                else:
                    text = self._rewritten(statement, Moment(instant, outcome))
                    result, outcome = self._execute(text, statement, outcome)
            except StatementFailed as error:
                error.number, error.sql = number, sql
                raise
            if statement.logged:
                texts.append(text)
            if result is not None:
                results.append(result)
        return Applied(_encode(texts, request.transaction), tuple(texts), tuple(results), request.mark)

    def write_mark(self, mark: SubscriptionMark) -> None:
        """Write how far a subscription has come, inside the open transaction.

        Raises:
            SubscriptionGone: The subscription is not where its rows follow on: it was dropped, or begun anew.
            EngineFailed: The disk refuses.
        """
        try:
            if mark.known is None:
                begin_subscription(self.connection, mark.name, mark.state)
            elif not move_subscription(self.connection, mark.name, mark.known, mark.state):
                raise SubscriptionGone(
                    f"the subscription {mark.name} does not stand at position {mark.known.position} any more: it "
                    f"was dropped, or begun anew"
                )
            for position, record, sql, reason in mark.skipped:
                keep_skipped(self.connection, mark.name, position, record, sql, reason)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _rewritten(self, statement: Statement, moment: Moment) -> str:
        """The text to run and to log, which may be longer than what the caller handed over."""
        if self._defaults is None and statement.effect is Effect.ROWS:
            self._defaults = self._read_defaults()
        try:
            text = rewrite(statement, self._evaluator, moment)
            if self._defaults and statement.effect is Effect.ROWS:
                text = fill_in_defaults(text, self._defaults, self._evaluator, moment)
        except sqlite3.Error as error:
            raise StatementFailed(str(error), statement.text) from error
        if text is not statement.text:
            check_text(text, self._max_record)
        return text

    def _read_defaults(self) -> TableDefaults:
        try:
            return read_dependent_defaults(self.connection)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _execute(self, text: str, statement: Statement, before: Outcome) -> tuple[QueryResult | None, Outcome]:
        if statement.effect in _SCHEMA_EFFECTS:
            self._defaults = None
        self._net.take()
        self._guard.take()
        try:
            with self._guard.watching(evaluates=statement.effect in (Effect.ROWS, Effect.COPY)):
                cursor = self.connection.execute(text)
                rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._refusal(error, text) from error
        result = None
        if cursor.description is not None:
            result = QueryResult(tuple(column[0] for column in cursor.description), rows)
        return result, _outcome(cursor, text, before)

    def _control(self, statement: CatalogChange | CatalogLook, text: str) -> QueryResult | None:
        """Show the catalogue, or judge a change of it and make it."""
        try:
            if isinstance(statement, CatalogLook):
                return show(self.connection, statement)
            reason = reason_against(self.connection, statement)
            if reason is not None:
                raise StatementFailed(reason, text)
            note_change(self.connection, statement)
        except sqlite3.Error as error:
            raise self._refusal(error, text) from error
        return None

    def _refusal(self, error: Exception, text: str) -> SpgReplError:
        caught, denied = self._net.take(), self._guard.take()
        if caught is not None:
            advice = explain(caught)
            where = (
                "an argument that is computed, a default, a trigger or a view"
                if caught in TIME_FUNCTIONS
                else "a default, a trigger or a view"
            )
            return NotReplayable(f"{advice} (it was called by {where})", text)
        if denied is not None:
            return StatementFailed(denied, text)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in STORAGE_FAULTS:
            return EngineFailed(f"{self._database} cannot be written at present: {error}")
        return StatementFailed(str(error), text)

    # -- statements of the log --------------------------------------------------------------------------------

    def reapply(self, statements: Sequence[str]) -> None:
        """Run statements again that stand in the log, or were run for it, as they are.

        Raises:
            StatementFailed: SQLite refuses one.
            StatementRefused: One on the catalogue cannot be read.
            EngineFailed: The disk refuses.
        """
        self._defaults = None
        for number, text in enumerate(statements, 1):
            try:
                if is_control(text):
                    note_control(self.connection, text.encode("utf-8"))
                else:
                    self.connection.execute(text).fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                refusal = self._refusal(error, text)
                if isinstance(refusal, StatementFailed):
                    refusal.number = number
                raise refusal from error

    # -- row numbers ------------------------------------------------------------------------------------------

    def table_with_last_rowid(self) -> str | None:
        """Look in the tables written since the last call for a row with the highest possible number.

        Behind such a row SQLite numbers new rows at random, which a copy cannot follow.

        Returns:
            The name of a table that holds one, or None.
        """
        for table in self._guard.take_written():
            query = f"SELECT 1 FROM main.{quote_name(table)} WHERE rowid = {_LAST_ROWID}"
            try:
                if self.connection.execute(query).fetchone() is not None:
                    return table
            except sqlite3.OperationalError:
                # A table without row numbers, a view, or one that a later statement dropped.
                continue
        return None


def _outcome(cursor: sqlite3.Cursor, text: str, before: Outcome) -> Outcome:
    if cursor.rowcount < 0:
        # The driver tells nothing of a statement that begins with WITH, be it an INSERT or not.
        return Outcome(None, None if text[:4].upper() == "WITH" else before.last_rowid)
    inserted = cursor.rowcount > 0 and text[:1] in "IiRr"
    return Outcome(cursor.rowcount, cursor.lastrowid if inserted else before.last_rowid)


def _encode(texts: Sequence[str], transaction: bool) -> bytes:
    if not texts:
        return b""
    if not transaction:
        return encode_statement(texts[0].encode("utf-8"))
    return b"".join(encode_v2(sql) for sql in (b"BEGIN", *(text.encode("utf-8") for text in texts), b"COMMIT"))
