"""A place among tokens: what is accepted goes on, what is refused stays and is named with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import TokenKind, lex
from spgrepl.spgsql.language.stops import NotUnderstood, StatementStopped
from spgrepl.spgsql.language.token_reader import TokenReader


def reader(text: str) -> TokenReader:
    return TokenReader(lex(text))


def test_words_are_taken_all_or_none() -> None:
    one = reader('IF NOT EXISTS "if"')
    assert not one.accept("if", "not", "there")
    assert one.place == 0
    assert one.accept("if", "not", "exists")
    assert not one.accept("if"), "a quoted name is not a word"
    with pytest.raises(NotUnderstood, match=r"from character 15 on: 'if' stands there, AS SELECT is expected"):
        one.expect("as", "select")


@given(st.integers(0, 12), st.lists(st.integers(0, 9), max_size=8))
def test_nothing_goes_beyond_the_end(count: int, numbers: list[int]) -> None:
    one = reader(" ".join(map(str, numbers)))
    seen = [one.step().text for _ in range(count)]
    assert seen == ([*map(str, numbers)] + [""] * 12)[:count]
    assert one.ahead(99).kind is TokenKind.END
    if count >= len(numbers):
        one.expect_end()
    else:
        with pytest.raises(NotUnderstood, match="its end is expected"):
            one.expect_end()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("T", "t"),
        ('"T"', "T"),
        ("public.t", "t"),
        ("MAIN.t", "t"),
        ("db.public.t", "t"),
        ('"main"."T"', "T"),
    ],
)
def test_names_of_tables(text: str, name: str) -> None:
    one = reader(f"{text} ,")
    assert one.table_name() == name
    assert one.is_operator(",")


def test_tables_of_other_schemas() -> None:
    assert reader("other.T").qualified_name() == ("other", "t")
    for text in ("other.t", "db.other.t", "public.t.x"):
        with pytest.raises(StatementStopped, match=f"{text} is not in the schema public"):
            reader(text).table_name()


def test_lists_of_names() -> None:
    assert reader('(a, "B", c)').names() == ("a", "B", "c")
    for text in ("()", "(a b)", "(a,", "(1)", "a"):
        with pytest.raises(NotUnderstood):
            reader(text).names()


def test_numbers_that_are_a_part_of_the_statement() -> None:
    one = reader("5 -7 '8'")
    assert (one.fixed_number(), one.fixed_number()) == (5, -7)
    assert one.fixed == {0, 1}
    for text in ("'8'", "1.5", "x", "9" * 5000):
        with pytest.raises(NotUnderstood, match="a whole number is expected"):
            reader(text).fixed_number()
