"""What two databases share of the histories that both know."""

from __future__ import annotations

from spgrepl.base.histories import History
from spgrepl.failover.common import Shared, longest_shared

A, B, C = "a" * 32, "b" * 32, "c" * 32


def test_where_no_history_is_known_on_both_sides_nothing_is() -> None:
    assert longest_shared([History(A, 0)], 100, [History(B, 0)], 100) is None
    assert longest_shared([], 100, [History(B, 0)], 100) is None


def test_the_shorter_of_two_logs_ends_what_is_shared() -> None:
    assert longest_shared([History(A, 0)], 100, [History(A, 0)], 70) == Shared(A, 70, 70, 70)
    assert longest_shared([History(A, 0)], 70, [History(A, 0)], 100) == Shared(A, 70, 70, 70)


def test_each_side_counts_in_its_own_way() -> None:
    assert longest_shared([History(A, 50)], 100, [History(A, 20)], 200) == Shared(A, 100, 130, 150)


def test_a_history_ends_where_one_side_went_on_with_another() -> None:
    ours, theirs = [History(B, 0), History(A, 0, 60)], [History(A, 0)]
    assert longest_shared(ours, 100, theirs, 90) == Shared(A, 60, 60, 60)


def test_of_several_the_part_that_reaches_furthest_here() -> None:
    ours = [History(C, 0), History(B, 10, 40), History(A, 0, 30)]
    theirs = [History(B, 0, 35), History(A, 0, 30)]
    assert longest_shared(ours, 100, theirs, 80) == Shared(A, 30, 30, 30)
    assert longest_shared(ours, 100, theirs[:1], 80) == Shared(B, 25, 35, 35)
