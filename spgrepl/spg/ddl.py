"""Tables of an SPG catalog as SQLite declares them, and what SQLite cannot express, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from spgrepl.errors import SnapshotError
from spgrepl.spg.blocks.schema import Column, ForeignKey, Index, IndexKind, Table
from spgrepl.text.quantities import number_of

OWN_PREFIX = "spgrepl_"
"""What the names of spgrepl's own tables begin with."""

_RESERVED = (OWN_PREFIX, "sqlite_")
_MOST_COLUMNS = 2000
_CHANGE_NOTHING = frozenset(("RESTRICT", "NO ACTION"))
_BTREES = frozenset((IndexKind.BTREE, IndexKind.COMPOSITE))


ON_CONFLICT, ON_TARGET = "ON CONFLICT", "ON CONFLICT (…)"
"""INSERT with a word on rows that are there: one that names no columns by which they meet, and one that does."""


@attrs.frozen
class LeftOut:
    """What is not made of a table, and decides at the master what becomes of its rows.

    Attributes:
        table: The table whose statements it is about.
        events: These: `ON_CONFLICT` and `ON_TARGET`, ``UPDATE``, ``DELETE``.
        what: What it is.
    """

    table: str
    events: tuple[str, ...]
    what: str


@attrs.frozen
class TableDdl:
    """What makes a table in SQLite.

    Attributes:
        create: The statement that makes it.
        indexes: Those that make its indexes, for when its rows are there.
        notes: What of it SQLite cannot express, or is left out.
        missed: What of that decides what becomes of rows: `LeftOut`.
    """

    create: str
    indexes: tuple[str, ...]
    notes: tuple[str, ...]
    missed: tuple[LeftOut, ...] = ()


