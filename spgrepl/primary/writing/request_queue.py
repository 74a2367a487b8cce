"""The requests that wait for a primary's writer, in the reactor's thread: gathered into groups, and answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from spgrepl.base.observers import Barrier
from spgrepl.base.results import Position
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import Overloaded, SpgReplError
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.primary.parts.requests import Answer, Request, Written
from spgrepl.primary.writing.waking import Waker
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger, Speaker

GROUP_REQUESTS = 500
"""At most so many requests share one fsync and one commit."""

GROUP_SIZE = 4 * 1024 * 1024
"""A group takes no further request beyond so many characters of SQL."""

_WEIGHT = 0.2
"""What the last group counts among those before it, for how long groups take."""

HELD_SECONDS = 0.005
"""An answer is not held for the next group longer than so."""

Call = Callable[..., Deferred[Any]]
"""Runs a function with arguments in the writer's thread."""


class _Waiting(Deferred[Position]):
    """A request that was not answered yet, and its answer: one thing, as there is one for each."""

    def __init__(self, request: Request, size: int) -> None:
        super().__init__(_cancel)
        self.request = request
        self.size = size
        self.cancelled = False


def _cancel(waiting: Deferred[Any]) -> None:
    assert isinstance(waiting, _Waiting)
    waiting.cancelled = True


class _Pace:
    """How long groups take lately: to be run, for each request, and to be made durable and committed.

    Args:
        seconds: Tells the time; by the reactor's clock, so that a simulation goes the same way each time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._began = self._logged = 0.0
        self._count = 1
        self._run = self._disk = 0.0

    def begin(self, count: int) -> None:
        """A group of so many requests begins."""
        self._began = self._logged = self._seconds()
        self._count = count

    def log(self) -> None:
        """It has run, and waits for the disk; called in the writer's thread."""
        self._logged = self._seconds()

    def end(self) -> None:
        """It has ended."""
        self._run += _WEIGHT * ((self._logged - self._began) / self._count - self._run)
        self._disk += _WEIGHT * (self._seconds() - self._logged - self._disk)

    def takes_turns(self, count: int) -> bool:
        """Whether so many requests are done sooner in two groups by turns than in one: where the disk is quick.

        To answer a request takes about as long as to run it, and the disk's time has that in it.
        """
        return self._disk <= 2 * count * self._run


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
class PrimaryLimits:
    """How long a statement may be, and how much may wait.

    Attributes:
        max_record: The most bytes of SQL that one statement may have; followers must accept as many.
        requests: How many requests may wait, and how many queries.
        size: How many characters of SQL and values the waiting requests may have in all.
    """

    max_record: int = DEFAULT_MAX_RECORD
    requests: int = 100_000
    size: int = 256 * 1024 * 1024


DEFAULT_LIMITS = PrimaryLimits()


