"""Literals that become parameters."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Literal, TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.typed.constants import compared_integer, compared_real, signed


def number(text: str) -> Literal:
    return Literal(TokenKind.NUMBER, text)


def string(text: str) -> Literal:
    return Literal(TokenKind.STRING, text)


def test_a_sign_is_for_numbers() -> None:
    assert signed(number("7"), negated=False).text == "7"
    assert signed(number("7"), negated=True).text == "-7"
    with pytest.raises(StatementStopped, match="a minus sign before a string"):
        signed(string("7"), negated=True)


@pytest.mark.parametrize(
    ("literal", "negated", "value"),
    [
        (number("7"), True, -7),
        (string(" 7 "), False, 7),
        (number("7.0"), False, 7),
        (number("9223372036854775807"), False, 2**63 - 1),
        (number("9223372036854775808"), True, -(2**63)),
        (number("9223372036854775808"), False, float(2**63)),
        (number("1.5"), False, 1.5),
    ],
)
def test_what_is_compared_with_whole_numbers(literal: Literal, negated: bool, value: float) -> None:
    found = compared_integer(negated, literal)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("literal", [string("a"), string("1.5"), string("Infinity"), number("9007199254740993.5")])
def test_what_is_not_known_is_not_guessed(literal: Literal) -> None:
    with pytest.raises(StatementStopped):
        compared_integer(False, literal)


def test_what_a_real_can_hold() -> None:
    assert compared_real(False, number("1.5")) == 1.5
    assert compared_real(True, number("0.25")) == -0.25
    with pytest.raises(StatementStopped, match="compared with a REAL, which cannot hold it"):
        compared_real(False, number("0.1"))
