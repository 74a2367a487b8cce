"""Statements that speak to a running server and not to its database: the WAL level, and waiting for a position."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from spgrepl.errors import StatementFailed, WaitTimeout
from spgrepl.publications.statements import (
    ControlSyntaxError,
    ServerStatement,
    SetWalLevel,
    ShowWalLevel,
    is_control,
    parse_control,
)
from spgrepl.results import QueryResult
from spgrepl.wal_level import WalLevel

WaitForPositionSource = Callable[[int, float | None], "Deferred[int]"]

NOTHING = QueryResult((), [])
"""What a statement without rows returns."""


class ServerStatements:
    """Executes ``SHOW`` and ``SET effective_wal_level`` and ``WAIT FOR WAL POSITION`` for a server.

    Args:
        wal_level: The level that they show and set.
        wait: Called with a position and a timeout in seconds, None for ever; its Deferred fires with the position
            that was reached, fails with `WaitTimeout`, and may be cancelled.
    """

    def __init__(self, wal_level: WalLevel, wait: WaitForPositionSource) -> None:
        self._wal_level = wal_level
        self._wait = wait

    def run(self, sql: str) -> Deferred[QueryResult]:
        """Execute a statement as text; see `execute`.

        Returns:
            A Deferred that also fails with `StatementFailed` where it is none of those.
        """
        try:
            statement = parse_control(sql) if is_control(sql) else None
        except ControlSyntaxError as error:
            return fail(StatementFailed(str(error), sql))
        if not isinstance(statement, ServerStatement):
            return fail(
                StatementFailed(
                    "a server executes SHOW effective_wal_level, SET effective_wal_level and WAIT FOR WAL "
                    "POSITION only: run all else with `spgrepl exec --db`",
                    sql,
                )
            )
        return self.execute(statement)

    def execute(self, statement: ServerStatement) -> Deferred[QueryResult]:
        """Execute a statement.

        Returns:
            A Deferred of its rows. WAIT FOR has one, with 1 when the position was reached and 0 when the time was
            over; it fails with what waiting fails with otherwise, and may be cancelled.
        """
        if isinstance(statement, ShowWalLevel):
            return succeed(QueryResult(("effective_wal_level",), [(self._wal_level.value.value,)]))
        if isinstance(statement, SetWalLevel):
            self._wal_level.set(statement.level)
            return succeed(NOTHING)
        return self._wait(statement.position, statement.timeout).addCallbacks(_reached, _timed_out)


def _reached(_: int) -> QueryResult:
    return QueryResult(("reached",), [(1,)])


def _timed_out(failure: Failure) -> QueryResult:
    failure.trap(WaitTimeout)
    return QueryResult(("reached",), [(0,)])
