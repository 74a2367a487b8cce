"""Literals that become parameters: stored, or compared with what stands beside them."""

from __future__ import annotations

from decimal import Decimal

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Literal, TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import FLOAT
from spgrepl.spgsql.language.values import Stored, real, stored


def signed(literal: Literal, negated: bool) -> Literal:
    """A literal with the sign before it.

    Raises:
        StatementStopped: It is not a number.
    """
    if not negated:
        return literal
    if literal.kind is not TokenKind.NUMBER:
        raise StatementStopped("a minus sign before a string is not translated")
    return Literal(literal.kind, "-" + literal.text)


def convert_to(kind: SpgType, negated: bool, literal: Literal) -> Stored:
    """A literal as a column of a type stores it."""
    return stored(signed(literal, negated), kind)


def compared_integer(negated: bool, literal: Literal) -> Stored:
    """A number that is compared with whole ones: as it is, where SQLite can hold it."""
    text = signed(literal, negated).text.strip()
    try:
        exact = Decimal(text)
    except ArithmeticError as error:
        raise StatementStopped(f"{text!r} is compared with whole numbers, and is not one") from error
    if not exact.is_finite():
        raise StatementStopped(f"{text!r} is compared with whole numbers, and is not one")
    if exact == exact.to_integral_value():
        return int(exact) if -(2**63) <= exact < 2**63 else float(exact)
    if literal.kind is TokenKind.STRING or Decimal(float(exact)) == Decimal(float(exact)).to_integral_value():
        raise StatementStopped(f"how {text!r} is compared with whole numbers is not known here")
    return float(exact)


def compared_real(negated: bool, literal: Literal) -> Stored:
    """A number that is compared with those of four bytes."""
    value = stored(signed(literal, negated), FLOAT)
    if isinstance(value, float) and real(value) != value:
        raise StatementStopped(
            f"how {literal.text} is compared with a REAL, which cannot hold it, is not known here"
        )
    return value
