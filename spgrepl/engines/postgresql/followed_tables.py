"""What is noted of a copy's tables, kept right when DDL of an SPG server's log makes, renames or drops them.

A table is known by its number, a column by its place: names change.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from spgrepl.engines.postgresql.statement_meanings import Refused
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.reading.ddl import changed_by_ddl, in_other_schema, other_schema
from spgrepl.postgresql.tables import OF_TABLE
from spgrepl.text.sqltext import Token

_TABLES = """
SELECT c.oid::bigint, c.relname, (SELECT json_object_agg(a.attnum, a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace(current_schema())
"""
_NOTED = f"SELECT table_name, columns FROM {SCHEMA}.columns"
_FORGET = f"DELETE FROM {SCHEMA}.copy_tables WHERE table_name = %s"
_NOT_OF_COPY = f"""
SELECT c.relname FROM pg_class c
 WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace(current_schema())
   AND c.relname NOT IN (SELECT table_name FROM {SCHEMA}.copy_tables)
"""
_KEEP = f"INSERT INTO {SCHEMA}.copy_tables VALUES (%s) ON CONFLICT DO NOTHING"


@attrs.frozen
class _Seen:
    """A table: its name, and its columns by place."""

    name: str
    columns: Mapping[str, str]


def _look(connection: Any) -> dict[int, _Seen]:
    return {int(oid): _Seen(name, columns or {}) for oid, name, columns in connection.execute(_TABLES).fetchall()}


@contextlib.contextmanager
def following_tables(connection: Any) -> Iterator[None]:
    """Compare a copy's tables before and after a statement, in the open transaction."""
    before = _look(connection)
    yield
    after = _look(connection)
    if after == before:
        return
    noted = dict(connection.execute(_NOTED).fetchall())
    changed = [oid for oid in before.keys() | after.keys() if before.get(oid) != after.get(oid)]
    for oid in changed:
        if (gone := before.get(oid)) is not None:
            connection.execute(_FORGET, (gone.name,))
            own_schema.note_columns(connection, gone.name, {})
    for oid in changed:
        if (new := after.get(oid)) is not None:
            old = before.get(oid)
            connection.execute(_KEEP, (new.name,))
            if old is not None and old.name in noted:
                own_schema.note_columns(connection, new.name, _renamed(json.loads(noted[old.name]), old, new))


def _renamed(kinds: Mapping[str, Any], old: _Seen, new: _Seen) -> dict[str, Any]:
    """What is noted of columns, under the names that they have now."""
    places = {name: place for place, name in old.columns.items()}
    found = {OF_TABLE: kinds[OF_TABLE]} if OF_TABLE in kinds else {}
    for name, kind in kinds.items():
        now = new.columns.get(places.get(name, ""))
        if now is not None:
            found[now] = kind
    return found


def refuse_tables_of_others(connection: Any, tokens: list[Token], text: str) -> None:
    """Let DDL of a log change tables of the copy only, where it stands.

    Args:
        connection: A connection of psycopg.
        tokens: The statement, without blanks and comments.
        text: The statement.

    Raises:
        Refused: It drops, alters or takes for its own a table there that others have made.
    """
    for name in changed_by_ddl(tokens, text):
        row = connection.execute(_NOT_OF_COPY, (name,)).fetchone()
        if row is not None:
            raise Refused(f"the table {row[0]} here is not of this copy: move or rename it, or skip this record")


def refuse_other_schemas(tokens: list[Token], text: str) -> None:
    """Let a log change tables of ``public`` only: what others are at an SPG server is not known.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.

    Raises:
        Refused: It makes, changes or drops another one.
    """
    found = in_other_schema(tokens, text)
    if found is not None:
        raise Refused(other_schema(found))
