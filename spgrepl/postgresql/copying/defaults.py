"""Defaults of SQLite's columns as those of PostgreSQL: what SQLite itself makes of them, or nothing."""

from __future__ import annotations

import re

import apsw

from spgrepl.dialect.dependent import find_dependent
from spgrepl.postgresql.column_types import ColumnType, Misfit
from spgrepl.postgresql.copying.source_tables import SourceColumn
from spgrepl.postgresql.copying.type_map import MappedType
from spgrepl.postgresql.names import literal
from spgrepl.rows.values import RowValue
from spgrepl.text.sqltext import significant_tokens

_MOMENTS = {
    ("current_timestamp", "datetime('now')", "datetime()"): "YYYY-MM-DD HH24:MI:SS",
    ("current_date", "date('now')", "date()"): "YYYY-MM-DD",
    ("current_time", "time('now')", "time()"): "HH24:MI:SS",
}
_FORMATS = {word: pattern for words, pattern in _MOMENTS.items() for word in words}
_EPOCH = frozenset({"unixepoch()", "unixepoch('now')"})
_BASES = {
    "bigint": "int8",
    "integer": "int4",
    "smallint": "int2",
    "double precision": "float8",
    "real": "float4",
    "boolean": "bool",
    "char": "bpchar",
}
_PLAIN = re.compile(r"-?\d+(\.\d+)?\Z")
_SIZED = re.compile(r"(?P<name>[a-z ]+?)(?:\((?P<first>\d+)(?:,(?P<second>\d+))?\))?\Z")


def default_sql(column: SourceColumn, mapped: MappedType) -> str | None:
    """The default of a column, as SQL of PostgreSQL.

    Args:
        column: A column with a default.
        mapped: Its type there.

    Returns:
        A constant that is what SQLite stores, or the moment of the statement, written as SQLite writes it. None
        where it is neither: where it depends on more than the moment, or does not fit the type.
    """
    assert column.default is not None
    tokens = significant_tokens(column.default)
    if find_dependent(tokens) is not None:
        return _moment("".join(token.text.lower() for token in tokens), mapped)
    try:
        return constant_sql(default_value(column), mapped)
    except (apsw.Error, Misfit):
        return None


def default_value(column: SourceColumn) -> RowValue:
    """What SQLite stores where a column is given no value.

    Raises:
        apsw.Error: It cannot be told: the default calls what only the master's program knows.
    """
    probe = apsw.Connection(":memory:")
    try:
        try:
            probe.execute(f"CREATE TABLE t (c {column.declared} DEFAULT {column.default})")
        except apsw.SQLError:
            # An expression, whose parentheses SQLite does not tell.
            probe.execute(f"CREATE TABLE t (c {column.declared} DEFAULT ({column.default}))")
        probe.execute("INSERT INTO t DEFAULT VALUES")
        value: RowValue = probe.execute("SELECT c FROM t").get
        return value
    finally:
        probe.close()


def constant_sql(value: RowValue, mapped: MappedType) -> str:
    """A value as SQL, for a column of a type.

    Raises:
        Misfit: It does not fit.
    """
    (text,) = _column_type(mapped).encode([value])
    if text is None:
        return "NULL"
    return text if isinstance(value, int | float) and _PLAIN.match(text) else literal(text)


def _column_type(mapped: MappedType) -> ColumnType:
    found = _SIZED.match(mapped.sql)
    if found is None:
        return ColumnType(mapped.sql, mapped.sql)
    base = _BASES.get(found["name"], found["name"])
    modifier = -1
    if found["first"] is not None:
        first, second = int(found["first"]), int(found["second"] or 0)
        modifier = 4 + ((first << 16 | second) if base == "numeric" else first)
    return ColumnType(mapped.sql, base, modifier, takes_numbers=mapped.loose)


def _moment(text: str, mapped: MappedType) -> str | None:
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    if mapped.sql == "text" and text in _FORMATS:
        return f"to_char(statement_timestamp() AT TIME ZONE 'UTC', '{_FORMATS[text]}')"
    if mapped.sql == "bigint" and text in _EPOCH:
        return "floor(extract(epoch FROM statement_timestamp()))::bigint"
    return None
