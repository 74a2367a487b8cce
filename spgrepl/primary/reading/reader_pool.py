"""Reading a primary's database beside its writer: some connections, each in a thread while it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from spgrepl.base.results import QueryResult
from spgrepl.base.worker import new_pool
from spgrepl.primary.parts.connection import Setup
from spgrepl.primary.parts.requests import Parameters
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.primary.reading.row_stream import OpenQuery, RowStream


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
        setup: Registers functions and collations of the embedding program; None where there are none.
        keep: Whether connections are kept for further queries.
    """

    def __init__(
        self, reactor: Any, database: Path, size: int, setup: Setup | None = None, *, keep: bool = True
    ) -> None:
        self._reactor = reactor
        self._database = database
        self._setup = setup
        self._keep = keep
        self._threads = new_pool(reactor, f"spgrepl readers of {database.name}", size)
        self._free: list[DatabaseReader] = []
        self._running: set[Deferred[Any]] = set()
        self._streams: set[RowStream] = set()
        self._interrupted = False

    def __len__(self) -> int:
        """How many queries run or wait."""
        return len(self._running) + len(self._streams)

    def start(self) -> None:
        """Be ready for queries."""
        self._threads.start()

    def query(self, sql: str, parameters: Parameters) -> Deferred[QueryResult]:
        """Run a query; see `DatabaseReader.query`. Cancelling the Deferred interrupts it."""
        query = _Query(sql, parameters)

        def give_up(_: Deferred[QueryResult]) -> None:
            query.given_up = True

        answer: Deferred[QueryResult] = Deferred(give_up)
        running = self._in_thread(self._run, query)

        def ended(result: QueryResult | Failure) -> None:
            if not answer.called:
                # Takes a Failure as a failure; one that was cancelled has its answer already.
                answer.callback(result)

        running.addBoth(ended)
        return answer

    def _in_thread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        running: Deferred[Any] = deferToThreadPool(self._reactor, self._threads, function, *arguments)
        self._running.add(running)

        def ended(result: Any) -> Any:
            self._running.discard(running)
            return result

        return running.addBoth(ended)

    def _run(self, query: _Query) -> QueryResult:
        """Run a query in one of the threads; there are never more readers than threads and streams."""
        if query.given_up:
            return QueryResult((), [])
        reader = self._take()
        try:
            return reader.query(query.sql, query.parameters, lambda: query.given_up or self._interrupted)
        finally:
            self._give_back(reader)

    def _give_back(self, reader: DatabaseReader) -> None:
        if self._keep:
            self._free.append(reader)
        else:
            reader.close()

    def _take(self) -> DatabaseReader:
        try:
            return self._free.pop()
        except IndexError:
            return DatabaseReader(self._database, setup=self._setup, given_up=lambda: self._interrupted)

    def stream(
        self,
        sql: str,
        parameters: Parameters,
        patience: float,
        before: Callable[[], Deferred[Any]] | None = None,
        judge: Callable[[apsw.Connection], None] | None = None,
    ) -> RowStream:
        """Read the rows of a query a few at a time; see `RowStream`, and `DatabaseReader.rows` for `judge`."""
        query = OpenQuery(sql, parameters, self._take, self._give_back, judge)
        stream = RowStream(self._reactor, self._in_thread, query, patience, before)
        self._streams.add(stream)
        stream.closed.addCallback(lambda _: self._streams.discard(stream))
        return stream

    def interrupt(self) -> None:
        """End the queries that run, and those that wait, with `StatementFailed`."""
        self._interrupted = True

    def stop(self) -> Deferred[None]:
        """Wait for the queries that run, end the streams, then close the connections."""
        closing = [stream.close() for stream in tuple(self._streams)]
        return DeferredList([*self._running, *closing]).addCallback(self._close)

    def _close(self, _: object) -> None:
        self._threads.stop()
        while self._free:
            self._free.pop().close()
