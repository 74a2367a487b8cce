"""How far a copy has come: what moves with it, and from where on it is read."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.base.histories import History
from spgrepl.interfaces.engine import Fence, Mark, ReplayState, TransactionNotes

positions = st.integers(0, 2**62)


@given(positions, positions)
def test_a_state_that_moves_keeps_all_but_its_position(position: int, base: int) -> None:
    state = ReplayState(
        9, base, None, "p", (Mark(1, 2, 3),), "why", (History("a" * 32, 0),), TransactionNotes(alone=3)
    )
    moved = state.moved(position, Fence(1, 2))
    assert moved == attrs.evolve(state, position=position, fence=Fence(1, 2))


@given(positions, st.one_of(st.none(), positions))
def test_a_copy_is_read_from_where_what_is_open_began(position: int, opened: int | None) -> None:
    state = ReplayState(position, 0, notes=TransactionNotes(opened_by=opened))
    assert state.resumes_at == (position if opened is None else opened)


@given(positions, st.one_of(st.none(), positions))
def test_what_stood_alone_reaches_at_least_to_the_position(position: int, alone: int | None) -> None:
    state = ReplayState(position, 0, notes=TransactionNotes(alone_to=alone))
    assert state.alone_to >= position
    assert state.alone_to in (position, alone)
