"""The row in a SQLite database that says which position in the log its rows correspond to."""

from __future__ import annotations

import sqlite3

import attrs

from spgrepl.engines.interfaces import Fence, ReplayState

OWN_PREFIX = "spgrepl_"
"""All tables with this prefix belong to spgrepl: no statement of the log or of a user may touch them."""

ROLE_PRIMARY = "primary"
ROLE_FOLLOWER = "follower"

_CREATE = """
CREATE TABLE IF NOT EXISTS spgrepl_replay (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    role TEXT NOT NULL,
    position INTEGER NOT NULL,
    base INTEGER NOT NULL,
    fence_start INTEGER,
    fence_crc INTEGER
)
"""
_READ = "SELECT role, position, base, fence_start, fence_crc FROM spgrepl_replay WHERE id = 1"
_WRITE = (
    "INSERT OR REPLACE INTO spgrepl_replay (id, role, position, base, fence_start, fence_crc) "
    "VALUES (1, ?, ?, ?, ?, ?)"
)


@attrs.frozen
class StoredState:
    """What a database says of itself.

    Attributes:
        role: `ROLE_PRIMARY` or `ROLE_FOLLOWER`.
        replay: The position that its rows correspond to. A primary's base is 0, and its fence covers
            the records that it wrote last.
    """

    role: str
    replay: ReplayState


def ensure_table(connection: sqlite3.Connection) -> None:
    """Create the state table where it is missing."""
    connection.execute(_CREATE)


def read_state(connection: sqlite3.Connection) -> StoredState | None:
    """Read the state row; None where the database has none."""
    found = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_replay'"
    ).fetchone()
    row = connection.execute(_READ).fetchone() if found else None
    if row is None:
        return None
    role, position, base, fence_start, fence_crc = row
    fence = None if fence_start is None else Fence(fence_start, fence_crc)
    return StoredState(role, ReplayState(position, base, fence))


def write_state(connection: sqlite3.Connection, role: str, state: ReplayState) -> None:
    """Write the state row, as part of whatever transaction is open."""
    start, crc = (None, None) if state.fence is None else (state.fence.start, state.fence.crc)
    connection.execute(_WRITE, (role, state.position, state.base, start, crc))
