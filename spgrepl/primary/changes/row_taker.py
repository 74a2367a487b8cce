"""Rows written down by the compiled core, which SQLite calls for each one: what `row_run` does in Python.

Two kinds of changes are nearly all there are, and come this way where there is a core: those of a statement that
changes many rows of one table, and those of requests that were put together, each of which is a statement.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from spgrepl.compiled.core import CORE, CompiledRowTaker, Core
from spgrepl.log.format.records import encode_statement
from spgrepl.primary.changes.layout import TableLayout
from spgrepl.rows.names import name_text
from spgrepl.rows.values import value_text

_MOST_BYTES = 256 * 1024

_GROUPS_APART = 100
"""After a group that could not be taken so many are not tried."""


def plan_of(layout: TableLayout, core: Core) -> object:
    """How the core writes the rows of a table down."""
    name = name_text(layout.name)
    # The first piece of an UPDATE or DELETE has the beginning of the statement in front of the name of a column.
    delete_head = f"DELETE FROM {name}"
    first, *others = layout.delete_pieces
    where = [first.removeprefix(delete_head), *others]
    return core.RowPlan(
        layout.name,
        layout.insert_head.encode(),
        f"UPDATE {name} SET ".encode(),
        delete_head.encode(),
        [f"{name_text(column)}=".encode() for column in layout.columns],
        list(layout.places),
        [piece.encode() for piece in where],
        [layout.places[place] for place in layout.key_places],
        layout.is_named_by_number,
        not layout.key,
        layout.counts_up,
    )


class RowTaker:
    """The preupdate hook of the compiled core, and the plans of the tables that it knows.

    Args:
        core: The compiled core.
        other: Called with each change that the core leaves alone.
        full: Called when what was taken of a run has to be written down.

    Attributes:
        hook: What SQLite has to call.
        began: To be called when a statement of a group begins; returns whether it may.
        running: Whether a run is being taken.
        grouped: Whether a group is being taken.
    """

    def __init__(self, core: Core, other: Callable[[apsw.PreUpdate], None], full: Callable[[], None]) -> None:
        self._core = core
        self._taker: CompiledRowTaker = core.RowTaker(
            other, full, value_text, apsw.no_change, encode_statement, _MOST_BYTES
        )
        self.hook = self._taker.take
        self.taken = self._taker.taken
        self.refuse = self._taker.refuse
        self.began = self._taker.next
        self.running = self.grouped = False
        self._plans: dict[str, object] = {}
        self._pause = 0

    def forget(self) -> None:
        """The schema may have changed."""
        self._plans.clear()

    def drop(self) -> None:
        """Take nothing any more, and forget what was taken."""
        if self.running or self.grouped:
            self._taker.drop()
            self.running = self.grouped = False

    def begin(self, layout: TableLayout, operation: int) -> None:
        """Take the changes of one table by one operation."""
        self._taker.begin(self._plan(layout), operation)
        self.running = True

    def _plan(self, layout: TableLayout) -> object:
        plan = self._plans.get(layout.name)
        if plan is None:
            plan = self._plans[layout.name] = plan_of(layout, self._core)
        return plan

    # -- groups -----------------------------------------------------------------------------------------------

    def begin_group(self) -> bool:
        """Take the rows of the statements of a group; returns whether that is worth a try."""
        if self._pause:
            self._pause -= 1
            return False
        self._taker.begin_group(self._plans)
        self.grouped = True
        return True

    def take_of_group(self, layout: TableLayout, change: apsw.PreUpdate) -> None:
        """Take a change of a table that was not known yet."""
        if layout.name in self._plans:
            self._taker.refuse()
            return
        self._plan(layout)
        self._taker.take(change)

    def end_group(self) -> tuple[bytes, list[int], int, dict[str, int]] | None:
        """The group's records, where those of each statement end, the longest one's size, highest numbers.

        Returns:
            None where something has to be written down in another way.
        """
        if self._taker.unfit:
            self._pause = _GROUPS_APART
            return None
        return self._taker.end_group()


def row_taker(other: Callable[[apsw.PreUpdate], None], full: Callable[[], None]) -> RowTaker | None:
    """Make one, where there is a compiled core."""
    return None if CORE is None else RowTaker(CORE, other, full)
