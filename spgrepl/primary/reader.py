"""Reading a primary's database beside its writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from spgrepl.engines.sqlite_session import prepare_session
from spgrepl.errors import EngineFailed, StatementFailed
from spgrepl.publications.catalog import show
from spgrepl.publications.statements import (
    CatalogChange,
    CatalogLook,
    ControlSyntaxError,
    is_control,
    parse_control,
)
from spgrepl.results import QueryResult
from spgrepl.sqltext import SqlValue

Parameters = Sequence[SqlValue] | Mapping[str, SqlValue]
"""Values for the parameters of a query, by place or by name."""

# PRAGMAs whose argument names what to look at. All others with an argument set something.
_LOOKING = frozenset(
    {
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    }
)
_ASK_EVERY = 100_000
"""A query asks after so many steps of SQLite's virtual machine, a millisecond or so, whether to go on."""

_NOT_READING = frozenset(
    {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT}
)


_NOT_A_LOOK = {
    True: "a query only reads: change publications and subscriptions with execute() or transaction()",
    False: "the database cannot answer what is asked of a server: use Primary.query() or `spgrepl exec`",
}

_T = TypeVar("_T")


class DatabaseReader:
    """A connection that only reads. Blocking; used by one thread at a time.

    Args:
        database: The database file, which exists.
        busy_seconds: How long to wait for a lock.

    Raises:
        EngineFailed: The file cannot be opened.
    """

    def __init__(self, database: Path, busy_seconds: float = 10.0) -> None:
        self._database = database
        try:
            self._connection = sqlite3.connect(
                f"{database.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=busy_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise EngineFailed(f"{database} cannot be read: {error}") from error
        prepare_session(self._connection)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.set_authorizer(self._judge)

    @staticmethod
    def _judge(
        action: int, first: str | None, second: str | None, _database: str | None, _within: str | None
    ) -> int:
        if action in _NOT_READING:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA and second is not None and (first or "").lower() not in _LOOKING:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def query(
        self, sql: str, parameters: Parameters = (), given_up: Callable[[], bool] | None = None
    ) -> QueryResult:
        """Run one statement that reads, SHOW PUBLICATIONS and SHOW SUBSCRIPTIONS among them.

        Args:
            sql: The statement.
            parameters: Values for its parameters.
            given_up: Asked now and then whether to end the query early; called in this thread.

        Returns:
            All its rows.

        Raises:
            StatementFailed: SQLite refuses it, it would write, or it was given up.
        """
        if is_control(sql):
            return self._show(sql, parameters)
        # Asked by the query itself, for SQLite forgets an interruption that comes just before it begins.
        self._connection.set_progress_handler(given_up, _ASK_EVERY)
        try:
            cursor = self._connection.execute(sql, parameters)
            rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
                raise StatementFailed(
                    f"a query only reads ({error}): write with execute() or transaction()", sql
                ) from error
            raise StatementFailed(str(error), sql) from error
        columns = tuple(column[0] for column in cursor.description or ())
        return QueryResult(columns, rows)

    def _show(self, sql: str, parameters: Parameters) -> QueryResult:
        try:
            statement = parse_control(sql)
        except ControlSyntaxError as error:
            raise StatementFailed(str(error), sql) from error
        if not isinstance(statement, CatalogLook):
            raise StatementFailed(_NOT_A_LOOK[isinstance(statement, CatalogChange)], sql)
        if parameters:
            raise StatementFailed("SHOW takes no parameters: leave them out", sql)
        return self.read(lambda connection: show(connection, statement))

    def read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Read several tables as they are at one moment.

        Args:
            read: Reads from the connection; called inside a transaction.

        Returns:
            What it returns.

        Raises:
            EngineFailed: The database cannot be read at present.
        """
        connection = self._connection
        # The authorizer is for the statements of others, who may not begin transactions.
        connection.set_authorizer(None)
        try:
            connection.execute("BEGIN")
            return read(connection)
        except sqlite3.Error as error:
            raise EngineFailed(f"{self._database} cannot be read at present: {error}") from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.set_authorizer(self._judge)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@attrs.define
class _Query:
    """A query on its way through a thread; it may be given up at any time."""

    sql: str
    parameters: Parameters
    given_up: bool = False


class ReaderPool:
    """Some connections that read, each in a thread while it does.

    Args:
        reactor: Where results are delivered.
        database: The database file.
        size: How many queries may run at the same time.
    """

    def __init__(self, reactor: IReactorThreads, database: Path, size: int) -> None:
        self._reactor = reactor
        self._database = database
        self._threads = ThreadPool(minthreads=0, maxthreads=size, name=f"spgrepl readers of {database.name}")
        self._free: list[DatabaseReader] = []
        self._running: set[Deferred[QueryResult]] = set()

    def __len__(self) -> int:
        """How many queries run or wait."""
        return len(self._running)

    def start(self) -> None:
        """Be ready for queries."""
        self._threads.start()

    def query(self, sql: str, parameters: Parameters) -> Deferred[QueryResult]:
        """Run a query; see `DatabaseReader.query`. Cancelling the Deferred interrupts it."""
        query = _Query(sql, parameters)

        def give_up(_: Deferred[QueryResult]) -> None:
            query.given_up = True

        answer: Deferred[QueryResult] = Deferred(give_up)
        running = deferToThreadPool(self._reactor, self._threads, self._run, query)
        self._running.add(running)

        def ended(result: QueryResult | Failure) -> None:
            self._running.discard(running)
            if not answer.called:
                # Takes a Failure as a failure; one that was cancelled has its answer already.
                answer.callback(result)

        running.addBoth(ended)
        return answer

    def _run(self, query: _Query) -> QueryResult:
        """Run a query in one of the threads; there are never more readers than threads."""
        if query.given_up:
            return QueryResult((), [])
        try:
            reader = self._free.pop()
        except IndexError:
            reader = DatabaseReader(self._database)
        try:
            return reader.query(query.sql, query.parameters, lambda: query.given_up)
        finally:
            self._free.append(reader)

    def stop(self) -> Deferred[None]:
        """Wait for the queries that run, then close the connections."""
        return DeferredList(list(self._running)).addCallback(self._close)

    def _close(self, _: object) -> None:
        self._threads.stop()
        while self._free:
            self._free.pop().close()
