"""The connection that writes a primary's database: requests are run here, one inside one savepoint each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import apsw

from spgrepl.base.results import QueryResult
from spgrepl.errors import EngineFailed, SpgReplError, StatementFailed
from spgrepl.interfaces.engine import ReplayState
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.parts.connection import Setup, open_database, set_up
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Applied, Parameters, Request
from spgrepl.primary.parts.settings import only_rows
from spgrepl.primary.parts.statements import Effect, Statement, prepare
from spgrepl.primary.parts.together import FailedTogether, steps_of
from spgrepl.primary.running.logged_marks import write_mark
from spgrepl.primary.running.others import OthersWatch
from spgrepl.primary.running.replayer import Replayer
from spgrepl.primary.running.statement_runner import Control, StatementRunner
from spgrepl.primary.running.subscribed import run_subscribed
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import note_rows, rows_begin
from spgrepl.sqlite.session import Patience

_SAVEPOINT = "spgrepl_request"
_STEP = "spgrepl_step"


class WriterSession:
    """The writing connection of a primary. Blocking; used by one thread at a time.

    Args:
        database: The database file.
        max_record: The most bytes of SQL that a record may have.
        control: Ends statements early, and tells how far they are.
        setup: Registers functions and collations of the embedding program; None where there are none.
        busy_seconds: How long to wait for other programs that hold the database's lock.

    Attributes:
        runner: Runs the statements of users.
        others: Whether another program has written the database.
        recording: The records of the requests that were applied since `begin`.
        may_put_together: Whether statements may be run together; after a failure not before the next group.
        durable: Whether the commits have to survive a loss of power by themselves, without the log.
    """

    def __init__(
        self,
        database: Path,
        max_record: int,
        control: Control | None = None,
        setup: Setup | None = None,
        busy_seconds: float = 10.0,
    ) -> None:
        self._database = database
        self._max_record = max_record
        # `OthersWatch.version` when settings and layouts were read last.
        self._version: int | None = None
        self._synchronous = self.durable = False
        patience = Patience(busy_seconds, lambda: control is not None and control.interruption is not None)
        self.connection = open_database(database, patience, setup=setup)
        self.others = OthersWatch(self.connection, database)
        self.recording = Recording(database.absolute().parent)
        self.runner = StatementRunner(self.connection, database, self.recording, max_record, control)
        self._recorder = self.runner.recorder
        self._counted = self._recorder.sequences.save()
        self._start = 0
        self._trusting = self.may_put_together = True
        self._replayer = Replayer(self.connection, self.runner)

    def prepare(self) -> None:
        """Set the connection up for writing: journal, settings, and the guard of spgrepl's own tables.

        Raises:
            LocalFilesDamaged: The database cannot be put into WAL journal mode.
        """
        set_up(self.connection, self._database)
        self.runner.install()
        self.others.look()

    def close(self) -> None:
        """Close the connection; a transaction that is open is rolled back."""
        self.connection.close()
        self.recording.clear()

    # -- transactions -----------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.in_transaction

    def begin_group(self) -> None:
        """Begin the transaction of a group of requests, with nothing recorded; raises as `begin`."""
        self.begin()
        self.recording.clear()
        self._trusting = self.may_put_together = True

    def begin(self) -> None:
        """Begin a transaction.

        Raises:
            EngineFailed: Another program holds the lock, or the disk refuses.
        """
        if self.durable is not self._synchronous:
            self.storage(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
            self._synchronous = self.durable
        self.storage("BEGIN IMMEDIATE")
        self.others.look()
        if self.runner.settings_changed():
            self.runner.use_settings()
        if self.others.version != self._version:
            self._version = self.others.version
            self._recorder.forget_layouts()
            self._recorder.sequences.forget()
            self.runner.use_settings()

    def finish(self) -> None:
        """Record what belongs to no request, after all requests of the group.

        Raises:
            EngineFailed: The disk refuses.
        """
        try:
            self.recording.begin()
            self._recorder.sequences.settle(self.recording.add)
            self.recording.end()
        except (apsw.Error, OSError) as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Commit.

        Raises:
            EngineFailed: The disk refuses. The transaction must be rolled back.
        """
        self.storage("COMMIT")

    def write_state(self, state: ReplayState, moved: bool = False) -> None:
        """Write the position that the rows correspond to, inside the open transaction.

        Where it has only `moved`, all else is as it was written last.
        """
        # What the last statement of a user inserted may still be asked for.
        last = self.connection.last_insert_rowid()
        try:
            if moved:
                sqlite_state.move_state(self.connection, state)
            else:
                sqlite_state.write_state(self.connection, sqlite_state.ROLE_PRIMARY, state)
        except apsw.Error as error:
            raise self._failed(error) from error
        self.connection.set_last_insert_rowid(last)

    def rollback(self) -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""
        if self.connection.in_transaction:
            self.storage("ROLLBACK")
            self.runner.forget()
            self._recorder.sequences.forget()

    def holds_rows(self) -> bool:
        """Whether the log holds rows from where the database stands."""
        return rows_begin(self.connection) is not None

    def note_rows(self, position: int) -> None:
        """Write down, inside the open transaction, that the log holds rows from a position on."""
        try:
            note_rows(self.connection, position)
        except apsw.Error as error:
            raise self._failed(error) from error

    def store_setting(self, name: str, on: bool) -> None:
        """Store a setting, inside the open transaction, and work by it."""
        try:
            self.runner.store_setting(name, on)
        except apsw.Error as error:
            raise self._failed(error) from error

    def storage(self, statement: str) -> None:
        """Run a statement of our own; raises EngineFailed where the disk refuses."""
        try:
            self.connection.execute(statement)
        except apsw.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EngineFailed:
        return EngineFailed(f"{self._database} cannot be written at present: {error}")

    # -- requests ---------------------------------------------------------------------------------------------

    def apply(self, request: Request) -> Applied:
        """Run a request inside the open transaction; one that fails leaves no trace.

        Args:
            request: The request.

        Raises:
            FailedTogether: A statement was refused, and which one shows when the request is applied again.
            StatementFailed: A statement was refused.
            EngineFailed: The disk refuses.
        """
        if request.mark is not None:
            # What triggers and foreign keys did stands in the rows that a subscription brings.
            try:
                with only_rows(self.connection):
                    return self._apply(request)
            finally:
                self._recorder.origin = None
        if request.plain:
            statement = self._prepared(request.statements[0], 1, in_transaction=False)
            if statement.effect is Effect.ROWS and self._trusting:
                return self._apply_alone(request, statement)
        return self._apply(request)

    def _apply(self, request: Request) -> Applied:
        self.begin_request()
        results = []
        try:
            for number, texts in steps_of(request, self.may_put_together):
                if len(texts) > 1:
                    self.runner.together.run(texts)
                    continue
                (sql,) = texts
                parameters = request.parameters[number - 1] if request.parameters else None
                statement = self._prepared(sql, number, request.transaction)
                run = partial(self._run, statement, sql, parameters, request.rows, number)
                result = run_subscribed(self.connection, self._recorder, request.mark, number, run)
                if result is not None:
                    results.append(result)
        except (SpgReplError, OSError) as error:
            self.may_put_together = self.may_put_together and not isinstance(error, FailedTogether)
            raise self._undone(error) from error
        return self.end_request(request, results)

    def _apply_alone(self, request: Request, statement: Statement) -> Applied:
        """Run one statement without a savepoint: SQLite undoes a statement that fails, with few exceptions.

        Where one of these is met, the whole transaction is undone, for the caller to bring about again what other
        requests did; the rest of the group gets savepoints.
        """
        recording = self.recording
        start = recording.length
        counted = self._recorder.sequences.save()
        recording.begin()
        try:
            result = self._run(statement, request.statements[0], request.parameter, None, 1)
            self._end(request)
        except (SpgReplError, OSError) as error:
            changed = self._recorder.seen or not isinstance(error, StatementFailed)
            recording.undo()
            self._recorder.sequences.restore(counted)
            self.runner.forget()
            if changed:
                self._trusting = False
                self.rollback()
            raise self.told(error) from error
        return Applied(start, recording.length, () if result is None else (result,))

    def begin_request(self) -> None:
        """Begin a request, whose statements are run one by one.

        Raises:
            EngineFailed: The disk refuses.
        """
        self._start = self.recording.length
        self._counted = self._recorder.sequences.save()
        self.storage(f"SAVEPOINT {_SAVEPOINT}")
        self.recording.begin()
        self.runner.begin_request()

    def run_step(
        self, sql: str, parameters: Parameters | None, rows: Sequence[Parameters] | None, number: int
    ) -> QueryResult | None:
        """Run a statement of a request that goes on if it fails: the statement alone leaves no trace then.

        Takes and returns what `StatementRunner.run` does, and the statement's number in the request, from 1.

        Raises:
            StatementFailed: It is refused.
            EngineFailed: The disk refuses. The transaction may be over.
        """
        statement = self._prepared(sql, number, in_transaction=True)
        if statement.savepoint is not None:
            return self._run(statement, sql, parameters, rows, number)
        mark, counted = self.recording.mark(), self._recorder.sequences.save()
        self.storage(f"SAVEPOINT {_STEP}")
        try:
            result = self._run(statement, sql, parameters, rows, number)
            self.runner.flush(sql)
        except (SpgReplError, OSError) as error:
            self.recording.cut(mark)
            self._recorder.sequences.restore(counted)
            self.back_to(_STEP)
            raise self.told(error) from error
        self.storage(f"RELEASE {_STEP}")
        return result

    def end_request(self, request: Request, results: Sequence[QueryResult] = ()) -> Applied:
        """End a request.

        Args:
            request: The request.
            results: What its statements returned.

        Raises:
            StatementFailed: It leaves a foreign key without its row. The request is undone.
            EngineFailed: The disk refuses.
        """
        try:
            self._end(request)
            if request.mark is not None:
                self.write_mark(request.mark)
        except (SpgReplError, OSError) as error:
            raise self._undone(error) from error
        self.storage(f"RELEASE {_SAVEPOINT}")
        settings = tuple(self.runner.settings)
        return Applied(self._start, self.recording.length, tuple(results), request.mark, settings)

    def _end(self, request: Request) -> None:
        last = request.statements[-1] if request.statements else "COMMIT"
        self.runner.flush(last)
        self.runner.require_rows_of_keys(last, len(request.statements) or 1)
        self.recording.end()

    def _prepared(self, sql: str, number: int, in_transaction: bool) -> Statement:
        try:
            return prepare(sql, self._max_record, in_transaction)
        except StatementFailed as error:
            error.number, error.sql = number, sql
            raise

    def _run(
        self,
        statement: Statement,
        sql: str,
        parameters: Parameters | None,
        rows: Sequence[Parameters] | None,
        number: int,
    ) -> QueryResult | None:
        try:
            return self.runner.run(statement, parameters, rows)
        except StatementFailed as error:
            error.number, error.sql = number, sql
            raise

    def _undone(self, error: SpgReplError | OSError) -> SpgReplError:
        """Undo the request, because of an error; return what the caller is told."""
        self.recording.undo()
        self._recorder.sequences.restore(self._counted)
        self.back_to(_SAVEPOINT)
        return self.told(error)

    def back_to(self, savepoint: str) -> None:
        """Undo what was done since a savepoint, and give it up; raises as `storage`."""
        # Some failures end the whole transaction; then there is nothing left to go back to.
        if self.connection.in_transaction:
            self.storage(f"ROLLBACK TO {savepoint}")
            self.storage(f"RELEASE {savepoint}")
        self.runner.forget()

    def told(self, error: SpgReplError | OSError) -> SpgReplError:
        """What the caller is told about an error."""
        return error if isinstance(error, SpgReplError) else self._failed(error)

    def write_mark(self, mark: SubscriptionMark) -> None:
        """Write how far a subscription has come, inside the open transaction.

        Raises:
            SubscriptionGone: The subscription is not where its rows follow on: it was dropped, or begun again.
            EngineFailed: The disk refuses.
        """
        try:
            write_mark(self.connection, mark)
        except apsw.Error as error:
            raise self._failed(error) from error

    # -- statements of the log --------------------------------------------------------------------------------

    def reapply(self, statements: Iterable[bytes], rows: bool) -> None:
        """Run statements again that stand in the log, or were recorded for it.

        Args:
            statements: The statements in UTF-8.
            rows: Whether they are rows: then nothing but the row itself changes, no trigger fires.

        Raises:
            StatementFailed: SQLite refuses one, or a row is not there.
            StatementRefused: One on the catalogue cannot be read.
            EngineFailed: The disk refuses.
        """
        self._recorder.forget_layouts()
        self._recorder.sequences.forget()
        self._replayer.run(statements, rows)
