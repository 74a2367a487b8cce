"""Whose positions these are, and how those of one history are counted in another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.base.histories import (
    Histories,
    History,
    decode_histories,
    encode_histories,
    histories_of,
    histories_values,
    served,
    shifted,
)
from spgrepl.base.results import Position
from spgrepl.errors import EXIT_OTHER_HISTORY, DifferentHistory

HEAD, RELAY, OTHER = "a" * 32, "b" * 32, "c" * 32


def at(position: int, history: str) -> Position:
    return Position(position, history=history)


def test_a_position_of_a_history_that_is_held_is_counted_as_here() -> None:
    held = Histories((History(HEAD, 500), History(RELAY)))
    assert held.place(at(700, HEAD), "the copy") == 200
    assert held.place(at(700, RELAY), "the copy") == 700
    assert held.place(700, "the copy") == held.place(Position(700), "the copy") == 700
    assert held.name(200, HEAD) == at(700, HEAD)
    assert held.name(200, HEAD).history == HEAD
    assert held.current == HEAD


def test_what_a_copy_was_made_with_is_there_from_the_start() -> None:
    assert Histories((History(HEAD, 500),)).place(at(3, HEAD), "the copy") == 0


def test_another_history_is_refused_by_name() -> None:
    held = Histories((History(HEAD, 500),))
    with pytest.raises(DifferentHistory) as caught:
        held.place(at(700, OTHER), "the copy in x.db")
    assert str(caught.value) == (
        f"position 700 is of history {OTHER}, and the copy in x.db holds history {HEAD}: ask a copy of the "
        f"database that gave the position"
    )
    assert caught.value.exit_code == EXIT_OTHER_HISTORY


def test_beyond_the_shared_part_is_refused_by_name() -> None:
    held = Histories((History(RELAY), History(HEAD, 500, stop=800)))
    assert held.place(at(800, HEAD), "the copy") == 300
    assert held.name(9000, HEAD) == 800
    with pytest.raises(
        DifferentHistory, match=f"801 of history {HEAD} is not held by the copy.* ends at 800 here"
    ):
        held.place(at(801, HEAD), "the copy")


def test_where_nothing_is_known_every_position_counts_as_here() -> None:
    assert Histories().place(at(700, OTHER), "the copy") == 700
    assert Histories().current is None


def test_what_followers_of_a_log_see() -> None:
    assert served(HEAD, 0, (), at_head=True) == (History(HEAD),)
    assert served(RELAY, 300, (History(HEAD, 20),), at_head=False) == (History(HEAD, 320), History(RELAY))
    assert served(RELAY, 0, (History(HEAD, 20, 90),), at_head=True) == (History(RELAY), History(HEAD, 20, 90))
    assert served(None, 0, (), at_head=True) == served("no id of ours", 0, (), at_head=True) == ()


positions = st.integers(0, 2**40)


@given(positions, positions, positions, positions)
def test_along_a_chain_a_byte_keeps_its_name(first: int, second: int, third: int, beyond: int) -> None:
    """A byte of the head's log is found in each log of a chain, and named there as at the head."""
    bases = (first, second, third)
    seen = served(HEAD, 0, (), at_head=True)
    here = byte = sum(bases) + beyond
    for number, base in enumerate(bases):
        held = Histories(seen)
        assert held.place(at(byte, HEAD), "the copy") == here
        assert held.name(here, HEAD) == byte
        seen = served(f"{number:032x}", base, seen, at_head=False)
        here -= base
    assert Histories(seen).place(at(byte, HEAD), "the copy") == beyond


ids = st.sampled_from([HEAD, RELAY, OTHER])
lists = st.lists(st.builds(History, ids, st.integers(-(2**61), 2**61), st.none() | positions), max_size=4).map(
    tuple
)


@given(lists)
def test_what_is_stored_is_read_back(known: tuple[History, ...]) -> None:
    assert decode_histories(encode_histories(known)) == known
    assert histories_of(histories_values(known)) == known
    assert shifted(shifted(known, 7), -7) == known


def test_none_are_stored_as_nothing() -> None:
    assert decode_histories(None) == ()


@pytest.mark.parametrize(
    "text", ["[", "5", '[["x",0,null]]', f'[["{HEAD}","0",null]]', f'[["{HEAD}",0]]', "[[5,0,0]]"]
)
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_histories(text)
