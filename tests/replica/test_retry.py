"""When a connection is tried again: never in a storm, never too late."""

from __future__ import annotations

from twisted.internet.task import Clock

from spgrepl.replica.retry import LONGEST_DELAY, STABLE_AFTER, Backoff, RetryPlan


def longest(_low: float, high: float) -> float:
    return high


def test_delays_double_up_to_a_bound_and_begin_at_zero() -> None:
    backoff = Backoff(longest)
    bounds = []
    for _ in range(9):
        backoff.failed()
        bounds.append(backoff.delay())
    assert bounds == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    backoff.failures = 100_000
    assert backoff.delay() == LONGEST_DELAY
    backoff.succeeded()
    assert backoff.delay() == 0.5
    assert Backoff(lambda low, _high: low).delay() == 0.0


def test_delays_are_drawn_from_the_whole_range() -> None:
    backoff = Backoff()
    backoff.failures = 10
    drawn = [backoff.delay() for _ in range(2000)]
    assert 0 <= min(drawn) < 3
    assert 27 < max(drawn) <= 30


def plan() -> tuple[RetryPlan, Clock]:
    clock = Clock()
    return RetryPlan(clock, longest), clock


def test_another_version_is_tried_at_once_and_only_once() -> None:
    retries, _ = plan()
    retries.refused_version()
    assert retries.delay() == 0.0
    retries.failed()
    assert retries.delay() == 0.5


def test_a_second_look_comes_at_once_until_histories_have_differed() -> None:
    retries, _ = plan()
    retries.doubted()
    assert retries.delay() == 0.0
    retries.diverged()
    assert retries.delay() == 0.0
    retries.doubted()
    assert retries.delay() == 0.5


def test_progress_forgets_failures() -> None:
    retries, _ = plan()
    for _ in range(5):
        retries.failed()
    retries.progressed()
    retries.failed()
    assert retries.delay() == 0.5


def test_a_stream_that_soon_ends_again_does_not() -> None:
    retries, clock = plan()
    delays = []
    for _ in range(8):
        retries.streaming()
        clock.advance(STABLE_AFTER - 1)
        assert not retries.is_stable()
        retries.failed()
        delays.append(retries.delay())
    assert delays[-1] == LONGEST_DELAY
    assert not retries.is_stable()
    retries.streaming()
    clock.advance(STABLE_AFTER)
    assert retries.is_stable()
    retries.failed()
    assert retries.delay() == 0.5


def test_a_history_that_differs_time_after_time_is_asked_for_ever_more_rarely() -> None:
    retries, clock = plan()
    delays = []
    for _ in range(8):
        retries.diverged()
        delays.append(retries.delay())
        retries.streaming()
        retries.progressed()
        clock.advance(1)
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30]
    clock.advance(STABLE_AFTER)
    assert retries.is_stable()
    retries.diverged()
    assert retries.delay() == 0
