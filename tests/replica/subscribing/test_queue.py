"""The queue between a connection and a target: bounded, in order, whole transactions, and never stuck."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.errors import EngineFailed
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import encode_v2
from spgrepl.replica.subscribing.portions import Portion
from spgrepl.replica.subscribing.queue import ApplyQueue
from tests.replica.subscribing.streams import STATUS, Item, frames_of, insert, length_of

A, B, C = insert(1), insert(2), insert(3)
LONG = encode_v2(b"INSERT INTO t VALUES ('" + b"x" * 200_000 + b"')")


class HeldWorker:
    """A worker whose calls end when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Portion], Deferred[Any]]] = []

    def call(self, _: object, portions: list[Portion]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.calls.append((portions, done))
        return done


class Rig:
    """A queue, what it hands over, and the position that its target stands at."""

    def __init__(self, position: int = 40) -> None:
        self.worker = HeldWorker()
        self.state = SubscriptionState(("p",), position, position)
        self.progress: list[int] = []
        self.failures: list[Failure] = []
        self.end = position
        applier: Any = self
        worker: Any = self.worker
        self.queue = ApplyQueue(worker, applier, self.progressed, self.failures.append)
        self.queue.open()

    def apply(self) -> None:
        """What `Applier` has; never run here."""

    def progressed(self, state: SubscriptionState) -> None:
        self.progress.append(state.position)

    def push(self, *items: Item, first: int = 0) -> None:
        frames = frames_of(self.end, *items)
        self.end = frames.end
        self.queue.push(frames, first)

    @property
    def in_flight(self) -> list[Item]:
        """What the one batch in flight holds, as records and the positions where it may end."""
        ((portions, _),) = self.worker.calls
        return [
            *(one.frames.record(index) for one in portions for index in range(one.first, one.stop)),
            portions[-1].end,
        ]

    def finish(self) -> list[Item]:
        found = self.in_flight
        portions, done = self.worker.calls.pop()
        self.state = SubscriptionState(("p",), 40, portions[-1].end)
        done.callback(self.state)
        return found

    def fail(self) -> None:
        self.worker.calls.pop()[1].errback(EngineFailed("no room"))


@pytest.fixture
def rig() -> Rig:
    return Rig()


# -- whole transactions ---------------------------------------------------------------------------------------


def test_nothing_is_handed_over_before_a_status_has_come(rig: Rig) -> None:
    rig.push(A, 9, B)
    assert rig.worker.calls == []
    rig.push(C)
    assert rig.worker.calls == []
    rig.push(5, STATUS)
    assert rig.finish() == [A, B, C, 40 + length_of(A, 9, B, C, 5)]
    assert rig.worker.calls == []


def test_what_stands_behind_the_last_status_waits_for_the_next(rig: Rig) -> None:
    rig.push(A, STATUS, B, STATUS, C)
    assert rig.finish() == [A, B, 40 + length_of(A, B)]
    rig.push(STATUS)
    assert rig.finish() == [C, 40 + length_of(A, B, C)]


def test_what_is_passed_over_moves_the_position_alone(rig: Rig) -> None:
    rig.push(500, STATUS)
    assert rig.finish() == [540]
    assert rig.progress == [540]


def test_a_status_behind_nothing_new_is_no_work(rig: Rig) -> None:
    rig.push(STATUS)
    rig.push(STATUS, STATUS)
    assert rig.worker.calls == []
    rig.push(7)
    rig.push(STATUS)
    assert rig.finish() == [47]


def test_records_that_are_not_new_are_left_out(rig: Rig) -> None:
    rig.push(A, B, C, STATUS, first=2)
    assert rig.finish() == [C, 40 + length_of(A, B, C)]
    rig.push(A, STATUS, B, STATUS, first=2)
    assert rig.finish() == [rig.end]


# -- one at a time, in order, bounded -------------------------------------------------------------------------


def test_one_batch_is_in_flight_while_the_next_gathers(rig: Rig) -> None:
    for record in (A, B, C):
        rig.push(record, STATUS)
    assert rig.finish() == [A, 40 + len(A)]
    assert rig.finish() == [B, C, 40 + length_of(A, B, C)]
    assert rig.worker.calls == []


def fill(rig: Rig, *items: Item) -> int:
    """Push the same again until the queue is full; returns how often."""
    pushed = 0
    while not rig.queue.full:
        rig.push(*items)
        pushed += 1
        assert pushed * length_of(*items) < 2 * ApplyQueue.high_water
    return pushed


def test_the_water_marks(rig: Rig) -> None:
    rig.push(A, STATUS)
    pushed = fill(rig, LONG, STATUS)
    assert ApplyQueue.high_water <= pushed * (len(LONG) + 26) < ApplyQueue.high_water + 2 * len(LONG)
    assert not rig.queue.drained
    rig.finish()
    assert rig.queue.drained
    assert len(rig.finish()) == pushed + 1
    assert ApplyQueue.low_water < ApplyQueue.high_water


def test_a_transaction_that_is_longer_than_the_bound_is_cut(rig: Rig) -> None:
    pushed = fill_until_handed_over(rig)
    assert len(rig.finish()) == pushed + 1
    rig.push(A, STATUS)
    assert rig.finish() == [A, rig.end]


def fill_until_handed_over(rig: Rig) -> int:
    pushed = 0
    while not rig.worker.calls:
        rig.push(LONG)
        pushed += 1
        assert pushed * len(LONG) < 2 * ApplyQueue.high_water
    return pushed


def test_a_long_transaction_behind_a_batch_in_flight_is_cut_too(rig: Rig) -> None:
    rig.push(A, STATUS)
    pushed = fill(rig, LONG)
    rig.finish()
    assert len(rig.finish()) == pushed + 1
    assert rig.queue.drained


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_connection_that_was_paused_goes_on_where_only_more_of_it_helps(rig: Rig, share: float) -> None:
    """What waits after the last STATUS may be more than the low mark, and too little to be cut."""
    rig.push(A, STATUS)
    bytes_before = 0
    while bytes_before < ApplyQueue.high_water * (1 - share):
        rig.push(LONG, STATUS)
        bytes_before += len(LONG)
    fill(rig, LONG)
    assert not rig.queue.drained
    rig.finish()
    assert not rig.queue.drained
    while rig.worker.calls:
        rig.finish()
    assert rig.queue.drained
    rig.push(STATUS)
    rig.finish()
    assert rig.progress[-1] == rig.end


# -- failures and ends ----------------------------------------------------------------------------------------


def test_a_failure_forgets_what_waits_until_a_stream_begins_anew(rig: Rig) -> None:
    rig.push(A, STATUS)
    rig.push(B, STATUS, C)
    rig.fail()
    assert [failure.type for failure in rig.failures] == [EngineFailed]
    rig.push(C, STATUS)
    assert rig.worker.calls == []
    assert rig.queue.drained
    rig.end = 40
    rig.queue.open()
    rig.push(A, STATUS)
    assert rig.finish() == [A, 40 + len(A)]


def test_a_connection_that_ends_forgets_what_waits_and_not_what_is_in_flight(rig: Rig) -> None:
    rig.push(A, STATUS)
    rig.push(B, STATUS, C)
    rig.queue.discard()
    assert rig.finish() == [A, 40 + len(A)]
    assert rig.worker.calls == []
    assert rig.progress == [40 + len(A)]
    assert not rig.queue.full


def test_a_new_stream_begins_with_nothing_of_the_old(rig: Rig) -> None:
    rig.push(A, B)
    rig.end = 40
    rig.queue.open()
    rig.push(A, STATUS)
    assert rig.finish() == [A, 40 + len(A)]


items: st.SearchStrategy[Item] = st.one_of(st.integers(1, 30), st.integers(0, 999).map(insert), st.just(STATUS))


@given(st.lists(st.one_of(st.lists(items, min_size=1, max_size=6), st.none()), max_size=30))
def test_all_records_come_once_and_in_order_and_only_up_to_a_status(steps: list[list[Item] | None]) -> None:
    rig = Rig()
    pushed: list[Item] = []
    taken: list[Item] = []
    for step in steps:
        if step is not None:
            rig.push(*step)
            pushed += step
        elif rig.worker.calls:
            taken += rig.finish()[:-1]
        assert len(rig.worker.calls) <= 1
    while rig.worker.calls:
        taken += rig.finish()[:-1]
    settled = pushed[: len(pushed) - pushed[::-1].index(STATUS)] if STATUS in pushed else []
    assert taken == [item for item in settled if isinstance(item, bytes)]
    assert rig.state.position == 40 + length_of(*settled)
    assert rig.progress == sorted(set(rig.progress))
