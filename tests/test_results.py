"""A position that carries rows is an int all the same."""

from __future__ import annotations

import json
import pickle

from spgrepl import Position, QueryResult


def test_a_position_is_an_int() -> None:
    position = Position(622, [QueryResult(("a",), [(1,)])])
    assert position == 622
    assert {622: "found"}[position] == "found"
    assert sorted([Position(3), 1, Position(2)]) == [1, 2, 3]
    assert f"{position} {position!r} {position:x}" == "622 622 26e"
    assert json.dumps(position) == "622"


def test_what_is_calculated_with_it_is_plain() -> None:
    assert type(Position(622) + 1) is int


def test_it_carries_what_statements_returned() -> None:
    results = [QueryResult(("a",), [(1,)]), QueryResult(("b",), [])]
    assert Position(622, results).results == tuple(results)
    assert Position(622).results == ()


def test_a_copy_carries_it_too() -> None:
    position = Position(622, [QueryResult(("a",), [(1,)])])
    again = pickle.loads(pickle.dumps(position))
    assert (again, again.results) == (622, position.results)
