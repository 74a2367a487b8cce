"""Those who wait for a result: once, time after time, or for work that is done once for all of them."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from spgrepl.base.observers import Barrier, OneShot, Shared


def results(*asked: Deferred[int]) -> list[object]:
    """What each has been told so far."""
    told: list[object] = []
    for one in asked:
        one.addBoth(lambda result: told.append(result.type if isinstance(result, Failure) else result))
    return told


def test_an_opening_lets_all_through_and_the_next_to_come_waits() -> None:
    barrier: Barrier[int] = Barrier()
    told = results(barrier.wait(), barrier.wait())
    assert barrier.heard
    barrier.open(1)
    assert told == [1, 1]
    later = results(barrier.wait())
    assert later == []
    barrier.open(Failure(KeyError("none")))
    assert later == [KeyError]
    assert not barrier.heard


def test_who_waits_again_while_told_waits_for_the_next_opening() -> None:
    barrier: Barrier[int] = Barrier()
    again: list[Deferred[int]] = []
    barrier.wait().addCallback(lambda _: again.append(barrier.wait()))
    barrier.open(1)
    assert barrier.heard
    told = results(*again)
    barrier.open(2)
    assert told == [2]


def test_who_gives_up_is_told_nothing() -> None:
    barrier: Barrier[int] = Barrier()
    waiter = barrier.wait()
    told = results(waiter)
    waiter.cancel()
    barrier.open(1)
    assert told == [CancelledError]


@pytest.mark.parametrize("result", [7, Failure(KeyError("none"))])
def test_a_one_shot_tells_the_first_result_to_all_before_and_after(result: int | Failure) -> None:
    shot: OneShot[int] = OneShot()
    before = results(shot.wait())
    shot.fire(result)
    shot.fire(8)
    expected = [result.type if isinstance(result, Failure) else result]
    assert before == expected
    assert results(shot.wait()) == expected
    assert not shot.heard


def test_work_is_done_once_for_all_who_ask_meanwhile() -> None:
    begun: list[Deferred[int]] = []

    def work() -> Deferred[int]:
        begun.append(Deferred())
        return begun[-1]

    shared = Shared(work)
    told = results(shared.ask(), shared.ask())
    assert len(begun) == 1
    assert shared.busy
    begun[0].callback(5)
    assert told == [5, 5]
    assert not shared.busy
    failing = results(shared.ask())
    begun[1].errback(KeyError("none"))
    assert failing == [KeyError]
    assert len(begun) == 2


def test_work_that_is_done_at_once_is_told_at_once() -> None:
    shared: Shared[int] = Shared(lambda: Deferred.fromCoroutine(answer()))
    assert results(shared.ask()) == [42]
    assert results(shared.ask()) == [42]


async def answer() -> int:
    """A result that is there."""
    return 42
