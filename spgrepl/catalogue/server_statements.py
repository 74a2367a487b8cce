"""Statements that speak to a running server and not to its database: the WAL level, and waiting for a position."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from spgrepl.base.results import QueryResult
from spgrepl.catalogue.statements import (
    ControlSyntaxError,
    ServerStatement,
    SetWalLevel,
    ShowWalLevel,
    SkipRecord,
    is_control,
    parse_control,
)
from spgrepl.errors import StatementFailed, UsageError, WaitTimeout
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.text.words import StatementReader

WaitForPositionSource = Callable[[int, float | None], "Deferred[int]"]

SetLevel = Callable[[Level], "Deferred[None]"]

SkipInSubscription = Callable[[str, int, int], "Deferred[None]"]

NOTHING = QueryResult((), [])
"""What a statement without rows returns."""


class ServerStatements:
    """Executes ``SHOW`` and ``SET effective_wal_level``, ``WAIT FOR WAL POSITION``, ``ALTER SUBSCRIPTION … SKIP``.

    Args:
        wal_level: The level that they show.
        store: Puts a level into effect so that it survives a restart.
        wait: Called with a position and a timeout in seconds, None for ever; its Deferred fires with the position
            that was reached, fails with `WaitTimeout`, and may be cancelled.

    Attributes:
        skip: Leaves a record out, by the names of `SkipRecord`; None where no subscriptions run.
    """

    def __init__(self, wal_level: WalLevel, store: SetLevel, wait: WaitForPositionSource) -> None:
        self._wal_level = wal_level
        self._store = store
        self._wait = wait
        self.skip: SkipInSubscription | None = None

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
                    "a server executes SHOW effective_wal_level, SET effective_wal_level, WAIT FOR WAL POSITION "
                    "and ALTER SUBSCRIPTION … SKIP only: run all else with `spgrepl exec --db`",
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
            return self._store(statement.level).addCallback(lambda _: NOTHING)
        if isinstance(statement, SkipRecord):
            return self._skip(statement)
        return self._wait(statement.position, statement.timeout).addCallbacks(_reached, _timed_out)

    def _skip(self, statement: SkipRecord) -> Deferred[QueryResult]:
        if self.skip is None:
            return fail(
                UsageError(
                    f"no subscriptions run here: the process whose SubscriptionRunner runs "
                    f'"{statement.name}" takes ALTER SUBSCRIPTION … SKIP, by Primary.execute()'
                )
            )
        return self.skip(statement.name, statement.position, statement.crc).addCallback(lambda _: NOTHING)


def _reached(_: int) -> QueryResult:
    return QueryResult(("reached",), [(1,)])


def _timed_out(failure: Failure) -> QueryResult:
    failure.trap(WaitTimeout)
    return QueryResult(("reached",), [(0,)])


def server_statement(sql: str) -> ServerStatement | None:
    """Read a statement that the writer has no part in; what cannot be read is left to be refused in its turn.

    What changes publications and subscriptions is read by the writer, and only there.
    """
    if not is_control(sql) or StatementReader(sql).at("CREATE", "DROP"):
        return None
    try:
        statement = parse_control(sql)
    except ControlSyntaxError:
        return None
    return statement if isinstance(statement, ServerStatement) else None
