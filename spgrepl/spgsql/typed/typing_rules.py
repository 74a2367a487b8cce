"""What an expression of one type becomes in the place of another, and how two are compared: known, or refused."""

from __future__ import annotations

import attrs

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.nodes import Const, Plain
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import FLOAT, NAME_BYTES, NAME_TAG, NUMERIC, VARCHAR_TAG, Family, family_of
from spgrepl.spgsql.typed.functions import NUMERIC_ORDER, TIME_ORDER
from spgrepl.spgsql.typed.schema import LabelType


@attrs.frozen
class Compiled:
    """An expression in SQLite's words.

    Attributes:
        sql: Its text; empty for a literal, which waits for its type.
        type: Its type; None for a literal and for NULL.
        literal: The literal.
    """

    sql: str
    type: SpgType | None
    literal: Const | Plain | None = None


COUNTED = frozenset({Family.INTEGER, Family.FLOAT, Family.REAL})
"""Families that SQLite compares as numbers."""

_BITS = {1: 32, 2: 64, 7: 16}
"""How many bits whole numbers have, by their tag."""

_EQUAL_ONLY = frozenset({Family.VECTOR, Family.NETWORK, Family.BITS})
_NOT_COMPARED = frozenset({Family.JSON, Family.INTERVAL, Family.TIMETZ, Family.OTHER})
_NOT_COMPARED_ELEMENTS = frozenset({38, 39, 79, 35, 44, 45, 65, 81, 82})
_BY_NUMBER = frozenset({Family.NUMERIC, Family.MONEY})
_BY_TIME = frozenset({Family.DATE, Family.TIMESTAMP, Family.TIMESTAMPTZ})


def converted(sql: str, kind: SpgType, wanted: SpgType) -> str:
    """An expression of a type, in the place of a value of another.

    Raises:
        StatementStopped: What SPG makes of it is not known here.
    """
    one, other = family_of(kind), family_of(wanted)
    if one is other:
        return _alike(sql, kind, wanted)
    if one is Family.INTEGER:
        if other is Family.FLOAT:
            return f"CAST({sql} AS REAL)"
        if other is Family.REAL:
            return f"spgrepl_real(CAST({sql} AS REAL))"
        if other is Family.NUMERIC:
            return _alike(f"CAST({sql} AS TEXT)", NUMERIC, wanted)
        if other is Family.TEXT:
            return _fitting(f"CAST({sql} AS TEXT)", wanted)
    if one is Family.REAL and other is Family.FLOAT:
        return sql
    if one is Family.FLOAT and other is Family.REAL:
        return f"spgrepl_real({sql})"
    if one is Family.BOOL and other is Family.TEXT:
        text = (
            f"iif({sql}, 'true', 'false')"
            if " " not in sql
            else f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
        )
        return _fitting(text, wanted)
    raise StatementStopped(
        f"what becomes of a value of type {kind.label} in the place of {wanted.label} is not known here"
    )


def _fitting(sql: str, wanted: SpgType) -> str:
    """A text in the place of one whose length is limited: too long ones are cut by some servers."""
    if wanted.tag == VARCHAR_TAG:
        return f"spgrepl_fitting({sql}, {wanted.parameters[0]}, 0)"
    return f"spgrepl_fitting({sql}, {NAME_BYTES}, 1)" if wanted.tag == NAME_TAG else sql


def _alike(sql: str, kind: SpgType, wanted: SpgType) -> str:
    family = family_of(kind)
    if family is Family.INTEGER and wanted.tag in _BITS and (kind.tag != wanted.tag or "spgrepl_whole(" in sql):
        return f"spgrepl_whole({sql}, {_BITS[wanted.tag]})"
    if isinstance(wanted, LabelType) and wanted.labels and kind != wanted:
        raise StatementStopped(
            "what becomes of a text in the place of a label of an ENUM or SET is not known here"
        )
    if family is Family.NUMERIC:
        if kind == wanted or not (wanted.parameters and wanted.parameters[0]):
            return sql
        precision, scale = wanted.parameters
        return f"spgrepl_rounded({sql}, {precision}, {scale})"
    if (
        family
        in (Family.CHAR, Family.ARRAY, Family.VECTOR, Family.OTHER, Family.BITS, Family.NETWORK, Family.JSON)
        and kind != wanted
    ):
        raise StatementStopped(
            f"what becomes of a value of type {kind.label} in the place of {wanted.label} is not known here"
        )
    if family is Family.TEXT and (kind.tag, kind.parameters) != (wanted.tag, wanted.parameters):
        return _fitting(sql, wanted)
    return sql


