"""Tables of a SQLite database, as far as they say what is to be made of them in a server."""

from __future__ import annotations

from typing import Any

import attrs

from spgrepl.postgresql.copying.type_map import BLOB, INTEGER, REAL, TEXT, affinity
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.text.sqltext import fold_ascii, quote_name

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_GENERATED = frozenset({2, 3})


@attrs.frozen
class SourceColumn:
    """A column.

    Attributes:
        name: Its name.
        declared: Its declared type.
        not_null: Whether it is declared NOT NULL.
        default: The text of its default; None without one.
        stored: Whether it is given a value; a generated column has its own.
    """

    name: str
    declared: str
    not_null: bool = False
    default: str | None = None
    stored: bool = True


@attrs.frozen
class SourceIndex:
    """An index, or what a UNIQUE constraint makes.

    Attributes:
        name: Its name; None where SQLite gave it one.
        unique: Whether it is unique.
        columns: For each part the column, its collation, and whether it is descending; None for an expression.
        sql: Its CREATE statement; None for a constraint's.
        partial: Whether it has a condition.
    """

    name: str | None
    unique: bool
    columns: tuple[tuple[str | None, str, bool], ...]
    sql: str | None
    partial: bool


@attrs.frozen
class SourceKey:
    """A foreign key."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_update: str
    on_delete: str


@attrs.frozen
class SourceTable:
    """A table.

    Attributes:
        name: Its name.
        columns: Its columns, in order.
        key: The columns of its primary key, in the key's order.
        row_number: The name by which its rows are numbered in the log; None where a primary key names them.
        without_rowid: Whether it is WITHOUT ROWID.
        indexes: Its indexes, but that of the primary key.
        foreign_keys: Its foreign keys.
        sql: Its CREATE statement.
    """

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    row_number: str | None
    without_rowid: bool
    indexes: tuple[SourceIndex, ...] = ()
    foreign_keys: tuple[SourceKey, ...] = ()
    sql: str = attrs.field(default="", eq=False)

    @property
    def stored(self) -> tuple[SourceColumn, ...]:
        """The columns that rows give a value."""
        return tuple(column for column in self.columns if column.stored)

    @property
    def copied(self) -> tuple[str, ...]:
        """The names of what a row consists of in the log: its number, where that names it, and its columns."""
        names = tuple(column.name for column in self.stored)
        return names if self.row_number is None else (self.row_number, *names)

    @property
    def order(self) -> str:
        """What puts its rows into one order."""
        if not self.without_rowid:
            names = {fold_ascii(column.name) for column in self.columns}
            free = next((name for name in _ROW_NUMBERS if name not in names), None)
            if free is not None:
                return free
        return ", ".join(map(quote_name, self.key or self.copied))


def read_source(connection: SqlConnection, table: str, schema: str = "main") -> SourceTable:
    """Look at a table.

    Args:
        connection: The database.
        table: The table's name, as the schema has it.
        schema: The name under which its database is attached.
    """
    columns = []
    keyed = []
    query = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?, ?) ORDER BY cid'
    for name, declared, not_null, default, place, hidden in connection.execute(query, (table, schema)).fetchall():
        columns.append(SourceColumn(name, declared, bool(not_null), default, hidden not in _GENERATED))
        if place:
            keyed.append((place, name))
    listed = connection.execute("SELECT wr FROM pragma_table_list(?) WHERE schema = ?", (table, schema)).fetchone()
    without_rowid = bool(listed and listed[0])
    names = {fold_ascii(column.name) for column in columns}
    number = next((name for name in _ROW_NUMBERS if name not in names), None)
    return SourceTable(
        table,
        tuple(columns),
        tuple(name for _, name in sorted(keyed)),
        None if keyed or without_rowid else number,
        without_rowid,
        tuple(_indexes(connection, table, schema)),
        tuple(_foreign_keys(connection, table, schema)),
        _sql_of(connection, "table", table, schema) or "",
    )


def _sql_of(connection: SqlConnection, kind: str, name: str, schema: str) -> str | None:
    query = f"SELECT sql FROM {quote_name(schema)}.sqlite_master WHERE type = ? AND name = ?"
    found = connection.execute(query, (kind, name)).fetchone()
    return found[0] if found else None


def _indexes(connection: SqlConnection, table: str, schema: str) -> list[SourceIndex]:
    query = (
        'SELECT name, "unique", origin, partial '
        "FROM pragma_index_list(?, ?) WHERE origin <> 'pk' ORDER BY seq DESC"
    )
    found = []
    for name, unique, origin, partial in connection.execute(query, (table, schema)).fetchall():
        parts = connection.execute(
            'SELECT name, coll, "desc" FROM pragma_index_xinfo(?, ?) WHERE key ORDER BY seqno', (name, schema)
        ).fetchall()
        found.append(
            SourceIndex(
                name if origin == "c" else None,
                bool(unique),
                tuple((part, collation, bool(down)) for part, collation, down in parts),
                _sql_of(connection, "index", name, schema),
                bool(partial),
            )
        )
    return found


def _foreign_keys(connection: SqlConnection, table: str, schema: str) -> list[SourceKey]:
    query = (
        'SELECT id, "table", "from", "to", on_update, on_delete '
        "FROM pragma_foreign_key_list(?, ?) ORDER BY id, seq"
    )
    by_number: dict[int, list[tuple[Any, ...]]] = {}
    for number, *rest in connection.execute(query, (table, schema)).fetchall():
        by_number.setdefault(number, []).append(tuple(rest))
    return [
        SourceKey(
            tuple(part[1] for part in parts),
            parts[0][0],
            tuple(part[2] for part in parts) if all(part[2] for part in parts) else (),
            parts[0][3],
            parts[0][4],
        )
        for parts in by_number.values()
    ]


@attrs.frozen
class Content:
    """What is in a column.

    Attributes:
        kinds: The kinds of values.
        only_booleans: Whether all its integers are 0 or 1.
    """

    kinds: frozenset[str]
    only_booleans: bool


def read_contents(connection: SqlConnection, table: SourceTable, schema: str = "main") -> dict[str, Content]:
    """Look what kinds of values a table's columns hold, as far as their types depend on it.

    Reads all of the table, once, unless nothing depends on it.
    """
    asked: list[str] = []
    places: list[tuple[str, str]] = []
    for column in table.stored:
        name = quote_name(column.name)
        for kind in _kinds_that_matter(table, column):
            test = f"typeof({name}) = '{kind}'"
            if kind == _NUMBER:
                test = f"typeof({name}) = 'integer' AND {name} NOT IN (0, 1)"
            asked.append(f"max({test})")
            places.append((column.name, kind))
    found: dict[str, set[str]] = {column.name: set() for column in table.stored}
    if asked:
        query = f"SELECT {', '.join(asked)} FROM {quote_name(schema)}.{quote_name(table.name)}"
        row = connection.execute(query).fetchone()
        for (name, kind), flag in zip(places, row, strict=True):
            if flag:
                found[name].add(kind)
    return {name: Content(frozenset(kinds - {_NUMBER}), _NUMBER not in kinds) for name, kinds in found.items()}


_NUMBER = "number"
_EVERY = (INTEGER, REAL, TEXT, BLOB, _NUMBER)


def _kinds_that_matter(table: SourceTable, column: SourceColumn) -> tuple[str, ...]:
    """The kinds of values of which it matters whether a column holds any."""
    of = affinity(column.declared)
    if of in ("TEXT", "REAL") or (table.key == (column.name,) and column.declared.upper() == "INTEGER"):
        return ()
    return (REAL,) if of == "INTEGER" else _EVERY
