"""One table in two databases: ranges of its keys summed up at both ends, the rows of those that differ found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw
import attrs

from spgrepl.rows.render import render_delete, render_insert
from spgrepl.rows.values import RawText
from spgrepl.text.sqltext import fold_ascii, quote_name

ROWS_IN_A_RANGE = 5000
_GENERATED = frozenset({2, 3})
_AT_ONCE = 500

Key = tuple[Any, ...]
Row = tuple[Any, ...]
Together = Callable[[Callable[[], Any], Callable[[], Any]], tuple[Any, Any]]
"""Runs two calls at the same time."""


@attrs.frozen
class Layout:
    """What of a table is compared, and how its rows are told apart.

    Attributes:
        name: The table.
        key: The columns that name a row: its primary key, or its row number.
        columns: All columns with values of their own, the row number among them where it is the key.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def divisible(self) -> bool:
        """Whether ranges of its keys can be asked for."""
        return bool(self.key)


def layout_of(connection: apsw.Connection, table: str) -> Layout:
    """Look at a table.

    A primary key that may be NULL names no row: then all rows are compared at once, by all that they hold.
    """
    listed = connection.execute(
        'SELECT name, "notnull", pk, hidden, lower(type) FROM pragma_table_xinfo(?) ORDER BY cid', (table,)
    ).fetchall()
    columns = tuple(str(name) for name, _, _, hidden, _ in listed if hidden not in _GENERATED)
    keys = sorted((pk, name, required, kind) for name, required, pk, _, kind in listed if pk)
    without_numbers = bool(
        connection.execute("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)).get
    )
    if keys:
        named = tuple(str(name) for _, name, _, _ in keys)
        is_number = len(keys) == 1 and keys[0][3] == "integer"
        whole = without_numbers or is_number or all(required for _, _, required, _ in keys)
        return Layout(table, named if whole else (), columns)
    taken = {fold_ascii(name) for name in columns}
    number = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    return Layout(table, (), columns) if number is None else Layout(table, (number,), (number, *columns))


@attrs.frozen
class RowDifference:
    """A row that is not the same at both ends.

    Attributes:
        layout: Its table.
        key: The values of its key; empty where the table has none.
        first: The row in the first database; None where it is not there.
        second: The row in the second one; None where it is not there.
    """

    layout: Layout
    key: Key
    first: Row | None
    second: Row | None

    def __str__(self) -> str:
        named = ", ".join(f"{name}={value!r}" for name, value in zip(self.layout.key, self.key, strict=True))
        what = f"table {self.layout.name}, row {named or (self.first or self.second)}"
        if self.second is None:
            return f"{what}: missing in the second"
        if self.first is None:
            return f"{what}: in the second only"
        unlike = [
            name
            for name, one, other in zip(self.layout.columns, self.first, self.second, strict=True)
            if repr(one) != repr(other)
        ]
        return f"{what}: differs in {', '.join(unlike)}"

    def statements(self) -> tuple[bytes | None, bytes | None]:
        """See `spgrepl.comparing.repairing.Difference`."""
        layout, goes, comes = self.layout, None, None
        if self.second is not None:
            key, values = (layout.key, self.key) if layout.key else (layout.columns, self.second)
            goes = render_delete(layout.name, key, values, one_of=None if layout.key else "rowid")
        if self.first is not None:
            comes = render_insert(layout.name, layout.columns, self.first)
        return goes, comes


@attrs.frozen
class _Range:
    """Rows whose key is above one and not above another; None for no limit."""

    above: Key | None
    last: Key | None


class TableEnds:
    """A table at both ends.

    Args:
        connections: Both databases, in transactions that see one moment.
        layout: The table, which looks the same in both.
        together: Runs two calls at the same time.
    """

    def __init__(
        self, connections: tuple[apsw.Connection, apsw.Connection], layout: Layout, together: Together
    ) -> None:
        self._connections = connections
        self._layout = layout
        self._together = together
        self._order = ", ".join(f"{quote_name(name)} COLLATE BINARY" for name in layout.key)
        self._values = ", ".join(
            f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name})"
            for name in map(quote_name, layout.columns)
        )
        self.rows = 0

    def differences(self, told: Callable[[int], None] = lambda _: None) -> Iterator[RowDifference]:
        """The rows that differ, range after range.

        Args:
            told: Called after each range with how many rows were found equal.
        """
        if not self._layout.divisible:
            yield from self._whole()
            return
        for one in self._ranges(0, _Range(None, None)):
            if not self._alike(one):
                # There may be far more rows at the other end.
                for part in self._ranges(1, one):
                    yield from self._rows_that_differ(part)
            told(self.rows)

    def _alike(self, one: _Range) -> bool:
        first, second = self._together(lambda: self._sum(0, one), lambda: self._sum(1, one))
        if first != second:
            return False
        self.rows += first[0]
        return True

    # -- ranges -----------------------------------------------------------------------------------------------

    def _ranges(self, end: int, within: _Range) -> Iterator[_Range]:
        """Cut a range where one end has so many rows."""
        above = within.above
        keys = ", ".join(map(quote_name, self._layout.key))
        while True:
            where, bound = self._where(_Range(above, within.last))
            query = (
                f"SELECT {keys} FROM {quote_name(self._layout.name)}{where} ORDER BY {self._order} "
                f"LIMIT 1 OFFSET {ROWS_IN_A_RANGE - 1}"
            )
            found = self._connections[end].execute(query, bound).fetchone()
            if found is None or found == within.last:
                yield _Range(above, within.last)
                return
            yield _Range(above, found)
            above = found

    def _where(self, one: _Range) -> tuple[str, tuple[Any, ...]]:
        names = f"({self._order})"
        marks = f"({', '.join('?' for _ in self._layout.key)})"
        parts: list[str] = []
        bound: list[Any] = []
        for sign, key in ((">", one.above), ("<=", one.last)):
            if key is not None:
                parts.append(f"{names} {sign} {marks}")
                bound += key
        return (f" WHERE {' AND '.join(parts)}" if parts else ""), tuple(bound)

    def _sum(self, end: int, one: _Range) -> tuple[int, bytes]:
        """How many rows a range has at one end, and a checksum of them, types and order included."""
        summed, count = hashlib.blake2b(digest_size=16), 0
        for batch in self._read(end, one):
            count += len(batch)
            summed.update(repr(batch).encode())
        return count, summed.digest()

    def _read(self, end: int, one: _Range) -> Iterator[list[Row]]:
        """Rows as the database has them: each text as bytes, and after each value its type."""
        where, bound = self._where(one)
        order = f" ORDER BY {self._order}" if self._order else ""
        query = f"SELECT {self._values} FROM {quote_name(self._layout.name)}{where}{order}"
        cursor = iter(self._connections[end].execute(query, bound))
        while batch := [row for _, row in zip(range(_AT_ONCE), cursor, strict=False)]:
            yield batch

    # -- rows -------------------------------------------------------------------------------------------------

    def _rows_that_differ(self, one: _Range) -> Iterator[RowDifference]:
        places = [self._layout.columns.index(name) for name in self._layout.key]
        first, second = self._together(lambda: self._by_key(0, one, places), lambda: self._by_key(1, one, places))
        for key in [*first, *(key for key in second if key not in first)]:
            left, right = first.get(key), second.get(key)
            if left is not None and right is not None and repr(left) == repr(right):
                self.rows += 1
                continue
            given = left or right
            assert given is not None
            yield RowDifference(self._layout, tuple(given[place] for place in places), left, right)

    def _by_key(self, end: int, one: _Range, places: Sequence[int]) -> dict[str, Row]:
        rows = (_values_of(row) for batch in self._read(end, one) for row in batch)
        return {repr([row[place] for place in places]): row for row in rows}

    def _whole(self) -> Iterator[RowDifference]:
        """A table whose rows have no names: how often each is there."""
        everything = _Range(None, None)
        first, second = self._together(lambda: self._counted(0, everything), lambda: self._counted(1, everything))
        for text in [*first, *(text for text in second if text not in first)]:
            row, times = first.get(text, (None, 0))
            other, others = second.get(text, (None, 0))
            self.rows += min(times, others)
            for _ in range(times - others):
                yield RowDifference(self._layout, (), row, None)
            for _ in range(others - times):
                yield RowDifference(self._layout, (), None, other)

    def _counted(self, end: int, one: _Range) -> dict[str, tuple[Row, int]]:
        found: dict[str, tuple[Row, int]] = {}
        for batch in self._read(end, one):
            for row in map(_values_of, batch):
                text = repr(row)
                found[text] = (row, found.get(text, (row, 0))[1] + 1)
        return found


def _values_of(row: Row) -> Row:
    """A row's values, of what was read."""
    return tuple(
        _text(value) if kind == "text" else value for value, kind in zip(row[::2], row[1::2], strict=True)
    )


def _text(value: bytes) -> str | RawText:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(value)
