"""Tables of SQLite as statements of PostgreSQL: the table first, keys and indexes for when its rows are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import attrs

from spgrepl.postgresql.copying.declared import Declared
from spgrepl.postgresql.copying.defaults import default_sql
from spgrepl.postgresql.copying.expressions import NotCertain
from spgrepl.postgresql.copying.source_tables import SourceColumn, SourceIndex, SourceKey, SourceTable
from spgrepl.postgresql.copying.type_map import MappedType
from spgrepl.postgresql.names import NameUnfit, quoted


@attrs.frozen
class LaterStatement:
    """A statement for when a table's rows are there.

    Attributes:
        what: What it makes, for people.
        sql: The statement.
        table: The table that it changes.
        needed: Whether replication needs it; without the others the rows are the same.
    """

    what: str
    sql: str
    table: str
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
    declared = Declared(table, types)
    lines = []
    if table.row_number is not None:
        lines.append(f"{quoted(table.row_number)} bigint NOT NULL")
    for column in table.columns:
        if column.stored:
            given = column if with_defaults else attrs.evolve(column, default=None)
            lines.append(column_line(table.name, given, types[column.name], column.name in key, notes))
        elif (line := generated_line(declared, table.name, column.name, notes)) is not None:
            lines.append(line)
    later = []
    if key:
        listed = ", ".join(map(quoted, key))
        later.append(
            LaterStatement(
                f"the primary key of {table.name}",
                f"ALTER TABLE {quoted(table.name)} ADD PRIMARY KEY ({listed})",
                table.name,
                needed=True,
            )
        )
    later += [
        one for index in table.indexes if (one := index_statement(table.name, index, declared, notes)) is not None
    ]
    later += [
        one for foreign in table.foreign_keys if (one := _foreign_key(table, foreign, others, notes)) is not None
    ]
    if with_defaults:
        later += check_statements(declared, table.name, notes)
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


def generated_line(declared: Declared, table: str, column: str, notes: list[str]) -> str | None:
    """A generated column as CREATE TABLE and ALTER TABLE have it; None where it is left out, which is noted."""
    try:
        kind, sql = declared.generated(column)
    except NotCertain as error:
        notes.append(
            f"{table}.{column} is generated, by an expression of SQLite, and is left out ({error}): add a column "
            f"of that name with an expression of PostgreSQL"
        )
        return None
    return f"{quoted(column)} {kind} GENERATED ALWAYS AS ({sql}) STORED"


def check_statements(
    declared: Declared, table: str, notes: list[str], but: Collection[str] = ()
) -> Iterator[LaterStatement]:
    """Statements that make the CHECKs that judge each row as SQLite does; the others are noted.

    Args:
        declared: What the table declares.
        table: Its name.
        notes: Takes what is left out.
        but: Those that are there already, as they are shown.
    """
    if not declared.is_read:
        notes.append(f"CHECK constraints of {table} are left out: its CREATE statement is not understood")
    for check in (one for one in declared.checks if str(one) not in but):
        try:
            condition = declared.writer.condition(check.node)
            named = f"CONSTRAINT {quoted(check.name)} " if check.name else ""
        except (NotCertain, NameUnfit) as error:
            notes.append(f"{check} of {table} is left out: {error}")
        else:
            yield LaterStatement(
                f"{check} of {table}", f"ALTER TABLE {quoted(table)} ADD {named}CHECK ({condition})", table
            )


def index_statement(table: str, index: SourceIndex, declared: Declared, notes: list[str]) -> LaterStatement | None:
    """The statement that makes an index; None where it is left out, which is noted."""
    what = f"the index {index.name} of {table}" if index.name else f"a UNIQUE constraint of {table}"
    try:
        return LaterStatement(what, _index_sql(table, index, declared), table)
    except NotCertain as error:
        notes.append(f"{what} is left out: {error}")
        return None


def _index_sql(table: str, index: SourceIndex, declared: Declared) -> str:
    """The statement that makes an index. Raises `NotCertain`."""
    expressions, condition = declared.index_parts(index)
    parts = []
    for (name, collation, down), expression in zip(index.columns, expressions, strict=True):
        part = quoted(name) if name is not None else f"({expression})"
        if name is not None and collation.upper() == "NOCASE":
            part = f'lower({part} COLLATE "C")'
        elif name is not None and collation.upper() == "RTRIM":
            part = f"rtrim({part})"
        elif collation.upper() != "BINARY":
            raise NotCertain(f"its collation {collation} is the program's own")
        parts.append(f"{part} DESC" if down else part)
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    given = f" {quoted(index.name)}" if index.name else ""
    where = f" WHERE {condition}" if condition else ""
    return f"CREATE {kind}{given} ON {quoted(table)} ({', '.join(parts)}){where}"


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
        table.name,
    )
