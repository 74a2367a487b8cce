"""As of when a copy is, by a clock that the tests turn."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from spgrepl.base.worker import EngineWorker
from spgrepl.replica.freshness import Freshness
from spgrepl.watch.status import to_json
from spgrepl.wire.frames import Status


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Idle(EngineWorker):
    """A thread that has been at work for as long as a test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def busy_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def worker() -> Idle:
    return Idle()


@pytest.fixture
def fresh(clock: Clock, worker: Idle) -> Freshness:
    fresh = Freshness(clock, worker, "a.db")
    fresh.applied(100)
    fresh.heard(100, status=True)
    return fresh


def status(length: int) -> Status:
    return Status(length, 0)


def test_before_anything_is_known_nothing_is_said(clock: Clock, worker: Idle) -> None:
    fresh = Freshness(clock, worker, "a.db")
    nothing = dict.fromkeys(("heard_seconds", "status_seconds", "applied_seconds", "open_transactions"))
    assert to_json(fresh.describe(None, True)) == {"lag": {"bytes": None, "seconds": None}, **nothing}


def test_nothing_waits(clock: Clock, fresh: Freshness) -> None:
    clock.advance(2)
    found = to_json(fresh.describe(status(100), True))
    assert found["lag"] == {"bytes": 0, "seconds": 0.0}
    assert (found["heard_seconds"], found["status_seconds"]) == (2.0, 2.0)


def test_when_something_was_applied_last(clock: Clock, fresh: Freshness) -> None:
    fresh.applied(150)
    clock.advance(4)
    fresh.heard()
    fresh.applied(150)
    found = to_json(fresh.describe(status(150), True))
    assert (found["applied_seconds"], found["heard_seconds"], found["status_seconds"]) == (4.0, 0.0, 4.0)


def test_how_many_transactions_of_the_log_are_open_and_for_how_long(clock: Clock, fresh: Freshness) -> None:
    fresh.applied(100, 1)
    clock.advance(2)
    fresh.applied(100, 2)
    clock.advance(3)
    assert to_json(fresh.describe(None, True))["open_transactions"] == {"count": 2, "seconds": 5.0}
    fresh.applied(180, 1)
    clock.advance(1)
    assert to_json(fresh.describe(None, True))["open_transactions"] == {"count": 1, "seconds": 1.0}
    fresh.applied(200)
    assert to_json(fresh.describe(None, True))["open_transactions"] is None


def test_the_lag_is_the_time_since_the_copy_held_all_that_was_known(clock: Clock, fresh: Freshness) -> None:
    for length in (200, 300, 400):
        clock.advance(1)
        fresh.heard(length, status=True)
    assert fresh.lag(True) == 3.0
    fresh.applied(250)
    assert fresh.lag(True) == 2.0
    fresh.applied(400)
    assert fresh.lag(True) == 0.0
    clock.advance(1)
    fresh.heard(500)
    assert fresh.lag(True) == 1.0


def test_a_lock_on_the_copy_shows_as_a_lag_that_grows(clock: Clock, fresh: Freshness) -> None:
    for _ in range(14):
        clock.advance(1)
        fresh.heard(200, status=True)
    assert fresh.lag(True) == 14.0


def test_a_master_that_stands_still_is_silent_and_the_lag_unknown(clock: Clock, fresh: Freshness) -> None:
    clock.advance(9)
    assert fresh.silent
    assert fresh.lag(True) is None
    assert to_json(fresh.describe(status(100), True))["lag"] == {"bytes": None, "seconds": None}
    assert fresh.heard_seconds == 9.0
    complaint = fresh.complaint(True)
    assert complaint is not None
    assert complaint.kind == "silent"
    assert "has said nothing for 9.0 s" in str(complaint)
    assert fresh.complaint(False) is None
    fresh.heard()
    assert not fresh.silent


def test_silence_says_nothing_before_the_first_status(clock: Clock, fresh: Freshness) -> None:
    fresh.connected()
    clock.advance(9)
    assert not fresh.silent
    assert fresh.lag(True) is None


def test_what_waits_when_the_connection_is_lost_goes_on_to_age(clock: Clock, fresh: Freshness) -> None:
    clock.advance(1)
    fresh.heard(200, status=True)
    clock.advance(60)
    assert fresh.lag(False) == 61.0
    assert to_json(fresh.describe(status(300), False))["lag"] == {"bytes": 200, "seconds": 61.0}
    fresh.applied(200)
    assert fresh.lag(False) is None
    # Nothing waits of what was heard; of the rest nobody knows.
    assert to_json(fresh.describe(status(200), False))["lag"] == {"bytes": None, "seconds": None}


def test_a_log_that_is_shorter_now_is_taken_as_it_is(clock: Clock, fresh: Freshness) -> None:
    fresh.heard(900, status=True)
    clock.advance(1)
    fresh.heard(100, status=True)
    assert fresh.lag(True) == 0.0


def test_memory_is_bounded_and_the_lag_never_too_short(clock: Clock, fresh: Freshness) -> None:
    for number in range(1, 5000):
        clock.advance(1)
        fresh.heard(100 + number)
    assert len(fresh._lengths) <= 512
    for applied in range(100, 5099, 37):
        fresh.applied(applied)
        lag = fresh.lag(True)
        assert lag is not None
        assert lag >= 4999 - (applied - 100)


def test_a_batch_is_said_to_wait_after_a_second(fresh: Freshness, worker: Idle) -> None:
    worker.seconds = 0.9
    assert (fresh.complaint(True), fresh.trouble) == (None, None)
    worker.seconds = 14
    complaint = fresh.complaint(True)
    assert complaint is not None
    assert complaint.kind == "delayed"
    assert "has waited for a.db for 14.0 s" in str(complaint)
    assert fresh.complaint(False) is None
    assert fresh.trouble == "delayed"
