"""`Primary`: a database whose writes are logged, for programs that run a reactor.

This is a thin shell. Everything that blocks is in `spgrepl.primary.writer` and `spgrepl.primary.reader` and runs
in threads; here requests gather while a group is being written, and are answered.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import Overloaded, ServiceStopped, StatementFailed, UsageError
from spgrepl.files import DatabasePaths
from spgrepl.follower.waiters import PositionWaiters
from spgrepl.primary.reader import Parameters, ReaderPool
from spgrepl.primary.session import Request
from spgrepl.primary.writer import Answer, DatabaseWriter, Written
from spgrepl.publications.statements import (
    ControlSyntaxError,
    ServerStatement,
    SetWalLevel,
    is_control,
    parse_control,
)
from spgrepl.results import Position, QueryResult
from spgrepl.server_statements import ServerStatements
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal_level import WalLevel

GROUP_REQUESTS = 500
"""At most so many requests share one fsync and one commit."""

GROUP_SIZE = 4 * 1024 * 1024
"""A group takes no further request beyond so many characters of SQL."""

READERS = 4
"""So many queries run at the same time; further ones wait."""


class _State(enum.Enum):
    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


@attrs.define(eq=False)
class _Waiting:
    """A request that was not answered yet."""

    request: Request
    cancelled: bool = False
    deferred: Deferred[Position] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _: Deferred[Position]) -> None:
        self.cancelled = True


class Primary:
    """A SQLite database that one program writes, and whose log followers replay.

    Requests are carried out in the order in which they are made, each all or nothing. Those that come while
    others are being written share one fsync. What is answered with a position is durable.

    All methods are called in the reactor's thread and return Deferreds, which fail with a `SpgReplError`:

    - `StatementFailed`: SQLite refuses a statement; `NotReplayable`, a kind of it: a copy could not follow it.
    - `EngineFailed`: the disk is full, or another program holds the database. Nothing of the request was done;
      try again later.
    - `LoggedNotApplied`: the request is durable and takes effect later; do not repeat it.
    - `Overloaded`: as many requests are waiting as may; wait for some of them, then go on.
    - `ServiceStopped`: the primary is not open.

    A Deferred may be cancelled. A request that has not begun is then left out; one that has is carried out, and
    only its answer is lost. A query that runs is interrupted.

    Beside the SQL of SQLite, `execute` and `query` understand what replication asks for:

    - ``CREATE`` and ``DROP PUBLICATION`` and ``SUBSCRIPTION`` are logged like any statement, alone or in a
      `transaction`, and undone with it. ``DROP … IF EXISTS`` of what is not there is logged, too.
    - ``SHOW PUBLICATIONS`` and ``SHOW SUBSCRIPTIONS`` give rows.
    - ``SET`` and ``SHOW effective_wal_level`` take effect at once, not behind the requests that wait, and not in
      the log: the level lasts as long as `wal_level`, which may be shared with a master of this process.
    - ``WAIT FOR WAL POSITION n [WITH TIMEOUT ms]`` gives 1 as soon as position n is durable and 0 when the time is
      over. Other requests go on meanwhile.

    Args:
        reactor: The reactor.
        paths: The database and its log.
        max_record: The most bytes of SQL that one statement may have; followers must accept as many.
        max_pending: How many requests, and how many queries, may wait.
        max_pending_size: How many characters of SQL the waiting requests may have in all.
        wal_level: The level that ``SET effective_wal_level`` sets; by default one of its own.

    Attributes:
        paths: The database and its log.
        wal_level: The WAL level; hand it to the master that serves this log.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        paths: DatabasePaths,
        *,
        max_record: int = DEFAULT_MAX_RECORD,
        max_pending: int = 100_000,
        max_pending_size: int = 256 * 1024 * 1024,
        wal_level: WalLevel | None = None,
    ) -> None:
        self._reactor = reactor
        self.paths = paths
        self._max_pending = max_pending
        self._max_pending_size = max_pending_size
        self._pending_size = 0
        self._state = _State.CLOSED
        self._writer = DatabaseWriter(paths, max_record)
        self._worker = EngineWorker(reactor, f"spgrepl writer of {paths.database.name}")
        self._readers = ReaderPool(reactor, paths.database, READERS)
        self._pending: deque[_Waiting] = deque()
        self._in_flight: list[_Waiting] = []
        # Fire with None when there is nothing more to wait for: opening has ended, all requests are answered.
        self._when_settled: list[Deferred[None]] = []
        self._when_closed: list[Deferred[None]] = []
        self.wal_level = wal_level if wal_level is not None else WalLevel()
        self._listeners: list[Callable[[], None]] = []
        self._waiters = self._new_waiters()
        self._server = ServerStatements(self.wal_level, self._wait)

    @property
    def position(self) -> int:
        """The position in the log up to which everything is applied and durable, in bytes."""
        return self._writer.position

    @property
    def pending(self) -> int:
        """How many requests have not been answered."""
        return len(self._pending) + len(self._in_flight)

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> Deferred[int]:
        """Lock and open the files, make those that are missing, and recover from a crash.

        A plain SQLite database without a log is adopted: its content is what followers get as their snapshot.

        Returns:
            A Deferred that fires with the position, or fails with `DatabaseLocked`, `LocalFilesDamaged`,
            `ConfigurationError` or `EngineFailed`; it may then be opened again.
        """
        if self._state is not _State.CLOSED:
            return fail(UsageError(f"the primary of {self.paths.database} is {self._state.value} already"))
        self._state = _State.OPENING
        self._worker = EngineWorker(self._reactor, f"spgrepl writer of {self.paths.database.name}")
        self._readers = ReaderPool(self._reactor, self.paths.database, READERS)
        self._waiters = self._new_waiters()
        self._worker.start()
        opening = self._worker.call(self._writer.open)
        return opening.addCallbacks(self._did_open, self._did_not_open)

    def _did_open(self, _: None) -> int:
        self._readers.start()
        self._state = _State.OPEN
        self._waiters.reached(self.position)
        self._settle()
        return self.position

    def _did_not_open(self, failure: Failure) -> Failure:
        self._worker.stop()
        self._state = _State.CLOSED
        self._settle()
        return failure

    def close(self) -> Deferred[None]:
        """Carry out what has been asked for, then close the files and release the lock.

        What is asked for from now on fails with `ServiceStopped`. Closing twice, or what was never open, does no
        harm.

        Returns:
            A Deferred that fires with None when all is closed.
        """
        if self._state is _State.CLOSED:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._when_closed.append(closed)
        if self._state is _State.OPENING:
            self._once_settled().addCallback(lambda _: self._close())
        elif self._state is _State.OPEN:
            self._close()
        return closed

    def _close(self) -> None:
        if self._state is _State.CLOSED:
            self._fire_closed(None)
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        done = self._once_settled()
        done.addCallback(lambda _: self._waiters.stop())
        done.addCallback(lambda _: self._readers.stop())
        done.addCallback(lambda _: self._worker.call(self._writer.close))
        done.addErrback(self._log_failure)
        done.addCallback(self._fire_closed)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("while closing {path}", failure, path=self.paths.database)

    def _fire_closed(self, _: object) -> None:
        if self._state is _State.CLOSING:
            self._worker.stop()
            self._state = _State.CLOSED
        waiting, self._when_closed = self._when_closed, []
        for closed in waiting:
            closed.callback(None)

    def _once_settled(self) -> Deferred[None]:
        if self._state is not _State.OPENING and not self.pending:
            return succeed(None)
        settled: Deferred[None] = Deferred()
        self._when_settled.append(settled)
        return settled

    def _settle(self) -> None:
        if self.pending:
            return
        waiting, self._when_settled = self._when_settled, []
        for settled in waiting:
            settled.callback(None)

    # -- requests ---------------------------------------------------------------------------------------------

    def execute(self, sql: str) -> Deferred[Position]:
        """Run one statement that changes rows, the schema or the catalogue, or one that replication understands.

        What would not give the same rows on a copy is written into the log as the value it had, or refused.

        Args:
            sql: The statement. Values of a program are written into it with `spgrepl.sqltext.literal`.

        Returns:
            A Deferred that fires with the position in the log behind the statement, in bytes, when it is durable.
            The position has what RETURNING and SHOW return as its ``results``.
        """
        return self._ask(Request((sql,)))

    def transaction(self, statements: Sequence[str]) -> Deferred[Position]:
        """Run several statements, all or none.

        Args:
            statements: The statements, without BEGIN and COMMIT. SAVEPOINT, ROLLBACK TO and RELEASE may be among
                them; last_insert_rowid() and changes() speak of the statement before.

        Returns:
            A Deferred that fires with the position in the log behind the transaction, in bytes, when it is
            durable, with what its statements returned as its ``results``. The failure of a statement names it by
            its number, from 1.
        """
        if isinstance(statements, str) or not statements:
            return fail(UsageError("transaction() takes a list of one statement or more"))
        return self._ask(Request(tuple(statements), transaction=True))

    def query(self, sql: str, parameters: Parameters = ()) -> Deferred[QueryResult]:
        """Run one statement that reads, beside what is being written; SHOW and WAIT FOR are such statements.

        It sees every request that was answered before, and no part of one that was not.

        Args:
            sql: The statement.
            parameters: Values for its parameters, by place or by name.

        Returns:
            A Deferred that fires with all rows.
        """
        if self._state is not _State.OPEN:
            return fail(self._not_open())
        if not _are_texts((sql,)):
            return fail(UsageError("a statement is text"))
        statement = _server_statement(sql)
        if statement is not None:
            if isinstance(statement, SetWalLevel) or parameters:
                return fail(
                    StatementFailed("a query only reads, and this takes no parameters: use execute()", sql)
                )
            return self._server.execute(statement)
        if len(self._readers) >= self._max_pending:
            return fail(self._overloaded(f"{self._max_pending} queries"))
        return self._readers.query(sql, parameters)

    def run(self, request: Request) -> Deferred[Position]:
        """Carry out a request; `execute` and `transaction` make the plain ones."""
        return self._ask(request)

    def add_catalogue_listener(self, listener: Callable[[], None]) -> None:
        """Tell somebody, from now on, when publications or subscriptions may have changed."""
        self._listeners.append(listener)

    def remove_catalogue_listener(self, listener: Callable[[], None]) -> None:
        """Tell them no more; nothing happens when they were not told before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _not_open(self) -> ServiceStopped:
        return ServiceStopped(f"the primary of {self.paths.database} is {self._state.value}, not open")

    def _overloaded(self, what: str) -> Overloaded:
        return Overloaded(f"{what} wait already; let some of them end before you ask for more")

    def _new_waiters(self) -> PositionWaiters:
        return PositionWaiters(self._reactor, f"the primary of {self.paths.database}")

    def _wait(self, position: int, timeout: float | None) -> Deferred[int]:
        return self._waiters.wait(position, timeout)

    def _ask(self, request: Request) -> Deferred[Position]:
        if self._state is not _State.OPEN:
            return fail(self._not_open())
        if not _are_texts(request.statements):
            return fail(UsageError("a statement is text"))
        statement = None if request.transaction else _server_statement(request.statements[0])
        if statement is not None:
            return self._server.execute(statement).addCallback(self._position_with)
        if self.pending >= self._max_pending:
            return fail(self._overloaded(f"{self._max_pending} requests"))
        if self._pending and self._pending_size + request.size > self._max_pending_size:
            return fail(self._overloaded(f"requests with {self._pending_size} characters of SQL"))
        waiting = _Waiting(request)
        self._pending.append(waiting)
        self._pending_size += request.size
        if not self._in_flight:
            self._start_group()
        return waiting.deferred

    def _position_with(self, result: QueryResult) -> Position:
        return Position(self.position, (result,) if result.columns else ())

    def _start_group(self) -> None:
        """Hand what has gathered to the writer."""
        size = 0
        while self._pending and len(self._in_flight) < GROUP_REQUESTS and size < GROUP_SIZE:
            waiting = self._pending.popleft()
            self._pending_size -= waiting.request.size
            if not waiting.cancelled:
                self._in_flight.append(waiting)
                size += waiting.request.size
        if not self._in_flight:
            return
        running = self._worker.call(self._writer.run, [waiting.request for waiting in self._in_flight])
        running.addErrback(self._group_failed)
        running.addCallback(self._answer)

    def _group_failed(self, failure: Failure) -> list[Answer | Failure]:
        """Nothing but a defect comes here; the writer has undone the group, or will catch up with the log."""
        self._log.failure("the writer of {path} failed", failure, path=self.paths.database)
        return [failure for _ in self._in_flight]

    def _answer(self, answers: Sequence[Answer | Failure]) -> None:
        group, self._in_flight = self._in_flight, []
        # First the next group, so that the disk is not idle while callers take their answers.
        self._start_group()
        for waiting, answer in zip(group, answers, strict=True):
            if waiting.cancelled:
                continue
            if isinstance(answer, Written):
                waiting.deferred.callback(Position(answer.position, answer.results))
            else:
                waiting.deferred.errback(answer)
        self._waiters.reached(self.position)
        if self._listeners and any(is_control(sql) for one in group for sql in one.request.statements):
            for listener in tuple(self._listeners):
                listener()
        self._settle()


def _are_texts(statements: Sequence[object]) -> bool:
    return all(isinstance(sql, str) for sql in statements)


def _server_statement(sql: str) -> ServerStatement | None:
    """Read a statement that the writer has no part in; what cannot be read is left to be refused in its turn."""
    try:
        statement = parse_control(sql) if is_control(sql) else None
    except ControlSyntaxError:
        return None
    return statement if isinstance(statement, ServerStatement) else None
