"""The table in a SQLite database that lists the cold segments beside it."""

from __future__ import annotations

from pathlib import Path

import apsw

_CREATE = "CREATE TABLE IF NOT EXISTS spgrepl_segments (id INTEGER PRIMARY KEY, path TEXT NOT NULL)"
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_segments'"


def drop(connection: apsw.Connection) -> None:
    """Remove the list: that of a received snapshot speaks of its master's files."""
    connection.execute("DROP TABLE IF EXISTS spgrepl_segments")


class SegmentTable:
    """Knows which segments there are, and which of them the table does not list yet."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._unwritten: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def attach(self, segment_id: int, path: Path) -> None:
        """Note a segment."""
        self._known[segment_id] = self._unwritten[segment_id] = str(path)

    def write_all_again(self) -> None:
        """The table is gone: all segments are to be listed again."""
        self._unwritten = dict(self._known)

    def missing(self, connection: apsw.Connection) -> bool:
        """Whether something is to be written; what the table lists already is not."""
        if self._unwritten and connection.execute(_THERE).fetchone():
            for segment_id, path in list(self._unwritten.items()):
                row = connection.execute(
                    "SELECT path FROM spgrepl_segments WHERE id = ?", (segment_id,)
                ).fetchone()
                if row is not None and row[0] == path:
                    del self._unwritten[segment_id]
        return bool(self._unwritten)

    def write(self, connection: apsw.Connection) -> None:
        """List what is not listed yet, inside whatever transaction is open."""
        if self._unwritten:
            connection.execute(_CREATE)
            connection.executemany(
                "INSERT OR REPLACE INTO spgrepl_segments VALUES (?, ?)", list(self._unwritten.items())
            )

    def written(self) -> None:
        """What was listed is durable."""
        self._unwritten.clear()
