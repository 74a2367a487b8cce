"""Expressions in SQLite's words mean what they mean at the master: Python is the second opinion."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.nodes import Expression
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import BIGINT, BOOL, FLOAT, NUMERIC, TEXT
from spgrepl.spgsql.typed.expressions import Compiler
from tests.spgsql.copy import Copy
from tests.spgsql.typed.kit import Asked

SMALL = st.integers(-99, 99)
MONEY = st.decimals(-99, 99, places=2)


@pytest.fixture(scope="module")
def asked() -> Asked:
    copy = Copy()
    copy.run(
        "CREATE TABLE t (id INT PRIMARY KEY, n NUMERIC, f FLOAT, r REAL, x TEXT, d DATE, b BOOL, i INTERVAL, "
        "a INT[])"
    )
    copy.run("INSERT INTO t VALUES (7, 10, 2.5, 0.1, 'it', '2024-01-01', TRUE, '1 day', '{1,2}')")
    return Asked(copy)


def holds(asked: Asked, text: str) -> object:
    def put(compiler: Compiler, node: Expression) -> str:
        return compiler.condition(node, asked.scope)

    return asked.ask(text, put)[0]


@settings(max_examples=40)
@given(one=SMALL, two=SMALL.filter(bool), three=SMALL)
def test_whole_numbers(asked: Asked, one: int, two: int, three: int) -> None:
    whole = abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)
    assert asked.values(f"{one} + {two} * id - {three}", BIGINT) == [one + two * 7 - three]
    assert asked.values(f"{one} / {two} + {one} % {two}", BIGINT) == [whole + one - whole * two]
    assert holds(asked, f"id BETWEEN {one} AND {two} OR id NOT IN ({one}, {three})") == (
        one <= 7 <= two or 7 not in (one, three)
    )


@settings(max_examples=40)
@given(one=MONEY, two=MONEY)
def test_decimal_numbers(asked: Asked, one: Decimal, two: Decimal) -> None:
    exact = one * 10 - two
    assert Decimal(asked.values(f"{one} * n - {two}", NUMERIC)[0]) == exact
    rounded = exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
    assert Decimal(asked.values(f"{one} * n - {two}", SpgType(10, (9, 1)))[0]) == rounded
    assert holds(asked, f"n > {one}") == (one < 10)
    assert holds(asked, f"- n <= {one} AND id <> n") == (one >= -10)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("id * f", FLOAT, 17.5),
        ("r + r", FLOAT, 0.20000000298023224),
        ("x || '-' || id", TEXT, "it-7"),
        ("x || NULL", TEXT, None),
        ("CASE id WHEN 7 THEN 1 ELSE 2.5 END", NUMERIC, "1"),
        ("CASE WHEN x = 'no' THEN 'a' END", TEXT, None),
        ("'5'::int + id", BIGINT, 12),
        ("b::text", TEXT, "true"),
        ("ARRAY['1', NULL]::int[]", SpgType(20), "[1, null]"),
        ("(SELECT max(id) FROM t)", BIGINT, 7),
        ("x LIKE '_T' OR x ILIKE '_T'", BOOL, 1),
        (r"x LIKE 'i\t'", BOOL, 1),
        ("EXISTS (SELECT 1 FROM t AS u WHERE u.id = t.id)", BOOL, 1),
        ("id IN (SELECT id FROM t)", BOOL, 1),
        ("d > '2023-12-31' AND d IS NOT DISTINCT FROM date '2024-01-01'", BOOL, 1),
    ],
)
def test_what_an_expression_is(asked: Asked, text: str, kind: SpgType, said: object) -> None:
    assert asked.values(text, kind) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id", "a condition that is not of type BOOL"),
        ("x = 5", "how a text and a number are compared"),
        ("x = id", "how TEXT and INT are compared"),
        ("i > '1 hour'", "the order of values of type INTERVAL"),
        ("n + f > 1", r"NUMERIC\(0,0\) \+ FLOAT is not translated"),
        ("id / n > 1", "/ NUMERIC"),
        ("1 IN (1, 2)", "a literal before IN"),
        ("n IN (SELECT n FROM t)", "what a query finds"),
        ("(SELECT id, x FROM t) = 1", "has one column"),
        ("d LIKE '2024%'", "LIKE of what is not a text"),
        ("x::varchar(1) = 'i'", "which cuts"),
        ("x = 'a'::mood", "the type mood is not known"),
        ("- x = 'a'", "a minus sign before TEXT"),
        ("a = ARRAY[id]", "other things than literals"),
        ("f = f + 'x'", "FLOAT"),
        ("nowhere = 1", "no column nowhere"),
    ],
)
def test_what_is_refused(asked: Asked, text: str, said: str) -> None:
    with pytest.raises(StatementStopped, match=said):
        holds(asked, text)


def test_mysql_divides_otherwise(asked: Asked) -> None:
    mysql = Asked(Copy(), Dialect.MYSQL)
    mysql.connection, mysql.schema = asked.connection, asked.schema
    with pytest.raises(StatementStopped, match="how MySQL divides"):
        mysql.values("id / 2", BIGINT)
    assert mysql.values("x LIKE 'IT'", BOOL) == [1]
