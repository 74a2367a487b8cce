"""The savepoints that are set in a transaction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.transactions import savepoints
from spgrepl.log.transactions.savepoints import Savepoints, TooManySavepoints


def test_the_last_one_of_a_name_counts() -> None:
    found = Savepoints()
    for number, name in enumerate("aba"):
        found.add(name, 100 + number)
    assert len(found) == 3
    assert (found.find("a"), found.find("b"), found.find("c")) == (2, 1, None)
    assert [found.start(number) for number in range(3)] == [100, 101, 102]


def test_cutting_brings_the_earlier_one_back() -> None:
    found = Savepoints()
    for number, name in enumerate("aba"):
        found.add(name, number)
    found.cut(2)
    assert (len(found), found.find("a")) == (2, 0)
    found.cut(0)
    assert (len(found), found.find("a"), found.find("b")) == (0, None, None)


@pytest.mark.parametrize(
    ("bound", "names", "message"),
    [
        ("MAX_SAVEPOINTS", "aaaa", "more than 3 savepoints are set at once"),
        ("MAX_NAMES", "abcd", "savepoints of more than 3 names are set at once"),
    ],
)
def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch, bound: str, names: str, message: str) -> None:
    monkeypatch.setattr(savepoints, bound, 3)
    found = Savepoints()
    for name in names[:3]:
        found.add(name, 0)
    with pytest.raises(TooManySavepoints, match=message):
        found.add(names[3], 0)
    found.cut(2)
    found.add(names[3], 0)
    assert len(found) == 3


@given(st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 5))))
def test_it_is_a_stack(steps: list[str | int]) -> None:
    found, stack = Savepoints(), list[str]()
    for start, step in enumerate(steps):
        if isinstance(step, str):
            found.add(step, start)
            stack.append(step)
        else:
            found.cut(step)
            del stack[step:]
        assert len(found) == len(stack)
        for name in "abc":
            last = max((number for number, one in enumerate(stack) if one == name), default=None)
            assert found.find(name) == last
