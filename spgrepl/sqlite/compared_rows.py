"""The rows of one table in two databases, side by side, in constant memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import apsw

from spgrepl.text.sqltext import fold_ascii, quote_name

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_SHOWN = 200

_TELL_EVERY = 10_000

Told = Callable[[int, int, str], None]
"""Takes how many rows were compared, of how many, and the table that is being compared."""

Row = tuple[Any, ...]
Pair = tuple[apsw.Connection, apsw.Connection]


def tell_nobody(_rows: int, _total: int, _table: str) -> None:
    """A `Told` of which nobody hears."""


def first_difference(
    pair: Pair, table: str, told: Callable[[int], None] = lambda _: None
) -> tuple[int, Row | None, Row | None] | None:
    """Compare a table's rows, in the order of their rowid or primary key, their values with their types.

    Those of tables without a primary key are compared with their row numbers. Where a table has a key, its hidden
    row numbers do not count: a copy that was repaired, or a subscriber's, may have its rows in another order.

    Args:
        pair: Both databases, which have the table with the same columns.
        table: The table's name.
        told: Called now and then with how many rows were found equal.

    Returns:
        None where all are equal; else how many are before the first two that differ, and these two.
    """
    order = _order(pair[0], table)
    # Without a primary key it is by the row's number that the log names a row: a copy has the same one.
    number = order if order in _ROW_NUMBERS and not _has_key(pair[0], table) else None
    found = _in_order(pair, table, order, number, told)
    if found is None or number is not None or order not in _ROW_NUMBERS or _is_number(pair[0], table):
        return found
    return _in_order(pair, table, _by_values(pair[0], table), None, told)


def _in_order(
    pair: Pair, table: str, order: str, number: str | None, told: Callable[[int], None]
) -> tuple[int, Row | None, Row | None] | None:
    try:
        return _compare(pair, f"SELECT {_listed(number, '*')} FROM {quote_name(table)} ORDER BY {order}", told)
    except UnicodeDecodeError:
        # Text that is not UTF-8 is compared byte for byte, and stays apart from blobs.
        safe = ", ".join(
            f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name})"
            for name in map(quote_name, columns_of(pair[0], table))
        )
        return _compare(pair, f"SELECT {_listed(number, safe)} FROM {quote_name(table)} ORDER BY {order}", told)


def first_virtual_difference(pair: Pair, table: str, module: str) -> tuple[int, Row | None, Row | None] | None:
    """Compare what a virtual table holds, however its inner tables lay it out; see `first_difference`.

    Of full-text tables the index is compared, too: every word with its place.

    Args:
        pair: Both databases.
        table: The table's name.
        module: Its module, in lower case.

    Raises:
        apsw.Error: Its module, or something that this needs, is not there.
    """
    query = f"SELECT rowid, * FROM {quote_name(table)} ORDER BY rowid"
    found = _compare(pair, query)
    if found is not None or module not in _VOCABULARY:
        return found
    with contextlib.ExitStack() as stack:
        for connection in pair:
            connection.execute(_VOCABULARY[module].format(table=_text(table)))
            stack.callback(connection.execute, "DROP TABLE temp.spgrepl_words")
        return _compare(pair, "SELECT * FROM temp.spgrepl_words ORDER BY 1, 2, 3, 4")


_VOCABULARY = {
    "fts5": "CREATE VIRTUAL TABLE temp.spgrepl_words USING fts5vocab(main, {table}, instance)",
    "fts4": "CREATE VIRTUAL TABLE temp.spgrepl_words USING fts4aux(main, {table})",
    "fts3": "CREATE VIRTUAL TABLE temp.spgrepl_words USING fts4aux(main, {table})",
}


def _compare(
    pair: Pair, query: str, told: Callable[[int], None] = lambda _: None
) -> tuple[int, Row | None, Row | None] | None:
    rows: tuple[Iterator[Row], Iterator[Row]] = (iter(pair[0].execute(query)), iter(pair[1].execute(query)))
    equal = 0
    while True:
        left, right = next(rows[0], None), next(rows[1], None)
        if left is None and right is None:
            return None
        if left != right or not _same_types(left, right):
            return equal, left, right
        equal += 1
        if equal % _TELL_EVERY == 0:
            told(equal)


def _same_types(left: Row | None, right: Row | None) -> bool:
    """Whether two rows whose values are equal are the same bit for bit: 1 and 1.0, 0.0 and -0.0 are not."""
    for one, other in zip(left or (), right or (), strict=True):
        if type(one) is not type(other):
            return False
        if one == 0 and isinstance(one, float) and math.copysign(1, one) != math.copysign(1, other):
            return False
    return True


def count_rows(connection: apsw.Connection, table: str) -> int:
    """How many rows a table has."""
    return int(connection.execute(f"SELECT count(*) FROM {quote_name(table)}").get)


def columns_of(connection: apsw.Connection, table: str) -> list[str]:
    """The names of a table's columns, generated ones included."""
    query = "SELECT name FROM pragma_table_xinfo(?) ORDER BY cid"
    return [str(name) for (name,) in connection.execute(query, (table,))]


def shown(row: Row | None) -> str:
    """A row, for people."""
    return "no further row" if row is None else f"({cut(', '.join(cut(repr(value)) for value in row))})"


def cut(text: str) -> str:
    """The beginning of a text, for people."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _listed(number: str | None, columns: str) -> str:
    return columns if number is None else f"{number}, {columns}"


def _has_key(connection: apsw.Connection, table: str) -> bool:
    """Whether a table has a primary key."""
    query = "SELECT 1 FROM pragma_table_info(?) WHERE pk"
    return connection.execute(query, (table,)).fetchone() is not None


def _is_number(connection: apsw.Connection, table: str) -> bool:
    """Whether the primary key is the row's number."""
    query = "SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'"
    return connection.execute(query, (table,)).fetchone() is None


def _by_values(connection: apsw.Connection, table: str) -> str:
    """All columns, those of the primary key first."""
    query = "SELECT name FROM pragma_table_xinfo(?) ORDER BY pk = 0, pk, cid"
    names = [quote_name(str(name)) for (name,) in connection.execute(query, (table,))]
    return ", ".join(f"{name} COLLATE BINARY, typeof({name})" for name in names)


def _order(connection: apsw.Connection, table: str) -> str:
    """What to order a table's rows by: its rowid, its primary key, or all columns where neither can be named."""
    columns = {fold_ascii(name) for name in columns_of(connection, table)}
    if connection.execute("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)).get:
        keys = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,))
        # A collation of the program that made the table is not known here, and not needed to pair the rows.
        return ", ".join(f"{quote_name(name)} COLLATE BINARY" for (name,) in keys)
    for rowid in _ROW_NUMBERS:
        if rowid not in columns:
            return rowid
    return ", ".join(f"{number + 1} COLLATE BINARY" for number in range(len(columns)))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
