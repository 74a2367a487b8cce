"""Statements at the start of a log that an SPG snapshot holds already: an INSERT that meets its own row.

A server states a position for its snapshot that may lie in front of records which are in it. The server accepted
each of them. So one that breaks a constraint between rows here, right after the snapshot, meets what it has made
itself, or what later ones have made of that: it changes nothing, and is counted. So does what makes a table or an
index that is there.
"""

from __future__ import annotations

import re

import apsw

from spgrepl.sqlite.session import extended_code
from spgrepl.text.role_log import RoleLogger

_BETWEEN_ROWS = frozenset(
    {
        apsw.SQLITE_CONSTRAINT_PRIMARYKEY,
        apsw.SQLITE_CONSTRAINT_UNIQUE,
        apsw.SQLITE_CONSTRAINT_ROWID,
        apsw.SQLITE_CONSTRAINT_FOREIGNKEY,
    }
)
_THERE = re.compile(r"(?:table|index|column)\b.* (?:already exists|is there already)|duplicate column name")
_NAMED = 20


class OwnRows:
    """Judges statements that SQLite refuses.

    Attributes:
        expected: Whether the log still stands where the snapshot may hold its records.
    """

    _log = RoleLogger()

    def __init__(self) -> None:
        self.expected = False
        self._met = 0
        self._named = 0

    def take_met(self) -> int:
        """How many statements the snapshot held already, since this was asked for the last time."""
        met, self._met = self._met, 0
        return met

    def holds(self, error: Exception) -> bool:
        """Whether a statement was refused with this error because the snapshot holds it."""
        if not self.expected:
            return False
        between_rows = extended_code(error) in _BETWEEN_ROWS
        if not between_rows and _THERE.search(str(error)) is None:
            return False
        self._met += 1
        if self._named < _NAMED:
            self._named += 1
            self._log.warn(
                "a statement of the log is in the snapshot already, and is skipped: {error}", error=error
            )
        return True
