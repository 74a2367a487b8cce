"""The counters of AUTOINCREMENT tables, which SQLite keeps in ``sqlite_sequence`` without reporting it.

A copy that inserts the same rows counts the same, but for the numbers that no row shows: those of rows that were
ignored, or that met a conflict and changed another row. Such counters are written down as changes of
``sqlite_sequence``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import attrs

from spgrepl.primary.changes.layout import Unwritable
from spgrepl.rows.render import render_delete, render_insert, render_update
from spgrepl.rows.values import RowValue

TABLE = "sqlite_sequence"
LAST_NUMBER = 2**63 - 1


@attrs.frozen
class Counted:
    """What is known of the counters at one moment.

    Attributes:
        before: What both sides had when last they were compared; None where that is not known.
        since: The counters that rows have changed on a copy since then; None for one that was deleted.
    """

    before: dict[str, RowValue] | None
    since: dict[str, RowValue]


class SequenceTracker:
    """Follows what the counters of a copy are, from the rows that are written down.

    Args:
        connection: The connection that writes.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._before: dict[str, RowValue] | None = None
        self._since: dict[str, RowValue] = {}

    def forget(self) -> None:
        """The counters may have changed in a way that a copy followed by itself."""
        self._before, self._since = None, {}

    def save(self) -> Counted | None:
        """What is known now, for `restore`."""
        if not self._before and not self._since and self._before is not None:
            return None  # there is nothing that counts
        return Counted(self._before, dict(self._since))

    def restore(self, counted: Counted | None) -> None:
        """Go back to what was known, for what came after it was rolled back."""
        if counted is None:
            self._before, self._since = {}, {}
            return
        self._before, self._since = counted.before, dict(counted.since)

    def start(self) -> None:
        """Know the counters before rows change."""
        if self._before is None:
            self._before = self._read()

    def _read(self) -> dict[str, RowValue]:
        if not self._connection.table_exists("main", TABLE):
            return {}
        rows: Any = self._connection.execute(f"SELECT name, seq FROM main.{TABLE}").fetchall()
        # Whoever wrote a name that is not text meant no table: nothing counts there.
        return {name: number for name, number in rows if isinstance(name, str)}

    def _of_copy(self, table: str) -> RowValue:
        if table in self._since:
            return self._since[table]
        return (self._before or {}).get(table)

    def used_up(self) -> str | None:
        """A table that has no number for a next row, as far as is known here; None where there is none."""
        known = (self._before or {}) | self._since
        return next((name for name, number in known.items() if number == LAST_NUMBER), None)

    def inserted(self, table: str, number: int) -> None:
        """A row of an AUTOINCREMENT table was written down."""
        known = self._of_copy(table)
        self._since[table] = max(known, number) if isinstance(known, int) else max(0, number)

    def changed(
        self,
        old: tuple[RowValue, ...] | None,
        new: tuple[RowValue, ...] | None,
        add: Callable[[bytes], None],
    ) -> None:
        """A change of ``sqlite_sequence`` is about to be written down.

        Args:
            old: The row before; None for a new one.
            new: The row after; None for one that goes.
            add: Takes a statement that a copy needs first: a counter that it does not have yet.

        Raises:
            Unwritable: It gives a table a second counter, or its name is not text.
        """
        if old is not None and isinstance(old[0], str):
            if self._of_copy(old[0]) is None:
                add(render_insert(TABLE, ("name", "seq"), old))
            self._since[old[0]] = None
        if new is not None:
            if not isinstance(new[0], str):
                raise Unwritable(f"{new[0]!r} is not the name of a table: a row of sqlite_sequence needs one")
            if self._of_copy(new[0]) is not None:
                raise Unwritable(f"table {new[0]!r} has a counter in sqlite_sequence already: UPDATE that one")
            self._since[new[0]] = new[1]

    def settle(self, add: Callable[[bytes], None]) -> None:
        """Write down the counters that a copy does not find by itself.

        Args:
            add: Takes the statements.
        """
        if self._before is None:
            return
        present = self._read()
        names = present.keys() | self._before.keys() | self._since.keys() if present or self._since else ()
        for name in sorted(names):
            known, wanted = self._of_copy(name), present.get(name)
            if known == wanted:
                continue
            if wanted is None:
                add(render_delete(TABLE, ("name",), (name,)))
            elif known is None:
                add(render_insert(TABLE, ("name", "seq"), (name, wanted)))
            else:
                add(render_update(TABLE, ("seq",), (wanted,), ("name",), (name,)))
        self._before, self._since = present, {}
