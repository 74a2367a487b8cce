"""DDL of a log that a SQLite database's rows are in, made in the server: by what it does to SQLite's own schema.

The statement takes effect in a schema without rows, in memory; what is different after it is made in the server.
So every form that SQLite understands is understood here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from spgrepl.postgresql import driver, own_schema
from spgrepl.postgresql.copying.declared import Declared
from spgrepl.postgresql.copying.defaults import default_sql
from spgrepl.postgresql.copying.source_schema import SchemaObject, SourceSchema
from spgrepl.postgresql.copying.source_tables import SourceColumn, SourceTable
from spgrepl.postgresql.copying.table_ddl import (
    check_statements,
    column_line,
    generated_line,
    index_statement,
    key_of,
    write_table,
)
from spgrepl.postgresql.copying.type_map import MappedType, map_type
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.names import SCHEMA, NameUnfit, quoted
from spgrepl.postgresql.tables import read_table
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.sqltext import significant_tokens

_SAVEPOINT = "spgrepl_ddl"
_CHANGES = frozenset({"CREATE", "ALTER", "DROP"})
_WITHOUT_EFFECT = frozenset({"PRAGMA", "ANALYZE", "REINDEX", "VACUUM"})


class NotMade(Exception):
    """A change of the schema cannot be made in the server; the message says why."""


class SchemaChanges:
    """Knows the master's schema, and makes its changes.

    Attributes:
        left_out: The tables of which rows are skipped: virtual ones, and those that these keep.
    """

    _log = RoleLogger()

    def __init__(self) -> None:
        self._schema = SourceSchema()
        self._dirty = False
        self.left_out: frozenset[str] = frozenset()

    # -- what is known ----------------------------------------------------------------------------------------

    def load(self, connection: Any) -> None:
        """Read what the server keeps of the master's schema."""
        rows = connection.execute(f"SELECT kind, name, sql FROM {SCHEMA}.source ORDER BY place").fetchall()
        self._schema.close()
        self._schema = SourceSchema(SchemaObject(*row) for row in rows)
        self._dirty = False
        self.left_out = self._schema.left_out()

    def rolled_back(self, connection: Any) -> None:
        """What was changed since the last commit is undone."""
        if self._dirty:
            self.load(connection)

    def committed(self) -> None:
        """What was changed stays."""
        self._dirty = False

    @staticmethod
    def store(connection: Any, objects: list[SchemaObject]) -> None:
        """Write the master's schema down, in the open transaction."""
        connection.execute(f"DELETE FROM {SCHEMA}.source")
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {SCHEMA}.source VALUES (%s, %s, %s, %s)",
                [(place, one.kind, one.name, one.sql) for place, one in enumerate(objects)],
            )

    # -- changes ----------------------------------------------------------------------------------------------

    def apply(self, connection: Any, text: str) -> bool:
        """Make what a statement does to the schema.

        Args:
            connection: The server, with a transaction open.
            text: The statement, in SQLite's dialect.

        Returns:
            Whether it is such a statement; if not, nothing was done.

        Raises:
            NotMade: It cannot be made there.
            psycopg.Error: The server refuses.
        """
        tokens = significant_tokens(text)
        verb = tokens[0].upper if tokens else ""
        if not tokens or verb in _WITHOUT_EFFECT:
            return True
        if verb not in _CHANGES:
            return False
        before = self._schema.tables()
        self._dirty = True
        try:
            self._schema.run(text)
        except apsw.Error as error:
            raise NotMade(f"it does not fit the master's schema as it is known here: {error}") from error
        after = self._schema.tables()
        words = [token.upper for token in tokens]
        try:
            self._follow(connection, before, after, "RENAME" in words)
        except NameUnfit as error:
            raise NotMade(str(error)) from error
        self.left_out = self._schema.left_out()
        self.store(connection, self._schema.objects())
        return True

    def _follow(
        self, connection: Any, before: dict[str, SourceTable], after: dict[str, SourceTable], renames: bool
    ) -> None:
        gone = [name for name in before if name not in after]
        new = [name for name in after if name not in before]
        if renames and len(gone) == len(new) == 1:
            self._rename_table(connection, gone[0], new[0])
            before = {**before, new[0]: before[gone[0]]}
            gone, new = [], []
        for name in gone:
            connection.execute(f"DROP TABLE {quoted(name)}")
            own_schema.note_columns(connection, name, {})
            connection.execute(f"DELETE FROM {SCHEMA}.copy_tables WHERE table_name = %s", (name,))
        for name in new:
            self._make_table(connection, after[name], after)
        for name, table in after.items():
            if name in before and name not in new and before[name] != table:
                self._change_table(connection, before[name], table, renames)

    def _rename_table(self, connection: Any, old: str, name: str) -> None:
        connection.execute(f"ALTER TABLE {quoted(old)} RENAME TO {quoted(name)}")
        for table in ("columns", "copy_tables"):
            connection.execute(f"UPDATE {SCHEMA}.{table} SET table_name = %s WHERE table_name = %s", (name, old))

    def _make_table(self, connection: Any, table: SourceTable, others: dict[str, SourceTable]) -> None:
        types = {column.name: map_type(column.declared) for column in table.stored}
        ddl = write_table(table, types, others)
        connection.execute(ddl.create)
        connection.execute(f"INSERT INTO {SCHEMA}.copy_tables VALUES (%s)", (table.name,))
        loose = {name: "loose" for name, mapped in types.items() if mapped.loose}
        own_schema.note_columns(connection, table.name, loose)
        for later in ddl.later:
            self._try(connection, later.what, later.sql, needed=later.needed)
        self._warn_of(ddl.notes)

    def _change_table(self, connection: Any, old: SourceTable, new: SourceTable, renames: bool) -> None:
        self._change_columns(connection, old, new, renames)
        if old.name != new.name:
            return
        made = [index for index in new.indexes if index not in old.indexes]
        gone = [index for index in old.indexes if index not in new.indexes]
        for index in gone:
            if index.name is not None:
                connection.execute(f"DROP INDEX IF EXISTS {quoted(index.name)}")
        if not made and old.sql == new.sql:
            return
        notes: list[str] = []
        declared = _declared(connection, new)
        later = [index_statement(new.name, index, declared, notes) for index in made]
        if not renames:
            known = {str(check) for check in _declared(connection, old).checks}
            later += check_statements(declared, new.name, notes, known)
        for one in later:
            if one is not None:
                self._try(connection, one.what, one.sql, needed=False)
        self._warn_of(notes)

    def _change_columns(self, connection: Any, old: SourceTable, new: SourceTable, renames: bool) -> None:
        name = new.name
        present = read_table(connection, name)
        made = {} if present is None else present.columns
        if renames and len(old.columns) == len(new.columns):
            for one, other in zip(old.columns, new.columns, strict=True):
                if one.name != other.name and one.name in made:
                    connection.execute(
                        f"ALTER TABLE {quoted(name)} RENAME COLUMN {quoted(one.name)} TO {quoted(other.name)}"
                    )
                    self._rename_noted(connection, name, one.name, other.name)
            return
        here, there = ({column.name: column for column in table.columns} for table in (old, new))
        for dropped in (here.keys() - there.keys()) & made.keys():
            connection.execute(f"ALTER TABLE {quoted(name)} DROP COLUMN {quoted(dropped)}")
        self._add_generated(connection, new, [one.name for one in new.columns if one.name not in here])
        for column in [one for one in new.stored if one.name not in here]:
            self._add_column(connection, name, column)
        for column_name in here.keys() & there.keys() & made.keys():
            one, other = here[column_name], there[column_name]
            if one.not_null != other.not_null and column_name not in key_of(new):
                verb = "SET" if other.not_null else "DROP"
                connection.execute(
                    f"ALTER TABLE {quoted(name)} ALTER COLUMN {quoted(column_name)} {verb} NOT NULL"
                )

    def _add_generated(self, connection: Any, table: SourceTable, names: Sequence[str]) -> None:
        notes: list[str] = []
        for column in table.columns:
            if column.name in names and not column.stored:
                line = generated_line(_declared(connection, table), table.name, column.name, notes)
                if line is not None:
                    connection.execute(f"ALTER TABLE {quoted(table.name)} ADD COLUMN {line}")
        self._warn_of(notes)

    def _add_column(self, connection: Any, table: str, column: SourceColumn) -> None:
        mapped = map_type(column.declared)
        # The rows that are there have the default from now on: the log does not name them.
        given = column.default is not None and column.default.strip().upper() != "NULL"
        if given and default_sql(column, mapped) is None:
            there = connection.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1").fetchone()
            if there is not None:
                raise NotMade(
                    f"the new column {table}.{column.name} has the default {column.default} in the rows that are "
                    f"there, which does not fit its type {mapped.sql}"
                )
        notes: list[str] = []
        line = column_line(table, column, mapped, in_key=False, notes=notes)
        connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {line}")
        if mapped.loose:
            self._note_loose(connection, table, column.name)
        self._warn_of(notes)

    # -- notes ------------------------------------------------------------------------------------------------

    @staticmethod
    def _noted(connection: Any, table: str) -> dict[str, str]:
        query = f"SELECT columns FROM {SCHEMA}.columns WHERE table_name = %s"
        row = connection.execute(query, (table,)).fetchone()
        found: dict[str, str] = {} if row is None else json.loads(row[0])
        return found

    def _note_loose(self, connection: Any, table: str, column: str) -> None:
        own_schema.note_columns(connection, table, {**self._noted(connection, table), column: "loose"})

    def _rename_noted(self, connection: Any, table: str, old: str, new: str) -> None:
        noted = self._noted(connection, table)
        if old in noted:
            own_schema.note_columns(
                connection, table, {new if name == old else name: kind for name, kind in noted.items()}
            )

    def _try(self, connection: Any, what: str, sql: str, needed: bool) -> None:
        """Make what rows do not depend on; where the server refuses it, that is told."""
        psycopg = driver.load()
        connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            connection.execute(sql)
        except psycopg.Error as error:
            if needed or judge(error, connection) is not Fault.REFUSED:
                raise
            connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
            self._warn_of([f"{what} was not made: {said(error)}"])
        connection.execute(f"RELEASE {_SAVEPOINT}")

    def _warn_of(self, notes: Iterator[str] | tuple[str, ...] | list[str]) -> None:
        for note in notes:
            self._log.warn("{note}", note=note)


def _declared(connection: Any, table: SourceTable) -> Declared:
    """What a table declares, with the types that its columns have in the server."""
    present = read_table(connection, table.name)
    columns = {} if present is None else present.columns
    types = {name: MappedType(one.type.sql, one.type.takes_numbers) for name, one in columns.items()}
    return Declared(table, types)
