"""Rows that a subscription brings to a primary: each must find what it changes there."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from spgrepl.base.results import QueryResult
from spgrepl.engines.row_applier import RowConflict, conflict_of, require_empty, require_one
from spgrepl.errors import StatementFailed
from spgrepl.primary.changes.recorder import RowRecorder
from spgrepl.primary.parts.marks import SubscriptionMark

Run = Callable[[], QueryResult | None]


def run_subscribed(
    connection: apsw.Connection, recorder: RowRecorder, mark: SubscriptionMark | None, number: int, run: Run
) -> QueryResult | None:
    """Run a statement of a request, which may carry rows of a subscription.

    Args:
        connection: The connection that writes.
        recorder: Is told where the row originated.
        mark: What goes with the request; None for requests of users.
        number: The statement's number in the request, from 1.
        run: Runs it.

    Raises:
        StatementFailed: It is refused, or does not change just the row that it stands for.
        EngineFailed: The disk refuses.
    """
    if mark is None:
        return run()
    if mark.origins:
        recorder.origin = mark.origins[number - 1]
    row = mark.rows[number - 1] if mark.rows else None
    if row is None:
        return run()
    try:
        require_empty(connection, row[0])
        result = run()
        require_one(*row, connection.changes())
    except StatementFailed as error:
        conflict = conflict_of(*row, error.__cause__) if isinstance(error.__cause__, apsw.Error) else None
        if conflict is None:
            raise
        raise StatementFailed(str(conflict), error.sql, number, conflict.kind) from error
    except RowConflict as found:
        raise StatementFailed(str(found), str(row[0]), number, found.kind) from found
    return result
