"""Rows of a subscription, applied to a database that has rows, and perhaps triggers, of its own."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from spgrepl.engines.row_applier import (
    INSERT_EXISTS,
    UPDATE_EXISTS,
    RowApplier,
    RowConflict,
    bound_values,
    require_empty,
)
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.shapes import Shape, parameters_sql
from spgrepl.rows.values import RowValue


class SubscribedRows(RowApplier):
    """Applies rows where not all rows come from the master.

    - A record that empties a table cannot say which rows the master had: it is refused while there are any.
    - Where triggers fire, rows are not written with OR ABORT, which would hold inside of triggers, too, whatever
      those say. That a row replaces none by an ON CONFLICT clause of its table is seen by SQLite's hook.

    Args:
        connection: The connection, with a transaction open when rows are applied.
        fire_triggers: Whether its triggers are on.
    """

    def __init__(self, connection: apsw.Connection, fire_triggers: bool) -> None:
        super().__init__(connection, same_numbers=False)
        self._fire_triggers = fire_triggers
        self._replaced = 0

    def apply_run(self, statements: Sequence[bytes], first: int) -> int:
        """See `RowApplier`. Where triggers fire there are no runs: each row is looked at."""
        return 0 if self._fire_triggers else super().apply_run(statements, first)

    def _run(self, shape: Shape, values: Sequence[RowValue]) -> None:
        require_empty(self._connection, shape)
        if not self._fire_triggers:
            super()._run(shape, values)
            return
        self._replaced = 0
        self._connection.preupdate_hook(self._changing)
        try:
            self._connection.execute(parameters_sql(shape, values, strict=False), bound_values(values))
        finally:
            self._connection.preupdate_hook(None)
        if self._replaced and shape.kind is not ChangeKind.DELETE:
            kind = INSERT_EXISTS if shape.kind is ChangeKind.INSERT else UPDATE_EXISTS
            raise RowConflict(
                kind,
                f"table {shape.table}, row {shape.key_text(values)}: another row stands in its way, which an ON "
                f"CONFLICT REPLACE of the table would have removed",
            )

    def _changing(self, change: apsw.PreUpdate) -> None:
        """SQLite is about to change a row, of the statement itself at depth 0."""
        if change.depth == 0 and change.opcode == apsw.SQLITE_DELETE:
            self._replaced += 1
