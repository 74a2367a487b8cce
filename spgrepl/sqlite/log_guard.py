"""What no statement of a log may do to a copy, judged by SQLite itself while it compiles the statement.

Reading the text is not enough: SQLite takes a string for a name where only a name can stand, and the body of a
trigger or a view names tables that its caller does not. The authorizer sees every table that a statement touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from spgrepl.sqlite.own_names import ForbiddenStatement, refuse_forbidden
from spgrepl.sqlite.state import OWN_PREFIX

# ANALYZE and REINDEX look at every table where none is named, and change no content.
_NO_NAMES = frozenset(
    {
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_SELECT,
        apsw.SQLITE_RECURSIVE,
        apsw.SQLITE_PRAGMA,
        apsw.SQLITE_ANALYZE,
        apsw.SQLITE_REINDEX,
    }
)
_TEMPORARY = frozenset(
    {
        apsw.SQLITE_CREATE_TEMP_INDEX,
        apsw.SQLITE_CREATE_TEMP_TABLE,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
    }
)
_CREATING = frozenset(
    {
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
    }
)
_WITH_BODIES = frozenset({apsw.SQLITE_CREATE_TRIGGER, apsw.SQLITE_CREATE_VIEW})
_WRITES = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})

# What says something of the schema, as a statement or as a table such as pragma_table_info('t'). What FTS and
# rtree ask when they are made is among it, and quick_check, by which ALTER TABLE judges the rows that are there.
_HARMLESS = frozenset(
    """
    application_id collation_list data_version database_list encoding foreign_key_check foreign_key_list
    freelist_count function_list index_info index_list index_xinfo integrity_check module_list page_count
    page_size pragma_list quick_check schema_version table_info table_list table_xinfo user_version
    compile_options
    """.split()
)
_SETTABLE = frozenset({"user_version", "application_id"})
_WITH_ARGUMENT = frozenset(
    """
    foreign_key_check foreign_key_list index_info index_list index_xinfo integrity_check quick_check table_info
    table_list table_xinfo
    """.split()
)

_OWN_OBJECTS = (
    f"SELECT count(*) FROM sqlite_master WHERE substr(lower(name), 1, {len(OWN_PREFIX)}) = '{OWN_PREFIX}'"
)


class LogGuard:
    """The authorizer of a connection that applies a log. It judges only what runs `guarding`.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._on = False
        self._reason: str | None = None
        self._altered = False
        self._has_body = False
        connection.set_authorizer(self._judge)

    @contextmanager
    def guarding(self, text: str) -> Iterator[None]:
        """Judge the statements that are compiled inside.

        Args:
            text: What is run: the statements may come from SQLite's own cache only where they were judged.

        Raises:
            ForbiddenStatement: One may not be run here. The transaction must be rolled back.
        """
        self._start()
        own = self._count_own() if "alter" in text.lower() else 0
        try:
            yield
        except apsw.Error as error:
            # Of a function that was denied SQLite says so as of any other mistake.
            if self._reason is None and not isinstance(error, apsw.AuthError):
                raise
            raise ForbiddenStatement(self._reason or str(error)) from error
        finally:
            self._on = False
        if self._has_body and OWN_PREFIX in text.lower():
            # The body is judged only when it runs, which may be in another program.
            refuse_forbidden(text)
        if self._altered and self._count_own() != own:
            # SQLite says which table is renamed, and not into what.
            raise ForbiddenStatement(f"names that begin with {OWN_PREFIX} are spgrepl's own")

    def _start(self) -> None:
        self._reason, self._altered, self._has_body, self._on = None, False, False, True

    def _count_own(self) -> int:
        on, self._on = self._on, False
        try:
            found = self._connection.execute(_OWN_OBJECTS).fetchone()
        finally:
            self._on = on
        assert found is not None
        return int(str(found[0]))

    def _judge(self, action: int, one: str | None, two: str | None, schema: str | None, _by: str | None) -> int:
        if not self._on:
            return apsw.SQLITE_OK
        if action not in _NO_NAMES:
            for name in (one, two):
                if name is not None and name.lower().startswith(OWN_PREFIX):
                    return self._deny(f"{name} belongs to spgrepl: names that begin with {OWN_PREFIX} are its own")
        if action == apsw.SQLITE_ALTER_TABLE:
            self._altered = True
        elif makes_temporary(action, schema):
            return self._deny(
                "a temporary table, view, index or trigger would stand between the log and the tables of the copy"
            )
        elif action in _WITH_BODIES:
            self._has_body = True
        elif action == apsw.SQLITE_PRAGMA:
            return self._judge_pragma(one or "", two)
        elif action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH):
            return self._deny("a log has no business with other files of this machine")
        elif action == apsw.SQLITE_TRANSACTION:
            return self._deny("the transactions of a copy are its own")
        elif action in _WRITES and (one or "").lower() == "sqlite_dbpage":
            return self._deny("the pages of the copy are not the log's to write")
        elif action == apsw.SQLITE_FUNCTION and (two or "").lower() == "load_extension":
            return self._deny("a log has no business with other files of this machine")
        return apsw.SQLITE_OK

    def _judge_pragma(self, name: str, value: str | None) -> int:
        known = name.lower()
        if known in _HARMLESS and (value is None or known in _SETTABLE or known in _WITH_ARGUMENT):
            return apsw.SQLITE_OK
        return self._deny(
            f"PRAGMA {name} would change the settings of the copy, which are not the log's to change"
        )

    def _deny(self, reason: str) -> int:
        self._reason = reason
        return apsw.SQLITE_DENY


def makes_temporary(action: int, database: str | None) -> bool:
    """Whether a statement makes something temporary, which no copy has.

    Args:
        action: What SQLite's authorizer is asked.
        database: The database that it is about, where it is about one.
    """
    return action in _TEMPORARY or (action in _CREATING and database == "temp")
