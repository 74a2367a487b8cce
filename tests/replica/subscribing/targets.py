"""Databases to test targets with: snapshots of masters, and looks into what a target holds."""

from __future__ import annotations

import contextlib
from pathlib import Path

from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.sqlite import state as sqlite_state
from tests import sql as sqlite3

STATE = SubscriptionState(("p", "q"), 40, 90, (FenceRecord(40, 7), FenceRecord(60, 0xFFFFFFFF)))


def make_snapshot(path: Path, *statements: str, control: tuple[str, ...] = (), encoding: str = "UTF-8") -> Path:
    """A database as a master of this package sends it: tables, rows, catalogue and state."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("BEGIN")
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, sqlite_state.ROLE_PRIMARY, ReplayState(900, 0))
        for statement in statements:
            connection.execute(statement)
        for statement in control:
            note_control(connection, statement.encode())
        connection.execute("COMMIT")
    return path


def run_sql(path: Path, *statements: str) -> None:
    """Change a database as another program would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What another program reads."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def objects(path: Path) -> list[str]:
    """The names of all that a database's schema holds, but for spgrepl's and SQLite's own."""
    query = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'spgrepl%' AND name NOT LIKE 'sqlite%' ORDER BY 1"
    return [str(name) for (name,) in rows(path, query)]
