"""When the requests of a group are answered: while the disk is busy with the next group, if there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.running.statement_runner import Control
from spgrepl.primary.writing.request_queue import HELD_SECONDS, PrimaryLimits, RequestQueue


class Rig(Clock):
    """A reactor, and the thread of a writer whose groups end when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.control = Control()
        self.groups: list[tuple[Sequence[Request], Deferred[Any]]] = []
        self.answered: list[str] = []
        self.told: list[int] = []
        self.idle: list[object] = []
        writer: Any = SimpleNamespace(
            control=self.control,
            run=None,
            histories=SimpleNamespace(current="h"),
            position=0,
        )
        limits = PrimaryLimits(requests=100, size=100_000)
        self.queue = RequestQueue(self, writer, self.call, limits, lambda group: self.told.append(len(group)))

    def call(self, _function: object, requests: Sequence[Request]) -> Deferred[Any]:
        self.groups.append((requests, Deferred()))
        return self.groups[-1][1]

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.callLater(0, function)

    def ask(self, name: str) -> Deferred[Any]:
        asked = self.queue.ask(Request((name,)))
        asked.addCallbacks(
            lambda position: self.answered.append(f"{name} {int(position)}"),
            lambda failure: self.answered.append(f"{name} {failure.type.__name__}"),
        )
        return asked

    def end_all(self, seconds: float = 0.0) -> int:
        """End the group that runs well, after so many seconds of the disk; returns how many it has."""
        self.advance(seconds)
        count = len(self.groups[0][0])
        self.end(*[Written(1, ())] * count)
        return count

    def end(self, *answers: Any) -> None:
        _, running = self.groups.pop(0)
        running.callback(list(answers))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def two_groups(rig: Rig) -> None:
    """One is done, and the next one runs."""
    rig.ask("a")
    rig.ask("b")
    rig.ask("c")
    rig.end(Written(1, ()))
    assert [request.statements[0] for request in rig.groups[0][0]] == ["b", "c"]
    assert rig.answered == []
    assert len(rig.queue) == 3


def test_without_a_next_group_the_answer_comes_at_once(rig: Rig) -> None:
    rig.ask("a")
    rig.end(Written(1, ()))
    assert rig.answered == ["a 1"]
    assert rig.told == [1]
    assert rig.getDelayedCalls() == []


def test_with_a_next_group_it_comes_when_that_goes_to_the_disk(rig: Rig) -> None:
    two_groups(rig)
    rig.control.logging()
    assert rig.answered == []  # it is called in the writer's thread
    rig.advance(0)
    assert rig.answered == ["a 1"]
    rig.end(Written(2, ()), StatementFailed("no", "c"))
    assert rig.answered == ["a 1", "b 2", "c StatementFailed"]
    assert rig.told == [1, 2]
    assert rig.getDelayedCalls() == []


def test_a_next_group_that_logs_nothing_ends_the_wait(rig: Rig) -> None:
    two_groups(rig)
    rig.end(Written(2, ()), Written(3, ()))
    assert rig.answered == ["a 1", "b 2", "c 3"]
    assert rig.getDelayedCalls() == []


def test_a_next_group_that_takes_long_is_not_waited_for(rig: Rig) -> None:
    two_groups(rig)
    rig.advance(HELD_SECONDS)
    assert rig.answered == ["a 1"]
    rig.control.logging()
    assert rig.getDelayedCalls() == []


def test_whoever_waits_until_all_is_done_waits_for_the_answers(rig: Rig) -> None:
    two_groups(rig)
    rig.queue.when_idle().addCallback(rig.idle.append)
    rig.control.logging()
    rig.advance(0)
    assert rig.idle == []
    rig.end(Written(2, ()), Written(3, ()))
    assert rig.idle == [None]


def test_an_answer_that_waits_may_be_cancelled(rig: Rig) -> None:
    first = rig.ask("a")
    rig.ask("b")
    rig.end(Written(1, ()))
    first.cancel()
    rig.end(Written(2, ()))
    assert rig.answered == [f"a {CancelledError.__name__}", "b 2"]


def test_a_group_that_fails_as_a_whole_is_answered_behind_the_one_before(rig: Rig, logged_failures: Any) -> None:
    two_groups(rig)
    rig.groups.pop(0)[1].errback(ZeroDivisionError())
    assert rig.answered == ["a 1", "b ZeroDivisionError", "c ZeroDivisionError"]
    logged_failures.flush(ZeroDivisionError)


def ask_again(rig: Rig, callers: int, times: int) -> None:
    """Callers each of whom asks again as soon as he is answered."""

    def caller(left: int) -> None:
        if left:
            rig.queue.ask(Request(("x",))).addCallback(lambda _: caller(left - 1))

    for _ in range(callers):
        caller(times)


def sizes(rig: Rig, seconds: float) -> list[int]:
    """How large the groups are, with a disk that takes so long for each."""
    found = []
    while rig.groups:
        rig.control.logging()
        rig.advance(0)
        found.append(rig.end_all(seconds))
    return found


def test_callers_who_ask_again_at_once_take_turns_in_two_halves(rig: Rig) -> None:
    ask_again(rig, callers=64, times=30)
    found = sizes(rig, 0.0)
    assert sum(found) == 64 * 30
    assert set(found[3:-3]) == {32}


def test_where_the_disk_is_slow_all_of_them_share_a_group(rig: Rig) -> None:
    ask_again(rig, callers=64, times=30)
    found = sizes(rig, 10.0)
    assert sum(found) == 64 * 30
    assert set(found[3:-1]) == {64}


def test_what_is_asked_all_at_once_is_not_cut_into_ever_smaller_groups(rig: Rig) -> None:
    ask_again(rig, callers=90, times=1)
    assert sizes(rig, 0.0) == [1, 45, 44]


def test_one_caller_has_groups_of_one(rig: Rig) -> None:
    ask_again(rig, callers=1, times=5)
    assert sizes(rig, 0.0) == [1] * 5