class RequestQueue:
    """Hands requests to the writer, in the order in which they come.

    The answers of a group are given while the disk is busy with the next one, if there is a next one: until then
    the writer's thread has all of the processor, as the two cannot run Python at the same time.

    Args:
        reactor: The reactor.
        writer: Carries them out.
        call: Runs it in its thread.
        limits: How much may wait.
        answered: Told of each group of requests after they were answered.

    Attributes:
        call: Runs a function in the writer's thread.
        refusal: Makes the error with which all that comes is refused; None while it is not.
    """

    _log = RoleLogger()
    _speaker: Speaker | None = None

    def __init__(
        self,
        reactor: Any,
        writer: DatabaseWriter,
        call: Call,
        limits: PrimaryLimits,
        answered: Callable[[Sequence[Request]], None],
    ) -> None:
        self._reactor = reactor
        self._writer = writer
        writer.control.logging = self._is_logging
        self.call = call
        self._limits = limits
        self._answered = answered
        self._waiting: deque[_Waiting | _Turn] = deque()
        self._size = 0
        self._in_flight: list[_Waiting] = []
        # Groups that are done, and were not answered yet.
        self._held: deque[tuple[list[_Waiting], Sequence[Answer | Failure]]] = deque()
        self._patience: IDelayedCall | None = None
        self._answering = self._asked_again = False
        self._waker = Waker(reactor, self._answer)
        self._pace = _Pace(steady_clock(reactor).seconds)
        self._turn: _Turn | None = None
        self._turn_began = 0.0
        self._when_idle: Barrier[None] = Barrier()
        self.refusal: Callable[[], SpgReplError] | None = None

    def __len__(self) -> int:
        """How many requests have not been answered; whoever has the writer alone counts as one."""
        held = sum(len(group) for group, _ in self._held)
        return len(self._waiting) + len(self._in_flight) + held + (self._turn is not None)

    @property
    def speaker(self) -> Speaker | None:
        """Whose lines those about its requests are in the log; None where nobody said."""
        return self._speaker

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
        most = self._limits.requests
        # What is under way is two groups at most.
        if len(self._waiting) + 2 * GROUP_REQUESTS >= most and len(self) >= most:
            return fail(self._overloaded(number_of(most, "request waits", "requests wait")))
        if self._waiting and self._size + size > self._limits.size:
            return fail(self._overloaded(f"requests with {number_of(self._size, 'character')} of SQL wait"))
        waiting = _Waiting(request, size)
        self._waiting.append(waiting)
        self._size += size
        if not self._in_flight and not self._answering:
            self._go_on()
        return waiting

    def take_turn(self) -> Deferred[None]:
        """Wait for the writer, to have it alone until `end_turn`.

        Returns:
            A Deferred that fires when that is so; it may be cancelled before.
        """
        if self.refusal is not None:
            return fail(self.refusal())
        if len(self) >= self._limits.requests:
            return fail(self._overloaded(number_of(self._limits.requests, "request waits", "requests wait")))
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
                (waiting.deferred if isinstance(waiting, _Turn) else waiting).errback(reason)
        self._tell_idle()

    def _overloaded(self, what: str) -> Overloaded:
        return Overloaded(f"{what} already; let some of them end before you ask for more")

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
        size, most = 0, self._most()
        while self._waiting and len(self._in_flight) < most and size < GROUP_SIZE:
            waiting = self._waiting[0]
            if isinstance(waiting, _Turn):
                break
            self._waiting.popleft()
            self._size -= waiting.size
            if not waiting.cancelled:
                self._in_flight.append(waiting)
                size += waiting.size
        if self._in_flight:
            self._pace.begin(len(self._in_flight))
            running = self.call(self._writer.run, [waiting.request for waiting in self._in_flight])
            running.addErrback(self._group_failed)
            running.addCallback(self._group_done)

    def _group_failed(self, failure: Failure) -> list[Answer | Failure]:
        """Nothing but a defect comes here; the writer has undone the group, or will catch up with the log."""
        self._log.failure("the writer failed", failure)
        return [failure for _ in self._in_flight]

    def _group_done(self, answers: Sequence[Answer | Failure]) -> None:
        self._pace.end()
        self._answer()  # those of the group before it, where it has logged nothing
        self._held.append((self._in_flight, answers))
        self._in_flight = []
        if self._pace.takes_turns(len(self)):
            # First the next group, so that the disk is not idle while callers take their answers.
            self._go_on()
        if not self._in_flight:
            self._answer()
        else:
            self._waker.start()
            if self._patience is None:
                self._patience = steady_clock(self._reactor).callLater(HELD_SECONDS, self._answer_late)

    def _most(self) -> int:
        """How many requests the next group may have.

        Those who ask again as soon as they are answered are kept in two halves: while the disk is busy with the
        one, the other is answered, asks, and is run. Where all are answered at once nothing is left to run.
        """
        held = sum(len(group) for group, _ in self._held)
        if (held or self._asked_again) and self._pace.takes_turns(len(self)):
            return min(GROUP_REQUESTS, (len(self._waiting) + held + 1) // 2)
        return GROUP_REQUESTS

    def _is_logging(self) -> None:
        """Called in the writer's thread: the disk is about to take a while."""
        self._pace.log()
        if self._held:
            self._waker.wake()

    def _answer_late(self) -> None:
        self._patience = None
        self._answer()

    def _answer(self) -> None:
        if self._answering:
            return
        self._answering = True
        try:
            self._answer_held()
        finally:
            self._answering = False
        if not self._in_flight and self._waiting:
            # All that were answered have asked by now, if they do so at once: one group, and not one and the rest.
            self._asked_again = True
            self._go_on()
            self._asked_again = False

    def _answer_held(self) -> None:
        while self._held:
            group, answers = self._held.popleft()
            history = self._writer.histories.current
            for waiting, answer in zip(group, answers, strict=True):
                if waiting.cancelled:
                    continue
                if isinstance(answer, Written):
                    waiting.callback(Position(answer.position, answer.results, history))
                else:
                    waiting.errback(answer)
            self._answered([one.request for one in group])
            self._tell_idle()

    def _tell_idle(self) -> None:
        if not len(self):
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            self._waker.stop()
            self._when_idle.open(None)
