"""A position that carries rows is an int all the same."""

from __future__ import annotations

import json
import pickle

import pytest

from spgrepl import Position, QueryResult, UsageError


def test_a_position_is_an_int() -> None:
    position = Position(622, [QueryResult(("a",), [(1,)])])
    assert position == 622
    assert {622: "found"}[position] == "found"
    assert sorted([Position(3), 1, Position(2)]) == [1, 2, 3]
    assert f"{position} {position!r} {position:x}" == "622 622 26e"
    assert json.dumps(position) == "622"


ID = "0123456789abcdef" * 2


def test_as_text_it_names_its_history() -> None:
    position = Position(622, history=ID)
    assert str(position) == f"{position}" == f"622@{ID}"
    assert f"{position!r} {position:d} {json.dumps([position])}" == "622 622 [622]"
    assert Position.parse(str(position)) == position
    assert Position.parse(str(position)).history == ID
    assert Position.parse("622").history is None
    assert str(Position(622)) == "622"


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "622@", f"@{ID}", f"622@{ID[1:]}", f"622@{ID}0", f"622 @{ID}", str(2**64), "²", "1" * 99],
)
def test_what_is_not_a_position(text: str) -> None:
    with pytest.raises(UsageError, match="is not a position: write a number of bytes"):
        Position.parse(text)


def test_a_long_text_is_not_said_again_as_a_whole() -> None:
    with pytest.raises(UsageError) as caught:
        Position.parse(f"622@{'f' * 5000}")
    assert f"622@{'f' * 20}" in str(caught.value)
    assert "(5004 characters)" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_is_calculated_with_it_is_plain() -> None:
    assert type(Position(622) + 1) is int


def test_it_carries_what_statements_returned() -> None:
    results = [QueryResult(("a",), [(1,)]), QueryResult(("b",), [])]
    assert Position(622, results).results == tuple(results)
    assert Position(622).results == ()


def test_a_copy_carries_it_too() -> None:
    position = Position(622, [QueryResult(("a",), [(1,)])], ID)
    again = pickle.loads(pickle.dumps(position))
    assert (again, again.results, again.history) == (622, position.results, ID)
