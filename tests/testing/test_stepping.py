"""A reactor without a loop: nothing happens by itself, and all of it in an order that can be chosen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool

from spgrepl.base.worker import IThreadPools
from spgrepl.testing.stepping import NotInTime, StepReactor


@settings(max_examples=40)
@given(st.data(), st.lists(st.integers(0, 3), max_size=12))
def test_any_interleaving_keeps_the_order_of_each_thread(data: st.DataObject, calls: list[int]) -> None:
    reactor = StepReactor(lambda count: data.draw(st.integers(0, count - 1)))
    pools = [reactor.new_pool(str(number), 1) for number in range(4)]
    done: list[tuple[int, int]] = []
    for number, pool in enumerate(calls):
        pools[pool].callInThread(done.append, (pool, number))
    assert done == []
    reactor.settle()
    assert reactor.steps == len(calls)
    for pool in range(4):
        assert [one for one in done if one[0] == pool] == [
            (pool, at) for at, one in enumerate(calls) if one == pool
        ]


def test_threads_answer_in_the_reactor() -> None:
    reactor = StepReactor()
    assert IThreadPools.providedBy(reactor)
    pool = reactor.new_pool("a", 1)
    assert reactor.wait(deferToThreadPool(reactor, pool, lambda: 5)) == 5
    with pytest.raises(ZeroDivisionError):
        reactor.wait(deferToThreadPool(reactor, pool, lambda: 1 // 0))
    assert reactor.wait(deferToThreadPool(reactor, reactor.getThreadPool(), lambda: 6)) == 6


def test_time_goes_by_from_call_to_call() -> None:
    reactor, seen = StepReactor(), list[float]()
    for seconds in (3, 1, 1.5):
        reactor.callLater(seconds, lambda: seen.append(reactor.seconds()))
    reactor.callLater(1, lambda: reactor.callLater(0.25, lambda: seen.append(reactor.seconds())))
    reactor.pass_time(2)
    assert seen == [1, 1.25, 1.5]
    assert reactor.seconds() == 2
    reactor.until(lambda: len(seen) == 4, 1)
    assert reactor.seconds() == 3


def test_what_does_not_come_about_in_time_is_named() -> None:
    reactor = StepReactor()
    with pytest.raises(NotInTime, match="the copy has not come about within 5 s"):
        reactor.until(lambda: False, 5, "the copy")
    assert reactor.seconds() == 5
    with pytest.raises(NotInTime):
        reactor.wait(Deferred(), 1)
    with pytest.raises(KeyError):
        reactor.wait(fail(KeyError()))


def test_what_goes_round_in_circles_is_ended() -> None:
    reactor = StepReactor()

    def again() -> None:
        reactor.callFromThread(again)

    again()
    with pytest.raises(NotInTime, match="after 50 steps"):
        reactor.settle(50)


def test_pools_that_were_made_later_can_be_held() -> None:
    reactor, done = StepReactor(), list[str]()
    early = reactor.new_pool("early", 1)
    before = reactor.sources
    late = reactor.new_pool("late", 1)
    release = reactor.hold(before)
    for pool, name in ((late, "late"), (early, "early")):
        pool.callInThread(done.append, name)
    reactor.settle()
    assert done == ["early"]
    release()
    reactor.settle()
    assert done == ["early", "late"]


def test_a_pool_that_stops_ends_what_was_asked_for() -> None:
    reactor, done = StepReactor(), list[int]()
    pool = reactor.new_pool("a", 1)
    pool.callInThread(done.append, 1)
    pool.stop()
    pool.stop()
    assert done == [1]
    pool.start()
    pool.callInThread(done.append, 2)
    reactor.settle()
    assert done == [1, 2]
