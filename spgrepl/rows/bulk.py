"""Canonical SQL text of many row changes at once: what `render` writes, for a fraction of the work per row.

The changes are of one table and one kind. Work is done column by column, not row by row: a column whose values are
all integers, or all text that needs no care, goes into the statements as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby, repeat
from operator import ne

from spgrepl.compiled.core import CORE
from spgrepl.rows.values import RowValue, same_value, value_text

Column = Sequence[RowValue]
"""The values that the rows have in one column."""

_INTEGERS = frozenset({int})
_TEXTS = frozenset({str})


def insert_texts(head: str, rows: Sequence[tuple[RowValue, ...]]) -> list[bytes]:
    """The INSERTs of rows.

    Args:
        head: See `spgrepl.rows.render.insert_head`.
        rows: The values of each row, at least one row.
    """
    columns = list(zip(*rows, strict=True))
    pieces = [head, *repeat(",", len(columns) - 1)]
    return _texts(pieces, columns, len(rows), ")")


def update_texts(
    pieces_of: Callable[[tuple[int, ...]], Sequence[str]],
    olds: Sequence[tuple[RowValue, ...]],
    news: Sequence[tuple[RowValue, ...]],
    keys: Sequence[Column],
) -> list[bytes]:
    """The UPDATEs of rows, each of the columns that changed; none for a row in which nothing did.

    Args:
        pieces_of: Makes of the places of the columns that changed what `spgrepl.rows.render.update_pieces` does.
        olds: The values of each row before, at least one row.
        news: Those after, of the same rows.
        keys: The columns that name the rows, without NULL.
    """
    columns = list(zip(*news, strict=True))
    changes = [_changes(old, new) for old, new in zip(zip(*olds, strict=True), columns, strict=True)]
    texts: list[bytes] = []
    for changed, start, stop in _runs(changes, len(news)):
        if changed:
            given = [*[columns[place] for place in changed], *keys]
            if stop - start < len(news):
                given = [column[start:stop] for column in given]
            texts += _texts(pieces_of(changed), given, stop - start)
    return texts


def delete_texts(pieces: Sequence[str], keys: Sequence[Column]) -> list[bytes]:
    """The DELETEs of rows.

    Args:
        pieces: See `spgrepl.rows.render.delete_pieces`.
        keys: The columns that name the rows, without NULL; at least one row.
    """
    return _texts(pieces, keys, len(keys[0]))


def _texts(pieces: Iterable[str], columns: Sequence[Column], count: int, end: str = "") -> list[bytes]:
    """Statements that have the same pieces before each of their values."""
    if CORE is None:
        return python_texts(pieces, columns, count, end)
    given = [column if type(column) in (list, tuple) else list(column) for column in columns]
    return CORE.row_texts([piece.encode() for piece in pieces], given, end.encode(), value_text)


def python_texts(pieces: Iterable[str], columns: Sequence[Column], count: int, end: str = "") -> list[bytes]:
    """The reference of how statements are written that have the same pieces before each of their values.

    Args:
        pieces: What stands before the values, one for each column.
        columns: The values, of each column as many as there are statements.
        count: How many statements.
        end: What stands after the last value.
    """
    template = ""
    given: list[Sequence[object]] = []
    for piece, column in zip(pieces, columns, strict=True):
        mark, values = _filling(column)
        template += piece.replace("%", "%%") + mark
        given.append(values)
    # No canonical text holds NUL.
    template += end.replace("%", "%%") + "\0"
    text = template * count % tuple(chain.from_iterable(zip(*given, strict=True)))
    return text.encode().split(b"\0")[:-1]


def _filling(column: Column) -> tuple[str, Sequence[object]]:
    """The place of a column's values in a template, and what to put there."""
    kinds = set(map(type, column))
    if kinds == _INTEGERS:
        return "%d", column
    if kinds == _TEXTS:
        together = "".join(column)  # type: ignore[arg-type] # all are str
        if "'" not in together and "\0" not in together:
            return "'%s'", column
    return "%s", [value_text(value) for value in column]


def _changes(old: Column, new: Column) -> bool | list[bool]:
    """Whether a column changed: in all rows, in none, or in which."""
    kinds = set(map(type, old)) | set(map(type, new))
    if float in kinds:
        # Other types differ where they are not equal; 1 and 1.0, 0.0 and -0.0 are equal and differ.
        found = [not same_value(before, after) for before, after in zip(old, new, strict=True)]
    elif old == new:
        return False
    else:
        found = list(map(ne, old, new))
    return found if len(set(found)) > 1 else found[0]


def _runs(changes: Sequence[bool | list[bool]], count: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Rows that follow each other and in which the same columns changed: their places, the first row, the end."""
    if not any(isinstance(change, list) for change in changes):
        return [(tuple([place for place, change in enumerate(changes) if change]), 0, count)]
    by_row = zip(
        *[change if isinstance(change, list) else repeat(change, count) for change in changes], strict=True
    )
    runs = []
    start = 0
    for mask, rows in groupby(by_row):
        stop = start + sum(1 for _ in rows)
        runs.append((tuple([place for place, change in enumerate(mask) if change]), start, stop))
        start = stop
    return runs
