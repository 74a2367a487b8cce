"""Those who wait for a position."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base import waiters as waiters_module
from spgrepl.base.histories import Histories, History
from spgrepl.base.results import Position
from spgrepl.base.waiters import PositionWaiters
from spgrepl.errors import DifferentHistory, ServiceStopped, SpgReplError, UsageError, WaitTimeout


class PositionWaitersTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.waiters = PositionWaiters(self.clock, "the copy")

    def tearDown(self) -> None:
        assert self.clock.getDelayedCalls() == []

    def test_a_position_that_is_reached_answers_at_once(self) -> None:
        self.waiters.reached(100)
        assert self.successResultOf(self.waiters.wait(100)) == 100
        assert self.successResultOf(self.waiters.wait(7, timeout=1)) == 100

    def test_waiters_are_told_in_the_order_of_their_positions(self) -> None:
        told: list[tuple[int, int]] = []
        for position in (30, 10, 20, 10):
            self.waiters.wait(position, 5).addCallback(lambda at, position=position: told.append((position, at)))
        self.waiters.reached(9)
        assert told == []
        self.waiters.reached(20)
        assert told == [(10, 20), (10, 20), (20, 20)]
        self.waiters.reached(1000)
        assert told[-1] == (30, 1000)

    def test_a_timeout(self) -> None:
        waiting = self.waiters.wait(50, timeout=2.5)
        self.waiters.reached(49)
        self.clock.advance(2.4)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        error = self.failureResultOf(waiting, WaitTimeout).value
        assert str(error) == "position 50 was not reached within 2.5 s; the copy stands at 49"
        self.waiters.reached(50)

    def test_cancelling(self) -> None:
        waiting = self.waiters.wait(50)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.waiters.reached(50)

    def test_stopping_tells_everybody(self) -> None:
        waiting = [self.waiters.wait(50), self.waiters.wait(60, timeout=9)]
        self.waiters.reached(20)
        self.waiters.stop()
        for one in [*waiting, self.waiters.wait(70)]:
            self.failureResultOf(one, ServiceStopped)
        assert self.successResultOf(self.waiters.wait(20)) == 20

    def test_a_position_may_go_back_after_a_fresh_snapshot(self) -> None:
        self.waiters.reached(100)
        self.waiters.reached(40)
        waiting = self.waiters.wait(90)
        self.assertNoResult(waiting)
        self.waiters.reached(90)
        assert self.successResultOf(waiting) == 90

    def test_one_who_waits_anew_when_he_is_told(self) -> None:
        told: list[int] = []

        def again(at: int) -> Deferred[int]:
            told.append(at)
            return self.waiters.wait(at + 10)

        waiting = self.waiters.wait(10).addCallback(again)
        self.waiters.reached(15)
        self.assertNoResult(waiting)
        self.waiters.reached(25)
        assert self.successResultOf(waiting) == 25

    def test_only_so_many_may_wait(self) -> None:
        self.patch(waiters_module, "MAX_WAITERS", 3)
        waiting = [self.waiters.wait(10) for _ in range(3)]
        self.failureResultOf(self.waiters.wait(10), UsageError)
        waiting[0].cancel()
        waiting.append(self.waiters.wait(10))
        self.waiters.stop()
        self.failureResultOf(waiting[0], CancelledError)
        for one in waiting[1:]:
            self.failureResultOf(one, ServiceStopped)

    def test_those_who_gave_up_take_no_room(self) -> None:
        for _ in range(10_000):
            self.waiters.wait(10**9, timeout=1).addErrback(lambda _: None)
            self.clock.advance(1)
        assert len(self.waiters._heap) < 100


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 20)),
        st.tuples(st.just("reach"), st.integers(0, 20)),
        st.tuples(st.just("pass"), st.integers(1, 4)),
    ),
    max_size=30,
)


@given(_steps)
def test_each_waiter_is_told_once_and_rightly(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    waiters = PositionWaiters(clock, "the copy")
    open_waits: dict[int, tuple[int, float]] = {}
    answers: dict[int, object] = {}
    reached = -1
    for number, (step, value) in enumerate(steps):
        if step == "wait":
            open_waits[number] = (value, clock.seconds() + 5)
            waiters.wait(value, timeout=5).addBoth(functools.partial(answers.__setitem__, number))
        elif step == "reach":
            reached = value
            waiters.reached(value)
        else:
            clock.advance(value)
        for waiter, (position, end) in list(open_waits.items()):
            if reached >= position:
                assert answers[waiter] == reached
                del open_waits[waiter]
            elif clock.seconds() >= end:
                with pytest.raises(WaitTimeout):
                    answers[waiter].raiseException()  # type: ignore[attr-defined]
                del open_waits[waiter]
            else:
                assert waiter not in answers
    waiters.stop()
    for waiter in open_waits:
        with pytest.raises(SpgReplError):
            answers[waiter].raiseException()  # type: ignore[attr-defined]
    assert clock.getDelayedCalls() == []


class HistoriesTest(SynchronousTestCase):
    """Positions that name their history."""

    ours = "a" * 32

    def setUp(self) -> None:
        self.clock = Clock()
        self.waiters = PositionWaiters(self.clock, "the copy")

    def tearDown(self) -> None:
        assert self.clock.getDelayedCalls() == []

    def position(self, number: int, history: str | None = None) -> Position:
        return Position(number, history=history or self.ours)

    def test_it_is_counted_as_its_history_does(self) -> None:
        self.waiters.know(Histories((History(self.ours, 500),)))
        waiting = self.waiters.wait(self.position(700), 5)
        self.waiters.reached(199)
        self.assertNoResult(waiting)
        self.waiters.reached(210)
        reached = self.successResultOf(waiting)
        assert str(reached) == f"710@{self.ours}"
        assert str(self.successResultOf(self.waiters.wait(self.position(1)))) == f"710@{self.ours}"

    def test_another_history_fails_at_once(self) -> None:
        self.waiters.know(Histories((History(self.ours, 500),)))
        self.failureResultOf(self.waiters.wait(self.position(0, "b" * 32), 5), DifferentHistory)

    def test_it_is_not_judged_before_somebody_knows(self) -> None:
        waiting = [self.waiters.wait(self.position(700), 5), self.waiters.wait(self.position(700, "b" * 32), 5)]
        self.waiters.reached(10_000)
        for one in waiting:
            self.assertNoResult(one)
        self.waiters.know(Histories((History(self.ours, 500),)))
        self.failureResultOf(waiting[1], DifferentHistory)
        self.waiters.reached(10_000)
        assert self.successResultOf(waiting[0]) == 10_500

    def test_who_waits_is_judged_again_when_the_copy_is_a_fresh_one(self) -> None:
        self.waiters.know(Histories((History(self.ours, 500),)))
        old, plain = self.waiters.wait(self.position(700), 5), self.waiters.wait(700, 5)
        self.waiters.know(Histories((History("b" * 32),)))
        self.failureResultOf(old, DifferentHistory)
        moved = self.waiters.wait(self.position(300, "b" * 32), 5)
        self.waiters.know(Histories((History("b" * 32, 100),)))
        self.waiters.reached(200)
        assert self.successResultOf(moved) == 300
        self.assertNoResult(plain)
        self.waiters.reached(700)
        assert self.successResultOf(plain) == 700

    def test_timeouts_cancelling_and_stopping_before_anything_is_known(self) -> None:
        late = self.waiters.wait(self.position(700), 5)
        gone = self.waiters.wait(self.position(700), 50)
        stopped = self.waiters.wait(self.position(700), 50)
        self.clock.advance(5)
        assert f"position 700@{self.ours} was not reached" in str(self.failureResultOf(late, WaitTimeout).value)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.waiters.know(Histories((History(self.ours, 500),)))
        self.waiters.stop()
        self.failureResultOf(stopped, ServiceStopped)
        self.waiters.start()
        again = self.waiters.wait(self.position(700), 5)
        self.waiters.stop()
        self.failureResultOf(again, ServiceStopped)
