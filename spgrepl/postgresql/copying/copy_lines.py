"""Rows of a table of SQLite as a COPY takes them, in the order in which they are stored.

A row that does not fit is looked at again, to name its key and the column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apsw
import attrs

from spgrepl.postgresql.column_types import ColumnType, Misfit, float_text
from spgrepl.postgresql.copying.row_lines import RowLines, RowMisfit
from spgrepl.postgresql.copying.source_tables import SourceTable
from spgrepl.postgresql.names import quoted
from spgrepl.rows.values import RawText, RowValue
from spgrepl.text.sqltext import quote_name

_FLOAT = "spgrepl_float"
_OF_OWN = ColumnType("text", "unknown")
"""What is written in a way of its own is a text, which the server reads as whatever its column is."""


class LineUnfit(Exception):
    """A row of the source does not fit its table in the server."""


@attrs.frozen
class LineSource:
    """A table whose rows are to be copied.

    Attributes:
        table: The table.
        types: The types of its columns in the server, by name; those of the row's number, too.
        own: Expressions of SQL for columns whose values are written in a way of their own, by name; ``{0}`` stands
            for the column.
        schema: The name under which its database is attached.
        binary: Whether rows may go out binary.
    """

    table: SourceTable
    types: Mapping[str, ColumnType]
    own: Mapping[str, str] = attrs.field(factory=dict)
    schema: str = "main"
    binary: bool = True

    @property
    def _from(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.table.name)} NOT INDEXED ORDER BY {self.table.order}"

    @property
    def _lines(self) -> RowLines:
        names = self.table.copied
        return RowLines(
            [_OF_OWN if name in self.own else self.types[name] for name in names],
            [name in self.table.key for name in names],
            self.binary,
        )

    def statement(self, table: str) -> str:
        """The COPY.

        Args:
            table: The table's name in the server.
        """
        names = ", ".join(map(quoted, self.table.copied))
        return f"COPY {quoted(table)} ({names}) FROM STDIN{self._lines.options}"

    def batches(self, connection: apsw.Connection) -> Iterator[tuple[bytes, int]]:
        """What that COPY takes: many rows at once, and how many they are.

        Raises:
            LineUnfit: A row does not fit; table, key and column are named.
        """
        connection.create_scalar_function(_FLOAT, _float_text, 1, deterministic=True)
        lines = self._lines
        rows = connection.execute(
            f"SELECT {', '.join(map(self._asked, self.table.copied))} FROM {self._from}", can_cache=False
        )
        done = 0
        yield lines.head, 0
        while True:
            try:
                data, count = lines.take(rows)
            except UnicodeDecodeError:
                raise self._unfit_from(connection, done) from None
            except RowMisfit as misfit:
                raise self.unfit(connection, done + misfit.index) from None
            if not count:
                yield lines.end, 0
                return
            done += count
            yield data, count

    def _asked(self, name: str) -> str:
        """A column as it is to be copied."""
        column = quote_name(name) if name != self.table.row_number else name
        given = self.own.get(name)
        if given is None:
            return column
        # A blob is not a text: a value without one is a misfit.
        return f"CASE WHEN {column} IS NOT NULL THEN coalesce('' || ({given.format(column)}), x'') END"

    # -- what does not fit ------------------------------------------------------------------------------------

    def _unfit_from(self, connection: apsw.Connection, first: int) -> LineUnfit:
        """Find the first row, from one on, that holds text that is not UTF-8."""
        number = first
        while (values := self._values(connection, number)) is not None:
            if any(isinstance(value, RawText) for value in values):
                break
            number += 1
        return self.unfit(connection, number)

    def unfit(
        self, connection: apsw.Connection, number: int, said: str = "", column: str | None = None
    ) -> LineUnfit:
        """Name what is wrong with a row.

        Args:
            connection: The database.
            number: Which row, from 0.
            said: What the server said; empty where it was not asked.
            column: The column that the server named.
        """
        names = self.table.copied
        values = self._values(connection, number)
        if values is None:
            return LineUnfit(f"row {number + 1} of table {self.table.name}: {said or 'it is not there any more'}")
        row = dict(zip(names, values, strict=True))
        keys = self.table.key or names[:1]
        key = ", ".join(f"{name}={_shown(row[name])}" for name in keys)
        where = f"table {self.table.name}, row {key}"
        if said:
            return LineUnfit(f"{where}{f', column {column}' if column else ''}: {said}")
        for name, value in row.items():
            if value is None and name in self.table.key:
                return LineUnfit(f"{where}, column {name}: NULL stands in the primary key, which takes none")
            if name in self.own and not isinstance(value, RawText):
                continue
            try:
                self.types[name].encode([value])
            except Misfit as misfit:
                return LineUnfit(f"{where}, column {name}: {misfit.reason}")
        return LineUnfit(f"{where}: it does not fit")

    def _values(self, connection: apsw.Connection, number: int) -> Sequence[RowValue] | None:
        asked = ", ".join(
            f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
            for name in (one if one == self.table.row_number else quote_name(one) for one in self.table.copied)
        )
        found = connection.execute(f"SELECT {asked} FROM {self._from} LIMIT 1 OFFSET ?", (number,)).fetchone()
        if found is None:
            return None
        return [_value(kind, value) for kind, value in zip(found[::2], found[1::2], strict=True)]


def _value(kind: str, value: RowValue) -> RowValue:
    if kind != "text":
        return value
    assert isinstance(value, bytes)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(value)


def _shown(value: RowValue) -> str:
    text = "NULL" if value is None else repr(value.content if isinstance(value, RawText) else value)
    return text if len(text) <= 60 else text[:60] + "…"


def _float_text(*values: Any) -> str | None:
    (value,) = values
    return None if isinstance(value, int) and int(float(value)) != value else float_text(float(value))
