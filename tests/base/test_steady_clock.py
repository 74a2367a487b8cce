"""Deadlines that the clock on the wall has no part in."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IReadDescriptor
from twisted.internet.task import Clock, LoopingCall, deferLater
from zope.interface.verify import verifyObject

from spgrepl.base.steady_clock import SteadyClock, steady_clock


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def clock(reactor: Any) -> IReactorTime:
    return steady_clock(reactor)


def readers(reactor: Any) -> list[object]:
    return [one for one in reactor.getReaders() if isinstance(one, SteadyClock)]


def test_it_is_a_clock(clock: IReactorTime) -> None:
    assert verifyObject(IReactorTime, clock)
    assert verifyObject(IReadDescriptor, clock)


def test_all_who_ask_for_the_same_reactor_get_the_same(reactor: Any, clock: IReactorTime) -> None:
    assert isinstance(clock, SteadyClock)
    assert steady_clock(reactor) is clock
    assert steady_clock(clock) is clock


def test_a_clock_of_a_test_stays_what_it_is() -> None:
    clock = Clock()
    assert steady_clock(clock) is clock


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
@pytest_twisted.ensureDeferred
async def test_a_step_of_the_wall_clock_changes_nothing(
    reactor: Any, clock: IReactorTime, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[float] = []
    waiting: Deferred[None] = deferLater(clock, 0.05)  # type: ignore[arg-type]
    far = clock.callLater(60, calls.append, -1.0)
    loop = LoopingCall(lambda: calls.append(clock.seconds()))
    loop.clock = clock
    loop.start(0.01)
    monkeypatch.setattr(reactor, "seconds", lambda: time.time() + step)
    await waiting
    before = len(calls)
    await deferLater(clock, 0.05)  # type: ignore[arg-type]
    loop.stop()
    far.cancel()
    assert len(calls) > before
    assert -1.0 not in calls


@pytest_twisted.ensureDeferred
async def test_the_reactor_knows_it_only_while_something_waits(reactor: Any) -> None:
    clock = SteadyClock(reactor)
    known = len(readers(reactor))
    call = clock.callLater(60, int)
    assert len(readers(reactor)) == known + 1
    assert "<DelayedCall" in repr(clock)
    call.cancel()
    assert len(readers(reactor)) == known
    await deferLater(clock, 0)  # type: ignore[arg-type]
    assert len(readers(reactor)) == known


@pytest_twisted.ensureDeferred
async def test_it_comes_back_after_the_reactor_was_cleared(reactor: Any, clock: SteadyClock) -> None:
    clock.callLater(60, int).cancel()
    call = clock.callLater(60, int)
    reactor.removeReader(clock)  # as trial does with what a test left
    await deferLater(clock, 0.001)  # type: ignore[arg-type]
    call.cancel()


@pytest_twisted.ensureDeferred
async def test_what_fails_is_logged_and_the_others_have_their_turn(
    clock: IReactorTime, logged_failures: Any
) -> None:
    clock.callLater(0, lambda: 1 // 0)
    await deferLater(clock, 0)  # type: ignore[arg-type]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@pytest_twisted.ensureDeferred
async def test_the_reactor_has_its_turn_between_calls_without_delay(reactor: Any, clock: IReactorTime) -> None:
    seen: list[str] = []

    def again(left: int) -> None:
        seen.append("again")
        if left:
            clock.callLater(0, again, left - 1)

    again(1000)
    reactor.callFromThread(seen.append, "other")
    while len(seen) < 1002:
        await deferLater(clock, 0)  # type: ignore[arg-type]
    assert seen.index("other") < 100


def test_the_descriptor_is_given_back(reactor: Any) -> None:
    clock = SteadyClock(reactor)
    handle = clock.fileno()
    os.fstat(handle)
    del clock
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handle)


def test_time_before_now_is_refused(clock: IReactorTime) -> None:
    with pytest.raises(ValueError, match="before now"):
        clock.callLater(-1, int)


class Reader:
    """As much of a reactor as a clock asks for."""

    def __init__(self) -> None:
        self.known = False

    def addReader(self, _: object) -> None:
        self.known = True

    def removeReader(self, _: object) -> None:
        self.known = False


class Driven(SteadyClock):
    """A clock whose time is set by a test."""

    now = 1000.0

    def seconds(self) -> float:
        return self.now


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("later"), st.integers(0, 8)),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("reset"), st.integers(0, 50), st.integers(0, 8)),
        st.tuples(st.just("delay"), st.integers(0, 50), st.integers(0, 8)),
        st.tuples(st.just("advance"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_calls_what_another_clock_calls(steps: list[Any]) -> None:
    reader = Reader()
    clocks: tuple[Any, Any] = (Driven(reader), Clock())  # type: ignore[arg-type]
    clocks[1].rightNow = Driven.now
    made: tuple[list[Any], list[Any]] = ([], [])
    seen: tuple[list[Any], list[Any]] = ([], [])
    for number, (step, *arguments) in enumerate(steps):
        for clock, calls, heard in zip(clocks, made, seen, strict=True):
            if step == "later":
                calls.append(clock.callLater(arguments[0], heard.append, number))
            elif step == "advance":
                if clock is clocks[0]:
                    clock.now += arguments[0]
                    clock.doRead()
                else:
                    clock.advance(arguments[0])
                heard.sort()  # what falls on the same moment has no order
            elif calls and (call := calls[arguments[0] % len(calls)]).active():
                getattr(call, step)(*arguments[1:])
        assert seen[0] == seen[1]
        assert [call.active() for call in made[0]] == [call.active() for call in made[1]]
        assert len(clocks[0].getDelayedCalls()) == sum(call.active() for call in made[0])
        assert reader.known == bool(clocks[0].getDelayedCalls())
