"""The schema of a master that speaks SQLite, kept by SQLite itself: what its DDL does is asked, not guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import apsw
import attrs

from spgrepl.postgresql.copying.source_tables import SourceTable, read_source
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii

_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
_KINDS = "SELECT name, type FROM pragma_table_list WHERE schema = 'main'"
_PLAIN = "table"


@attrs.frozen
class SchemaObject:
    """Something of a schema: its kind as ``sqlite_master`` has it, its name, and its CREATE statement."""

    kind: str
    name: str
    sql: str


def objects_of(connection: apsw.Connection) -> list[SchemaObject]:
    """What a database's schema consists of, without what is SQLite's and spgrepl's own."""
    return [
        SchemaObject(kind, name, sql)
        for kind, name, sql in connection.execute(_OBJECTS)
        if not fold_ascii(name).startswith(("sqlite_", OWN_PREFIX))
    ]


class SourceSchema:
    """The tables of a master without their rows, in memory.

    Args:
        objects: Its schema, in the order in which it can be made.
    """

    def __init__(self, objects: Iterable[SchemaObject] = ()) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.collation_needed(_stand_in)
        for one in objects:
            # Virtual tables make inner ones by themselves; what a program registers for its indexes is not there.
            with contextlib.suppress(apsw.SQLError):
                self._connection.execute(one.sql)

    def run(self, statement: str) -> None:
        """Let a statement take effect.

        Raises:
            apsw.Error: SQLite refuses it.
        """
        self._connection.execute(statement)

    def objects(self) -> list[SchemaObject]:
        """The schema."""
        return objects_of(self._connection)

    def tables(self) -> dict[str, SourceTable]:
        """The ordinary tables, by name."""
        return {
            one.name: read_source(self._connection, one.name)
            for one in self.objects()
            if one.kind == "table" and self._kinds().get(one.name) == _PLAIN
        }

    def left_out(self) -> frozenset[str]:
        """The virtual tables, and the tables in which these keep what they hold."""
        return frozenset(name for name, kind in self._kinds().items() if kind in ("virtual", "shadow"))

    def _kinds(self) -> dict[str, str]:
        return {str(name): str(kind) for name, kind in self._connection.execute(_KINDS)}

    def close(self) -> None:
        """Forget it."""
        self._connection.close()


def _stand_in(connection: apsw.Connection, name: str) -> None:
    """Let a collation that the master's program registers be any one: there are no rows."""
    connection.create_collation(name, lambda one, other: (one > other) - (one < other))
