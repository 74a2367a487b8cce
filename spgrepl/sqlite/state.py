"""The row in a SQLite database that says which position in the log its rows correspond to."""

from __future__ import annotations

import json
import re

import apsw
import attrs

from spgrepl.base.histories import History, decode_histories, encode_histories, served
from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import NO_NOTES, Fence, Mark, ReplayState, TransactionNotes
from spgrepl.sqlite.any_connection import SqlConnection

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
    fence_crc INTEGER,
    pair TEXT,
    marks TEXT,
    diverged TEXT,
    histories TEXT,
    transactions TEXT
)
"""
_LATER = ("pair", "marks", "diverged", "histories", "transactions")
"""Columns that tables of earlier versions lack."""

_FIND = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_replay'"
HAS_SUBSCRIPTIONS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_subscriber'"
"""Gives a row where the table of the subscriptions is there."""

_COLUMNS = "role, position, base, fence_start, fence_crc"
_WRITE = (
    "INSERT OR REPLACE INTO spgrepl_replay (id, role, position, base, fence_start, fence_crc, pair, "
    "marks, diverged, histories, transactions) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MOVE = "UPDATE spgrepl_replay SET position = ?, fence_start = ?, fence_crc = ? WHERE id = 1"


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

    @property
    def served(self) -> tuple[History, ...]:
        """The histories as those see them who get this database's log."""
        replay = self.replay
        return served(replay.pair, replay.base, replay.histories, at_head=self.role == ROLE_PRIMARY)


def ensure_table(connection: SqlConnection) -> None:
    """Create the state table where it is missing, and the columns that one of an earlier version lacks."""
    connection.execute(_CREATE)
    found = connection.execute(_FIND).fetchone()
    for column in _LATER:
        # Where a stranger's view has the name, writing says so.
        if found is not None and not _has(found[0], column):
            connection.execute(f"ALTER TABLE spgrepl_replay ADD COLUMN {column} TEXT")


def _has(made: str, column: str) -> bool:
    """Whether the text that made the table names a column; one that was added stands in it, too."""
    return re.search(rf"\b{column}\b", made) is not None


def read_state(connection: SqlConnection) -> StoredState | None:
    """Read the state row; None where the database has none.

    Raises:
        LocalFilesDamaged: The row is not one that spgrepl writes.
    """
    found = connection.execute(_FIND).fetchone()
    if found is None:
        return None
    later = ", ".join(column if _has(found[0], column) else f"NULL AS {column}" for column in _LATER)
    row = connection.execute(f"SELECT {_COLUMNS}, {later} FROM spgrepl_replay WHERE id = 1").fetchone()
    if row is None:
        return None
    role, position, base, fence_start, fence_crc, pair, marks, diverged, histories, transactions = row
    fence = None if fence_start is None else Fence(fence_start, fence_crc)
    try:
        known, notes = decode_histories(histories), decode_notes(transactions)
        further = decode_marks(marks)
        return StoredState(role, ReplayState(position, base, fence, pair, further, diverged, known, notes))
    except (ValueError, TypeError) as error:
        raise LocalFilesDamaged(
            f"the row of the table spgrepl_replay cannot be read ({error}); restore the database from a backup"
        ) from error


def subscription_names(connection: SqlConnection) -> list[str]:
    """The names of the subscriptions that a database has a row of."""
    if connection.execute(HAS_SUBSCRIPTIONS).fetchone() is None:
        return []
    return [str(name) for (name,) in connection.execute("SELECT name FROM spgrepl_subscriber ORDER BY name")]


def write_state(connection: SqlConnection, role: str, state: ReplayState) -> None:
    """Write the state row, as part of whatever transaction is open; the table is there, see `ensure_table`."""
    start, crc = (None, None) if state.fence is None else (state.fence.start, state.fence.crc)
    marks = encode_marks(state.marks) if state.marks else None
    known = encode_histories(state.histories) if state.histories else None
    notes = None if state.notes == NO_NOTES else encode_notes(state.notes)
    values = (role, state.position, state.base, start, crc, state.pair, marks, state.diverged, known, notes)
    connection.execute(_WRITE, values)


def move_state(connection: apsw.Connection, state: ReplayState) -> None:
    """Write the position and the fence of a primary, as part of whatever transaction is open.

    All else is as it was written: the row is written whole only where there is none.
    """
    assert state.fence is not None
    connection.execute(_MOVE, (state.position, state.fence.start, state.fence.crc))
    if connection.changes() != 1:
        write_state(connection, ROLE_PRIMARY, state)


def encode_marks(marks: tuple[Mark, ...]) -> str:
    """Marks as JSON: a list of start, stop and CRC of each."""
    return json.dumps([attrs.astuple(mark) for mark in marks], separators=(",", ":"))


def decode_marks(text: str | None) -> tuple[Mark, ...]:
    """Read what `encode_marks` wrote; None stands for no marks.

    Raises:
        TypeError, ValueError: It is something else.
    """
    if text is None:
        return ()
    return tuple(Mark(int(start), int(stop), int(crc)) for start, stop, crc in json.loads(text))


def encode_notes(notes: TransactionNotes) -> str:
    """What there is to know of transactions as JSON: an object of what differs from `NO_NOTES`."""
    content = {name: value for name, value in attrs.asdict(notes).items() if value != getattr(NO_NOTES, name)}
    return json.dumps(content, separators=(",", ":"))


def decode_notes(text: str | None) -> TransactionNotes:
    """Read what `encode_notes` wrote; None stands for nothing to know.

    Raises:
        TypeError, ValueError: It is something else.
    """
    if text is None:
        return NO_NOTES
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(value, int) for value in content.values()):
        raise ValueError(f"transactions {text!r}")
    return TransactionNotes(**content)
