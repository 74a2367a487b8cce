"""Rows of one table that a statement changes one after the other in the same way: written down together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import apsw

from spgrepl.primary.changes.layout import TableLayout
from spgrepl.rows.bulk import Column, delete_texts, insert_texts, update_texts
from spgrepl.rows.values import RowValue

Row = tuple[RowValue, ...]

_FIRST_LIMIT = 16
_MOST_ROWS = 256
_MOST_BYTES = 256 * 1024


class Unfit(Exception):
    """A change does not belong into the run, though it is of the same table and kind."""


class RowRun:
    """Rows that were changed and are not written down yet.

    How many it takes follows from how long the last ones were: memory holds some hundred kilobytes of rows.

    Attributes:
        table: The table's name; None where there is no run, and it takes nothing.
        operation: What happens to the rows: ``SQLITE_INSERT``, ``SQLITE_UPDATE`` or ``SQLITE_DELETE``.
        take: Takes a change of `table` by `operation`, and returns whether the run is full; raises `Unfit` or
            UnicodeDecodeError, and has taken nothing then, where it cannot.
    """

    __slots__ = ("_layout", "_limit", "_news", "_numbers", "_olds", "operation", "table", "take")

    take: Callable[[apsw.PreUpdate], bool]

    def __init__(self) -> None:
        self.table: str | None = None
        self.operation = 0
        self._layout: TableLayout | None = None
        self._limit = _FIRST_LIMIT
        # APSW types the rows as if each could be missing.
        self._olds: list[Any] = []
        self._news: list[Any] = []
        self._numbers: list[int] | None = None
        self.take = self._take_insert

    @property
    def layout(self) -> TableLayout:
        """The table's layout."""
        assert self._layout is not None
        return self._layout

    def begin(self, layout: TableLayout, operation: int) -> None:
        """Begin to take changes; nothing may be left of the run before."""
        assert not self._olds
        assert not self._news
        self.table, self._layout, self.operation = layout.name, layout, operation
        self._numbers = [] if not layout.key or layout.counts_up else None
        if operation == apsw.SQLITE_INSERT:
            self.take = self._take_insert
        elif operation == apsw.SQLITE_UPDATE:
            self.take = self._take_update
        else:
            self.take = self._take_delete

    def drop(self) -> None:
        """End the run; what was not written down is forgotten."""
        self.table = None
        self.clear()

    def clear(self, size: int | None = None) -> None:
        """Forget what was taken, and go on.

        Args:
            size: How many bytes it took where it was written down; None where that is not known.
        """
        if size is not None:
            count = max(len(self._olds), len(self._news))
            self._limit = max(1, min(_MOST_ROWS, self._limit * 4, _MOST_BYTES * count // max(size, 1)))
        self._olds.clear()
        self._news.clear()
        if self._numbers is not None:
            self._numbers.clear()

    def _take_insert(self, change: apsw.PreUpdate) -> bool:
        news = self._news
        news.append(change.new)
        if self._numbers is not None:
            self._numbers.append(change.rowid_new)
        return len(news) >= self._limit

    def _take_update(self, change: apsw.PreUpdate) -> bool:
        olds = self._olds
        old, new = change.old, change.new
        if self._numbers is not None:
            number = change.rowid
            if number != change.rowid_new:
                raise Unfit
            self._numbers.append(number)
        olds.append(old)
        self._news.append(new)
        return len(olds) >= self._limit

    def _take_delete(self, change: apsw.PreUpdate) -> bool:
        if change.blob_write >= 0:
            raise Unfit
        olds = self._olds
        olds.append(change.old)
        if self._numbers is not None:
            self._numbers.append(change.rowid)
        return len(olds) >= self._limit

    # -- writing down -----------------------------------------------------------------------------------------

    @property
    def highest_number(self) -> int:
        """The highest row number that was taken; only where the table has no key or counts up."""
        return max(self._numbers or ())

    def rows(self) -> Iterator[tuple[Row | None, Row | None, int]]:
        """Each change: the row before, the row after, and the row's number where it matters."""
        olds: list[Row | None] = list(self._picked(self._olds))
        news: list[Row | None] = list(self._picked(self._news))
        count = max(len(olds), len(news))
        yield from zip(olds or [None] * count, news or [None] * count, self._numbers or [0] * count, strict=True)

    def _picked(self, rows: list[Row]) -> list[Row]:
        pick = self.layout.places_of
        return rows if pick is None else list(map(pick, rows))

    def texts(self) -> list[bytes] | None:
        """The changes as canonical text; None where each row has to be looked at, as its key might not name it."""
        layout = self.layout
        olds, news = self._picked(self._olds), self._picked(self._news)
        if self.operation == apsw.SQLITE_INSERT:
            if not layout.key:
                news = [(number, *new) for number, new in zip(self._numbers or (), news, strict=True)]
            return insert_texts(layout.insert_head, news) if news else []
        keys = self._keys(olds)
        if keys is None or not olds:
            return None if olds else []
        if self.operation == apsw.SQLITE_DELETE:
            return delete_texts(layout.delete_pieces, keys)
        return update_texts(layout.update_pieces, olds, news, keys)

    def _keys(self, olds: list[Row]) -> list[Column] | None:
        layout = self.layout
        if not layout.key:
            return [self._numbers or ()]
        if not layout.exact_key:
            return None
        keys: list[Column] = [[row[place] for row in olds] for place in layout.key_places]
        return None if any(None in column for column in keys) else keys
