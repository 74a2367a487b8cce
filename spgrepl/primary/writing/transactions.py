"""A transaction whose statements come one by one, in the reactor's thread."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred, DeferredLock, inlineCallbacks

from spgrepl.base.results import Position, QueryResult
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ServiceStopped, SpgReplError, TransactionExpired
from spgrepl.primary.parts.requests import Parameters, Written
from spgrepl.primary.writing.long_transaction import LongTransaction
from spgrepl.primary.writing.request_queue import RequestQueue
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.text.quantities import in_seconds
from spgrepl.text.role_log import RoleLogger, speak_for

DEADLINE = 30.0
"""A transaction has so many seconds from its turn on; others wait meanwhile."""


class Transaction:
    """A transaction of a primary, as a block: ``async with primary.transaction() as tx``.

    The block begins when its turn has come; nothing else is written until it ends. At its end, all that was done
    becomes visible, is logged and durable; an exception that leaves the block undoes it all. A statement that
    fails is undone alone: whoever catches its error may go on.

    Args:
        reactor: The reactor.
        writer: The writer.
        queue: Where turns are waited for, and what runs the writer in its thread.
        deadline: How many seconds the block may take from its turn on. Then it is rolled back, and a statement
            that runs is interrupted.

    Attributes:
        position: The position in the log after the transaction, when the block has ended.
    """

    _log = RoleLogger()

    def __init__(self, reactor: Any, writer: DatabaseWriter, queue: RequestQueue, deadline: float) -> None:
        self._clock = steady_clock(reactor)
        self._writer = writer
        self._queue = queue
        speak_for(queue.speaker, self)
        self._deadline = deadline
        self._steps = LongTransaction(writer)
        self._lock = DeferredLock()
        self._timer: Any = None
        self._open = False
        self._ended: SpgReplError | None = None
        self.position: Position | None = None

    # -- the block --------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._open or self._ended is not None:
            raise ServiceStopped("a transaction is one block: ask for another one")
        await self._queue.take_turn()
        try:
            await self._queue.call(self._steps.begin)
        except BaseException:
            self._queue.end_turn()
            raise
        self._open = True
        self._timer = self._clock.callLater(self._deadline, self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._lock.run(self._commit)
        else:
            await self._lock.run(self._roll_back, ServiceStopped("the transaction has ended"))

    # -- statements -------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Parameters | None = None) -> Deferred[QueryResult]:
        """Run one statement inside the transaction, one that reads, too.

        Args:
            sql: The statement.
            parameters: Values for its parameters, by place or by name.

        Returns:
            A Deferred of what it returns, without columns where that is nothing. It fails with `StatementFailed`
            where SQLite refuses it, and with `TransactionExpired` after the deadline.
        """
        return self._lock.run(self._run, sql, parameters, None)

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> Deferred[QueryResult]:
        """Run one statement inside the transaction for each of many rows of values, all or none; see `execute`."""
        return self._lock.run(self._run, sql, None, tuple(rows))

    @inlineCallbacks
    def _run(self, sql: str, parameters: Parameters | None, rows: tuple[Parameters, ...] | None) -> Any:
        if not self._open:
            raise self._ended or ServiceStopped("the transaction has not begun: use it with async with")
        result = yield self._queue.call(self._steps.run, sql, parameters, rows)
        return result if result is not None else QueryResult((), [])

    # -- the end ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _commit(self) -> Any:
        if not self._open:
            raise self._ended or ServiceStopped("the transaction has ended")
        self._close(ServiceStopped("the transaction has ended"))
        try:
            answer = yield self._queue.call(self._steps.commit)
        finally:
            self._queue.end_turn()
        if not isinstance(answer, Written):
            raise answer
        self.position = Position(answer.position, history=self._writer.histories.current)

    @inlineCallbacks
    def _roll_back(self, reason: SpgReplError) -> Any:
        if not self._open:
            return
        self._close(reason)
        try:
            yield self._queue.call(self._steps.rollback)
        finally:
            self._writer.control.interruption = None
            self._queue.end_turn()

    def _close(self, reason: SpgReplError) -> None:
        self._open, self._ended = False, reason
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _expire(self) -> None:
        """Nobody ends the transaction, and others wait."""
        self._timer = None
        reason = TransactionExpired(
            f"the transaction was not ended within {in_seconds(self._deadline)} and was rolled "
            f"back: others wait while one is open. Do what takes time before it, or allow more time"
        )
        self._writer.control.interruption = lambda: reason
        self._lock.run(self._roll_back, reason).addErrback(
            lambda failure: self._log.failure("while a transaction was rolled back", failure)
        )
