"""What a copy knows of its tables in SPG's terms: from the side tables that a snapshot or DDL left.

A table without rows there, as somebody makes it for a subscription without a copy, is taken as it was declared:
with SPG's own names for types.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from spgrepl.spg.to_sqlite import COLUMNS_TABLE, CREATE_COLUMNS, CREATE_OBJECTS, LEFT_OUT, OBJECTS_TABLE, json_of
from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.stops import StatementStopped, TypeUnknown
from spgrepl.spgsql.language.types import declared_type
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.sqlite.own_names import kept_for_others
from spgrepl.text.sqltext import fold_ascii, quote_name

_NARROW, _BIGINT = (1, 7), 2
_LABELS = ("enum", "enum_labels", "set_labels")
_PARTITION = "table partition"
_OF_TABLES = f"(kind LIKE 'table %' OR kind IN ('check', 'note', '{LEFT_OUT}'))"


@attrs.frozen
class LabelType(SpgType):
    """TEXT that holds a label, or several: the master orders it by the place of the label among all.

    Attributes:
        labels: The labels, where they are those of the column alone; what is none of them becomes one in some way.
    """

    labels: tuple[str, ...] = ()


@attrs.frozen
class ColumnInfo:
    """A column.

    Attributes:
        name: Its name.
        type: Its type; None where that is not known.
        nullable: Whether it may be NULL.
        auto_increment: Whether SPG numbers the rows by it.
        details: What else SPG knows of it, as `spgrepl.spg.blocks.tables` names it, and ``constant_default``
            where a default was set or dropped since.
        declared_default: The default that SQLite has for it, as SQL; None for none.
    """

    name: str
    type: SpgType | None
    nullable: bool
    auto_increment: bool
    details: Mapping[str, Any]
    declared_default: str | None

    @property
    def known(self) -> SpgType:
        """Its type.

        Raises:
            TypeUnknown: It is not known.
        """
        if self.type is None:
            raise TypeUnknown(self.name)
        return self.type


@attrs.frozen
class Hazard:
    """Something that happens at the master when rows of a table change, and not here.

    Attributes:
        events: The statements at which it happens, in capitals.
        what: What it is, for the reason of a stop.
    """

    events: frozenset[str]
    what: str


@attrs.frozen
class TableInfo:
    """A table.

    Attributes:
        name: Its name, as SQLite has it.
        columns: Its columns.
        keys: The sets of columns that are unique, the primary key first where there is one.
        has_primary: Whether the first of `keys` is the primary key.
        hazards: What happens at the master besides.
    """

    name: str
    columns: tuple[ColumnInfo, ...]
    keys: tuple[tuple[str, ...], ...]
    has_primary: bool
    hazards: tuple[Hazard, ...]

    def column(self, name: str) -> ColumnInfo:
        """The column of a name.

        Raises:
            StatementStopped: There is none.
        """
        folded = fold_ascii(name)
        for column in self.columns:
            if fold_ascii(column.name) == folded:
                return column
        raise StatementStopped(f"the table {self.name} has no column {name} here")

    def has(self, name: str) -> bool:
        """Whether there is a column of a name."""
        folded = fold_ascii(name)
        return any(fold_ascii(column.name) == folded for column in self.columns)


class Schema:
    """Reads tables from a copy when they are asked for first, and writes what DDL changes.

    Args:
        connection: The copy.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self.connection = connection
        self._tables: dict[str, TableInfo] = {}
        self._file_version: int | None = None

    def forget(self) -> None:
        """What was read may not be so any more."""
        self._tables.clear()
        self._file_version = None

    # -- tables -----------------------------------------------------------------------------------------------

    def table(self, name: str) -> TableInfo:
        """A table.

        Raises:
            StatementStopped: There is none, or it is spgrepl's own.
        """
        folded = fold_ascii(name)
        found = self._tables.get(folded)
        if found is None:
            found = self._tables[folded] = self._read(name, folded)
        return found

    def exists(self, name: str) -> bool:
        """Whether there is a table of a name."""
        query = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
        return self.connection.execute(query, (name,)).fetchone() is not None

    def _read(self, name: str, folded: str) -> TableInfo:
        kept = kept_for_others(name)
        if kept is not None:
            raise StatementStopped(kept)
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        row = self.connection.execute(query, (name,)).fetchone()
        if row is None:
            raise StatementStopped(f"no such table: {name}")
        table = str(row[0])
        known = self._columns_of(table)
        columns = []
        primary: list[tuple[int, str]] = []
        for _, column, declared, not_null, default, key in self.connection.execute(
            f"PRAGMA table_info({quote_name(table)})"
        ).fetchall():
            if key:
                primary.append((int(key), str(column)))
            stated = known.get(fold_ascii(str(column)))
            if stated is None:
                kind = _as_wide_as_here(declared_type(str(declared)))
                columns.append(ColumnInfo(str(column), kind, not not_null, False, {}, default))
                continue
            tag, parameters, nullable, auto, details = stated
            more = json.loads(details)
            kind = SpgType(int(tag), tuple(json.loads(parameters)))
            if any(one in more for one in _LABELS):
                kind = LabelType(
                    kind.tag, kind.parameters, tuple(more.get(_LABELS[1]) or more.get(_LABELS[2]) or ())
                )
            columns.append(ColumnInfo(str(column), kind, bool(nullable), bool(auto), more, default))
        keys = [tuple(column for _, column in sorted(primary))] if primary else []
        keys += self._unique_indexes(table)
        return TableInfo(table, tuple(columns), tuple(keys), bool(primary), tuple(self._hazards(table)))

    def _columns_of(self, table: str) -> dict[str, tuple[Any, ...]]:
        if not self.exists(COLUMNS_TABLE):
            return {}
        rows = self.connection.execute(
            f"SELECT column_name, tag, parameters, nullable, auto_increment, details FROM {COLUMNS_TABLE} "
            f"WHERE table_name = ? COLLATE NOCASE",
            (table,),
        ).fetchall()
        return {fold_ascii(str(row[0])): tuple(row[1:]) for row in rows}

    def _unique_indexes(self, table: str) -> list[tuple[str, ...]]:
        found = []
        for row in self.connection.execute(f"PRAGMA index_list({quote_name(table)})").fetchall():
            _, index, unique, origin, partial = row[:5]
            if unique and origin != "pk" and not partial:
                columns = self.connection.execute(f"PRAGMA index_info({quote_name(str(index))})").fetchall()
                if all(column[2] is not None for column in columns):
                    found.append(tuple(str(column[2]) for column in columns))
        return found

    def _hazards(self, table: str) -> Iterable[Hazard]:
        for one in self.objects("triggers"):
            if one.get("table") == table and one.get("enabled", True):
                events = frozenset(str(event).upper().split()[0] for event in one.get("events", ()))
                yield Hazard(events, f"the trigger {one.get('name')} of {table} runs at the master and not here")
        for one in self.objects("rules"):
            if one.get("table") == table:
                event = frozenset({str(one.get("event")).upper()})
                yield Hazard(event, f"the rule {one.get('name')} of {table} holds at the master and not here")
        every = frozenset({"INSERT", "UPDATE", "DELETE", "TRUNCATE"})
        for role in self.objects(_PARTITION, table):
            if role.get("role") == "parent":
                yield Hazard(every, f"{table} is partitioned: which part a row is in is decided by the master")
        for one in self.objects("table row_security", table):
            if one.get("enabled"):
                seen = frozenset({"UPDATE", "DELETE", "SELECT"})
                yield Hazard(
                    seen, f"{table} has row security: which of its rows a user of the master sees is not known"
                )
        for one in self.objects(LEFT_OUT, table):
            yield Hazard(frozenset(one.get("events", ())), str(one.get("what")))
        if self.has_heirs(table):
            yield Hazard(every, f"other tables inherit from {table}, and their rows are its rows at the master")

    def has_heirs(self, table: str) -> bool:
        """Whether other tables inherit from a table, or are its parts."""
        roles = self.objects(_PARTITION)
        return any(table == role.get("parent") or table in role.get("parents", ()) for role in roles)

    # -- objects ----------------------------------------------------------------------------------------------

    def objects(self, kind: str, name: str | None = None) -> list[dict[str, Any]]:
        """What the side table holds of a kind."""
        if not self.exists(OBJECTS_TABLE):
            return []
        query, values = f"SELECT definition FROM {OBJECTS_TABLE} WHERE kind = ?", [kind]
        if name is not None:
            query, values = query + " AND name = ? COLLATE NOCASE", [kind, name]
        found = (json.loads(row[0]) for row in self.connection.execute(query, values).fetchall())
        return [one for one in found if isinstance(one, dict)]

    def keep_object(self, kind: str, name: str, definition: object) -> None:
        """Put something into the side table, in the place of what it holds under that name."""
        self.ensure()
        self.drop_object(kind, name)
        self.connection.execute(f"INSERT INTO {OBJECTS_TABLE} VALUES (?, ?, ?)", (kind, name, json_of(definition)))

    def drop_object(self, kind: str, name: str) -> None:
        """Remove something from the side table."""
        self.ensure()
        self.connection.execute(
            f"DELETE FROM {OBJECTS_TABLE} WHERE kind = ? AND name = ? COLLATE NOCASE", (kind, name)
        )
        self.forget()

    def ensure(self) -> None:
        """Make the side tables where they are missing."""
        if not self.exists(COLUMNS_TABLE):
            self.connection.execute(CREATE_COLUMNS)
        if not self.exists(OBJECTS_TABLE):
            self.connection.execute(CREATE_OBJECTS)

    @property
    def file_version(self) -> int | None:
        """The FILE_VERSION of the snapshot that the copy began with; None where that is not known."""
        if self._file_version is None:
            for one in self.objects("source"):
                self._file_version = one.get("file_version")
        return self._file_version

    # -- what DDL changes -------------------------------------------------------------------------------------

    def keep_columns(self, table: str, columns: Sequence[ColumnInfo]) -> None:
        """Write the columns of a table into the side table, in the place of those that are there."""
        self.ensure()
        self.drop_columns(table)
        for position, column in enumerate(columns):
            if column.type is None:
                continue
            self.connection.execute(
                f"INSERT INTO {COLUMNS_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    table,
                    position,
                    column.name,
                    column.type.label,
                    column.type.tag,
                    json_of(column.type.parameters),
                    int(column.nullable),
                    int(column.auto_increment),
                    json_of(dict(column.details)),
                ),
            )

    def drop_columns(self, table: str) -> None:
        """Remove what the side table says of a table."""
        self.ensure()
        self.connection.execute(f"DELETE FROM {COLUMNS_TABLE} WHERE table_name = ? COLLATE NOCASE", (table,))
        self.forget()

    def rename_table(self, table: str, new: str) -> None:
        """Write into the side tables that a table has another name."""
        self.ensure()
        change = f"UPDATE {COLUMNS_TABLE} SET table_name = ? WHERE table_name = ? COLLATE NOCASE"
        self.connection.execute(change, (new, table))
        change = f"UPDATE {OBJECTS_TABLE} SET name = ? WHERE name = ? COLLATE NOCASE AND {_OF_TABLES}"
        self.connection.execute(change, (new, table))
        for number, kind, definition in self._naming_tables():
            changed: dict[str, Any]
            if kind == _PARTITION:
                named = [new if one == table else one for one in definition.get("parents", ())]
                changed = {"parents": named} if new in named else {}
                changed |= {"parent": new} if definition.get("parent") == table else {}
            else:
                changed = {"table": new} if definition.get("table") == table else {}
            if changed:
                self.connection.execute(
                    f"UPDATE {OBJECTS_TABLE} SET definition = ? WHERE rowid = ?",
                    (json_of({**definition, **changed}), number),
                )
        self.forget()

    def drop_table(self, table: str) -> None:
        """Remove all that the side tables say of a table, with its triggers and rules."""
        self.drop_columns(table)
        self.connection.execute(
            f"DELETE FROM {OBJECTS_TABLE} WHERE name = ? COLLATE NOCASE AND {_OF_TABLES}", (table,)
        )
        for number, kind, definition in self._naming_tables():
            if kind != _PARTITION and definition.get("table") == table:
                self.connection.execute(f"DELETE FROM {OBJECTS_TABLE} WHERE rowid = ?", (number,))
        self.forget()

    def _naming_tables(self) -> list[tuple[int, str, dict[str, Any]]]:
        """The objects whose definition names a table: their row numbers, kinds and definitions."""
        rows = self.connection.execute(
            f"SELECT rowid, kind, definition FROM {OBJECTS_TABLE} WHERE kind IN ('triggers', 'rules', ?)",
            (_PARTITION,),
        ).fetchall()
        found = [(int(number), str(kind), json.loads(definition)) for number, kind, definition in rows]
        return [one for one in found if isinstance(one[2], dict)]


def _as_wide_as_here(kind: SpgType | None) -> SpgType | None:
    """What somebody declared INTEGER in SQLite holds 64 bits, whatever SPG calls by that name."""
    return SpgType(_BIGINT, ()) if kind is not None and kind.tag in _NARROW else kind
