"""What the statements of users may not touch: spgrepl's own tables, and what a copy does not have."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from spgrepl.engines.sqlite_state import OWN_PREFIX
from spgrepl.primary.functions import REFUSED_FUNCTIONS, explain

_OF_THIS_MACHINE = ("pragma_", "sqlite_stmt", "sqlite_dbpage", "dbstat", "bytecode", "tables_used")
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"})

_TEMPORARY = frozenset(
    {
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
    }
)
_CREATING = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_VTABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_TRIGGER,
    }
)
_WRITING = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE})
_OTHER_FILES = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
# These two look at every table when none is named, and change no content.
_HARMLESS = frozenset({sqlite3.SQLITE_ANALYZE, sqlite3.SQLITE_REINDEX})


class ObjectGuard:
    """SQLite's authorizer for the statements of users.

    SQLite asks it while it compiles a statement, so it sees through views and triggers, whatever they are called.
    """

    def __init__(self) -> None:
        self._watching = False
        self._evaluates = False
        self._denied: str | None = None
        self._written: set[str] = set()

    def install(self, connection: sqlite3.Connection) -> None:
        """Become the authorizer of a connection."""
        connection.set_authorizer(self._judge)

    @contextlib.contextmanager
    def watching(self, evaluates: bool) -> Iterator[None]:
        """Judge what is compiled inside the block; what is compiled outside of one is our own and allowed.

        Args:
            evaluates: Whether it is a statement whose expressions make rows. For others, those that change the
                schema, SQLite itself reads the schema's tables and asks PRAGMAs.
        """
        self._watching, self._evaluates = True, evaluates
        try:
            yield
        finally:
            self._watching = False

    def take(self) -> str | None:
        """Why something was denied since the last call; None when nothing was."""
        denied, self._denied = self._denied, None
        return denied

    def take_written(self) -> set[str]:
        """The tables that statements compiled since the last call add rows to or change rows of."""
        written, self._written = self._written, set()
        return written

    def _judge(
        self, action: int, first: str | None, second: str | None, database: str | None, _within: str | None
    ) -> int:
        if not self._watching or action in _HARMLESS:
            return sqlite3.SQLITE_OK
        reason = self._reason(action, (first or "").lower(), (second or "").lower(), database)
        if reason is None:
            if action in _WRITING and first is not None:
                self._written.add(first)
            return sqlite3.SQLITE_OK
        self._denied = reason
        return sqlite3.SQLITE_DENY

    def _reason(self, action: int, first: str, second: str, database: str | None) -> str | None:
        if first.startswith(OWN_PREFIX) or second.startswith(OWN_PREFIX):
            name = first if first.startswith(OWN_PREFIX) else second
            return f"{name} belongs to spgrepl: names that begin with {OWN_PREFIX} are its own; use another one"
        if action == sqlite3.SQLITE_READ and self._evaluates:
            return self._reason_not_to_read(first, second)
        if action == sqlite3.SQLITE_FUNCTION and second in REFUSED_FUNCTIONS:
            # Those of the net are left to it: it knows whether they are called at all.
            return explain(second) if second in _ONLY_HERE else None
        if action in _TEMPORARY or (action in _CREATING and database == "temp"):
            return "a temporary table, view, index or trigger does not exist on a copy; create a lasting one"
        if action in _OTHER_FILES:
            return "another database file does not exist on a copy"
        return None

    @staticmethod
    def _reason_not_to_read(table: str, column: str) -> str | None:
        if table.startswith(_OF_THIS_MACHINE):
            return f"what {table} tells of this database or machine differs on a copy; write the values themselves"
        # To make a table, or to declare a table-valued function, SQLite reads the schema's rowid, nothing else.
        if table in _SCHEMA_TABLES and column != "rowid":
            return f"{table} differs on a copy, which has tables of its own; write the values themselves"
        return None


_ONLY_HERE = frozenset(
    {"load_extension", "sqlite_compileoption_get", "sqlite_compileoption_used", "fts3_tokenizer"}
)
