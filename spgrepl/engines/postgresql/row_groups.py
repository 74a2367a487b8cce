"""Rows of a log taken together: those of one table and kind, so far as their order does not matter.

Where triggers and foreign keys do not act, changes of different tables may change places, and in one table those
of different rows: what each row is in the end does not depend on it. What a unique index thinks of a moment in
between does; so a group that is refused is undone, and its rows are taken one by one, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import attrs

from spgrepl.postgresql.tables import Table
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.shapes import Shape
from spgrepl.rows.values import RowValue

LONGEST_GROUP = 5000
"""So many rows are one statement at most."""

_ORDER = {ChangeKind.DELETE: 0, ChangeKind.UPDATE: 1, ChangeKind.INSERT: 2, ChangeKind.CLEAR: 3}


@attrs.frozen(eq=False)
class Row:
    """A row of the log.

    Attributes:
        number: Its number among the statements of its transaction.
        sql: Its text.
        shape: What it is but for its values.
        values: Its values.
    """

    number: int
    sql: bytes
    shape: Shape
    values: Sequence[RowValue]


@attrs.frozen(eq=False)
class Group:
    """Rows that go out as one statement.

    Attributes:
        table: The table.
        shape: The shape of all of them.
        rows: The rows, at least one.
        single: Whether they cannot be one statement, and are one each.
    """

    table: Table
    shape: Shape
    rows: Sequence[Row]
    single: bool = False


def group_in_order(rows: Iterable[Row], table_of: Callable[[str], Table]) -> list[Group]:
    """Groups of rows that follow each other in the log.

    Args:
        rows: The rows.
        table_of: Finds a table by its name.
    """
    groups: list[Group] = []
    current: list[Row] = []
    seen: set[tuple[RowValue, ...]] = set()
    for row in rows:
        place = _place(row, table_of(row.shape.table))
        alike = bool(current) and current[0].shape is row.shape and len(current) < LONGEST_GROUP
        if alike and place is not None and place not in seen:
            current.append(row)
        else:
            if current:
                groups.append(_group(current, table_of))
            current, seen = [row], set()
        if place is None:
            groups.append(_group(current, table_of, single=True))
            current = []
        else:
            seen.add(place)
    if current:
        groups.append(_group(current, table_of))
    return groups


def _group(rows: Sequence[Row], table_of: Callable[[str], Table], single: bool = False) -> Group:
    shape = rows[0].shape
    return Group(table_of(shape.table), shape, rows, single)


def group_by_table(rows: Iterable[Row], table_of: Callable[[str], Table]) -> list[Group]:
    """Groups of rows wherever they stand in the log; see the module.

    Args:
        rows: The rows.
        table_of: Finds a table by its name.
    """
    per_table: dict[str, _OneTable] = {}
    for row in rows:
        name = row.shape.table
        one = per_table.get(name)
        if one is None:
            one = per_table[name] = _OneTable(table_of(name))
        one.add(row)
    return [group for one in per_table.values() for group in one.finish()]


class _OneTable:
    """The groups of one table. Those of one level hold each row of the table once at most."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._done: list[Group] = []
        self._levels: list[dict[Shape, list[Row]]] = []
        self._level_of: dict[tuple[RowValue, ...], int] = {}
        self._last: dict[tuple[RowValue, ...], tuple[Shape, int]] = {}

    def add(self, row: Row) -> None:
        """Take the next row."""
        place = _place(row, self._table)
        if place is None:
            self._flush()
            self._done.append(Group(self._table, row.shape, [row], single=True))
            return
        if place == ():
            # A table without a key: INSERTs of it do not meet each other.
            self._put(0, row)
            return
        level = self._level_of.get(place, 0)
        last = self._last.get(place)
        if last is not None and last[0] is row.shape and row.shape.kind is ChangeKind.UPDATE:
            # The same columns of the same row again: what it was in between nobody sees.
            self._levels[level - 1][row.shape][last[1]] = row
            return
        at = self._put(level, row)
        self._level_of[place] = level + 1
        self._last[place] = (row.shape, at)

    def _put(self, level: int, row: Row) -> int:
        if level == len(self._levels):
            self._levels.append({})
        rows = self._levels[level].setdefault(row.shape, [])
        rows.append(row)
        return len(rows) - 1

    def _flush(self) -> None:
        for level in self._levels:
            for shape, rows in sorted(level.items(), key=lambda one: _ORDER[one[0].kind]):
                for first in range(0, len(rows), LONGEST_GROUP):
                    self._done.append(Group(self._table, shape, rows[first : first + LONGEST_GROUP]))
        self._levels.clear()
        self._level_of.clear()
        self._last.clear()

    def finish(self) -> list[Group]:
        """All groups, in the order in which they are to go out."""
        self._flush()
        return self._done


_Place = tuple[RowValue, ...]
_known: dict[Shape, tuple[Table, Callable[[Sequence[RowValue]], _Place] | None]] = {}
_MOST_KNOWN = 4096


def _place(row: Row, table: Table) -> _Place | None:
    """The values of a row's primary key; empty where the table has none, None where it cannot be told."""
    known = _known.get(row.shape)
    if known is None or known[0] is not table:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[row.shape] = (table, _place_reader(row.shape, table))
    reader = known[1]
    return None if reader is None else reader(row.values)


def _place_reader(shape: Shape, table: Table) -> Callable[[Sequence[RowValue]], _Place] | None:
    """What takes the values of the primary key out of those of a row."""
    key = table.key
    if shape.kind is ChangeKind.INSERT:
        if not key:
            return lambda _: ()
        if not set(key) <= set(shape.columns):
            return None
        return _picker([shape.columns.index(name) for name in key])
    names_row = shape.kind in (ChangeKind.UPDATE, ChangeKind.DELETE) and shape.one_of is None
    if not names_row or not key or set(shape.key) != set(key) or True in shape.key_nulls:
        return None
    if set(shape.columns) & set(key):
        return None
    return _picker([len(shape.columns) + shape.key.index(name) for name in key])


def _picker(places: list[int]) -> Callable[[Sequence[RowValue]], _Place]:
    if len(places) == 1:
        (place,) = places
        return lambda values: (values[place],)
    return itemgetter(*places)
