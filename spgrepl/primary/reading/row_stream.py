"""The rows of one query, a few at a time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import apsw
from twisted.internet.defer import CancelledError, Deferred, succeed

from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ServiceStopped, StatementFailed
from spgrepl.primary.parts.requests import Parameters
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.text.quantities import in_seconds
from spgrepl.text.sqltext import SqlValue

BATCH_ROWS = 500
"""So many rows are read at a time."""

BATCH_SIZE = 1024 * 1024
"""A batch takes no further row beyond so many characters and bytes of values."""

Row = tuple[SqlValue, ...]


class OpenQuery:
    """A query that is read in batches. Blocking; used by one thread at a time.

    Args:
        sql: The query.
        parameters: Values for its parameters.
        take: Gives a connection.
        give_back: Takes it back.
        judge: Looks at the database as the query will see it; see `DatabaseReader.rows`.
    """

    def __init__(
        self,
        sql: str,
        parameters: Parameters,
        take: Callable[[], DatabaseReader],
        give_back: Callable[[DatabaseReader], None],
        judge: Callable[[apsw.Connection], None] | None = None,
    ) -> None:
        self.sql = sql
        self._parameters = parameters
        self._take = take
        self._give_back = give_back
        self._judge = judge
        self._stack = contextlib.ExitStack()
        self._rows: Any = None
        self.columns: tuple[str, ...] = ()
        self.given_up = False

    def read(self) -> list[Row]:
        """Read the next rows; none at the end.

        Raises:
            StatementFailed: SQLite refuses the query, or it was given up.
            EngineFailed: The database cannot be opened.
        """
        if self._rows is None:
            reader = self._take()
            self._stack.callback(self._give_back, reader)
            opened = reader.rows(self.sql, self._parameters, lambda: self.given_up, self._judge)
            self.columns, self._rows = self._stack.enter_context(opened)
        batch: list[Row] = []
        size = 0
        try:
            for row in self._rows:
                batch.append(row)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
                if len(batch) >= BATCH_ROWS or size >= BATCH_SIZE:
                    break
        except Exception as error:
            raise DatabaseReader.refusal(error, self.sql) from error
        return batch

    def close(self) -> None:
        """End the query."""
        self._stack.close()


class RowStream:
    """The rows of a query, as the database was when the first one was read; memory holds a few at a time.

    ``async for row in stream`` reads them; ``async with`` ends the query at the end of a block. A stream whose
    rows nobody takes ends after a while by itself: while it is open, the database's ``-wal`` file only grows.

    Args:
        reactor: The reactor.
        in_thread: Runs a function in a thread.
        query: The query.
        patience: After how many seconds in which no row was taken the query is ended.
        before: Called once before the first row is read, and waited for; None for nothing.

    Attributes:
        closed: Fires with None when the query has ended.
    """

    def __init__(
        self,
        reactor: Any,
        in_thread: Callable[..., Deferred[Any]],
        query: OpenQuery,
        patience: float,
        before: Callable[[], Deferred[Any]] | None = None,
    ) -> None:
        self._clock = steady_clock(reactor)
        self._in_thread = in_thread
        self._query = query
        self._patience = patience
        self._before = before
        self._waiting: Deferred[Any] | None = None
        self._batch: deque[Row] = deque()
        self._reading: Deferred[Any] | None = None
        self._timer: Any = None
        self._ended = self._complete = False
        self._overdue = False
        self.closed: Deferred[None] = Deferred()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as soon as the first row has been asked for."""
        return self._query.columns

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        if not self._batch:
            await self._read()
        if not self._batch:
            await self.close()
            raise StopAsyncIteration
        return self._batch.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self) -> None:
        self._stop_timer()
        if self._overdue:
            raise StatementFailed(
                f"no row was taken for {in_seconds(self._patience)}, so the query was ended: "
                f"read faster, or ask for less",
                self._query.sql,
            )
        if self._complete:
            return
        if self._ended:
            # Rows that were never read must not look as if there were none.
            raise ServiceStopped("the query was ended before all its rows were read")
        if self._before is not None:
            before, self._before = self._before, None
            await self._wait_for(before)
        self._reading = self._in_thread(self._query.read)
        try:
            self._batch.extend(await self._reading)
        except BaseException:
            self._reading = None
            await self.close()
            raise
        self._reading = None
        self._complete = not self._batch
        if self._batch and not self._ended:
            self._timer = self._clock.callLater(self._patience, self._is_overdue)

    async def _wait_for(self, before: Callable[[], Deferred[Any]]) -> None:
        self._waiting = before()
        try:
            await self._waiting
        except CancelledError as error:
            raise ServiceStopped("the query was ended while it waited for what it is to see") from error
        except BaseException:
            self._waiting = None
            await self.close()
            raise
        self._waiting = None

    def _is_overdue(self) -> None:
        self._timer = None
        self._overdue = True
        self._batch.clear()
        self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> Deferred[None]:
        """End the query; nothing happens when it has ended.

        Returns:
            A Deferred that fires when it has.
        """
        self._stop_timer()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.cancel()
        self._query.given_up = True
        done: Deferred[None] = Deferred()
        self.closed.addCallback(lambda _: done.callback(None))
        if not self._ended:
            self._ended = True
            # One thread at a time: what is being read ends first, and soon, for it was given up.
            before = succeed(None) if self._reading is None else self._reading
            before.addBoth(lambda _: self._in_thread(self._query.close))
            before.addBoth(lambda _: self.closed.callback(None))
        return done
