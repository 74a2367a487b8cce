"""One table in two databases: ranges of its keys summed up at both ends, the rows of those that differ found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from spgrepl.comparing.table_reader import Key, KeyRange, Layout, Row, TableReader, values_of
from spgrepl.rows.render import render_delete, render_insert

Together = Callable[[Callable[[], Any], Callable[[], Any]], tuple[Any, Any]]
"""Runs two calls at the same time."""


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


class TableEnds:
    """A table at both ends.

    Args:
        readers: Read both databases, each as of one moment.
        layout: The table, which looks the same in both.
        together: Runs two calls at the same time.

    Attributes:
        rows: How many rows were found equal.
    """

    def __init__(self, readers: tuple[TableReader, TableReader], layout: Layout, together: Together) -> None:
        self._readers = readers
        self._layout = layout
        self._together = together
        self.rows = 0

    def differences(self, told: Callable[[int], None] = lambda _: None) -> Iterator[RowDifference]:
        """The rows that differ, range after range.

        Args:
            told: Called after each range with how many rows were found equal.
        """
        if not self._layout.divisible:
            yield from self._whole()
            return
        for one in self._ranges(0, KeyRange()):
            if not self._alike(one):
                # There may be far more rows at the other end.
                for part in self._ranges(1, one):
                    yield from self._rows_that_differ(part)
            told(self.rows)

    def _both(self, call: Callable[[TableReader], Any]) -> tuple[Any, Any]:
        first, second = self._readers
        return self._together(lambda: call(first), lambda: call(second))

    def _ranges(self, end: int, within: KeyRange) -> Iterator[KeyRange]:
        """Cut a range where one end has so many rows."""
        above = within.above
        while True:
            found = self._readers[end].cut(self._layout, KeyRange(above, within.last))
            if found is None:
                yield KeyRange(above, within.last)
                return
            yield KeyRange(above, found)
            above = found

    def _alike(self, one: KeyRange) -> bool:
        first, second = self._both(lambda reader: reader.sum(self._layout, one))
        if first != second:
            return False
        self.rows += first[0]
        return True

    def _rows_that_differ(self, one: KeyRange) -> Iterator[RowDifference]:
        places = [self._layout.columns.index(name) for name in self._layout.key]
        first, second = self._both(lambda reader: self._by_key(reader, one, places))
        for key in [*first, *(key for key in second if key not in first)]:
            left, right = first.get(key), second.get(key)
            if left is not None and right is not None and repr(left) == repr(right):
                self.rows += 1
                continue
            given = left or right
            assert given is not None
            yield RowDifference(self._layout, tuple(given[place] for place in places), left, right)

    def _by_key(self, reader: TableReader, one: KeyRange, places: Sequence[int]) -> dict[str, Row]:
        rows = (values_of(row) for batch in reader.read(self._layout, one) for row in batch)
        return {repr([row[place] for place in places]): row for row in rows}

    def _whole(self) -> Iterator[RowDifference]:
        """A table whose rows have no names: how often each is there."""
        first, second = self._both(self._counted)
        for text in [*first, *(text for text in second if text not in first)]:
            row, times = first.get(text, (None, 0))
            other, others = second.get(text, (None, 0))
            self.rows += min(times, others)
            for _ in range(times - others):
                yield RowDifference(self._layout, (), row, None)
            for _ in range(others - times):
                yield RowDifference(self._layout, (), None, other)

    def _counted(self, reader: TableReader) -> dict[str, tuple[Row, int]]:
        found: dict[str, tuple[Row, int]] = {}
        for batch in reader.read(self._layout, KeyRange()):
            for row in map(values_of, batch):
                text = repr(row)
                found[text] = (row, found.get(text, (row, 0))[1] + 1)
        return found
