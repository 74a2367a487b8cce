"""Groups of rows as SQL: COPY, one statement for many rows, or one statement for a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import attrs

from spgrepl.engines.postgresql.row_groups import Group, Row
from spgrepl.postgresql.column_types import Misfit, array_text, copy_texts
from spgrepl.postgresql.names import quoted
from spgrepl.postgresql.tables import TABLE_KINDS, Table
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.shapes import Shape
from spgrepl.rows.values import RowValue

COPY_FROM = 30
"""From so many rows on COPY is quicker than an INSERT of as many."""


class RowUnfit(Exception):
    """A row cannot be one of its table, whatever is in that.

    Attributes:
        row: The row.
        reason: Why, by table, key and column.
    """

    def __init__(self, row: Row, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason


@attrs.frozen(eq=False)
class Statement:
    """Something for the server.

    Attributes:
        sql: The statement.
        values: Its parameters; None where it is a COPY.
        lines: What COPY is given; None where it is none.
        rows: The rows that it stands for.
        expected: How many rows it has to change.
        prepare: Whether it is worth being prepared.
    """

    sql: str
    values: Sequence[str | None] | None
    lines: str | None
    rows: Sequence[Row]
    expected: int | None
    prepare: bool = False


def statements_of(group: Group) -> Iterator[Statement]:
    """The statements of a group.

    Args:
        group: The group.

    Raises:
        RowUnfit: A row does not fit its table.
    """
    if group.single or len(group.rows) == 1 or not _can_be_many(group):
        for row in group.rows:
            yield single_statement(group.table, row)
    elif group.shape.kind is ChangeKind.INSERT:
        yield _insert_many(group)
    else:
        yield _change_many(group)


def _can_be_many(group: Group) -> bool:
    """Whether the group's values can stand in arrays: an array of arrays would be one array."""
    shape, table = group.shape, group.table
    if shape.kind is ChangeKind.INSERT:
        return True
    return not any(
        name in table.columns and table.columns[name].type.is_array for name in (*shape.columns, *shape.key)
    )


# -- columns --------------------------------------------------------------------------------------------------


def _names(shape: Shape) -> list[str]:
    """The columns that the values of a shape belong to."""
    present = [name for name, null in zip(shape.key, shape.key_nulls, strict=True) if not null]
    return [*shape.columns, *present]


def _encoded(table: Table, shape: Shape, rows: Sequence[Row]) -> list[list[str | None]]:
    """The values of rows, column by column, as texts.

    Raises:
        RowUnfit: One of them does not fit.
    """
    _check_table(table, shape, rows[0])
    columns: list[Sequence[RowValue]] = (
        list(zip(*[row.values for row in rows], strict=True))
        if len(rows) > 1
        else [(value,) for value in rows[0].values]
    )
    found = []
    for name, values in zip(_names(shape), columns, strict=True):
        try:
            found.append(table.columns[name].type.encode(values))
        except Misfit as misfit:
            row = rows[misfit.index]
            raise RowUnfit(row, f"{where(row)}, column {name}: {misfit.reason}") from misfit
    return found


def where(row: Row) -> str:
    """A row, by its table and what names it, for people."""
    return f"table {row.shape.table}, row {row.shape.key_text(row.values)}"


def _check_table(table: Table, shape: Shape, row: Row) -> None:
    if table.kind not in TABLE_KINDS:
        raise RowUnfit(row, f"{shape.table} is not a table in the server, but something else of that name")
    for name in (*shape.columns, *shape.key):
        column = table.columns.get(name)
        if column is None and name != shape.one_of:
            if name == "rowid" and name in shape.key:
                more = (
                    "the master's table has no primary key, and its rows are named by their number, which is a "
                    "column rowid bigint PRIMARY KEY here"
                )
            else:
                more = f"add it, for instance by ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(name)} " + (
                    _guess(shape, row, name)
                )
            raise RowUnfit(row, f"{where(row)}: the table has no column {name} here; {more}")
        if column is not None and column.generated and name in shape.columns:
            raise RowUnfit(row, f"{where(row)}: the column {name} is generated here, and is given a value")


def _guess(shape: Shape, row: Row, name: str) -> str:
    """The type that a column would need for the value of a row."""
    value = row.values[shape.columns.index(name)] if name in shape.columns else None
    return {int: "bigint", float: "double precision", bytes: "bytea"}.get(type(value), "text")


