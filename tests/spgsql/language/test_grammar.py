"""Expressions are read as SQLite reads them, where it binds as PostgreSQL does; else as its manual says."""

from __future__ import annotations

import operator
from collections.abc import Callable

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spgsql.language.grammar import ExpressionReader
from spgrepl.spgsql.language.lexing import Dialect, lex, literals_of
from spgrepl.spgsql.language.nodes import (
    Array,
    Between,
    Binary,
    Call,
    Cast,
    Column,
    Const,
    Expression,
    In,
    Like,
    Plain,
    Star,
    TypeName,
    Unary,
)
from spgrepl.spgsql.language.stops import NotUnderstood

MEMORY = apsw.Connection(":memory:")
OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "<": operator.lt,
    ">=": operator.ge,
    "<>": operator.ne,
    "AND": lambda one, two: bool(one) and bool(two),
    "OR": lambda one, two: bool(one) or bool(two),
}
SUMS = st.lists(st.tuples(st.sampled_from(["", "-", "- -"]), st.integers(0, 9)), min_size=1, max_size=4).flatmap(
    lambda numbers: st.lists(st.sampled_from("+-*"), min_size=len(numbers), max_size=len(numbers)).map(
        lambda signs: " ".join(
            f"{sign if at else ''} {minus} {number}"
            for at, (sign, (minus, number)) in enumerate(zip(signs, numbers, strict=True))
        )
    )
)
TESTS = st.one_of(
    st.builds("{} {} {}".format, SUMS, st.sampled_from(["<", ">=", "<>"]), SUMS),
    st.builds("{} {}BETWEEN {} AND {}".format, SUMS, st.sampled_from(["", "NOT "]), SUMS, SUMS),
    st.builds("{} {}IN ({}, {})".format, SUMS, st.sampled_from(["", "NOT "]), SUMS, SUMS),
    st.builds("{} IS NOT NULL".format, SUMS),
)
CONDITIONS = st.lists(
    st.builds("{}{}".format, st.sampled_from(["", "NOT ", "NOT NOT "]), TESTS), min_size=1, max_size=4
).flatmap(
    lambda tests: st.lists(st.sampled_from(["AND", "OR"]), min_size=len(tests), max_size=len(tests)).map(
        lambda words: " ".join(
            f"{word if at else ''} {test}" for at, (word, test) in enumerate(zip(words, tests, strict=True))
        )
    )
)


def parse(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> Expression:
    reader = ExpressionReader(lex(text, dialect), dialect)
    found = reader.expression()
    reader.expect_end()
    return found


def value(node: Expression, literals: list[int]) -> int:
    """What an expression over whole numbers comes to."""
    if isinstance(node, Const):
        return -literals[node.slot] if node.negated else literals[node.slot]
    if isinstance(node, Binary):
        return int(OPERATORS[node.operator](value(node.left, literals), value(node.right, literals)))
    if isinstance(node, Between):
        found = value(node.low, literals) <= value(node.operand, literals) <= value(node.high, literals)
        return int(found != node.negated)
    if isinstance(node, In):
        found = value(node.operand, literals) in [value(item, literals) for item in node.items]
        return int(found != node.negated)
    assert isinstance(node, Unary)
    operand = value(node.operand, literals)
    return {"NOT": int(not operand), "IS NOT NULL": 1, "-": -operand}[node.operator]


@given(st.one_of(SUMS, CONDITIONS), st.sampled_from(Dialect))
def test_what_binds_most_is_what_binds_most_in_sqlite(text: str, dialect: Dialect) -> None:
    ((expected,),) = MEMORY.execute(f"SELECT {text}").fetchall()
    literals = [int(one.text) for one in literals_of(lex(text))]
    assert value(parse(text, dialect), literals) == expected


A, B = Column("", "a"), Column("", "b")


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("a || b + a", Binary("||", A, Binary("+", B, A))),
        ("- a::int", Unary("-", Cast(A, TypeName("int")))),
        (
            "a LIKE b || 'x' AND true",
            Binary("AND", Like(A, Binary("||", B, Const(0)), None, False, False), Plain(True)),
        ),
        ("a NOT ILIKE b ESCAPE ''", Like(A, B, Const(0), True, True)),
        ("a IS NOT DISTINCT FROM b", Binary("IS", A, B)),
        ("a = SOME (ARRAY[1, 2])", In(A, (Const(0), Const(1)), None, False)),
        ("date '2024-01-01'", Cast(Const(0), TypeName("date"))),
        ("date", Column("", "date")),
        ('"current_date"', Column("", "current_date")),
        ("public.t.a", Column("t", "a")),
        ("pg_catalog.count(*)", Call("count", (), star=True)),
        ("t.*", Star("t")),
        ("ARRAY[[1], []]", Array((Array((Const(0),)), Array(())))),
        ("cast(a AS character varying(3)[])", Cast(A, TypeName("character varying", (3,), 1))),
        ("a::timestamp(3) with time zone", Cast(A, TypeName("timestamptz", (3,)))),
    ],
)
def test_what_postgresql_writes(text: str, node: Expression) -> None:
    assert parse(text) == node


def test_what_mysql_means_by_the_same() -> None:
    mysql = Dialect.MYSQL
    assert parse("a || b && a", mysql) == Binary("OR", A, Binary("AND", B, A))
    assert parse("a LIKE b", mysql) == Like(A, B, None, True, False)
    assert parse("VALUES(a)", mysql) == Call("values", (A,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(1, 2)", "a row of several values"),
        ("a < ALL (ARRAY[1])", "< ALL is not translated"),
        ("sum(a) OVER ()", "OVER is not translated"),
        ("other.f(1)", r"the function other.f\(\)"),
        ("a.b.c", "the name a.b.c"),
        ("interval '1' day", "a field after it"),
        ("a::other.kind", "the type other.kind"),
        ("a ->> 'x'", "its end is expected"),
        ("select", "a value is expected"),
        ("(" * 300 + "1" + ")" * 300, "more than 60 levels"),
    ],
)
def test_what_is_not_understood_is_named(text: str, said: str) -> None:
    with pytest.raises(NotUnderstood, match=said):
        parse(text)
