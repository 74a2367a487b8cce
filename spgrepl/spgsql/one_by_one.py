"""What comes out in another way where one row, or one column, comes before the other.

SQLite takes rows in its own order, and reads what it has written already; an SPG server takes them in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from spgrepl.spgsql.language.nodes import Call, Column, Conflict, Expression, Insert, Source
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import Family, family_of
from spgrepl.spgsql.typed.defaults import has_moving_default
from spgrepl.spgsql.typed.functions import NUMERIC_ORDER
from spgrepl.spgsql.typed.schema import ColumnInfo, TableInfo
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.text.sqltext import fold_ascii, quote_name

ONCE = f" FROM (SELECT 1) AS {quote_name('spgrepl_once')}"
"""With this an UPDATE has all its new values before it writes the first of them."""

_GIVEN = "spgrepl_given"
_OTHER_KEYS = (
    'SELECT 1 FROM pragma_index_list(?) AS l WHERE l."unique" AND (l.partial OR EXISTS '
    "(SELECT 1 FROM pragma_index_info(l.name) AS c WHERE c.name IS NULL))"
)
_BY_NUMBER = frozenset({Family.NUMERIC, Family.MONEY})


def refuse_columns_in_turn(assignments: Sequence[tuple[str, Expression]]) -> None:
    """MySQL sets one column after another: what is read of one that has been set is its new value.

    Raises:
        StatementStopped: A column is read that has been set.
    """
    done: set[str] = set()
    for name, value in assignments:
        read = {fold_ascii(column.name) for column in _walk(value) if isinstance(column, Column)}
        if read & done:
            raise StatementStopped(
                f"MySQL sets columns one after another, and {min(read & done)} has been set when it is read"
            )
        done.add(fold_ascii(name))


def reads(nodes: object, table: TableInfo) -> bool:
    """Whether a query in a part of a statement takes rows of a table.

    Args:
        nodes: The part; with it the queries of a WITH that it may name.
        table: The table.
    """
    name = fold_ascii(table.name)
    found = (one for one in _walk(nodes) if isinstance(one, Source) and one.table is not None)
    return any(fold_ascii(one.table or "") == name for one in found)


def refuse_own_rows(node: Insert, table: TableInfo) -> None:
    """Rows that are inserted one by one, where a later one would read those before it.

    Raises:
        StatementStopped: One does; the master's read what was there before the statement.
    """
    query, conflict = node.query, node.conflict
    several = query is not None and (not query.values or len(query.values) > 1)
    values = query.values if query is not None else ()
    assigned = (conflict.assignments, conflict.where) if conflict is not None else ()
    if several and reads((values, assigned, node.ctes if values or assigned else ()), table):
        raise StatementStopped(
            f"a query reads rows of {table.name} while the statement inserts several: which of them it sees "
            f"cannot be told here"
        )


def same_keys(
    connection: SqlConnection, table: TableInfo, node: Insert, named: Sequence[ColumnInfo], text: str
) -> Iterator[tuple[str, str]]:
    """Queries that find two rows of an INSERT's query with the same key, of which one comes first.

    Args:
        connection: The copy.
        table: The table.
        node: The INSERT.
        named: The columns that the query gives values.
        text: The query, in SQLite's words.

    Returns:
        For each key a query, and why the statement is refused where that finds a row.

    Raises:
        StatementStopped: Which keys there are cannot be told.
    """
    conflict = node.conflict
    if conflict is None and not node.replace:
        return
    by = _target(table, conflict)
    if not by and connection.execute(_OTHER_KEYS, (table.name,)).fetchone() is not None:
        raise StatementStopped(
            f"{table.name} has a unique index over some of its rows, or over an expression: which rows of the "
            f"query it leaves out cannot be told here"
        )
    # Where one of two is left out, or written over, it makes no difference which, if they are the same.
    rows = f"(SELECT DISTINCT * FROM {_GIVEN})" if conflict is None or conflict.assignments is None else _GIVEN
    places = {column.name: number for number, column in enumerate(named)}
    listed = ", ".join(f"c{number}" for number in range(len(named)))
    for key in [by] if by else table.keys:
        columns = [table.column(name) for name in key]
        if any(column.name not in places and not _is_alike(column) for column in columns):
            continue
        parts = [(f"c{places[column.name]}", column) for column in columns if column.name in places]
        if parts:
            present = " AND ".join(f"{name} IS NOT NULL" for name, _ in parts)
            grouped = ", ".join(name + _collation(column) for name, column in parts)
            found = f"{rows} WHERE {present} GROUP BY {grouped} HAVING count(*) > 1 LIMIT 1"
        else:
            found = f"{rows} LIMIT 1 OFFSET 1"
        yield (
            f"WITH {_GIVEN}({listed}) AS ({text}) SELECT 1 FROM {found}",
            f"rows of the query have the same {', '.join(key)} in {table.name}: which of them comes first cannot "
            f"be told here",
        )


def _target(table: TableInfo, conflict: Conflict | None) -> tuple[str, ...]:
    """The key that ON CONFLICT names; nothing where it is any."""
    if conflict is None:
        return ()
    return next(iter(table.keys), ()) if conflict.constraint else conflict.columns


def _is_alike(column: ColumnInfo) -> bool:
    """Whether a column that is given no value may be the same, and not NULL, in all rows."""
    if column.auto_increment:
        return False
    return has_moving_default(column) or (column.declared_default or "NULL").upper() != "NULL"


def _collation(column: ColumnInfo) -> str:
    if column.details.get("collation") == "case-insensitive":
        return " COLLATE NOCASE"
    by_number = column.type is not None and family_of(column.type) in _BY_NUMBER
    return f" COLLATE {NUMERIC_ORDER}" if by_number else ""


def _walk(node: object) -> Iterator[object]:
    """A part of a statement and all that is in it."""
    if isinstance(node, tuple):
        for one in node:
            yield from _walk(one)
    elif attrs.has(of := type(node)):
        yield node
        # VALUES(a) is of the row that was to be inserted.
        if not (isinstance(node, Call) and node.name == "values"):
            for field in attrs.fields(of):
                yield from _walk(getattr(node, field.name))
