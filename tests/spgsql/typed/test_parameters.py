"""Parameters: one for each literal, by the type of its place; a plan is kept where none was looked at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Dialect, Literal, TokenKind
from spgrepl.spgsql.language.nodes import Const, Plain
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.language.types import BIGINT, BOOL, DATE, INT, NUMERIC, TEXT, TIMESTAMPTZ
from spgrepl.spgsql.typed.parameters import Parameters
from spgrepl.spgsql.typed.plan import Binding
from spgrepl.spgsql.typed.schema import LabelType, Schema
from spgrepl.spgsql.typed.typing_rules import Compiled
from tests.spgsql.copy import Copy

SCHEMA = Schema(Copy().connection)
TEXTS = st.lists(st.text("ab?1_", max_size=3), max_size=12)


def parameters(*literals: Literal, dialect: Dialect = Dialect.POSTGRESQL, **options: bool) -> Parameters:
    given = {"approximate": False, "zones_differ": False, **options}
    return Parameters(SCHEMA, literals, dialect, given["approximate"], given["zones_differ"])


def strings(texts: list[str]) -> list[Literal]:
    return [Literal(TokenKind.STRING, text) for text in texts]


def values(found: Parameters, literals: list[Literal]) -> list[object]:
    return [one.value(literals, lambda: 0) for one in found.take_bindings()]


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_an_expression_of_others_keeps_its_values(own: list[str], others: list[str]) -> None:
    one, other = parameters(*strings(own)), parameters(*strings(others))
    mine = [one.constant(Const(slot), TEXT) for slot in range(len(own))]
    theirs = " || ".join(other.constant(Const(slot), TEXT) for slot in range(len(others)))
    adopted = one.adopt(theirs, other.take_bindings(), strings(others))
    marks = [*mine, *(adopted.split(" || ") if adopted else [])]
    bound = values(one, strings(own))
    assert [bound[int(mark[1:]) - 1] for mark in marks] == own + others


def test_a_literal_that_was_looked_at_is_fixed() -> None:
    found = parameters(Literal(TokenKind.NUMBER, "5"), Literal(TokenKind.STRING, "x"))
    found.constant(Const(0), INT)
    assert found.fixed == set()
    assert found.literal(Const(0, negated=True)) == Literal(TokenKind.NUMBER, "-5")
    assert found.fixed == {0}
    with pytest.raises(StatementStopped, match="a minus sign before a string"):
        found.literal(Const(1, negated=True))


@pytest.mark.parametrize(
    ("literal", "kind"),
    [
        (Literal(TokenKind.STRING, "5"), TEXT),
        (Literal(TokenKind.NUMBER, "5"), BIGINT),
        (Literal(TokenKind.NUMBER, "5.0"), NUMERIC),
    ],
)
def test_a_literal_without_a_place_is_what_it_looks_like(literal: Literal, kind: object) -> None:
    found = parameters(literal)
    assert found.typed(Compiled("", None, Const(0))).type == kind
    assert found.together([Compiled("", None, Const(0))], None) == kind
    assert found.together([Compiled("", None, Const(0))], DATE) == DATE
    assert found.together([Compiled("", None, Const(0)), Compiled("x", BOOL)], DATE) == BOOL


def test_truth_is_not_a_number_but_at_mysql() -> None:
    found = parameters()
    assert [found.constant(Plain(one), BOOL) for one in (True, False, None)] == ["1", "0", "NULL"]
    text = found.constant(Plain(True), TEXT)
    assert SCHEMA.connection.execute(f"SELECT {text}").fetchone() == ("true",)
    with pytest.raises(StatementStopped, match="TRUE as INT"):
        found.constant(Plain(True), INT)
    assert parameters(dialect=Dialect.MYSQL).constant(Plain(True), INT) == "1"


def test_labels_and_zones_are_looked_at_when_the_value_is_made() -> None:
    literals = strings(["happy", "2024-01-01 00:00:00"])
    found = parameters(*literals, zones_differ=True)
    found.constant(Const(0), LabelType(4, (), ("sad", "glad")))
    found.constant(Const(1), TIMESTAMPTZ)
    label, moment = found.take_bindings()
    with pytest.raises(StatementStopped, match="happy is none of the labels sad, glad"):
        label.value(literals, lambda: 0)
    assert label.value(strings(["glad"]), lambda: 0) == "glad"
    with pytest.raises(StatementStopped, match="write the zone"):
        moment.value(literals, lambda: 0)
    assert parameters(*literals).constant(Const(1), TIMESTAMPTZ) == "?1"


def test_what_is_approximated_is_noted_once_for_each_table() -> None:
    with pytest.raises(NotDeterministic, match=r"now\(\) has another value here .*--nondeterministic approximate"):
        parameters().not_deterministic("now()")
    found = parameters(approximate=True)
    for table in ("t", "t", "u"):
        found.target = table
        found.not_deterministic("now()")
    assert found.approximated == [("t", "now()"), ("u", "now()")]
    assert found.bind(Binding(-1, of_time=lambda time: time)) == "?1"
