"""Transactions that are open at the same time: what their ends say of them."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.errors import AmbiguousTransactions
from spgrepl.log.transactions.groups import Group, OnAmbiguity, committed_after_all, judge_of


def ended(*commits: bool, held: int = 1) -> Group:
    """A group of transactions that ended so, one after the other."""
    group = Group(begin=100, opened_by=100, held=held)
    for number in range(1, len(commits)):
        group.begin_another(100 + 10 * number)
    for number, committed in enumerate(commits):
        group.end_one(committed, 200 + 10 * number, 210 + 10 * number)
    assert group.open == 0
    return group


@pytest.mark.parametrize(
    ("commits", "takes_effect", "differs"),
    [
        ((True,), True, False),
        ((False,), False, False),
        ((True, True), True, False),
        ((False, False), False, False),
        ((True, False), True, True),
        ((False, False, True), True, True),
    ],
)
def test_what_the_ends_say(commits: tuple[bool, ...], takes_effect: bool, differs: bool) -> None:
    group = ended(*commits)
    assert (group.takes_effect, group.differs, group.most) == (takes_effect, differs, len(commits))


def test_ends_that_differ_matter_only_where_statements_wait() -> None:
    assert not ended(True, False, held=0).differs


def test_a_rollback_to_a_savepoint_of_nobody_knows_whom_matters_where_something_was_committed() -> None:
    assert attrs.evolve(ended(True, True), unclear=150).differs
    assert not attrs.evolve(ended(False, False), unclear=150).differs
    assert "one went back to a savepoint at 150" in attrs.evolve(ended(True, True), unclear=150).describe()


def test_what_is_taken_for_dead_counts_as_rolled_back() -> None:
    group = Group(begin=0, opened_by=0, held=2)
    group.begin_another(10)
    group.end_one(True, 20, 30)
    dropped = group.dropped()
    assert (dropped.open, dropped.rollbacks, dropped.differs) == (0, 1, True)
    assert (group.open, group.rollbacks) == (1, 0)


def test_the_first_end_is_that_which_leaves_others_open() -> None:
    assert ended(True).first_end is None
    assert ended(True, False, True).first_end == 200


def test_one_and_the_same_since() -> None:
    group = Group(begin=100, opened_by=100)
    assert group.is_one_since(100)
    assert not group.is_one_since(99)
    group.begin_another(150)
    assert not group.is_one_since(150)
    group.end_one(True, 160, 170)
    assert group.is_one_since(170)
    assert not group.is_one_since(169)


def test_who_judges_is_chosen() -> None:
    group = ended(True, False)
    assert judge_of(OnAmbiguity.MERGE)(group, 250)
    for choice in (OnAmbiguity.STOP, OnAmbiguity.RESNAPSHOT):
        with pytest.raises(AmbiguousTransactions, match="2 transactions were open at the same time") as error:
            judge_of(choice)(group, 250)
        assert (error.value.position, error.value.begin) == (250, 100)


def test_a_commit_after_a_transaction_was_taken_for_dead_names_both_places() -> None:
    error = committed_after_all(100, 300)
    assert (error.position, error.begin) == (300, 100)
    assert "from position 100 on were taken for dead" in str(error)