def common(kinds: list[SpgType]) -> SpgType | None:
    """The type that values of several types have together; None where there are none.

    Raises:
        StatementStopped: There is none that is known here.
    """
    found: SpgType | None = None
    for kind in kinds:
        if found is None or found == kind:
            found = kind
            continue
        families = {family_of(found), family_of(kind)}
        if families in ({Family.INTEGER, Family.NUMERIC}, {Family.NUMERIC}):
            found = NUMERIC
        elif families <= COUNTED and len(families) > 1:
            found = FLOAT
        elif len(families) == 1 and families & {Family.INTEGER, Family.TEXT}:
            found = SpgType(2) if Family.INTEGER in families else SpgType(4)
        else:
            raise StatementStopped(f"which type {found.label} and {kind.label} have together is not known here")
    return found


def comparison(operator: str, left: Compiled, right: Compiled) -> str:
    """Two expressions of the same type, or of types that are compared, with an operator between them.

    Args:
        operator: One of ``= <> < > <= >= IS``, or ``IS NOT``.
        left: The one.
        right: The other. Literals have got their type.

    Raises:
        StatementStopped: How SPG compares them is not known here.
    """
    assert left.type is not None
    assert right.type is not None
    one, other = family_of(left.type), family_of(right.type)
    ordered = operator in ("<", ">", "<=", ">=")
    first, second = left.sql, right.sql
    if {one, other} == {Family.INTEGER, Family.NUMERIC}:
        first, second = converted(first, left.type, NUMERIC), converted(second, right.type, NUMERIC)
        one = other = Family.NUMERIC
    if one in COUNTED and other in COUNTED:
        if {Family.REAL, Family.FLOAT} == {one, other} and not (left.literal or right.literal):
            raise StatementStopped("how REAL and FLOAT are compared at this server is not known here")
        if ordered:
            first, second = _with_order(first, left), _with_order(second, right)
        return f"({first} {operator} {second})"
    if one is not other:
        raise StatementStopped(f"how {left.type.label} and {right.type.label} are compared is not known here")
    _check_comparable(one, left.type, right.type, ordered)
    collation = ""
    if one in _BY_NUMBER:
        collation = f" COLLATE {NUMERIC_ORDER}"
    elif one in _BY_TIME and ordered:
        collation = f" COLLATE {TIME_ORDER}"
    return f"({first} {operator} {second}{collation})"


def _with_order(sql: str, side: Compiled) -> str:
    assert side.type is not None
    binary = family_of(side.type) in (Family.FLOAT, Family.REAL)
    return f"spgrepl_ordered({sql})" if binary else sql


def _check_comparable(family: Family, left: SpgType, right: SpgType, ordered: bool) -> None:
    if ordered and (isinstance(left, LabelType) or isinstance(right, LabelType)):
        raise StatementStopped(
            "the order of the labels of an enum, or of a SET, is the master's, and not known here"
        )
    unknown = family in _NOT_COMPARED or (ordered and family in _EQUAL_ONLY)
    if family is Family.ARRAY:
        unknown = ordered or left != right or left.tag in _NOT_COMPARED_ELEMENTS
    if family is Family.CHAR and left != right:
        unknown = True
    if unknown:
        what = "the order of" if ordered else "whether two are equal of"
        raise StatementStopped(f"{what} values of type {left.label} is not known here")


def order_collation(kind: SpgType) -> str:
    """The collation by which values of a type are ordered, with a blank before it; empty for SQLite's own.

    Raises:
        StatementStopped: Their order is not known here.
    """
    family = family_of(kind)
    _check_comparable(family, kind, kind, ordered=True)
    if family in _BY_NUMBER:
        return f" COLLATE {NUMERIC_ORDER}"
    return f" COLLATE {TIME_ORDER}" if family in _BY_TIME else ""