def quoted(name: str) -> str:
    """A name as SQL has it.

    Raises:
        SnapshotError: It cannot stand in SQL.
    """
    if "\0" in name:
        raise SnapshotError(f"the name {name!r} holds a zero byte, which SQLite does not take; rename it")
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(value: Any) -> str:
    """A value as SQL has it."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        if "\0" in value:
            return f"CAST(x'{value.encode().hex()}' AS TEXT)"
        doubled = value.replace("'", "''")
        return f"'{doubled}'"
    return repr(value)


def check_names(tables: Iterable[Table]) -> None:
    """Look whether SQLite can hold tables of these names and columns.

    Raises:
        SnapshotError: It cannot; the message names the first.
    """
    seen: dict[str, str] = {}
    for table in tables:
        folded = _folded(table.name)
        if folded in seen:
            raise SnapshotError(
                f"the tables {seen[folded]!r} and {table.name!r} differ in capital letters only, and SQLite "
                f"cannot hold both; rename one at the master"
            )
        seen[folded] = table.name
        if folded.startswith(_RESERVED):
            owner = "spgrepl" if folded.startswith(OWN_PREFIX) else "SQLite"
            raise SnapshotError(
                f"the table {table.name!r} has a name that is kept for {owner}; rename it at the master"
            )
        columns = [_folded(column.name) for column in table.columns]
        twice = next((name for name in columns if columns.count(name) > 1), None) if columns else None
        if twice is not None or not 0 < len(columns) <= _MOST_COLUMNS:
            found = (
                f"has two columns {twice!r}" if twice is not None else f"has {number_of(len(columns), 'column')}"
            )
            raise SnapshotError(
                f"the table {table.name!r} {found}, which SQLite cannot hold (capital letters make no difference "
                f"there); change it at the master"
            )


def _folded(name: str) -> str:
    """A name as SQLite compares it: capital letters of ASCII count as small ones."""
    return name.encode().lower().decode()


class DdlWriter:
    """Writes the statements for all tables of a catalog.

    Args:
        tables: The tables.

    Raises:
        SnapshotError: SQLite cannot hold them.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables: Mapping[str, Table] = {table.name: table for table in tables}
        check_names(self._tables.values())
        self._taken = {_folded(name) for name in self._tables}
        self._missed: list[LeftOut] = []

    def table(self, table: Table) -> TableDdl:
        """The statements for a table; call it once for each."""
        notes: list[str] = []
        self._missed = []
        parts = [self._column(column, notes) for column in table.columns]
        parts += self._uniqueness(table, notes)
        for key in table.foreign_keys:
            written = self._foreign_key(table, key, notes)
            if written is not None:
                parts.append(written)
        notes += (f"the check {check.sql} is not enforced" for check in table.checks)
        if "exclusions" in table.extras:
            notes.append("exclusion constraints are not enforced")
            self._miss(table, "exclusion constraints", ON_CONFLICT)
        if "partition" in table.extras:
            notes.append("a part of a partitioned table: each table holds the rows that SPG stores in it")
        create = f"CREATE TABLE {quoted(table.name)} ({', '.join(parts)})"
        indexes = tuple(self._indexes(table, notes))
        return TableDdl(create, indexes, tuple(notes), tuple(self._missed))

    def _miss(self, table: Table, what: str, *events: str) -> None:
        self._missed.append(LeftOut(table.name, events, f"{table.name} has {what} at the master, and not here"))

    # -- columns ----------------------------------------------------------------------------------------------

    @staticmethod
    def _column(column: Column, notes: list[str]) -> str:
        found = [quoted(column.name), column.type.declared]
        if column.extras.get("collation") == "case-insensitive" and column.type.declared == "TEXT":
            found.append("COLLATE NOCASE")
            notes.append(f"{column.name} ignores case at SPG; here that holds for the letters A to Z only")
        if not column.nullable:
            found.append("NOT NULL")
        if column.has_default:
            value = column.default
            if isinstance(value, float) and not math.isfinite(value):
                notes.append(f"the default {value} of {column.name} is left out")
            else:
                written = literal(value)
                found.append(f"DEFAULT ({written})" if written.startswith("CAST") else f"DEFAULT {written}")
        notes += (
            f"{name.replace('_', ' ')} of {column.name} is not evaluated: {column.extras[name]}"
            for name in ("runtime_default", "generated", "on_update")
            if name in column.extras
        )
        return " ".join(found)

    # -- constraints ------------------------------------------------------------------------------------------

    @staticmethod
    def _listed(table: Table, positions: Iterable[int]) -> str:
        return ", ".join(quoted(table.columns[place].name) for place in positions)

    def _uniqueness(self, table: Table, notes: list[str]) -> Iterator[str]:
        primary = False
        for one in table.uniqueness:
            if not one.columns:
                continue
            columns = self._listed(table, one.columns)
            yield f"{'PRIMARY KEY' if one.primary and not primary else 'UNIQUE'} ({columns})"
            primary = primary or one.primary
            if one.nulls_not_distinct:
                notes.append(f"NULLs are distinct in the unique {columns}, and are not at SPG")
                self._miss(table, f"a unique ({columns}) in which NULLs are the same", ON_CONFLICT, ON_TARGET)

    def _foreign_key(self, table: Table, key: ForeignKey, notes: list[str]) -> str | None:
        parent = self._tables.get(key.parent)
        if (
            not key.columns
            or parent is None
            or any(place >= len(parent.columns) for place in key.parent_columns)
            or set(key.parent_columns) not in [set(one.columns) for one in parent.uniqueness]
        ):
            notes.append(f"a foreign key to {key.parent} is left out: SQLite needs a unique key there")
            events = [
                event
                for event, action in (("UPDATE", key.on_update), ("DELETE", key.on_delete))
                if action.value not in _CHANGE_NOTHING
            ]
            if parent is not None and events:
                self._miss(parent, f"a foreign key of {table.name} that changes its rows", *events)
            return None
        return (
            f"FOREIGN KEY ({self._listed(table, key.columns)}) REFERENCES {quoted(key.parent)} "
            f"({self._listed(parent, key.parent_columns)}) ON DELETE {key.on_delete.value} "
            f"ON UPDATE {key.on_update.value}"
        )

    # -- indexes ----------------------------------------------------------------------------------------------

    def _indexes(self, table: Table, notes: list[str]) -> Iterator[str]:
        keys = {one.columns for one in table.uniqueness}
        for index in table.indexes:
            columns = (index.column, *index.further)
            reason = self._against(index, columns, keys)
            if reason is None:
                self._taken.add(_folded(index.name))
                unique = "UNIQUE " if index.unique else ""
                listed = self._listed(table, columns)
                yield f"CREATE {unique}INDEX {quoted(index.name)} ON {quoted(table.name)} ({listed})"
            elif reason:
                notes.append(f"the {index.kind.value} index {index.name} is left out: {reason}")
                if index.unique:
                    self._miss(table, f"the unique index {index.name}", ON_CONFLICT)

    def _against(self, index: Index, columns: tuple[int, ...], keys: set[tuple[int, ...]]) -> str | None:
        """Why an index is not made; None where it is, and empty where nothing needs to be said."""
        if columns in keys:
            return ""  # the constraint has one of its own
        if index.kind not in _BTREES:
            return "SQLite has none of that kind"
        if index.predicate is not None:
            return f"its condition {index.predicate} is SPG's"
        if index.expression is not None:
            return f"its expression {index.expression} is SPG's"
        if index.prefix is not None:
            return "it is over the first characters only"
        folded = _folded(index.name)
        if folded in self._taken or folded.startswith(_RESERVED) or not folded or "\0" in folded:
            return "SQLite cannot use its name"
        return None
