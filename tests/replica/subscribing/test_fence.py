"""The fence of a subscription: a different history is recognised, and nothing is applied twice or lost."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.errors import HistoryDiverged
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.replica.subscribing.fence import FENCE_SPAN, MOST_RECORDS, REACH, FenceComparison, fence_after
from tests.replica.subscribing.streams import STATUS, Item, frames_of, insert, length_of

A, B, C, NEW = insert(1), insert(2), insert(3), insert(4)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The texts of what is logged as a warning."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def state_behind(start: int, *items: Item) -> SubscriptionState:
    """The state of a subscription that was given this, and nothing else, from a position on."""
    frames = frames_of(start, *items)
    return SubscriptionState(("p",), start, frames.end, fence_after((), frames, 0, len(frames)))


# -- what is kept ---------------------------------------------------------------------------------------------


def test_the_last_records_of_512_bytes_are_kept() -> None:
    records = [insert(number) for number in range(100)]
    fence = fence_after((), frames_of(40, *records), 0, 100)
    least = -(-FENCE_SPAN // len(records[50]))
    assert len(fence) == least
    assert fence[-1] == FenceRecord(40 + length_of(*records[:99]), crc32(records[99]))
    assert fence[0].position == 40 + length_of(*records[: 100 - least])


def test_fewer_are_kept_where_there_are_no_more_and_those_before_stay() -> None:
    before = fence_after((), frames_of(40, A, 1000, B), 0, 2)
    assert before == (FenceRecord(40, crc32(A)), FenceRecord(40 + len(A) + 1000, crc32(B)))
    position = 40 + length_of(A, 1000, B)
    fence = fence_after(before, frames_of(position, 7, C), 0, 1)
    assert fence == (*before, FenceRecord(position + 7, crc32(C)))


def test_only_those_of_a_range_are_taken() -> None:
    assert fence_after((), frames_of(40, A, B, C), 1, 2) == (FenceRecord(40 + len(A), crc32(B)),)
    assert fence_after((), frames_of(40, A, B, C), 2, 2) == ()


def test_a_fence_has_a_bounded_number_of_records() -> None:
    tiny = [insert(number, "a") for number in range(10)]
    fence: tuple[FenceRecord, ...] = ()
    position = 40
    for _ in range(50):
        fence = fence_after(fence, frames_of(position, *tiny), 0, len(tiny))
        position += length_of(*tiny)
    assert len(fence) <= MOST_RECORDS


# -- comparing ------------------------------------------------------------------------------------------------


def test_a_resumed_stream_begins_with_the_fence_and_nothing_of_it_is_new() -> None:
    state = state_behind(40, 9, A, 20, B, 5)
    check = FenceComparison(state)
    assert (check.start, check.passed) == (49, False)
    assert check.feed(frames_of(49, A, 20, B, 5, NEW)) == 2
    assert check.passed
    assert check.feed(frames_of(state.position + len(NEW), NEW)) == 0


@given(st.lists(st.integers(0, 8), max_size=9).map(sorted))
def test_it_may_come_in_any_pieces(places: list[int]) -> None:
    items: list[Item] = [A, 20, B, STATUS, 5, NEW, STATUS, 3]
    state = state_behind(40, *items[:5])
    check = FenceComparison(state)
    new: list[bytes] = []
    position = 40
    for low, high in zip([0, *places], [*places, len(items)], strict=True):
        if low == high:
            continue
        frames = frames_of(position, *items[low:high])
        first = check.feed(frames)
        new += [frames.record(index) for index in range(first, len(frames))]
        position = frames.end
    assert check.passed
    assert new == [NEW]


def test_a_subscription_without_a_fence_passes_at_once() -> None:
    check = FenceComparison(SubscriptionState(("p",), 90, 90))
    assert (check.start, check.passed) == (90, True)
    assert check.feed(frames_of(90, NEW)) == 0


def test_where_nothing_has_come_yet_nothing_may_have_come() -> None:
    """From the start on; a start of 0 cannot be asked for, and one far back would take long."""
    state = SubscriptionState(("p",), 40, 90)
    check = FenceComparison(state)
    assert (check.start, check.passed) == (40, False)
    assert check.feed(frames_of(40, 50, NEW)) == 0
    assert check.passed
    with pytest.raises(HistoryDiverged, match="this cannot be told"):
        FenceComparison(state).feed(frames_of(40, A, 50 - len(A), NEW))
    assert FenceComparison(SubscriptionState(("p",), 0, 90)).passed
    assert FenceComparison(SubscriptionState(("p",), 40, 40 + REACH)).start == 40
    assert FenceComparison(SubscriptionState(("p",), 40, 41 + REACH)).passed


@pytest.mark.parametrize(
    "items",
    [
        (C, 20, B, 5, NEW),
        (A, 20, C, 5, NEW),
        (len(A) + 20, C, 5, NEW),
    ],
    ids=["first", "second", "not published, then another"],
)
def test_another_history_is_recognised(items: tuple[Item, ...]) -> None:
    check = FenceComparison(state_behind(40, A, 20, B, 5))
    with pytest.raises(HistoryDiverged, match="is not the one that this subscription was given"):
        check.feed(frames_of(40, *items))


def test_a_record_that_reaches_beyond_what_was_applied_is_of_another_history() -> None:
    check = FenceComparison(state_behind(40, A, 20))
    with pytest.raises(HistoryDiverged, match="position 90"):
        check.feed(frames_of(40, A, 90 - 40 - len(A), NEW))


CHANGED = ("p", "q")
"""Publications that the subscriber itself did not ask for before."""


def test_records_that_were_not_published_then_may_be_of_a_different_history() -> None:
    """A record of the same length stood there before, which was not published."""
    state = state_behind(40, A, len(C), B)
    with pytest.raises(HistoryDiverged, match="this cannot be told") as caught:
        FenceComparison(state).feed(frames_of(40, A, C, B, NEW))
    for words in ("a table was added", "as after a backup was restored", "--same-history"):
        assert words in str(caught.value)


def test_records_that_were_not_asked_for_then_are_not_new() -> None:
    state = state_behind(40, A, len(C), B, len(C))
    check = FenceComparison(state, CHANGED)
    assert check.feed(frames_of(40, A, C, B, C, NEW)) == 4
    assert check.passed


@pytest.mark.parametrize("gone", [(length_of(A, 20, B),), (length_of(A, 20), B), (A, 20 + length_of(B))])
def test_records_that_do_not_come_again_may_be_of_a_different_history(gone: tuple[Item, ...]) -> None:
    with pytest.raises(HistoryDiverged, match="this cannot be told") as caught:
        FenceComparison(state_behind(40, A, 20, B)).feed(frames_of(40, *gone, NEW))
    for words in ("a table was taken out", "as after a backup was restored", "--same-history"):
        assert words in str(caught.value)


def test_records_that_are_not_asked_for_any_more_are_warned_of(warnings: list[str]) -> None:
    state = state_behind(40, A, 20, B)
    check = FenceComparison(state, CHANGED)
    assert check.feed(frames_of(40, length_of(A, 20, B), NEW)) == 0
    assert check.passed
    (warning,) = warnings
    assert "cannot be compared" in warning
    assert str(state.position) in warning


def test_one_that_is_still_asked_for_is_enough(warnings: list[str]) -> None:
    check = FenceComparison(state_behind(40, A, 20, B), CHANGED)
    assert check.feed(frames_of(40, length_of(A, 20), B, NEW)) == 1
    assert (check.passed, warnings) == (True, [])


def test_a_stream_is_never_asked_for_from_position_0() -> None:
    """There 0 means the master's end: everything between would be lost."""
    state = state_behind(0, A)
    check = FenceComparison(state)
    assert (check.start, check.passed) == (len(A), True)
    state = state_behind(0, A, B)
    check = FenceComparison(state)
    assert (check.start, check.passed) == (len(A), False)
    assert check.feed(frames_of(len(A), B, NEW)) == 1
    with pytest.raises(HistoryDiverged):
        FenceComparison(state).feed(frames_of(len(A), C))


records = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 300)), min_size=1, max_size=30)


@given(records, st.integers(1, 30), st.integers(0, 29))
def test_the_same_history_passes_and_one_that_differs_anywhere_does_not(
    log: list[tuple[int, int]], applied: int, changed: int
) -> None:
    def history(digit: int, at: int) -> list[Item]:
        """The log; the record of an index, among those that are resumed, has another digit."""
        return [
            item
            for number, (skipped, size) in enumerate(log)
            for item in (skipped, insert(int(str(digit if number == at else 1) * size)))
            if item
        ]

    taken = sum(1 + (skipped > 0) for skipped, _ in log[:applied])
    items = history(1, -1)
    state = state_behind(40, *items[:taken])
    resumed = len(log[:applied]) - len(state.fence)

    def rest(history: list[Item]) -> list[Item]:
        position = 40
        while position < FenceComparison(state).start:
            position += length_of(history.pop(0))
        return history

    check = FenceComparison(state)
    new = [item for item in items[taken:] if isinstance(item, bytes)]
    frames = frames_of(check.start, *rest(items))
    first = check.feed(frames)
    assert check.passed
    assert [frames.record(index) for index in range(first, len(frames))] == new
    if resumed <= changed < len(log[:applied]):
        check = FenceComparison(state)
        with pytest.raises(HistoryDiverged):
            check.feed(frames_of(check.start, *rest(history(2, changed))))
