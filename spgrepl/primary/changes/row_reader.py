"""Reads rows from their tables, where SQLite's report of a change does not give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw

from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import TableLayout, Unwritable
from spgrepl.primary.changes.row_run import Row
from spgrepl.primary.changes.row_values import listed, values_of
from spgrepl.text.sqltext import quote_name


class RowReader:
    """Reads rows as they are now.

    Args:
        connection: The connection that writes.
        guard: The connection's authorizer, which is to let pass what is read here.

    Attributes:
        codec: How the database encodes texts; None for UTF-8.
    """

    def __init__(self, connection: apsw.Connection, guard: ObjectGuard) -> None:
        self._connection = connection
        self._guard = guard
        self.codec: str | None = None

    def look_at_encoding(self) -> None:
        """See how the database encodes texts."""
        encoding = str(self._connection.execute("PRAGMA encoding").get)
        self.codec = None if encoding == "UTF-8" else encoding

    def row(self, layout: TableLayout, number: int) -> Row:
        """The row of a number.

        Raises:
            Unwritable: It is not there.
        """
        with self._guard.looking_away():
            found = self._connection.execute(
                f"SELECT {listed(layout)} FROM main.{quote_name(layout.name)} WHERE {layout.row_number} = ?",
                (number,),
            ).fetchone()
        if found is None:
            raise Unwritable(f"row {number} of table {layout.name} cannot be read while it is being changed")
        return values_of(found, self.codec or "utf-8")

    def all_rows(self, layout: TableLayout) -> Iterator[tuple[Row, int]]:
        """All rows of a table with their numbers, in the numbers' order; 0 where there are none."""
        number = layout.row_number or "NULL"
        query = f"SELECT {number}, {listed(layout)} FROM main.{quote_name(layout.name)} ORDER BY 1"
        for row in self._connection.execute(query):
            found: Any = row
            yield values_of(found[1:], self.codec or "utf-8"), found[0] or 0
