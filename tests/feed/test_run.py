"""A run of a feed: no change goes by unseen, and a stop ends in time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from spgrepl.errors import ServiceStopped
from spgrepl.feed.run import Run


def started(step: Coroutine[Any, Any, None]) -> Deferred[None]:
    return Deferred.fromCoroutine(step)


@given(st.lists(st.booleans(), max_size=12))
def test_no_change_goes_by_unseen(wakes: list[bool]) -> None:
    """However wakes and waits follow each other, a wait after a wake ends, and one after none does not."""
    run = Run()
    changed = False
    waiting: Deferred[None] | None = None
    for wake in wakes:
        if wake:
            run.wake()
            changed = changed or waiting is None
            if waiting is not None:
                assert waiting.called
                waiting = None
        elif waiting is None:
            waiting = started(run.change())
            assert waiting.called == changed
            changed = False
            if waiting.called:
                waiting = None


def test_what_is_lost_is_raised_once_the_log_is_known() -> None:
    run = Run()
    run.lose(ValueError("too early: a first snapshot begins the log"))
    run.raise_lost()
    run.reading = True
    for reason in ("first", "second"):
        run.lose(ValueError(reason))
    with pytest.raises(ValueError, match="first"):
        run.raise_lost()
    failures: list[Failure] = []
    started(run.change()).addErrback(failures.append)
    assert [str(one.value) for one in failures] == ["first"]


def test_a_stop_ends_a_wait_without_what_was_lost() -> None:
    run, clock = Run(), Clock()
    run.reading = True
    run.lose(ValueError("lost"))
    run.stop(clock, 5)
    done: list[object] = []
    started(run.change()).addBoth(done.append)
    assert done == [None]


def test_a_receiver_is_given_up_after_a_while() -> None:
    run, clock = Run(), Clock()
    run.taking = Deferred()
    run.taking.addErrback(lambda failure: failure.trap(CancelledError) and None)
    run.stop(clock, 5)
    run.stop(clock, 5)
    clock.advance(4.9)
    assert not run.taking.called
    clock.advance(0.2)
    assert run.taking.called
    assert clock.getDelayedCalls() == []


def test_a_run_that_is_over_leaves_no_timer() -> None:
    run, clock = Run(), Clock()
    run.over()
    run.stop(clock, 5)
    run.over()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("error", "explained"), [(CancelledError(), True), (ServiceStopped("x"), True), (OSError(), False)]
)
def test_what_a_stop_explains(error: Exception, explained: bool) -> None:
    run = Run()
    assert not run.explains(Failure(error))
    run.stop(Clock(), 5)
    assert run.explains(Failure(error)) == explained
