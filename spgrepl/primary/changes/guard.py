"""What the statements of users may not touch: spgrepl's own tables, and what a copy does not have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw

from spgrepl.sqlite.log_guard import makes_temporary
from spgrepl.sqlite.state import OWN_PREFIX

_OK, _INSERT = apsw.SQLITE_OK, apsw.SQLITE_INSERT
_OTHER_FILES = frozenset({apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH})
# These two look at every table when none is named, and change no content.
_HARMLESS = frozenset({apsw.SQLITE_ANALYZE, apsw.SQLITE_REINDEX})


_MOST_KNOWN = 10_000


class ObjectGuard:
    """SQLite's authorizer for the statements of users.

    SQLite asks it while it compiles a statement, so it sees through views and triggers, whatever they are called.

    Attributes:
        watching: Whether what is compiled is a user's. What is our own is allowed.
    """

    def __init__(self) -> None:
        self.watching = False
        self._denied: str | None = None
        self._allowed: set[tuple[int, str | None, str | None, str | None]] = set()
        # The tables into which rows may be put: what is asked most, by far.
        self._open: set[str | None] = set()

    def install(self, connection: apsw.Connection) -> None:
        """Become the authorizer of a connection."""
        connection.authorizer = self._judge

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """Allow what is compiled inside the block, which is our own, in the midst of a user's statement."""
        before, self.watching = self.watching, False
        try:
            yield
        finally:
            self.watching = before

    def take(self) -> str | None:
        """Why something was denied since the last call; None when nothing was."""
        denied, self._denied = self._denied, None
        return denied

    def _judge(
        self, action: int, first: str | None, second: str | None, database: str | None, _within: str | None
    ) -> int:
        if not self.watching or (action == _INSERT and first in self._open):
            return _OK
        asked = (action, first, second, database)
        if asked in self._allowed:
            return _OK
        reason = None if action in _HARMLESS else self._reason(action, _lower(first), _lower(second), database)
        if reason is not None:
            self._denied = reason
            return apsw.SQLITE_DENY
        if len(self._allowed) >= _MOST_KNOWN:
            self._allowed.clear()
            self._open.clear()
        self._allowed.add(asked)
        if action == _INSERT:
            self._open.add(first)
        return _OK

    @staticmethod
    def _reason(action: int, first: str, second: str, database: str | None) -> str | None:
        if first.startswith(OWN_PREFIX) or second.startswith(OWN_PREFIX):
            name = first if first.startswith(OWN_PREFIX) else second
            return f"{name} belongs to spgrepl: names that begin with {OWN_PREFIX} are its own; use another one"
        if makes_temporary(action, database):
            return "a temporary table, view, index or trigger does not exist on a copy; create a lasting one"
        if action in _OTHER_FILES:
            return "another database file does not exist on a copy"
        return None


def _lower(name: str | None) -> str:
    return (name or "").lower()
