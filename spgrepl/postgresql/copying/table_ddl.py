"""Tables of SQLite as statements of PostgreSQL: the table first, keys and indexes for when its rows are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from spgrepl.postgresql.copying.defaults import default_sql
from spgrepl.postgresql.copying.source_tables import SourceColumn, SourceIndex, SourceKey, SourceTable
from spgrepl.postgresql.copying.translation import NotTranslated, to_postgresql
from spgrepl.postgresql.copying.type_map import MappedType
from spgrepl.postgresql.names import quoted


@attrs.frozen
class LaterStatement:
    """A statement for when a table's rows are there.

    Attributes:
        what: What it makes, for people.
        sql: The statement.
        needed: Whether replication needs it; without the others the rows are the same.
    """

    what: str
    sql: str
    needed: bool = False


@attrs.frozen
class TableDdl:
    """What makes a table in a server.

    Attributes:
        create: The statement that makes it, without keys and indexes.
        later: What follows when its rows are there.
        notes: What of it is left out, and why.
    """

    create: str
    later: tuple[LaterStatement, ...]
    notes: tuple[str, ...]


def key_of(table: SourceTable) -> tuple[str, ...]:
    """The columns that name a row in the log, and are the primary key in the server."""
    return table.key or (() if table.row_number is None else (table.row_number,))


def write_table(
    table: SourceTable,
    types: Mapping[str, MappedType],
    others: Mapping[str, SourceTable],
    with_defaults: bool = True,
) -> TableDdl:
    """Write the statements for a table.

    Args:
        table: The table.
        types: The types of its columns.
        others: All tables that foreign keys may refer to, by name.
        with_defaults: Whether its columns get their defaults.

    Raises:
        NameUnfit: A name cannot be one in the server.
    """
    notes: list[str] = []
    key = key_of(table)
    lines = []
    if table.row_number is not None:
        lines.append(f"{quoted(table.row_number)} bigint NOT NULL")
    for column in table.columns:
        if column.stored:
            given = column if with_defaults else attrs.evolve(column, default=None)
            lines.append(column_line(table.name, given, types[column.name], column.name in key, notes))
        else:
            notes.append(
                f"{table.name}.{column.name} is generated, by an expression of SQLite, and is left out: "
                f"add a column of that name with an expression of PostgreSQL"
            )
    later = []
    if key:
        listed = ", ".join(map(quoted, key))
        later.append(
            LaterStatement(
                f"the primary key of {table.name}",
                f"ALTER TABLE {quoted(table.name)} ADD PRIMARY KEY ({listed})",
                needed=True,
            )
        )
    later += [one for index in table.indexes if (one := index_statement(table.name, index, notes)) is not None]
    later += [
        one for foreign in table.foreign_keys if (one := _foreign_key(table, foreign, others, notes)) is not None
    ]
    return TableDdl(f"CREATE TABLE {quoted(table.name)} ({', '.join(lines)})", tuple(later), tuple(notes))


def column_line(table: str, column: SourceColumn, mapped: MappedType, in_key: bool, notes: list[str]) -> str:
    """A column as CREATE TABLE and ALTER TABLE have it; what is left out is noted."""
    parts = [quoted(column.name), mapped.sql]
    if column.not_null or in_key:
        parts.append("NOT NULL")
    if column.default is not None:
        written = default_sql(column, mapped)
        if written is None:
            notes.append(
                f"the default {column.default} of {table}.{column.name} is left out, because it may have another "
                f"value in PostgreSQL: rows bring theirs"
            )
        else:
            parts.append(f"DEFAULT {written}")
    return " ".join(parts)


def index_statement(table: str, index: SourceIndex, notes: list[str]) -> LaterStatement | None:
    """The statement that makes an index; None where it is left out, which is noted."""
    what = f"the index {index.name} of {table}" if index.name else f"a UNIQUE constraint of {table}"
    plain = not index.partial and all(name is not None for name, _, _ in index.columns)
    if not plain:
        assert index.sql is not None
        try:
            (sql,) = to_postgresql(index.sql)
        except (NotTranslated, ValueError) as error:
            notes.append(f"{what} is left out: {error}")
            return None
        return LaterStatement(what, sql)
    parts = []
    for name, collation, down in index.columns:
        assert name is not None
        column = quoted(name)
        if collation.upper() == "NOCASE":
            column = f"lower({column})"
        elif collation.upper() == "RTRIM":
            column = f"rtrim({column})"
        elif collation.upper() != "BINARY":
            notes.append(f"{what} is left out: its collation {collation} is the program's own")
            return None
        parts.append(f"{column} DESC" if down else column)
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    given = f" {quoted(index.name)}" if index.name else ""
    return LaterStatement(what, f"CREATE {kind}{given} ON {quoted(table)} ({', '.join(parts)})")


def _foreign_key(
    table: SourceTable, key: SourceKey, others: Mapping[str, SourceTable], notes: list[str]
) -> LaterStatement | None:
    parent = others.get(key.parent)
    what = f"the foreign key of {table.name} ({', '.join(key.columns)}) to {key.parent}"
    if parent is None:
        notes.append(f"{what} is left out: that table is not copied")
        return None
    columns = key.parent_columns or parent.key
    unique: Collection[frozenset[str]] = [
        frozenset(parent.key),
        *(
            frozenset(name for name, _, _ in index.columns if name is not None)
            for index in parent.indexes
            if index.unique and not index.partial
        ),
    ]
    if len(columns) != len(key.columns) or frozenset(columns) not in unique:
        notes.append(f"{what} is left out: its columns are not a key there")
        return None
    return LaterStatement(
        what,
        f"ALTER TABLE {quoted(table.name)} ADD FOREIGN KEY ({', '.join(map(quoted, key.columns))}) "
        f"REFERENCES {quoted(parent.name)} ({', '.join(map(quoted, columns))}) "
        f"ON UPDATE {key.on_update} ON DELETE {key.on_delete} DEFERRABLE INITIALLY DEFERRED",
    )
