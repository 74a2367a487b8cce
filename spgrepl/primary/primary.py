"""`Primary`: a database whose writes are logged, for programs that run a reactor.

This is a thin shell. What blocks is in `spgrepl.primary.writing` and `spgrepl.primary.reading`, and runs in
threads; here requests gather while a group is being written, and are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from spgrepl.base.beat import Beat
from spgrepl.base.histories import Histories
from spgrepl.base.observers import OneShot
from spgrepl.base.results import Position, QueryResult
from spgrepl.base.steady_clock import steady_clock
from spgrepl.base.waiters import PositionWaiters
from spgrepl.base.worker import EngineWorker
from spgrepl.catalogue.server_statements import ServerStatements, server_statement
from spgrepl.catalogue.statements import ServerOrder, may_be_control
from spgrepl.disk.file_watch import WATCH_INTERVAL, FileGuard
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import LocalError, Overloaded, ServiceStopped, StatementFailed, UsageError
from spgrepl.log.stored_level import StoredLevel
from spgrepl.log.wal_level import WalLevel
from spgrepl.primary.parts.catalogue_listeners import CatalogueListeners
from spgrepl.primary.parts.connection import Setup
from spgrepl.primary.parts.log_listeners import LogListeners
from spgrepl.primary.parts.requests import Parameters, Request, are_texts
from spgrepl.primary.reading.reader_pool import ReaderPool
from spgrepl.primary.reading.row_stream import RowStream
from spgrepl.primary.states import PrimaryState
from spgrepl.primary.told import PrimaryTold
from spgrepl.primary.writing.request_queue import DEFAULT_LIMITS, PrimaryLimits, RequestQueue
from spgrepl.primary.writing.transactions import DEADLINE, Transaction
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger, Speaker, speak_for

CLOSING_SECONDS = 5.0
"""When a primary is closed, what was asked for has so many seconds; then it is interrupted."""

READERS = 4
"""So many queries run at the same time; further ones wait."""


class Primary(PrimaryTold):
    """A SQLite database that one program writes, and whose log followers replay.

    Requests are carried out in the order in which they are made, each all or nothing. Those that come while
    others are being written share one fsync. What is answered with a position is durable.

    All methods are called in the reactor's thread and return Deferreds, which fail with a `SpgReplError`:

    - `StatementFailed`: SQLite refuses a statement, or a changed row cannot be named on a copy.
    - `EngineFailed`: the disk is full, or another program holds the database. Nothing of the request was done;
      try again later.
    - `LoggedNotApplied`: the request is durable and takes effect later; do not repeat it.
    - `Overloaded`: as many requests are waiting as may; wait for some of them, then go on.
    - `ServiceStopped`: the primary is not open.

    A Deferred may be cancelled. A request that has not begun is then left out; one that has is carried out, and
    only its answer is lost. A query that runs is interrupted.

    The log gets the rows that changed, whatever changed them: triggers, foreign keys and functions work at the
    primary and not on copies. ``PRAGMA foreign_keys`` and ``recursive_triggers`` are stored in the database.

    Beside the SQL of SQLite, `execute` and `query` understand what replication asks for:

    - ``CREATE`` and ``DROP PUBLICATION`` and ``SUBSCRIPTION`` are logged like any statement, alone or in a
      `transaction`, and undone with it. ``DROP … IF EXISTS`` of what is not there is logged, too.
    - ``SHOW PUBLICATIONS`` and ``SHOW SUBSCRIPTIONS`` give rows.
    - ``SET`` and ``SHOW effective_wal_level`` take effect at once, not after the requests that wait, and not in
      the log: a file beside it holds the level for the next start. `wal_level.set()` is for this run alone.
    - ``WAIT FOR WAL POSITION n [WITH TIMEOUT ms]`` gives 1 as soon as position n is durable and 0 when the time is
      over. Other requests go on meanwhile.

    Args:
        reactor: The reactor.
        paths: The database and its log.
        limits: How long a statement may be, and how many requests may wait.
        setup: Called in threads with each connection of APSW, to register functions, collations and the like of
            your program. What the schema needs, a column's collation or a tokenizer, each copy needs, too.
        wal_level: The level that ``SET effective_wal_level`` sets; by default one of its own.

    Attributes:
        paths: The database and its log.
        wal_level: The WAL level; hand it to the master that serves this log.
        log_grew: Tells this program when the log is durable further; add the `look` of a tailer that serves it.
        server: What executes SHOW, SET, WAIT FOR and ALTER SUBSCRIPTION … SKIP.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        paths: DatabasePaths,
        *,
        limits: PrimaryLimits = DEFAULT_LIMITS,
        setup: Setup | None = None,
        wal_level: WalLevel | None = None,
    ) -> None:
        self._reactor = reactor
        self.paths = paths
        self._limits = limits
        self._setup = setup
        self._state = PrimaryState.CLOSED
        self._speaker: Speaker | None = Speaker("primary", paths.database.name)  # unless a role has it
        self.log_grew = LogListeners(reactor, paths.wal)
        self._writer = DatabaseWriter(paths, limits.max_record, setup, self.log_grew.tell_soon)
        self._guard = FileGuard(reactor, self._writer.files)
        self._others = Beat(reactor, self._look_for_others, WATCH_INTERVAL)
        self._worker = EngineWorker(reactor, f"spgrepl writer of {paths.database.name}")
        self._readers = ReaderPool(reactor, paths.database, READERS, setup)
        self._queue = RequestQueue(reactor, self._writer, self._in_writers_thread, limits, self._answered)
        self._queue.refusal = self._not_open
        self._ready: OneShot[int] = OneShot()
        self._closed: OneShot[None] = OneShot()
        self.wal_level = wal_level if wal_level is not None else WalLevel()
        self._writer.control.each_row = lambda: self.wal_level.is_logical
        self._listeners = CatalogueListeners(paths.database)
        self._waiters = PositionWaiters(reactor, f"the primary of {paths.database}")
        self._level = StoredLevel(reactor, paths.wal_level, self.wal_level)
        self.server = ServerStatements(self.wal_level, self._level.set, self._waiters.wait)

    @property
    def position(self) -> int:
        """The position in the log up to which everything is applied and durable, in bytes."""
        return self._writer.position

    @property
    def histories(self) -> Histories:
        """Whose positions its own are; ``histories.current`` is what each `Position` names."""
        return self._writer.histories

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> Deferred[int]:
        """Lock and open the files, make those that are missing, and recover from a crash.

        A plain SQLite database without a log is adopted: its content is what followers get as their snapshot.

        Returns:
            A Deferred that fires with the position, or fails with `DatabaseLocked`, `LocalFilesDamaged`,
            `ConfigurationError` or `EngineFailed`; it may then be opened again.
        """
        if self._state is PrimaryState.CLOSING:
            return self.close().addCallback(lambda _: self.open())
        if self._state is not PrimaryState.CLOSED:
            return fail(UsageError(f"the primary of {self.paths.database} is {self._state.value} already"))
        self._state = PrimaryState.OPENING
        if self._ready.fired:
            self._ready = OneShot()
        self._worker = EngineWorker(self._reactor, f"spgrepl writer of {self.paths.database.name}")
        self._readers = ReaderPool(self._reactor, self.paths.database, READERS, self._setup)
        parts = (self._worker, self._queue, self._guard, self._listeners, self.log_grew, self.wal_level)
        speak_for(self._speaker, *parts)
        self._waiters.start()
        self._worker.start()
        # Whoever cancels what is returned waits no more, and changes nothing.
        opening = self._level.restore().addCallback(lambda _: self._worker.call(self._writer.open))
        opening.addCallbacks(self._did_open, self._did_not_open)
        return self._ready.wait()

    def when_ready(self) -> Deferred[int]:
        """Wait until the primary is open.

        Returns:
            A Deferred that fires with the position when it is open, at once where it is. It fails with what `open`
            fails with, also after that. Before it was opened, and after it was closed, it waits.
        """
        return self._ready.wait()

    def _did_open(self, _: None) -> None:
        self._readers.start()
        self._guard.start()
        self._others.start()
        self._state = PrimaryState.OPEN
        self._queue.refusal = None
        self._waiters.know(self.histories)
        self._waiters.reached(self.position)
        self._ready.fire(self.position)
        self._listeners.tell()

    def _did_not_open(self, failure: Failure) -> None:
        self._worker.stop()
        self._state = PrimaryState.CLOSED
        self._ready.fire(failure)

    def close(self) -> Deferred[None]:
        """Carry out what has been asked for, then close the files and release the lock.

        What takes longer than `CLOSING_SECONDS` is interrupted and undone; it fails with `ServiceStopped`, as does
        what is asked for from now on. Closing twice, or what was never open, does no harm.

        Returns:
            A Deferred that fires with None when all is closed.
        """
        if self._state is PrimaryState.CLOSED:
            return succeed(None)
        closed = self._closed.wait()
        self._close()
        return closed

    def _close(self) -> None:
        if self._state is PrimaryState.OPENING:
            # Nothing was asked for yet: neither a lock nor a long recovery is waited for.
            self._writer.control.interruption = self._closing
            self._ready.wait().addBoth(lambda _: self._close())
        elif self._state is PrimaryState.CLOSED:
            self._fire_closed(None)
        if self._state is not PrimaryState.OPEN:
            return
        self._state = PrimaryState.CLOSING
        self._guard.stop()
        self._others.stop()
        self._queue.refusal = self._not_open
        impatient = steady_clock(self._reactor).callLater(CLOSING_SECONDS, self._interrupt)
        done = self._queue.when_idle()
        done.addCallback(lambda _: self._waiters.stop())
        done.addCallback(lambda _: self._readers.stop())
        done.addCallback(lambda _: impatient.cancel() if impatient.active() else None)
        done.addCallback(lambda _: self._worker.call(self._writer.close))
        done.addErrback(lambda failure: self._log.failure("closing {path}", failure, path=self.paths.database))
        done.addCallback(self._fire_closed)

    def _closing(self) -> ServiceStopped:
        return ServiceStopped(f"the primary of {self.paths.database} is being closed: nothing of it was done")

    def _interrupt(self) -> None:
        self._writer.control.interruption = self._closing
        self._queue.drop(self._closing())
        self._readers.interrupt()

    def _fire_closed(self, _: object) -> None:
        self._writer.control.interruption = None
        if self._state is PrimaryState.CLOSING:
            self._worker.stop()
            self._state = PrimaryState.CLOSED
            self._ready = OneShot()
        closed, self._closed = self._closed, OneShot()
        closed.fire(None)

    # -- requests ---------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Parameters | None = None) -> Deferred[Position]:
        """Run one statement, of SQLite or of those that replication understands.

        Args:
            sql: The statement.
            parameters: Values for its parameters, by place or by name.

        Returns:
            A Deferred that fires with the position in the log after the statement, in bytes, when it is durable.
            The position has the rows of RETURNING, SHOW and SELECT as its ``results``.
        """
        if (
            parameters is None
            and type(sql) is str
            and self._state is PrimaryState.OPEN
            and not may_be_control(sql)
        ):
            # What programs ask for by the thousands, with as few words as can be.
            return self._queue.ask(Request((sql,)))
        return self._ask(Request((sql,), parameters=(parameters,)))

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> Deferred[Position]:
        """Run one statement that changes rows, for each of many rows of values, all or none; see `execute`."""
        return self._ask(Request((sql,), transaction=True, rows=tuple(rows)))

    @overload
    def transaction(
        self, statements: Sequence[str], parameters: Sequence[Parameters | None] = ()
    ) -> Deferred[Position]: ...

    @overload
    def transaction(self, *, deadline: float = DEADLINE) -> Transaction: ...

    def transaction(
        self,
        statements: Sequence[str] | None = None,
        parameters: Sequence[Parameters | None] = (),
        deadline: float = DEADLINE,
    ) -> Deferred[Position] | Transaction:
        """Run several statements, all or none; or, without statements, a block of them.

        Args:
            statements: The statements, without BEGIN and COMMIT. SAVEPOINT, ROLLBACK TO and RELEASE may be among
                them. Without any, ``async with primary.transaction() as tx`` is a block in which
                ``await tx.execute(…)`` runs one after the other.
            parameters: For each statement the values of its parameters, or None.
            deadline: How many seconds a block may take before it is rolled back.

        Returns:
            A Deferred that fires with the position in the log after the transaction, in bytes, when it is
            durable, with what its statements returned as its ``results``. The failure of a statement names it by
            its number, from 1. Without statements, the block.
        """
        if statements is None:
            return Transaction(self._reactor, self._writer, self._queue, deadline)
        if isinstance(statements, str) or not statements or len(parameters) not in (0, len(statements)):
            return fail(
                UsageError("transaction() takes one statement or more, and parameters for none or for all")
            )
        return self._ask(Request(tuple(statements), transaction=True, parameters=tuple(parameters)))

    def query(self, sql: str, parameters: Parameters = ()) -> Deferred[QueryResult]:
        """Run one statement that reads, beside what is being written; SHOW and WAIT FOR are such statements.

        It sees every request that was answered before, and no part of one that was not.

        Args:
            sql: The statement.
            parameters: Values for its parameters, by place or by name.

        Returns:
            A Deferred that fires with all rows.
        """
        refusal = self._reason_not_to_read(sql)
        if refusal is not None:
            return fail(refusal)
        statement = server_statement(sql)
        if statement is None:
            return self._readers.query(sql, parameters)
        if isinstance(statement, ServerOrder) or parameters:
            return fail(StatementFailed("a query only reads, and this takes no parameters: use execute()", sql))
        return self.server.execute(statement)

    def stream(self, sql: str, parameters: Parameters = (), patience: float = 60.0) -> RowStream:
        """Read the rows of a query a few at a time: ``async for row in primary.stream(…)``.

        It takes what `query` takes, and ends after `patience` seconds in which no row was taken.

        Raises:
            ServiceStopped, Overloaded: The primary is not open, or as many queries run as may.
        """
        refusal = self._reason_not_to_read(sql)
        if refusal is not None:
            raise refusal
        return self._readers.stream(sql, parameters, patience)

    def _reason_not_to_read(self, sql: str) -> LocalError | None:
        if self._state is not PrimaryState.OPEN:
            return self._not_open()
        if not are_texts((sql,)):
            return UsageError("a statement is text")
        if len(self._readers) >= self._limits.requests:
            waiting = number_of(self._limits.requests, "query waits", "queries wait")
            return Overloaded(f"{waiting} already; let some end before you ask for more")
        return None

    def drain(self, on: bool = True) -> Deferred[Position]:
        """Refuse all writes with `WritesRefused`, durably, after what was asked for before; `on` undoes that."""
        return self._queue.drain(on)

    def run(self, request: Request) -> Deferred[Position]:
        """Carry out a request; `execute` and `transaction` make the plain ones."""
        return self._ask(request)

    def add_catalogue_listener(self, listener: Callable[[], None]) -> None:
        """Tell somebody, from now on, when publications or subscriptions may have changed, and at each opening."""
        self._listeners.add(listener)

    def remove_catalogue_listener(self, listener: Callable[[], None]) -> None:
        """Tell them no more; nothing happens when they were not told before."""
        self._listeners.remove(listener)

    def _not_open(self) -> ServiceStopped:
        return ServiceStopped(f"the primary of {self.paths.database} is {self._state.value}, not open")

    def _ask(self, request: Request) -> Deferred[Position]:
        if self._state is not PrimaryState.OPEN:
            return fail(self._not_open())
        if not are_texts(request.statements):
            return fail(UsageError("a statement is text"))
        statement = None if request.transaction else server_statement(request.statements[0])
        if statement is not None:
            return self.server.execute(statement).addCallback(self._position_with)
        return self._queue.ask(request)

    def _in_writers_thread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        return self._worker.call(function, *arguments)

    def _look_for_others(self) -> None:
        """See whether another program writes the database; what is asked for looks by itself."""
        if not len(self._queue):
            looking = self._worker.call(self._writer.look_for_others)
            looking.addErrback(lambda why: self._log.failure("looking at {path}", why, path=self.paths.database))

    def _position_with(self, result: QueryResult) -> Position:
        return Position(self.position, (result,) if result.columns else (), self.histories.current)

    def _answered(self, requests: Sequence[Request]) -> None:
        self._waiters.reached(self.position)
        self._listeners.answered(requests)
