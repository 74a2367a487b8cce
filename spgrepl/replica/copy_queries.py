"""Queries of a copy, each as of a position that whoever asks may name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
from twisted.internet.defer import Deferred

from spgrepl.base.histories import Histories
from spgrepl.errors import EngineFailed, Overloaded, ServiceStopped, UsageError
from spgrepl.primary.parts.requests import Parameters
from spgrepl.primary.reading.reader_pool import ReaderPool
from spgrepl.primary.reading.row_stream import RowStream
from spgrepl.text.quantities import number_of

READERS = 4
"""So many queries read at the same time; further ones wait."""

MOST_QUERIES = 1000
"""So many queries may be open at once; one more is refused."""

StoredPosition = Callable[[apsw.Connection], tuple[int, Histories] | None]
"""Reads how far a copy has come, and whose positions those are; None where there is none. Called in a thread."""

Wait = Callable[[int, float | None], "Deferred[int]"]
"""Waits for a position; see `spgrepl.server.role.Role.when_applied`."""


class QueriedCopy:
    """What keeps a copy that can be read: a role.

    Attributes:
        queries: Reads the copy beside what is being applied.
    """

    queries: CopyQueries

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        at_least: int | None = None,
        timeout: float | None = None,
        patience: float = 60.0,
    ) -> RowStream:
        """Read the copy a few rows at a time, as of a position or later; see `CopyQueries.query`."""
        return self.queries.query(sql, parameters, at_least, timeout, patience)


class CopyQueries:
    """Reads the database of a copy beside whoever applies the log to it, in threads of its own.

    Each query has a connection of its own, which only reads: a copy may be replaced as a whole meanwhile, and a
    connection that was open before would go on with the old one's encoding.

    Args:
        reactor: Where rows are delivered.
        database: The database; None where the rows are not in one that can be read here.
        name: Whose copy it is, for errors.
        stored: Reads how far it has come.
        wait: Waits for a position.
    """

    def __init__(self, reactor: Any, database: Path | None, name: str, stored: StoredPosition, wait: Wait) -> None:
        self._reactor = reactor
        self._database = database
        self._name = name
        self._stored = stored
        self._wait = wait
        self._readers: ReaderPool | None = None

    def start(self) -> None:
        """Be ready for queries."""
        if self._readers is None and self._database is not None:
            self._readers = ReaderPool(self._reactor, self._database, READERS, keep=False)
            self._readers.start()

    def stop(self) -> Deferred[Any] | None:
        """End the queries."""
        readers, self._readers = self._readers, None
        if readers is None:
            return None
        readers.interrupt()
        return readers.stop()

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        at_least: int | None = None,
        timeout: float | None = None,
        patience: float = 60.0,
    ) -> RowStream:
        """Read the rows of a query a few at a time: ``async for row in role.query(…)``.

        Args:
            sql: One statement that reads.
            parameters: Values for its parameters, by place or by name.
            at_least: What the copy must hold before it is read: a position, best with its history, as
                `spgrepl.Primary.execute` gives it. None reads what is there.
            timeout: The longest wait for that in seconds; None waits for ever.
            patience: After how many seconds in which no row was taken the query is ended.

        Returns:
            The rows, of one moment. Reading them fails with `WaitTimeout` or `DifferentHistory` where the copy
            does not come to hold `at_least`, and as `spgrepl.Primary.stream` does.

        Raises:
            UsageError: This copy's rows cannot be read here.
            ServiceStopped, Overloaded: The role is not open, or as many queries run as may.
        """
        if self._database is None:
            raise UsageError(f"{self._name} keeps no rows in a SQLite database: read them where they are kept")
        if self._readers is None:
            raise ServiceStopped(f"{self._name} is not open")
        if len(self._readers) >= MOST_QUERIES:
            raise Overloaded(
                f"{number_of(MOST_QUERIES, 'query is', 'queries are')} open already; let some "
                f"end before you ask for more"
            )
        if at_least is None:
            return self._readers.stream(sql, parameters, patience)

        def held(connection: apsw.Connection) -> None:
            """Once more, in the query's own transaction: a copy may be put back to an earlier position."""
            found = self._stored(connection)
            if found is None or found[0] < found[1].place(at_least, self._name):
                raise EngineFailed(
                    f"{self._name} was replaced by one that does not hold position {at_least}: ask again"
                )

        return self._readers.stream(sql, parameters, patience, lambda: self._wait(at_least, timeout), held)
