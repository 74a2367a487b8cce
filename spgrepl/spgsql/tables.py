"""Making tables: SQLite's DDL, and what the side table keeps of SPG's types."""

from __future__ import annotations

from collections.abc import Sequence

from spgrepl.errors import SnapshotError
from spgrepl.spg.ddl import literal, quoted
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.typed.defaults import CONSTANT, stored_default
from spgrepl.spgsql.typed.schema import ColumnInfo, Schema
from spgrepl.sqlite.own_names import kept_for_others


def make(schema: Schema, name: str, columns: Sequence[ColumnInfo], constraints: Sequence[str]) -> None:
    """Make a table, in the open transaction.

    Args:
        schema: Where.
        name: Its name.
        columns: Its columns; a default stands in their details.
        constraints: What else stands in SQLite's CREATE TABLE.

    Raises:
        StatementStopped: The name is kept for others.
    """
    kept = kept_for_others(name)
    if kept is not None:
        raise StatementStopped(kept)
    try:
        parts = [column_ddl(column) for column in columns]
        text = f"CREATE TABLE {quoted(name)} ({', '.join([*parts, *constraints])})"
    except SnapshotError as error:
        raise StatementStopped(str(error)) from error
    schema.connection.execute(text)
    schema.keep_columns(name, columns)


def column_ddl(column: ColumnInfo) -> str:
    """A column as SQLite declares it."""
    parts = [quoted(column.name), column.known.declared]
    if not column.nullable:
        parts.append("NOT NULL")
    if column.details.get(CONSTANT) is not None:
        written = literal(stored_default(column.details[CONSTANT]))
        parts.append(f"DEFAULT ({written})" if written.startswith("CAST") else f"DEFAULT {written}")
    return " ".join(parts)
