"""The requests that wait for a primary's writer, in the reactor's thread: gathered into groups, and answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.base.observers import Barrier
from spgrepl.base.results import Position
from spgrepl.errors import Overloaded, SpgReplError
from spgrepl.primary.parts.requests import Answer, Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter

GROUP_REQUESTS = 500
"""At most so many requests share one fsync and one commit."""

GROUP_SIZE = 4 * 1024 * 1024
"""A group takes no further request beyond so many characters of SQL."""

Call = Callable[..., Deferred[Any]]
"""Runs a function with arguments in the writer's thread."""


@attrs.define(eq=False)
class _Waiting:
    """A request that was not answered yet."""

    request: Request
    cancelled: bool = False
    deferred: Deferred[Position] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _: Deferred[Position]) -> None:
        self.cancelled = True


@attrs.define(eq=False)
class _Turn:
    """Somebody who waits for the writer, to have it alone for a while."""

    cancelled: bool = False
    deferred: Deferred[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _: Deferred[None]) -> None:
        self.cancelled = True


@attrs.frozen
class QueueLimits:
    """How much may wait.

    Attributes:
        requests: How many requests.
        size: How many characters of SQL and values in all.
    """

    requests: int
    size: int


class RequestQueue:
    """Hands requests to the writer, in the order in which they come.

    Args:
        writer: Carries them out.
        call: Runs it in its thread.
        limits: How much may wait.
        answered: Told of each group of requests after they were answered.

    Attributes:
        call: Runs a function in the writer's thread.
        refusal: Makes the error with which all that comes is refused; None while it is not.
    """

    _log = Logger()

    def __init__(
        self,
        writer: DatabaseWriter,
        call: Call,
        limits: QueueLimits,
        answered: Callable[[Sequence[Request]], None],
    ) -> None:
        self._writer = writer
        self.call = call
        self._limits = limits
        self._answered = answered
        self._waiting: deque[_Waiting | _Turn] = deque()
        self._size = 0
        self._in_flight: list[_Waiting] = []
        self._turn: _Turn | None = None
        self._turn_began = 0.0
        self._when_idle: Barrier[None] = Barrier()
        self.refusal: Callable[[], SpgReplError] | None = None

    def __len__(self) -> int:
        """How many requests have not been answered; whoever has the writer alone counts as one."""
        return len(self._waiting) + len(self._in_flight) + (self._turn is not None)

    @property
    def turn_seconds(self) -> float | None:
        """For how long somebody has had the writer alone; None while nobody has."""
        return None if self._turn is None else monotonic() - self._turn_began

    def when_idle(self) -> Deferred[None]:
        """Wait until nothing is left to answer."""
        if not len(self):
            return succeed(None)
        return self._when_idle.wait()

    # -- coming in --------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> Deferred[Position]:
        """Carry out a request.

        Returns:
            A Deferred of the position; it fails with `Overloaded` where too much waits.
        """
        if self.refusal is not None:
            return fail(self.refusal())
        size = request.size
        if len(self) >= self._limits.requests:
            return fail(self._overloaded(f"{self._limits.requests} requests"))
        if self._waiting and self._size + size > self._limits.size:
            return fail(self._overloaded(f"requests with {self._size} characters of SQL"))
        waiting = _Waiting(request)
        self._waiting.append(waiting)
        self._size += size
        self._go_on()
        return waiting.deferred

    def take_turn(self) -> Deferred[None]:
        """Wait for the writer, to have it alone until `end_turn`.

        Returns:
            A Deferred that fires when that is so; it may be cancelled before.
        """
        if self.refusal is not None:
            return fail(self.refusal())
        if len(self) >= self._limits.requests:
            return fail(self._overloaded(f"{self._limits.requests} requests"))
        turn = _Turn()
        self._waiting.append(turn)
        self._go_on()
        return turn.deferred

    def drain(self, on: bool) -> Deferred[Position]:
        """Carry out what waits, then refuse all further writes, or take them again; see `Primary.drain`."""

        def drained(position: int) -> Position:
            return Position(position, history=self._writer.histories.current)

        def end(result: Any) -> Any:
            self.end_turn()
            return result

        def begin(_: None) -> Deferred[Any]:
            return self.call(self._writer.drain, on).addCallback(drained).addBoth(end)

        return self.take_turn().addCallback(begin)

    def end_turn(self) -> None:
        """Let others have the writer again."""
        self._turn = None
        self._go_on()
        self._answered(())
        self._tell_idle()

    def drop(self, reason: Exception) -> None:
        """Answer all that waits and was not begun with a failure."""
        dropped, self._waiting, self._size = self._waiting, deque(), 0
        for waiting in dropped:
            if not waiting.cancelled:
                waiting.deferred.errback(reason)
        self._tell_idle()

    def _overloaded(self, what: str) -> Overloaded:
        return Overloaded(f"{what} wait already; let some of them end before you ask for more")

    # -- going out --------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Hand what has gathered to the writer, unless it is busy."""
        while self._waiting and not self._in_flight and self._turn is None:
            first = self._waiting[0]
            if isinstance(first, _Turn):
                self._waiting.popleft()
                if not first.cancelled:
                    self._turn, self._turn_began = first, monotonic()
                    first.deferred.callback(None)
            else:
                self._start_group()

    def _start_group(self) -> None:
        size = 0
        while self._waiting and len(self._in_flight) < GROUP_REQUESTS and size < GROUP_SIZE:
            waiting = self._waiting[0]
            if isinstance(waiting, _Turn):
                break
            self._waiting.popleft()
            taken = waiting.request.size
            self._size -= taken
            if not waiting.cancelled:
                self._in_flight.append(waiting)
                size += taken
        if self._in_flight:
            running = self.call(self._writer.run, [waiting.request for waiting in self._in_flight])
            running.addErrback(self._group_failed)
            running.addCallback(self._answer)

    def _group_failed(self, failure: Failure) -> list[Answer | Failure]:
        """Nothing but a defect comes here; the writer has undone the group, or will catch up with the log."""
        self._log.failure("the writer failed", failure)
        return [failure for _ in self._in_flight]

    def _answer(self, answers: Sequence[Answer | Failure]) -> None:
        group, self._in_flight = self._in_flight, []
        history = self._writer.histories.current
        # First the next group, so that the disk is not idle while callers take their answers.
        self._go_on()
        for waiting, answer in zip(group, answers, strict=True):
            if waiting.cancelled:
                continue
            if isinstance(answer, Written):
                position = Position(answer.position, answer.results, history)
                waiting.deferred.callback(position)
            else:
                waiting.deferred.errback(answer)
        self._answered([one.request for one in group])
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not len(self):
            self._when_idle.open(None)
