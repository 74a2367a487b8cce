"""What the copied tables looked like, so that one that somebody changes later is noticed.

The wire does not carry definitions of tables. At the copy they are compared with the master's, in full; from then
on with what they were at the copy. Columns that were added after all others, with the constraints and unique
indexes that came with them, are no difference: a record that does not fit such a table is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from spgrepl.engines.targets.declarations import read_declarations
from spgrepl.engines.targets.table_shape import Column, TableShape, read_shape
from spgrepl.errors import LocalFilesDamaged, TableMismatch
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.sqltext import fold_ascii

_TABLE = (
    "CREATE TABLE IF NOT EXISTS spgrepl_shapes (subscription TEXT NOT NULL, name TEXT NOT NULL, "
    "shape TEXT NOT NULL, PRIMARY KEY (subscription, name))"
)
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_shapes'"


class ShapeGuard:
    """Notices that tables of a subscription were changed at the target.

    Args:
        database: The target's file, for errors.
        name: The subscription.
        accept: Whether to take tables that were changed before the start as they are.
    """

    _log = RoleLogger()

    def __init__(self, database: Path, name: str, accept: bool = False) -> None:
        self._database = database
        self._name = name
        self._accept = accept
        self._version: int | None = None

    def note(self, connection: SqlConnection, tables: Iterable[str]) -> None:
        """Write down, in the open transaction, what the copied tables look like."""
        connection.execute(_TABLE)
        connection.execute("DELETE FROM spgrepl_shapes WHERE subscription = ?", (self._name,))
        for table in tables:
            shape = read_shape(connection, table)
            assert shape is not None
            self._store(connection, shape)

    def copied(self, connection: SqlConnection) -> frozenset[str]:
        """The tables that this subscription has filled, and no other one, in small letters."""
        if connection.execute(_THERE).fetchone() is None:
            return frozenset()
        found = connection.execute(
            "SELECT name FROM spgrepl_shapes WHERE subscription = ? AND lower(name) NOT IN "
            "(SELECT lower(name) FROM spgrepl_shapes WHERE subscription <> ?)",
            (self._name, self._name),
        )
        return frozenset(fold_ascii(str(row[0])) for row in found.fetchall())

    def check(self, connection: SqlConnection) -> None:
        """Compare the tables with what is written down; nothing is written.

        Raises:
            TableMismatch: One is another one now.
            LocalFilesDamaged: What is written down is not what spgrepl writes.
        """
        if not self._accept:
            self._changed(connection)

    def check_again(self, connection: SqlConnection) -> None:
        """Compare the tables in the open transaction, if anything of the schema has changed since the last time.

        What was accepted is written down. Raises as `check`.
        """
        version = int(connection.execute("PRAGMA schema_version").fetchone()[0])
        if version == self._version:
            return
        for table, shape, reason in self._changed(connection):
            if reason is not None:
                self._log.warn(
                    "the table {table} is taken as it is, as ordered: {reason}", table=table, reason=reason
                )
            if shape is None:
                # Rows that come for it are refused by name.
                connection.execute(
                    "DELETE FROM spgrepl_shapes WHERE subscription = ? AND name = ?", (self._name, table)
                )
            else:
                self._store(connection, shape)
        self._accept, self._version = False, version

    def undone(self) -> None:
        """The transaction of the last comparison was rolled back."""
        self._version = None

    def _changed(self, connection: SqlConnection) -> list[tuple[str, TableShape | None, str | None]]:
        """The tables that are not as written down: name, shape, and what was accepted of them."""
        if connection.execute(_THERE).fetchone() is None:
            return []
        found: list[tuple[str, TableShape | None, str | None]] = []
        rows = connection.execute("SELECT name, shape FROM spgrepl_shapes WHERE subscription = ?", (self._name,))
        for table, text in rows.fetchall():
            known, present = self._read(table, text), read_shape(connection, table)
            if present is None:
                found.append((table, None, None))
            elif known.difference(present) is not None:
                reason = known.difference(present.without_later(len(known.columns)), since="when it was copied")
                if reason is not None and not self._accept:
                    raise TableMismatch(
                        f"the table {table} in {self._database} was changed since it was copied for the "
                        f"subscription {self._name!r}: {reason}. Change it back; or, where the master's was "
                        f"changed alike, start once with --accept-changed-tables"
                    )
                found.append((table, present, reason))
        return found

    def _store(self, connection: SqlConnection, shape: TableShape) -> None:
        values = attrs.asdict(shape, filter=lambda attribute, _: attribute.name != "declared")
        values["unique"] = sorted(shape.unique)
        connection.execute(
            "INSERT OR REPLACE INTO spgrepl_shapes VALUES (?, ?, ?)", (self._name, shape.name, json.dumps(values))
        )

    def _read(self, table: str, text: str) -> TableShape:
        try:
            values: dict[str, Any] = json.loads(text)
            values["columns"] = tuple(Column(**column) for column in values["columns"])
            values["unique"] = frozenset(map(tuple, values["unique"]))
            return TableShape(**values, declared=read_declarations(values["sql"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LocalFilesDamaged(
                f"the row of table {table} in the table spgrepl_shapes cannot be read ({error!r}); restore it, or "
                f"delete it, and the table is not compared any more"
            ) from error
