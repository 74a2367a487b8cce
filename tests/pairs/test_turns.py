"""Where in a log one history ends and the next one begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.base.histories import History
from spgrepl.log.format.parser import cut_records
from spgrepl.pairs.turns import PendingTurns, Turn, read_turn
from tests.log.transactions.batches import batch

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
ids = st.text("0123456789abcdef", min_size=32, max_size=32)
positions = st.integers(0, 2**63)


def sql_of(turn: Turn) -> bytes:
    found, error = cut_records(turn.encode(), 0)
    assert error is None
    assert found.sql[0] is not None
    return found.sql[0]


@given(st.builds(Turn, ids, positions, st.lists(st.tuples(ids, positions), max_size=3).map(tuple)))
def test_a_turn_reads_back(turn: Turn) -> None:
    assert read_turn(sql_of(turn)) == turn


@pytest.mark.parametrize(
    "sql",
    [
        b"/* another comment */",
        b"/* spgrepl: history " + A.encode() + b" begins */",
        sql_of(Turn(A, 7)) + b" ",
        sql_of(Turn(A, 7)).replace(b"7", b"x"),
        b"SELECT 1 " + sql_of(Turn(A, 7)),
        b"/* spgrepl: history \xff",
    ],
)
def test_what_is_none(sql: bytes) -> None:
    assert read_turn(sql) is None


def test_the_history_before_ends_and_the_new_one_counts_from_its_record() -> None:
    known = (History(A, 0), History(B, 5, 50))
    assert Turn(C, 100, ((A, 90),)).take(known, 40) == (History(C, 60), History(A, 0, 90), History(B, 5, 50))


def test_what_has_ended_already_stays_so() -> None:
    assert Turn(C, 100, ((B, 90),)).take((History(B, 5, 50),), 100) == (History(C, 0), History(B, 5, 50))


def test_a_turn_counts_once_it_is_applied() -> None:
    pending, turn = PendingTurns(), Turn(B, 30, ((A, 30),))
    found = batch("INSERT INTO t VALUES (1)", turn.encode(), "INSERT INTO t VALUES (2)")
    pending.note(found)
    known = (History(A, 0),)
    start = found.start_of(1)
    assert pending.taken(known, start) == known
    after = turn.take(known, start)
    assert pending.taken(known, found.start_of(2)) == after
    assert pending.taken(after, found.end) == after


def test_what_is_forgotten_comes_again() -> None:
    pending, turn = PendingTurns(), Turn(B, 0)
    pending.note(batch(turn.encode()))
    pending.clear()
    assert pending.taken((), 1000) == ()
