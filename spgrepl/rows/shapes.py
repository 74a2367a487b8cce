"""What a canonical statement is but for its values: made once for all statements that differ in nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import attrs

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.names import name_text
from spgrepl.rows.values import LITERAL_PATTERN, PRESENT_PATTERN, VALUE_PATTERN, RawText, RowValue

ORIGIN_PATTERN = rb"(?: /\* origin ([0-9a-f]{16}) \*/)?"
MOST_GROUPS = 64
"""Statements with more values are read one by one: to compile a pattern of thousands of groups takes seconds."""


@attrs.frozen(eq=False)
class Shape:
    """A canonical statement without its values and its origin.

    Attributes:
        kind: What the statement does.
        table: The table's name.
        columns: INSERT and UPDATE: the columns that are given a value.
        key: UPDATE and DELETE: the columns that name the row.
        key_nulls: For each of `key`, whether the row has NULL there: then the statement has no value for it.
        one_of: See `RowChange`.
    """

    kind: ChangeKind
    table: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    key_nulls: tuple[bool, ...] = ()
    one_of: str | None = None

    @property
    def count(self) -> int:
        """How many values a statement of this shape holds."""
        return len(self.columns) + self.key_nulls.count(False)

    def change(self, values: Sequence[RowValue], origin: int | None) -> RowChange:
        """The change that a statement of this shape states with these values."""
        given = len(self.columns)
        present = iter(values[given:])
        key_values = tuple(None if null else next(present) for null in self.key_nulls)
        return RowChange(
            self.kind, self.table, self.columns, tuple(values[:given]), self.key, key_values, self.one_of, origin
        )

    def key_text(self, values: Sequence[RowValue]) -> str:
        """The row that a statement with these values names, for people."""
        if not self.key:
            return ", ".join(f"{name}={_shown(value)}" for name, value in zip(self.columns, values, strict=False))
        present = iter(values[len(self.columns) :])
        return ", ".join(
            f"{name}={'NULL' if null else _shown(next(present))}"
            for name, null in zip(self.key, self.key_nulls, strict=True)
        )


def _shown(value: RowValue) -> str:
    text = "NULL" if value is None else repr(value.content if isinstance(value, RawText) else value)
    return text if len(text) <= 60 else text[:60] + "…"


def shape_of(change: RowChange) -> Shape:
    """The shape of a change's statement."""
    nulls = tuple(value is None for value in change.key_values)
    return Shape(change.kind, change.table, change.columns, change.key, nulls, change.one_of)


# -- with parameters in the place of values -------------------------------------------------------------------


def parameters_sql(shape: Shape, values: Sequence[RowValue], strict: bool = True) -> str:
    """A statement of a shape with ``?`` for each value, in the values' order, as it is bound and executed.

    INSERT and UPDATE say OR ABORT: that overrides ON CONFLICT clauses of the schema, by which a row could quietly
    replace others or be left out; those inside of triggers, too. `RawText` is bound as a blob.

    Args:
        shape: The shape.
        values: The values, of which only matters which are `RawText`, and for `one_of` which type they have.
        strict: Whether to say OR ABORT.
    """
    if shape.one_of is not None:
        text = _one_of_sql(shape, values)
    else:
        raw = tuple(isinstance(value, RawText) for value in values)
        text = _parameters_sql(shape, raw if True in raw else None)
    return text if strict else text.replace(" OR ABORT", "", 1)


@lru_cache(maxsize=1024)
def _parameters_sql(shape: Shape, raw: tuple[bool, ...] | None) -> str:
    marks = iter(["?"] * shape.count if raw is None else ["CAST(? AS TEXT)" if one else "?" for one in raw])
    table = name_text(shape.table)
    if shape.kind is ChangeKind.INSERT:
        columns = ",".join(map(name_text, shape.columns))
        return f"INSERT OR ABORT INTO {table}({columns})VALUES({','.join(marks)})"
    changed = ",".join([f"{name_text(column)}={next(marks)}" for column in shape.columns])
    condition = " AND ".join(
        [
            f"{name_text(column)} IS NULL" if null else f"{name_text(column)}={next(marks)}"
            for column, null in zip(shape.key, shape.key_nulls, strict=True)
        ]
    )
    where = f" WHERE {condition}" if condition else ""
    return f"UPDATE OR ABORT {table} SET {changed}{where}" if changed else f"DELETE FROM {table}{where}"


def _one_of_sql(shape: Shape, values: Sequence[RowValue]) -> str:
    # Rare, and not worth a cache of its own.
    bound = iter(values)
    changed = ",".join([f"{name_text(column)}={_mark(next(bound))}" for column in shape.columns])
    conditions = []
    for column, null in zip(shape.key, shape.key_nulls, strict=True):
        name = name_text(column)
        if null:
            conditions.append(f"{name} IS NULL")
            continue
        value = next(bound)
        conditions.append(f"{name}={_mark(value)}")
        if isinstance(value, (str, RawText)):
            conditions[-1] += " COLLATE BINARY"
        elif isinstance(value, (int, float)):
            conditions.append(f"typeof({name})='{'integer' if isinstance(value, int) else 'real'}'")
    assert shape.one_of is not None
    table, number = name_text(shape.table), name_text(shape.one_of)
    where = f"{number}=(SELECT min({number})FROM {table} WHERE {' AND '.join(conditions)})"
    start = f"UPDATE OR ABORT {table} SET {changed}" if changed else f"DELETE FROM {table}"
    return f"{start} WHERE {where}"


def _mark(value: RowValue) -> str:
    return "CAST(? AS TEXT)" if isinstance(value, RawText) else "?"


# -- as patterns ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=MOST_GROUPS)
def row_pattern(count: int) -> re.Pattern[bytes]:
    """The rest of an INSERT after its head: this many values as groups, and the origin."""
    return re.compile(b",".join([b"(" + VALUE_PATTERN + b")"] * count) + rb"\)" + ORIGIN_PATTERN)


@lru_cache(maxsize=MOST_GROUPS)
def rows_pattern(count: int) -> re.Pattern[bytes]:
    """The rests of many INSERTs, with NUL after each, which no canonical text holds; no values that are a CAST."""
    row = b",".join([LITERAL_PATTERN] * count) + rb"\)" + ORIGIN_PATTERN
    return re.compile(b"(?:" + row + rb"\0)*+")


def shape_pattern(shape: Shape) -> re.Pattern[bytes]:
    """The whole of an UPDATE or DELETE that names its row by values: those as groups, and the origin."""
    parts = [f"UPDATE {name_text(shape.table)} SET " if shape.columns else f"DELETE FROM {name_text(shape.table)}"]
    pattern = re.escape(parts[0].encode())
    pattern += b",".join(
        [re.escape(name_text(column).encode()) + b"=(" + VALUE_PATTERN + b")" for column in shape.columns]
    )
    conditions = [
        re.escape(name_text(column).encode()) + (b" IS NULL" if null else b"=(" + PRESENT_PATTERN + b")")
        for column, null in zip(shape.key, shape.key_nulls, strict=True)
    ]
    return re.compile(pattern + b" WHERE " + b" AND ".join(conditions) + ORIGIN_PATTERN)