# -- one row --------------------------------------------------------------------------------------------------


def single_statement(table: Table, row: Row) -> Statement:
    """The statement of one row.

    Raises:
        RowUnfit: The row does not fit its table.
    """
    shape = row.shape
    if shape.kind is ChangeKind.CLEAR:
        return Statement(f"DELETE FROM {quoted(shape.table)}", (), None, (row,), None)
    values = [column[0] for column in _encoded(table, shape, (row,))]
    return Statement(_single_sql(shape, _is_always(table)), values, None, (row,), 1, prepare=True)


def _is_always(table: Table) -> bool:
    return any(column.identity == "a" for column in table.columns.values())


@lru_cache(maxsize=4096)
def _single_sql(shape: Shape, always: bool) -> str:
    table = _escaped(quoted(shape.table))
    if shape.kind is ChangeKind.INSERT:
        over = " OVERRIDING SYSTEM VALUE" if always else ""
        marks = ", ".join(["%s"] * len(shape.columns))
        return f"INSERT INTO {table} ({_listed(shape.columns)}){over} VALUES ({marks})"
    start = (
        f"UPDATE {table} SET {', '.join(f'{_escaped(quoted(name))} = %s' for name in shape.columns)}"
        if shape.columns
        else f"DELETE FROM {table}"
    )
    if shape.one_of is None:
        return f"{start} WHERE {_condition(shape)}"
    # Rows that are alike in all columns: one is as good as another.
    return f"{start} WHERE ctid = (SELECT ctid FROM {table} WHERE {_condition(shape)} LIMIT 1)"


def _condition(shape: Shape) -> str:
    parts = [
        f"{_escaped(quoted(name))} IS NULL" if null else f"{_escaped(quoted(name))} = %s"
        for name, null in zip(shape.key, shape.key_nulls, strict=True)
    ]
    return " AND ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_escaped(quoted(name)) for name in names)


def _escaped(text: str) -> str:
    """SQL in which psycopg looks for the marks of parameters."""
    return text.replace("%", "%%")


# -- many rows ------------------------------------------------------------------------------------------------


def _insert_many(group: Group) -> Statement:
    shape, table, rows = group.shape, group.table, group.rows
    columns = _encoded(table, shape, rows)
    arrays = any(table.columns[name].type.is_array for name in shape.columns)
    if arrays or len(rows) >= COPY_FROM:
        lines = "\n".join(map("\t".join, zip(*map(copy_texts, columns), strict=True)))
        names = ", ".join(quoted(name) for name in shape.columns)
        sql = f"COPY {quoted(shape.table)} ({names}) FROM STDIN"
        return Statement(sql, None, lines + "\n", rows, len(rows))
    over = " OVERRIDING SYSTEM VALUE" if _is_always(table) else ""
    sql = (
        f"INSERT INTO {_escaped(quoted(shape.table))} ({_listed(shape.columns)}){over} "
        f"SELECT * FROM unnest({_arrays(table, shape.columns)})"
    )
    return Statement(sql, [array_text(column) for column in columns], None, rows, len(rows))


def _change_many(group: Group) -> Statement:
    shape, table, rows = group.shape, group.table, group.rows
    columns = _encoded(table, shape, rows)
    names = _names(shape)
    given = ", ".join(f"c{number}" for number in range(len(names)))
    source = f"unnest({_arrays(table, names)}) AS spgrepl_new({given})"
    target = f"{_escaped(quoted(shape.table))} AS spgrepl_old"
    first = len(shape.columns)
    condition = " AND ".join(
        f"spgrepl_old.{_escaped(quoted(name))} = spgrepl_new.c{first + number}"
        for number, name in enumerate(shape.key)
    )
    if shape.kind is ChangeKind.UPDATE:
        changes = ", ".join(
            f"{_escaped(quoted(name))} = spgrepl_new.c{number}" for number, name in enumerate(shape.columns)
        )
        sql = f"UPDATE {target} SET {changes} FROM {source} WHERE {condition}"
    else:
        sql = f"DELETE FROM {target} USING {source} WHERE {condition}"
    return Statement(sql, [array_text(column) for column in columns], None, rows, len(rows))


def _arrays(table: Table, names: Sequence[str]) -> str:
    return ", ".join(f"%s::{_escaped(table.columns[name].type.bare)}[]" for name in names)
