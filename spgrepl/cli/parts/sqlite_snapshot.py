"""A SQLite database that is a snapshot of spgrepl, or any other: what it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from spgrepl.catalogue.stored import read_publications
from spgrepl.errors import SnapshotError
from spgrepl.sqlite.state import OWN_PREFIX, read_state
from spgrepl.text.quantities import number_of

_BUSY_MILLISECONDS = 10_000

_STEPS = 2000
"""Steps of SQLite's machine between two looks at the time; a page of a tree counts as one, too."""


def open_readonly(path: Path) -> apsw.Connection:
    """Open a database for reading.

    Raises:
        apsw.Error: It cannot be opened.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    return connection


def quoted(name: str) -> str:
    """A name as SQL has it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def describe_sqlite(path: Path, told: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Say what a database holds, and have SQLite check it. Blocking.

    Args:
        path: The database.
        told: Called now and then while SQLite checks it, with what is checked.

    Raises:
        SnapshotError: It cannot be read.
        LocalFilesDamaged: Its catalogue of publications is damaged.
    """
    try:
        with contextlib.closing(open_readonly(path)) as connection:
            checked = _amount(path, connection)

            def look() -> bool:
                told(checked)
                return False

            connection.set_progress_handler(look, _STEPS)
            return _described(path, connection)
    except apsw.Error as error:
        raise SnapshotError(f"{path} cannot be read as a SQLite database: {error}") from error


def _amount(path: Path, connection: apsw.Connection) -> str:
    """What SQLite has to check, for people; nothing is said of how far that is."""
    tables = len(table_names(connection))
    size = f"{path.stat().st_size / 1e6:,.0f} MB"
    return f"SQLite checks {number_of(tables, 'table')}, {size}"


def _described(path: Path, connection: apsw.Connection) -> dict[str, Any]:
    connection.execute("BEGIN")
    verdicts = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    sound = verdicts == ["ok"]
    stored = read_state(connection)
    return {
        "file": str(path),
        "kind": "SQLite database",
        "bytes": path.stat().st_size,
        "sound": sound,
        "versions": {
            "user_version": connection.pragma("user_version"),
            "role": None if stored is None else stored.role,
            "position": None if stored is None else stored.replay.position,
        },
        "checks": ["SQLite finds it sound"] if sound else verdicts,
        "tables": [_table(connection, name) for name in table_names(connection)] if sound else [],
        "views": [
            {"name": name, "sql": sql, "materialized": False}
            for name, sql in connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name"
            )
        ],
        "publications": [
            {"name": one.name, "scope": one.scope.value, "tables": list(one.tables)}
            for one in read_publications(connection).by_name.values()
        ],
        "subscriptions": [],
        "objects": {},
    }


def table_names(connection: apsw.Connection) -> list[str]:
    """The names of all tables but SQLite's and spgrepl's own."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [name for (name,) in found if not name.lower().startswith(("sqlite_", OWN_PREFIX))]


def _table(connection: apsw.Connection, name: str) -> dict[str, Any]:
    rows = connection.execute(f"SELECT count(*) FROM {quoted(name)}").get
    columns = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?) ORDER BY cid', (name,)
    )
    return {
        "name": name,
        "rows": rows,
        "columns": [
            {
                "name": column,
                "type": kind,
                "flags": [
                    *(["NOT NULL"] if required else []),
                    *([f"DEFAULT {default}"] if default is not None else []),
                    *(["PRIMARY KEY"] if key else []),
                ],
            }
            for column, kind, required, default, key in columns
        ],
    }
