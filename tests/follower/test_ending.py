"""A service closes once, and tells once how it ended."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed

from spgrepl.follower.ending import Ending


class Closing:
    """Something that is closed when the test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.done: Deferred[None] = Deferred()

    def __call__(self) -> Deferred[None]:
        self.calls += 1
        return self.done


def test_closing_once_however_often_it_is_told_to() -> None:
    closing = Closing()
    ending = Ending(closing)
    assert not ending.begun
    told = [ending.end(), ending.end()]
    assert ending.begun
    assert closing.calls == 1
    assert not any(one.called for one in told)
    closing.done.callback(None)
    assert all(one.called for one in told)
    assert ending.finished.result is None


def test_the_first_end_is_the_one_that_is_told() -> None:
    closing, error = Closing(), RuntimeError("the disk is gone")
    ending = Ending(closing)
    ending.end(error)
    ending.end()
    assert not ending.finished.called
    seen: list[BaseException] = []
    ending.finished.addErrback(lambda failure: seen.append(failure.value))
    closing.done.callback(None)
    assert seen == [error]


@pytest.mark.parametrize("error", [None, RuntimeError("late")])
def test_an_error_after_a_stop_is_not_told(error: Exception | None) -> None:
    ending = Ending(lambda: succeed(None))
    ending.end()
    told = ending.end(error)
    assert told.called
    assert ending.finished.result is None


def test_what_closing_calls_sees_that_the_end_has_begun() -> None:
    seen: list[bool] = []

    def close() -> Deferred[None]:
        seen.append(ending.begun)
        return succeed(None)

    ending = Ending(close)
    ending.end()
    assert seen == [True]
