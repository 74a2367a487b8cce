"""One table in two databases: ranges of its keys summed up at both ends, the rows of those that differ found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from spgrepl.comparing.differences import FoundRow, RowDifference
from spgrepl.comparing.table_reader import POSTGRESQL, SQLITE, Key, KeyRange, Layout, TableReader
from spgrepl.postgresql.comparing.canonical import TEXT, order_of

Together = Callable[[Callable[[], Any], Callable[[], Any]], tuple[Any, Any]]
"""Runs two calls at the same time."""

_AT_ONCE = 64
"""So many ranges are summed up in one go."""

_IN_ONE_PASS = 2000
"""Of texts more and more, up to so many: a server may have no index in their order, and read the whole table."""


class TableEnds:
    """A table at both ends.

    Args:
        readers: Read both databases, each as of one moment.
        layouts: The table at each of them, with the same columns, and ranges of the same ones.
        together: Runs two calls at the same time.

    Attributes:
        rows: How many rows were found equal.
    """

    def __init__(
        self, readers: tuple[TableReader, TableReader], layouts: tuple[Layout, Layout], together: Together
    ) -> None:
        self._readers = readers
        self._layouts = layouts
        self._together = together
        # SQLite finds the ends of ranges with its own index, whatever the language.
        self._cutter = 1 if readers[0].kind == POSTGRESQL and readers[1].kind == SQLITE else 0
        self.rows = 0

    def differences(self, told: Callable[[int], None] = lambda _: None) -> Iterator[RowDifference]:
        """The rows that differ, range after range.

        Args:
            told: Called now and then with how many rows were found equal.
        """
        layout = self._layouts[0]
        if layout.ordered:
            ranges, many = self._ranges(self._cutter, KeyRange()), _AT_ONCE
            by_text = bool(layout.types) and order_of(layout.types[layout.places[0]]) == TEXT
            while batch := list(islice(ranges, many)):
                many = min(2 * many, _IN_ONE_PASS) if by_text else many
                for one in self._unlike(batch):
                    # There may be far more rows at the other end.
                    for part in self._ranges(1 - self._cutter, one):
                        yield from self._rows_that_differ(part)
                told(self.rows)
        elif not layout.types or list(self._unlike([KeyRange()])):
            yield from (self._rows_that_differ if layout.key else self._alike_or_not)(KeyRange())
        if any(one.nullable for one in self._layouts):
            yield from self._alike_or_not(KeyRange(nameless=True))
        told(self.rows)

    def _both(self, call: Callable[[TableReader, Layout], Any]) -> tuple[Any, Any]:
        (first, second), (one, other) = self._readers, self._layouts
        return self._together(lambda: call(first, one), lambda: call(second, other))

    def _ranges(self, end: int, within: KeyRange) -> Iterator[KeyRange]:
        """Cut a range where one end has so many rows."""
        above: Key | None = within.above
        for stop in self._readers[end].stops(self._layouts[end], within):
            yield KeyRange(above, stop)
            above = stop
        yield KeyRange(above, within.last)

    def _unlike(self, ranges: list[KeyRange]) -> Iterator[KeyRange]:
        """Those of some ranges whose sums differ."""
        first, second = self._both(lambda reader, layout: reader.sums(layout, ranges))
        for one, here, there in zip(ranges, first, second, strict=True):
            if here == there:
                self.rows += here[0]
            else:
                yield one

    def _rows_that_differ(self, one: KeyRange) -> Iterator[RowDifference]:
        first, second = self._both(lambda reader, layout: _by_key(_rows(reader, layout, one), layout.places))
        for key in _either(first, second):
            left, right = first.get(key), second.get(key)
            if left is not None and right is not None and left.texts == right.texts:
                self.rows += 1
            else:
                yield RowDifference(self._layouts, self._layouts[0].key, left, right)

    def _alike_or_not(self, one: KeyRange) -> Iterator[RowDifference]:
        """Rows that have no names: how often each is there."""
        first, second = self._both(lambda reader, layout: _counted(_rows(reader, layout, one)))
        for texts in _either(first, second):
            row, times = first.get(texts, (None, 0))
            other, others = second.get(texts, (None, 0))
            self.rows += min(times, others)
            for _ in range(times - others):
                yield RowDifference(self._layouts, (), row, None)
            for _ in range(others - times):
                yield RowDifference(self._layouts, (), None, other)


def _either(first: Iterable[Any], second: Iterable[Any]) -> Iterator[Any]:
    """What is in one of two, without repetition."""
    yield from dict.fromkeys([*first, *second])


def _rows(reader: TableReader, layout: Layout, one: KeyRange) -> Iterator[FoundRow]:
    for batch in reader.read(layout, one):
        yield from FoundRow.several(reader.kind, layout, batch)


def _by_key(rows: Iterable[FoundRow], places: list[int]) -> dict[tuple[str, ...], FoundRow]:
    return {tuple([row.texts[place] for place in places]): row for row in rows}


def _counted(rows: Iterable[FoundRow]) -> dict[tuple[str, ...], tuple[FoundRow, int]]:
    found: dict[tuple[str, ...], tuple[FoundRow, int]] = {}
    for row in rows:
        found[row.texts] = (row, found.get(row.texts, (row, 0))[1] + 1)
    return found
