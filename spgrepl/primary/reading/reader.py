"""Reading a primary's database beside its writer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import apsw

from spgrepl.base.results import QueryResult
from spgrepl.catalogue.catalogue_tables import show
from spgrepl.catalogue.statements import (
    CatalogChange,
    CatalogLook,
    ControlSyntaxError,
    is_control,
    parse_control,
)
from spgrepl.errors import EngineFailed, SpgReplError, StatementFailed
from spgrepl.primary.parts.connection import Setup, open_database, unfit_values
from spgrepl.primary.parts.requests import Parameters
from spgrepl.primary.parts.statements import READING_PRAGMAS
from spgrepl.sqlite.session import Patience, result_code
from spgrepl.text.sqltext import split_statements

_ASK_EVERY = 100_000
"""A query asks after so many steps of SQLite's virtual machine, a millisecond or so, whether to go on."""

_NOT_READING = frozenset({apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH, apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT})


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
        setup: Registers functions and collations of the embedding program; None where there are none.
        given_up: Asked whether to wait no more for a lock; called in the thread that waits.

    Raises:
        EngineFailed: The file cannot be opened.
    """

    def __init__(
        self,
        database: Path,
        busy_seconds: float = 10.0,
        setup: Setup | None = None,
        given_up: Callable[[], bool] = bool,
    ) -> None:
        self._database = database
        try:
            self._connection = open_database(
                database, Patience(busy_seconds, given_up), read_only=True, setup=setup
            )
        except apsw.Error as error:
            raise EngineFailed(f"{database} cannot be read: {error}") from error
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.authorizer = self._judge

    @staticmethod
    def _judge(
        action: int, first: str | None, second: str | None, _database: str | None, _within: str | None
    ) -> int:
        if action in _NOT_READING:
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_PRAGMA and second is not None and (first or "").lower() not in READING_PRAGMAS:
            return apsw.SQLITE_DENY
        return apsw.SQLITE_OK

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
        with self.rows(sql, parameters, given_up) as (columns, cursor):
            found: list[Any] = cursor.fetchall()
        return QueryResult(columns, found)

    @contextlib.contextmanager
    def rows(
        self,
        sql: str,
        parameters: Parameters = (),
        given_up: Callable[[], bool] | None = None,
        judge: Callable[[apsw.Connection], None] | None = None,
    ) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Run one statement that reads, and read its rows one by one inside the block.

        Args:
            sql: The statement, SHOW excepted.
            parameters: Values for its parameters.
            given_up: Asked now and then whether to end the query early; called in this thread.
            judge: Looks at the database as the query will see it, and raises where that will not do.

        Yields:
            The names of its columns, and an iterator of its rows with `fetchall`.

        Raises:
            StatementFailed: SQLite refuses it, it would write, or it was given up; inside the block, too.
        """
        if ";" in sql and len(split_statements(sql)) > 1:
            raise StatementFailed("a query is one statement: ask for one after the other", sql)
        # Asked by the query itself, for SQLite forgets an interruption that comes just before it begins.
        self._connection.set_progress_handler(given_up, _ASK_EVERY)
        columns: list[tuple[str, ...]] = []
        cursor = self._connection.cursor()

        def started(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            columns.append(tuple(one[0] for one in cursor.get_description()))
            return True

        cursor.exec_trace = started
        with contextlib.nullcontext() if judge is None else self._moment() as connection:
            if judge is not None and connection is not None:
                judge(connection)
                connection.authorizer = self._judge
            try:
                cursor.execute(sql, parameters or None)
                yield columns[0] if columns else (), cursor
            except Exception as error:
                if isinstance(error, SpgReplError):
                    raise
                # Functions of users run inside SQLite, and what they raise comes out here.
                raise self.refusal(error, sql) from error
            finally:
                cursor.close(True)

    @staticmethod
    def refusal(error: Exception, sql: str) -> StatementFailed:
        """Say what an error of a query means."""
        if result_code(error) in (apsw.SQLITE_READONLY, apsw.SQLITE_AUTH):
            return StatementFailed(f"a query only reads ({error}): write with execute() or transaction()", sql)
        if isinstance(error, UnicodeDecodeError):
            return StatementFailed(
                f"it returns text that is not UTF-8 ({error}): write CAST(… AS BLOB) for that column", sql
            )
        return StatementFailed(unfit_values(error) if isinstance(error, apsw.BindingsError) else str(error), sql)

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

    def read(self, read: Callable[[apsw.Connection], _T]) -> _T:
        """Read several tables as they are at one moment.

        Args:
            read: Reads from the connection; called inside a transaction.

        Returns:
            What it returns.

        Raises:
            EngineFailed: The database cannot be read at present.
        """
        with self._moment() as connection:
            return read(connection)

    @contextlib.contextmanager
    def _moment(self) -> Iterator[apsw.Connection]:
        """All that is read inside the block is of one moment."""
        connection = self._connection
        # The authorizer is for the statements of others, who may not begin transactions.
        connection.authorizer = None
        try:
            connection.execute("BEGIN")
            yield connection
        except apsw.Error as error:
            raise EngineFailed(f"{self._database} cannot be read at present: {error}") from error
        finally:
            connection.authorizer = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.authorizer = self._judge

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
