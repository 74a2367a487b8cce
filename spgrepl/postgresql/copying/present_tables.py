"""Tables that were in a server before the copy of an SPG server's: whether its statements mean the same on them.

Of rows each value is looked at. A statement is run as it stands: a column of another type would round, cut or
compare in another way, and nobody would see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apsw

from spgrepl.postgresql.copying.source_tables import SourceColumn, SourceTable
from spgrepl.postgresql.copying.spg_effects import spg_effects
from spgrepl.postgresql.copying.spg_types import spg_columns, spg_default
from spgrepl.postgresql.tables import DEFAULT, OF_TABLE, Table, TableColumn
from spgrepl.spg.ddl import ON_CONFLICT
from spgrepl.spgsql.typed.schema import Schema, TableInfo
from spgrepl.text.sqltext import TokenKind, significant_tokens

Tried = Callable[[str], Any]
"""Runs a query inside a savepoint: its cursor, or None where the server refuses it."""

_KEYS = """
SELECT (SELECT array_agg(a.attname ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
       p.relname,
       (SELECT array_agg(a.attname ORDER BY u.place) FROM unnest(k.confkey) WITH ORDINALITY AS u(attnum, place)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum),
       k.confupdtype::text, k.confdeltype::text
  FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid
 WHERE k.conrelid = %s::bigint::oid AND k.contype = 'f' AND k.conparentid = 0
"""
_UNIQUE = """
SELECT (SELECT array_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
          AND array_position(i.indkey::smallint[], a.attnum) < i.indnkeyatts),
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate
  FROM pg_index i WHERE i.indrelid = %s::bigint::oid AND (i.indisunique OR i.indisexclusion)
"""
_ACTIONS = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_Key = tuple[tuple[str, ...], str, tuple[str, ...], str, str]


class PresentTable:
    """A table that was there, beside that of the snapshot.

    Args:
        connection: The server, with a transaction open.
        tried: Runs what it may refuse.
        snapshot: The database that was made of the snapshot.
        source: The table of the snapshot.
        present: The table that was there.
    """

    def __init__(
        self,
        connection: Any,
        tried: Tried,
        snapshot: apsw.Connection,
        source: SourceTable,
        present: Table,
    ) -> None:
        self._connection = connection
        self._tried = tried
        self._snapshot = snapshot
        self._source = source
        self._present = present
        self._of_spg = spg_columns(snapshot, source.name)
        self._info: TableInfo = Schema(snapshot).table(source.name)

    def difference(self, others: Mapping[str, SourceTable]) -> str | None:
        """Why statements of the master's log may mean something else on it; None where not.

        Args:
            others: All tables that are copied, by name.
        """
        return next(self._differences(others), None)

    def _differences(self, others: Mapping[str, SourceTable]) -> Iterator[str]:
        expected = [column.name for column in self._source.columns]
        found = [*self._present.columns][: len(expected)]
        if found != expected:
            yield f"its first columns are {', '.join(found)} there, and {', '.join(expected)} on the master"
        for name, wanted in self._types().items():
            here = self._present.columns[name].type.sql
            if here != wanted:
                yield (
                    f"its column {name} is {here} there, and {wanted} as the master has it: make it that with "
                    f"ALTER TABLE … ALTER COLUMN … TYPE"
                )
        for column in self._present.columns.values():
            if column.identity and column.name in expected and not self._info.column(column.name).auto_increment:
                yield f"its column {column.name} is an identity there, and not on the master"
        here_keys, there_keys = self._keys_here(others), self._keys_of_master(others)
        if here_keys != there_keys:
            shown = "; ".join(map(_shown, sorted(here_keys))) or "none"
            wanted = "; ".join(map(_shown, sorted(there_keys))) or "none"
            yield f"its foreign keys that change rows are {shown} there, and {wanted} on the master"

    def _types(self) -> dict[str, str]:
        """The types that columns need, as this server writes them."""
        asked = {name: f"NULL::{column.mapped.sql}" for name, column in self._of_spg.items()}
        cursor = self._tried(f"SELECT {', '.join(asked.values())}")
        if cursor is None:
            return {name: column.mapped.sql for name, column in self._of_spg.items()}
        result = cursor.pgresult
        written = ", ".join(f"format_type({result.ftype(at)}, {result.fmod(at)})" for at in range(len(asked)))
        return dict(zip(asked, self._connection.execute(f"SELECT {written}").fetchone(), strict=True))

    # -- foreign keys -----------------------------------------------------------------------------------------

    def _keys_here(self, others: Mapping[str, SourceTable]) -> set[_Key]:
        rows = self._connection.execute(_KEYS, (self._present.oid,)).fetchall()
        found = {
            (tuple(columns), str(parent), tuple(parents), _ACTIONS.get(update, ""), _ACTIONS.get(delete, ""))
            for columns, parent, parents, update, delete in rows
            if parent in others
        }
        return {key for key in found if key[3] or key[4]}

    def _keys_of_master(self, others: Mapping[str, SourceTable]) -> set[_Key]:
        found = set()
        for key in self._source.foreign_keys:
            parent = others.get(key.parent)
            update, delete = (one if one in _ACTIONS.values() else "" for one in (key.on_update, key.on_delete))
            if parent is not None and (update or delete):
                found.add((key.columns, key.parent, key.parent_columns or parent.key, update, delete))
        return found

    # -- what is noted ----------------------------------------------------------------------------------------

    def effects(self) -> dict[str, dict[str, str]]:
        """What the master does by itself to rows of it, and this server does not, as `spg_effects` has it."""
        found = spg_effects(self._snapshot, self._source.name)
        for column in self._source.columns:
            here = self._present.columns[column.name]
            default = self._other_default(column, here)
            if default is not None:
                found.setdefault(column.name, {}).setdefault(DEFAULT, default)
        if self._has_other_keys():
            found.setdefault(OF_TABLE, {}).setdefault(
                ON_CONFLICT, f"{self._source.name} has other unique keys here than at the master"
            )
        return found

    def _other_default(self, column: SourceColumn, here: TableColumn) -> str | None:
        """The default of the master, where it is another one than that of the table here; None where it is not."""
        counted = bool(here.identity) or "nextval(" in (here.default or "")
        if self._info.column(column.name).auto_increment:
            return None if counted else "nextval()"
        default = spg_default(self._snapshot, column, self._of_spg) or "NULL"
        if default == here.default:
            return None
        if _calls(here.default or ""):
            return default
        given, there = (f"({value})::{here.type.sql}::text" for value in (default, here.default or "NULL"))
        found = self._tried(f"SELECT {there} IS NOT DISTINCT FROM {given}")
        return None if found is not None and found.fetchone()[0] else default

    def _has_other_keys(self) -> bool:
        """Whether ON CONFLICT that names no columns meets other rows here."""
        rows = self._connection.execute(_UNIQUE, (self._present.oid,)).fetchall()
        here = {frozenset(columns or ()) if plain else None for columns, plain in rows}
        return here != {frozenset(key) for key in self._info.keys}


def _shown(key: _Key) -> str:
    columns, parent, parents, update, delete = key
    acts = [f"ON {event} {action}" for event, action in (("UPDATE", update), ("DELETE", delete)) if action]
    return f"({', '.join(columns)}) REFERENCES {parent} ({', '.join(parents)}) {' '.join(acts)}"


def _calls(sql: str) -> bool:
    """Whether a default calls a function, or is a word like CURRENT_TIMESTAMP; sizes of types do not count."""
    tokens = significant_tokens(sql)
    for at, token in enumerate(tokens):
        before = tokens[at - 1].text if at else ""
        follows = tokens[at + 1].text if at + 1 < len(tokens) else ""
        is_name = token.kind is TokenKind.WORD or token.kind is TokenKind.QUOTED
        if is_name and follows == "(" and not before.startswith(":"):
            return True
        if token.kind is TokenKind.WORD and token.upper.startswith(("CURRENT_", "LOCALTIME", "SESSION_", "USER")):
            return True
    return False
