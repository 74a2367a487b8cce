"""Rows of an SPG snapshot that a copy does without, because their cold segments never came: noted in the copy.

They are in no log: whoever looks at the copy later knows of them only from here. The table travels with the
copy's own snapshots, and is changed in the transaction that gives the rows up, or begins again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from spgrepl.postgresql.names import SCHEMA
from spgrepl.sqlite.any_connection import SqlConnection

TABLE = "spgrepl_spg_left_out"
"""The table in SQLite; in a server it is one of our schema."""

_COLUMNS = "(subscription, table_name, row_count, first_key)"


@attrs.frozen
class LeftOutRows:
    """Rows of one table that a copy does without.

    Attributes:
        table: The table.
        rows: How many they are.
        first_key: The lowest of their keys.
    """

    table: str
    rows: int
    first_key: int


class LeftOutNotes:
    """What a copy does without.

    Args:
        subscription: The subscription that did the copying; empty for a follower.
        server: Whether the copy is in a server of PostgreSQL's protocol.
    """

    def __init__(self, subscription: str = "", server: bool = False) -> None:
        self._subscription = subscription
        self._known: tuple[LeftOutRows, ...] = ()
        self._noted: tuple[LeftOutRows, ...] = ()
        if server:
            self._table, self._mark = f"{SCHEMA}.left_out", "%s"
            self._there = f"SELECT 1 WHERE to_regclass('{SCHEMA}.left_out') IS NOT NULL"
            number, text = "bigint", "text"
        else:
            self._table, self._mark = TABLE, "?"
            self._there = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{TABLE}'"
            number, text = "INTEGER", "TEXT"
        self._create = (
            f"CREATE TABLE {self._table} (subscription {text} NOT NULL, table_name {text} NOT NULL, "
            f"row_count {number} NOT NULL, first_key {number} NOT NULL, PRIMARY KEY (subscription, table_name))"
        )

    def look(self, connection: SqlConnection) -> None:
        """Read what a copy that is opened says."""
        if connection.execute(self._there).fetchone() is None:
            self._known = ()
            return
        query = (
            f"SELECT table_name, row_count, first_key FROM {self._table} WHERE subscription = {self._mark} "
            f"ORDER BY table_name"
        )
        found = connection.execute(query, (self._subscription,)).fetchall()
        self._known = tuple(LeftOutRows(str(table), int(rows), int(key)) for table, rows, key in found)

    def note(self, connection: SqlConnection, left_out: Iterable[LeftOutRows]) -> None:
        """Write down, in the open transaction, what the copy does without from now on, and nothing else."""
        found = self._noted = tuple(left_out)
        if connection.execute(self._there).fetchone() is not None:
            connection.execute(
                f"DELETE FROM {self._table} WHERE subscription = {self._mark}", (self._subscription,)
            )
        elif found:
            connection.execute(self._create)
        marks = ", ".join([self._mark] * 4)
        for one in found:
            connection.execute(
                f"INSERT INTO {self._table} {_COLUMNS} VALUES ({marks})",
                (self._subscription, one.table, one.rows, one.first_key),
            )

    def committed(self) -> None:
        """What was noted is durable."""
        self._known = self._noted

    def as_values(self) -> Mapping[str, Any]:
        """For the status: ``cold_rows_left_out``, by table; nothing where there are none."""
        if not self._known:
            return {}
        return {
            "cold_rows_left_out": {
                one.table: {"rows": one.rows, "first_key": one.first_key} for one in self._known
            }
        }


def left_out_of(counts: Iterable[tuple[Any, ...]]) -> list[LeftOutRows]:
    """Make values of rows: table, how many, the lowest key."""
    return [LeftOutRows(str(table), int(rows), int(key)) for table, rows, key in counts]
