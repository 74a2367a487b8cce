"""How far an initial copy into a SQLite database is, while SQLite copies the rows of a table in one statement.

The transaction is open all the time, so nobody else sees a row. What tells is how the database's files grow, and
the number of the row that was written last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from spgrepl.engines.targets.table_shape import TableShape
from spgrepl.text.placing import PlacingStep
from spgrepl.text.sqltext import quote_name

_LOWEST = -(2**63)

_STEPS = 100_000
"""Steps of SQLite's machine between two looks."""


class CopyTold:
    """Tells how far the rows of some tables are in place.

    Args:
        target: The target's connection.
        database: Its file.
        source: The name under which the snapshot is attached.
        tables: The tables, in their order.
    """

    def __init__(self, target: apsw.Connection, database: Path, source: str, tables: Sequence[TableShape]) -> None:
        self._target = target
        self._files = (database, database.with_name(f"{database.name}-wal"))
        self._source = source
        self._before = self._size()
        self._done = self._now = 0
        self._span: tuple[int, int] | None = None
        self._counts: dict[str, int] = {}
        self._step = PlacingStep("copy")
        if self._step.wanted:
            self._counts = {table.name: self._asked("count(*)", table) for table in tables}
            self._step.tell(rows=0, rows_total=sum(self._counts.values()))

    def _asked(self, what: str, table: TableShape) -> int:
        query = f"SELECT {what} FROM {self._source}.{quote_name(table.name)}"
        return int(self._target.execute(query).fetchall()[0][0] or 0)

    def _size(self) -> int:
        return sum(file.stat().st_size for file in self._files if file.exists())

    @contextlib.contextmanager
    def watching(self, table: TableShape) -> Iterator[None]:
        """While a table, its rows and its indexes are put in place."""
        if not self._step.wanted:
            yield
            return
        self._span = None
        if table.row_number is not None and self._counts[table.name]:
            first, last = (self._asked(f"{one}({table.row_number})", table) for one in ("min", "max"))
            self._span = first, last
            # The row that was written last is not one of this table.
            self._target.set_last_insert_rowid(max(first - 1, _LOWEST))
        self._step.tell(table=table.name)
        self._target.set_progress_handler(lambda: self._look(table), _STEPS)
        try:
            yield
        finally:
            self._target.set_progress_handler(None)
        self._done += self._counts[table.name]
        self._step.tell(rows=self._done, bytes=self._grown())

    def _grown(self) -> int:
        return max(0, self._size() - self._before)

    def _look(self, table: TableShape) -> bool:
        rows = self._done
        if self._span is not None:
            # Rows come in the order of their numbers: the last one says how many there were, about.
            first, last = self._span
            reached = min(max(self._target.last_insert_rowid() - first + 1, 0), last - first + 1)
            rows += self._counts[table.name] * reached // (last - first + 1)
        self._step.tell(rows=rows, bytes=self._grown())
        return False
