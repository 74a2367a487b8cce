"""How far a subscription has come, and for how long nothing came for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spgrepl.interfaces.target import FenceRecord, SubscriptionState

lengths = st.lists(st.integers(1, 1000), max_size=5)


@given(st.integers(0, 10**6), lengths, st.integers(0, 1000))
def test_quiet_are_the_bytes_since_the_last_record_began(start: int, records: list[int], quiet: int) -> None:
    at, fence = start, []
    for length in records:
        fence.append(FenceRecord(at, 0))
        at += length
    state = SubscriptionState(("p",), start, at + quiet, tuple(fence))
    assert state.quiet_bytes == (records[-1] if records else 0) + quiet


def test_a_start_that_was_moved_counts_where_no_record_came_since() -> None:
    assert SubscriptionState(("p",), 500, 700).quiet_bytes == 200
    assert SubscriptionState(("p",), 500, 700, (FenceRecord(650, 1),)).quiet_bytes == 50
