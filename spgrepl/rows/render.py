"""Row changes as canonical SQL text.

::

    INSERT INTO t(id,name)VALUES(7,'x')
    UPDATE t SET name='y',age=3 WHERE id=7 AND part IS NULL
    DELETE FROM t WHERE id=7
    DELETE FROM t
    DELETE FROM t WHERE rowid=(SELECT min(rowid)FROM t WHERE a IS NULL AND b='x' COLLATE BINARY)

The last form is that of `RowChange.one_of`. A change that came by a subscription has its origin after the
statement, as sixteen hexadecimal digits: ``… /* origin 0123456789abcdef */``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.names import name_text
from spgrepl.rows.values import RawText, RowValue, value_text


def render(change: RowChange) -> bytes:
    """A change as canonical text, in UTF-8.

    Raises:
        ValueError: The change is not one: it names no column or no row, or has another number of values than
            names.
        OverflowError: An integer beyond 64 bits.
    """
    kind = change.kind
    if kind is ChangeKind.INSERT:
        return render_insert(change.table, change.columns, change.values, change.origin)
    if kind is ChangeKind.UPDATE:
        return render_update(
            change.table,
            change.columns,
            change.values,
            change.key,
            change.key_values,
            one_of=change.one_of,
            origin=change.origin,
        )
    if kind is ChangeKind.DELETE:
        return render_delete(
            change.table, change.key, change.key_values, one_of=change.one_of, origin=change.origin
        )
    return f"DELETE FROM {name_text(change.table)}{_origin(change.origin)}".encode()


def render_insert(
    table: str, columns: tuple[str, ...], values: Sequence[RowValue], origin: int | None = None
) -> bytes:
    """`render` for an INSERT, without the value in between; arguments as `RowChange` has them."""
    _check(columns, values)
    return render_values(insert_head(table, columns), values, origin)


def render_values(head: str, values: Sequence[RowValue], origin: int | None = None) -> bytes:
    """An INSERT whose beginning is known.

    Args:
        head: What `insert_head` gives.
        values: As many values as there are columns.
        origin: See `RowChange`.
    """
    if origin is None:
        return (head + ",".join(map(value_text, values)) + ")").encode()
    return f"{head}{','.join(map(value_text, values))}){_origin(origin)}".encode()


def render_update(
    table: str,
    columns: Sequence[str],
    values: Sequence[RowValue],
    key: Sequence[str],
    key_values: Sequence[RowValue],
    *,
    one_of: str | None = None,
    origin: int | None = None,
) -> bytes:
    """`render` for an UPDATE, without the value in between; arguments as `RowChange` has them."""
    _check(columns, values)
    name = name_text(table)
    changed = ",".join(
        f"{name_text(column)}={value_text(value)}" for column, value in zip(columns, values, strict=True)
    )
    return f"UPDATE {name} SET {changed} WHERE {_row(name, key, key_values, one_of)}{_origin(origin)}".encode()


def render_delete(
    table: str,
    key: Sequence[str],
    key_values: Sequence[RowValue],
    *,
    one_of: str | None = None,
    origin: int | None = None,
) -> bytes:
    """`render` for a DELETE, without the value in between; arguments as `RowChange` has them."""
    name = name_text(table)
    return f"DELETE FROM {name} WHERE {_row(name, key, key_values, one_of)}{_origin(origin)}".encode()


@lru_cache(maxsize=1024)
def update_pieces(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
    """What stands before each value of an UPDATE, for `join_pieces`; no value of the key may be NULL."""
    changed = [f"{before}{name_text(column)}=" for before, column in zip(_before("", ","), columns, strict=False)]
    changed[0] = f"UPDATE {name_text(table)} SET {changed[0]}"
    return (*changed, *_key_pieces(key))


@lru_cache(maxsize=1024)
def delete_pieces(table: str, key: tuple[str, ...]) -> tuple[str, ...]:
    """What stands before each value of a DELETE, for `join_pieces`; no value of the key may be NULL."""
    first, *others = _key_pieces(key)
    return (f"DELETE FROM {name_text(table)}{first}", *others)


def _key_pieces(key: tuple[str, ...]) -> list[str]:
    return [
        f"{before}{name_text(column)}=" for before, column in zip(_before(" WHERE ", " AND "), key, strict=False)
    ]


def _before(first: str, others: str) -> Iterator[str]:
    yield first
    while True:
        yield others


def join_pieces(pieces: Iterable[str], values: Iterable[RowValue]) -> bytes:
    """A statement from what stands before each of its values, and these."""
    return "".join([piece + value_text(value) for piece, value in zip(pieces, values, strict=True)]).encode()


@lru_cache(maxsize=1024)
def insert_head(table: str, columns: tuple[str, ...]) -> str:
    """The beginning of an INSERT, up to its values."""
    return f"INSERT INTO {name_text(table)}({','.join(map(name_text, columns))})VALUES("


def _row(table: str, key: Sequence[str], values: Sequence[RowValue], one_of: str | None) -> str:
    """The condition that names the row."""
    _check(key, values)
    pairs = zip(key, values, strict=True)
    if one_of is None:
        return " AND ".join(_equal(name_text(column), value) for column, value in pairs)
    number = name_text(one_of)
    alike = " AND ".join(_identical(name_text(column), value) for column, value in pairs)
    return f"{number}=(SELECT min({number})FROM {table} WHERE {alike})"


def _equal(column: str, value: RowValue) -> str:
    text = value_text(value)
    return f"{column} IS NULL" if text == "NULL" else f"{column}={text}"


def _identical(column: str, value: RowValue) -> str:
    """What is equal to SQLite may differ all the same, in its type or by the column's collation."""
    condition = _equal(column, value)
    if isinstance(value, (str, RawText)):
        return condition + " COLLATE BINARY"
    if isinstance(value, (int, float)) and not condition.endswith(" IS NULL"):
        kind = "integer" if isinstance(value, int) else "real"
        return f"{condition} AND typeof({column})='{kind}'"
    return condition


def _check(names: Sequence[str], values: Sequence[RowValue]) -> None:
    if not names or len(names) != len(values):
        raise ValueError(f"columns named: {len(names)}; values given for them: {len(values)}")


def _origin(origin: int | None) -> str:
    if origin is None:
        return ""
    if not 0 <= origin < 2**64:
        raise OverflowError(f"the origin {origin} does not fit into 64 bits")
    return f" /* origin {origin:016x} */"
