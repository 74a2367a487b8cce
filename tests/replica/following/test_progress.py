"""How far replay has come, and what is judged of a snapshot."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.errors import SnapshotError
from spgrepl.interfaces.engine import NO_NOTES
from spgrepl.log.transactions.groups import Group
from spgrepl.log.transactions.work import Section, Tally, Work
from spgrepl.replica.following.progress import MAX_POSITION, Progress, check_stated, counted, dropped_text


def test_what_one_of_several_committed_waits_for_the_others() -> None:
    assert Progress(500, 600, 0).settled == 500
    group = Group(begin=100, opened_by=100)
    assert Progress(500, 600, 0, group=group).settled == 500
    group.first_end = 300
    assert Progress(500, 600, 0, group=group).settled == 300
    assert Progress(200, 600, 0, group=group).settled == 200


@pytest.mark.parametrize(
    ("length", "position", "message"),
    [(10, MAX_POSITION + 1, "above 2\\^63 - 1"), (0, 7, "an empty snapshot at position 7")],
)
def test_a_snapshot_that_cannot_be(length: int, position: int, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        check_stated(length, position)


def test_a_snapshot_that_can_be() -> None:
    check_stated(10, MAX_POSITION)
    check_stated(0, 0)


def test_what_sections_count_adds_up() -> None:
    section = Section(Work(), 3, False, opened_by=70, tally=Tally(1, 2, 3, 4))
    notes = counted(counted(NO_NOTES, section, 100), section, 200, met=5)
    assert (notes.alone, notes.commits, notes.rollbacks, notes.merged, notes.met) == (2, 4, 6, 8, 5)
    assert notes.opened_by == 70


def test_what_the_snapshot_holds_is_forgotten_once_it_is_passed() -> None:
    section = Section(Work(), 3, True)
    notes = attrs.evolve(NO_NOTES, alone_to=150)
    assert counted(notes, section, 100).alone_to == 150
    assert counted(notes, section, 150).alone_to is None


def test_what_became_of_transactions_that_were_taken_for_dead() -> None:
    group = Group(begin=100, opened_by=100, held=7)
    assert "their 7 statements were dropped" in dropped_text(group, 300)
    group.commits = 1
    assert "their 7 statements took effect as a whole" in dropped_text(group, 300)
