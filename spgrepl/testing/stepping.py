"""A reactor without a loop: a test says when something happens, and nothing else ever does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.worker import IThreadPools
from spgrepl.text.quantities import in_seconds

_T = TypeVar("_T")


class NotInTime(AssertionError):
    """What a test waits for has not come about in the time that it gave, on the reactor's clock."""


class Source(Protocol):
    """Something that has work to do: a queue of calls, or a network."""

    def ready(self) -> bool:
        """Whether there is work that can be done now."""

    def step(self) -> None:
        """Do one piece of it."""


@attrs.define(eq=False)
class _Lane:
    """Calls that run one after the other, as those of one thread do."""

    calls: deque[Callable[[], object]] = attrs.field(factory=deque)
    held: bool = False
    busy: bool = False

    def ready(self) -> bool:
        """See `Source`."""
        return bool(self.calls) and not self.held and not self.busy

    def step(self) -> None:
        """See `Source`. Whoever lets others go on in the middle of a call has its own lane to itself."""
        before, self.busy = self.busy, True
        try:
            self.calls.popleft()()
        finally:
            self.busy = before


class LanePool:
    """What stands in the place of a pool of threads: its calls wait in a lane until the reactor takes them.

    It has the methods of `twisted.python.threadpool.ThreadPool` that `deferToThreadPool` and services use.
    """

    def __init__(self, lane: _Lane, reactor: StepReactor) -> None:
        self._lane, self._reactor = lane, reactor
        self.joined = False
        self.started = False
        reactor.add_source(lane)

    def start(self) -> None:
        """See `ThreadPool.start`."""
        self.started = True
        if self.joined:
            self.joined = False
            self._reactor.add_source(self._lane)

    def stop(self) -> None:
        """See `ThreadPool.stop`: runs what was asked for before, and takes no more part."""
        self._lane.held = False
        while self._lane.ready():
            self._lane.step()
        if not self.joined:
            self.joined = True
            self._reactor.remove_source(self._lane)

    def callInThread(self, func: Callable[..., object], *args: object, **kw: object) -> None:
        """See `ThreadPool.callInThread`."""
        self.callInThreadWithCallback(None, func, *args, **kw)

    def callInThreadWithCallback(
        self,
        onResult: Callable[[bool, object], object] | None,  # noqa: N803 - Twisted's name
        func: Callable[..., object],
        *args: object,
        **kw: object,
    ) -> None:
        """See `ThreadPool.callInThreadWithCallback`."""

        def run() -> None:
            try:
                result: object = func(*args, **kw)
            except Exception:  # noqa: BLE001 - told to who asked, as a thread's pool does it
                result, succeeded = Failure(), False
            else:
                succeeded = True
            if onResult is not None:
                onResult(succeeded, result)

        self._lane.calls.append(run)


@implementer(IThreadPools)
class StepReactor(Clock):
    """A reactor for tests: its time is `twisted.internet.task.Clock`'s, its threads are lanes of calls.

    What is ready runs in an order that is the same each time: calls of the reactor first, then those of pools and
    networks in the order in which they were made. `choose` may name another one, by which the interleavings of a
    real machine can be tried.

    Args:
        choose: Given how many sources are ready, names the one whose turn it is; None for the first, always.

    Attributes:
        steps: How many pieces of work were done.
    """

    def __init__(self, choose: Callable[[int], int] | None = None) -> None:
        super().__init__()
        self._choose = choose
        self._own = _Lane()
        self._sources: dict[int, Source] = {0: self._own}
        self._ever = 1
        self._shared = self.new_pool("shared", 1)
        self.steps = 0

    # -- what services ask of a reactor -------------------------------------------------------------------------

    def new_pool(self, name: str, size: int) -> LanePool:
        """See `IThreadPools`."""
        return LanePool(_Lane(), self)

    def getThreadPool(self) -> LanePool:
        """See `IReactorThreads.getThreadPool`."""
        return self._shared

    def callFromThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:  # noqa: A002
        """See `IReactorFromThreads.callFromThread`: it is called in a later step."""
        self._own.calls.append(lambda: callable(*args, **kw))

    def callInThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:  # noqa: A002
        """See `IReactorInThreads.callInThread`."""
        self._shared.callInThread(callable, *args, **kw)

    def addReader(self, reader: object) -> None:
        """Nothing is read from descriptors."""

    def removeReader(self, reader: object) -> None:
        """Nothing is read from descriptors."""

    def addWriter(self, writer: object) -> None:
        """Nothing is written to descriptors."""

    def removeWriter(self, writer: object) -> None:
        """Nothing is written to descriptors."""

    # -- what tests ask -----------------------------------------------------------------------------------------

    def add_source(self, source: Source) -> None:
        """Let something take part."""
        self._sources[self._ever] = source
        self._ever += 1

    def remove_source(self, source: Source) -> None:
        """Let something take part no more."""
        self._sources = {number: one for number, one in self._sources.items() if one is not source}

    def hold(self, first: int) -> Callable[[], None]:
        """Let nothing go on in the pools that were made since there were so many sources; see `sources`.

        Returns:
            Lets it go on again.
        """
        lanes = [
            source for number, source in self._sources.items() if number >= first and isinstance(source, _Lane)
        ]
        for lane in lanes:
            lane.held = True

        def release() -> None:
            for lane in lanes:
                lane.held = False

        return release

    @property
    def sources(self) -> int:
        """How many sources have taken part so far."""
        return self._ever

    def step(self) -> bool:
        """Do one piece of work; returns whether there was any."""
        if self._choose is None:
            chosen = next((source for source in self._sources.values() if source.ready()), None)
        else:
            ready = [source for source in self._sources.values() if source.ready()]
            place = self._choose(len(ready)) if len(ready) > 1 else 0
            chosen = ready[place] if ready else None
        if chosen is None:
            return False
        chosen.step()
        self.steps += 1
        return True

    def settle(self, most: int = 100_000) -> None:
        """Do all that can be done without time going by.

        Raises:
            NotInTime: It does not come to an end.
        """
        for _ in range(most):
            if not self.step():
                return
        raise NotInTime(f"after {most} steps there is still more to do: something goes round in circles")

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and do what it brings."""
        self.settle()
        end = self.seconds() + seconds
        while self.seconds() < end:
            self._advance_towards(end)

    def _advance_towards(self, end: float) -> None:
        """Go on to the next call that is due, and do what it brings."""
        due = min((call.getTime() for call in self.calls), default=end)
        self.advance(max(0.0, min(due, end) - self.seconds()))
        self.settle()

    def until(self, condition: Callable[[], object], seconds: float = 60.0, what: str = "it") -> None:
        """Let time go by until a condition holds.

        Args:
            condition: The condition.
            seconds: The longest wait, on this clock.
            what: What is waited for, for the error.

        Raises:
            NotInTime: It does not hold in time.
        """
        self.settle()
        end = self.seconds() + seconds
        while not condition():
            if self.seconds() >= end:
                raise NotInTime(f"{what} has not come about within {in_seconds(seconds)}")
            self._advance_towards(end)

    def wait(self, deferred: Deferred[_T], seconds: float = 60.0) -> _T:
        """Let time go by until a Deferred has fired; returns its result, or raises its failure.

        Raises:
            NotInTime: It does not fire in time.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: results, seconds, "what is waited for")
        result: Any = results[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result  # type: ignore[no-any-return]
