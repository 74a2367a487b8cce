"""What the primary's log says, read with Python's own SQLite: each state that a copy may have."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from spgrepl.catalogue.statements import is_control
from spgrepl.log.durable import read_durable
from spgrepl.log.reader import Damage, iterate_records, scan_log

TABLES = ("t", "u", "c")
PUBLISHED = ("t", "c")

Rows = tuple[tuple[tuple[Any, ...], ...], ...]


class InvariantBroken(AssertionError):
    """Something that must hold at any time does not."""


class Oracle:
    """Follows the log as it grows, as far as it is durable.

    Args:
        wal: The primary's log.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self.position = 0
        self._open = False
        self.states: dict[int, Rows] = {0: ()}
        self.published: dict[int, Rows] = {0: ()}

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def follow(self) -> None:
        """Read what is new.

        Raises:
            InvariantBroken: What was durable before is not there any more, or the log is damaged.
        """
        if not self._wal.exists():
            return
        size = self._wal.stat().st_size
        durable = read_durable(self._wal)
        end = size
        if durable is not None and durable.open and durable.inode == self._wal.stat().st_ino:
            end = min(size, durable.length)
        if end < self.position:
            raise InvariantBroken(f"the log was durable up to {self.position} and ends at {end}")
        if end == self.position:
            return
        for batch in iterate_records(self._wal, self.position, end=end):
            for index, sql in enumerate(batch.sql):
                self._apply(sql, batch.position + batch.ends[index])

    def verify(self) -> None:
        """See that the log is whole.

        Raises:
            InvariantBroken: It is not.
        """
        if self._wal.exists() and (found := scan_log(self._wal, end=self.position)).damage is not Damage.NONE:
            raise InvariantBroken(f"the log is damaged: {found}")

    def _apply(self, sql: bytes | None, end: int) -> None:
        text = "" if sql is None else sql.decode()
        word = text[:8].upper()
        if word.startswith("BEGIN"):
            self._open = True
        if text and not is_control(text):
            self._database.execute(text)
        if word.startswith(("COMMIT", "ROLLBACK")):
            self._open = False
        if not self._open:
            self.position = end
            self.states[end] = rows_of(self._database, TABLES)
            self.published[end] = rows_of(self._database, PUBLISHED)

    def at(self, position: int, published: bool = False) -> Rows:
        """The state at a position.

        Raises:
            InvariantBroken: It is not the end of a unit.
        """
        states = self.published if published else self.states
        if position not in states:
            raise InvariantBroken(f"position {position} is inside of a unit, or beyond the durable log")
        return states[position]


def rows_of(database: Any, tables: tuple[str, ...]) -> Rows:
    """The rows of some tables in the order of their keys; none of a table that is not there."""
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return tuple(
        tuple(database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall())
        for table in tables
        if table in there
    )
