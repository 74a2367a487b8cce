"""Where the value of a parameter comes from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Literal, TokenKind
from spgrepl.spgsql.typed.plan import Binding


@settings(max_examples=30)
@given(st.lists(st.text("abc", max_size=4), min_size=1, max_size=5), st.data())
def test_a_literal_is_taken_by_its_number(texts: list[str], data: st.DataObject) -> None:
    literals = [Literal(TokenKind.STRING, text) for text in texts]
    slot = data.draw(st.integers(0, len(texts) - 1))

    def now() -> int:
        raise AssertionError("nobody needs the time")

    assert Binding(slot, lambda literal: literal.text).value(literals, now) == texts[slot]


@settings(max_examples=30)
@given(st.integers())
def test_the_time_is_asked_for_when_a_value_of_it_is(moment: int) -> None:
    asked: list[int] = []

    def now() -> int:
        asked.append(moment)
        return moment

    binding = Binding(-1, of_time=lambda time: str(time + 1))
    assert asked == []
    assert binding.value((), now) == str(moment + 1)
    assert asked == [moment]


def test_a_parameter_is_made_of_something() -> None:
    with pytest.raises(AssertionError):
        Binding(-1).value((), lambda: 0)
