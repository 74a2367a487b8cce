"""What was skipped and what was approximated, counted in the copy itself, with the rows that it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from spgrepl.sqlite.any_connection import SqlConnection

COUNTS_TABLE = "spgrepl_spg_counts"
"""The table of the counts."""

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {COUNTS_TABLE} (what TEXT NOT NULL, table_name TEXT NOT NULL, "
    f"name TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (what, table_name, name)) WITHOUT ROWID"
)
_ADD = f"INSERT INTO {COUNTS_TABLE} VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_SKIPPED, _APPROXIMATED = "skipped", "approximated"


class Counts:
    """The counts of a copy.

    Args:
        connection: The copy.
    """

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self._made = connection.execute(_THERE, (COUNTS_TABLE,)).fetchone() is not None
        self._pending: Counter[tuple[str, str, str]] = Counter()
        self._stored: Counter[tuple[str, str, str]] = Counter()
        if self._made:
            for what, table, name, count in connection.execute(f"SELECT * FROM {COUNTS_TABLE}").fetchall():
                self._stored[what, table, name] = int(count)

    def skip(self, kind: str) -> None:
        """Count a statement that has no effect on rows."""
        self._pending[_SKIPPED, "", kind] += 1

    def approximate(self, table: str, what: str) -> None:
        """Count a statement of which something has another value than the master's."""
        self._pending[_APPROXIMATED, table, what] += 1

    def store(self) -> None:
        """Write the counts, in the transaction of the statements that they are about."""
        if not self._pending:
            return
        if not self._made:
            self._connection.execute(_CREATE)
        for key, count in self._pending.items():
            self._connection.execute(_ADD, (*key, count))

    def committed(self) -> None:
        """What was written is durable."""
        if self._pending:
            self._made = True
            self._stored.update(self._pending)
            self._pending.clear()

    def undone(self) -> None:
        """The transaction was rolled back."""
        self._pending.clear()

    def as_values(self) -> Mapping[str, object]:
        """For the status: what was skipped, by kind; what was approximated, by table and what."""
        skipped: dict[str, int] = {}
        approximated: dict[str, dict[str, int]] = {}
        for (what, table, name), count in sorted(self._stored.items()):
            if what == _SKIPPED:
                skipped[name] = count
            else:
                approximated.setdefault(table, {})[name] = count
        return {_SKIPPED: skipped, _APPROXIMATED: approximated}
