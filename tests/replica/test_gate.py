"""The gate: it is shut while anybody holds it, and says so once."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from spgrepl.interfaces.store import IStore
from spgrepl.replica.gate import Gate


@implementer(IStore)
@attrs.define(eq=False)
class Store:
    """A store with room for 10."""

    waiting: int = 0

    @property
    def full(self) -> bool:
        return self.waiting >= 10

    @property
    def drained(self) -> bool:
        return self.waiting <= 3


def gate_of(told: list[str]) -> Gate:
    return Gate(lambda: told.append("pause"), lambda: told.append("resume"))


def test_it_is_shut_until_the_last_holder_lets_go() -> None:
    told: list[str] = []
    gate = gate_of(told)
    gate.hold("a")
    gate.hold("b")
    gate.hold("a")
    assert told == ["pause"]
    gate.release("a")
    gate.release("nobody")
    assert gate.shut
    gate.release("b")
    assert told == ["pause", "resume"]
    assert not gate.shut


def test_a_store_that_was_full_holds_it_until_it_is_drained() -> None:
    told: list[str] = []
    gate, store, other = gate_of(told), Store(), Store(5)
    assert verifyObject(IStore, store)
    for waiting, expected in (
        (9, []),
        (10, ["pause"]),
        (4, ["pause"]),
        (3, ["pause", "resume"]),
        (9, ["pause", "resume"]),
    ):
        store.waiting = waiting
        gate.look(store, other)
        assert told == expected


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12))))
def test_nothing_is_read_while_a_store_is_full(steps: list[tuple[int, int]]) -> None:
    told: list[str] = []
    gate, stores = gate_of(told), (Store(), Store())
    for which, waiting in steps:
        stores[which].waiting = waiting
        gate.look(*stores)
        if any(store.full for store in stores):
            assert gate.shut
        if all(store.drained for store in stores):
            assert not gate.shut
        assert told == (["pause", "resume"] * len(told))[: len(told)]
        assert gate.shut == (len(told) % 2 == 1)
