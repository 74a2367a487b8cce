"""What a batch asks of an engine: statements, each with the record that it comes from."""

from __future__ import annotations

import pytest

from spgrepl.errors import AmbiguousTransactions, RecordError
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.groups import Group
from spgrepl.log.transactions.work import NotFollowed, Settled, Tally, Work

PUBLISH = b"CREATE PUBLICATION p FOR ALL TABLES"


def origins(work: Work) -> list[int]:
    return [work.origin(index) for index in range(len(work.statements))]


@pytest.fixture
def work() -> Work:
    """Three plain statements of records 4 to 6, one of the MySQL dialect, a control, and two of one record."""
    made = Work()
    made.add_run(4, [b"a", b"b", b"c"])
    made.add(9, b"d", RecordType.MYSQL)
    made.add(10, PUBLISH, None)
    made.add(11, b"e", None)
    made.add(11, b"f", None)
    return made


def test_each_statement_comes_from_a_record(work: Work) -> None:
    assert work.statements == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert origins(work) == [4, 5, 6, 9, 11, 11]
    assert work.types == {3: RecordType.MYSQL}
    assert [(one.before, one.record, one.sql) for one in work.controls] == [(4, 10, PUBLISH)]


def test_a_control_among_others_stays_for_the_engine_to_take_apart() -> None:
    work = Work()
    work.add(1, PUBLISH + b"; SELECT 1", None)
    assert (work.controls, len(work.statements)) == ([], 1)


def test_records_may_be_left_out(work: Work) -> None:
    work.settled.append(Settled(5, 12, Group(0, 0), ()))
    work.leave_out({5, 10, 11}.__contains__)
    assert work.statements == [b"a", b"c", b"d"]
    assert origins(work) == [4, 6, 9]
    assert work.types == {2: RecordType.MYSQL}
    assert work.controls == []
    assert [one.before for one in work.settled] == [3]


def test_controls_keep_their_place_among_what_is_left(work: Work) -> None:
    work.leave_out({4, 9}.__contains__)
    assert [one.before for one in work.controls] == [2]
    assert origins(work) == [5, 6, 11, 11]


@pytest.mark.parametrize("at", range(7))
def test_a_cut_keeps_every_statement_with_its_record(work: Work, at: int) -> None:
    whole, all_origins = list(work.statements), origins(work)
    control = 0 if at <= 4 else 1
    rest = work.split(at, control)
    assert work.statements + rest.statements == whole
    assert origins(work) + origins(rest) == all_origins
    assert {**work.types, **{at + number: kind for number, kind in rest.types.items()}} == {3: RecordType.MYSQL}
    assert [one.before for one in work.controls] + [at + one.before for one in rest.controls] == [4]


def test_tallies_add_up() -> None:
    assert Tally(alone=1, commits=2) + Tally(commits=3, rollbacks=4, merged=5) == Tally(1, 5, 4, 5)


def test_what_cannot_be_followed_says_why_and_whether_it_is_ambiguous() -> None:
    mixed = NotFollowed(3, RecordError("mixed", 7))
    assert (mixed.index, mixed.ambiguous) == (3, None)
    assert "mixed" in str(mixed)
    ambiguous = AmbiguousTransactions("who knows", 7, 5)
    assert NotFollowed(3, ambiguous).ambiguous is ambiguous
