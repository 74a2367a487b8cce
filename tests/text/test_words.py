"""A statement word by word: names as PostgreSQL reads them, and errors that say what was expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.text.words import END, ControlSyntaxError, StatementReader, fold_name, shorten, table_name

PIECES = st.lists(
    st.sampled_from(["a", '"B"', "'s'", "5", ";", "--x\n", "/**/", "(", "@p", "'", '"', "TABLE"]), max_size=8
)


@given(st.text(max_size=8))
def test_a_quoted_name_is_what_it_says(name: str) -> None:
    doubled = name.replace('"', '""')
    assert fold_name(f'"{doubled}"') == name
    if name and "\0" not in name:
        assert StatementReader(f'"{doubled}" x').name("a name") == name


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (["t"], "t"),
        (["public", "t"], "t"),
        (["db", "public", "t"], "t"),
        (["MAIN", "t"], "t"),
        (["Public", "t"], "Public.t"),
        (["db", "s", "t"], "s.t"),
    ],
)
def test_names_of_tables(parts: list[str], name: str) -> None:
    assert table_name(parts) == name


def test_a_statement_from_its_begin_to_its_end() -> None:
    reader = StatementReader(" ;; /* x */ Create -- y\n Ünder 'it''s' 007 @p \"Q\";;")
    assert reader.word("DROP", "CREATE") == "CREATE"
    assert not reader.skip("TABLE")
    assert (reader.name("a name"), reader.value("a value"), reader.number("a number", 8)) == ("Ünder", "it's", 7)
    assert (reader.parameter(), reader.parameter()) == ("@p", None)
    assert reader.value("a value") == "Q"
    assert reader.done()
    reader.end()
    assert (reader.found(), reader.at("x"), reader.at_string()) == (END, False, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a name, found the end of the statement"),
        ('"open', "whose quote is never closed"),
        ('""', "a name has no characters"),
        ("'s'", "expected a name, found \"'s'\""),
        ("`t`", "expected a name, found '`t`'"),
        ("(" + "x" * 99, "expected a name, found '\\('"),
    ],
)
def test_what_is_not_a_name_is_shown(text: str, said: str) -> None:
    reader = StatementReader(text)
    reader.what = "CREATE x"
    with pytest.raises(ControlSyntaxError, match=f"CREATE x: .*{said}"):
        reader.name("a name")
    assert len(shorten("x" * 99)) == 41


def test_a_word_that_is_reserved_is_named_as_such() -> None:
    with pytest.raises(ControlSyntaxError, match="found 'TABLE', which is a name in double quotes only"):
        StatementReader("TABLE").string("a string")


@pytest.mark.parametrize("text", ["8", "9" * 5000, "-1", "1.5", "1e2", "x", "'5'", "", "²", "٣"])
def test_what_is_not_a_number_below_a_bound(text: str) -> None:
    with pytest.raises(ControlSyntaxError, match="expected a number"):
        StatementReader(text).number("a number", 8)


def test_what_follows_the_end_is_named() -> None:
    for text, said in (("a b", f"expected {END}"), ("a; b", "nothing more: one statement at a time")):
        reader = StatementReader(text)
        reader.name("a name")
        with pytest.raises(ControlSyntaxError, match=said):
            reader.end()
    with pytest.raises(ControlSyntaxError, match="expected A, B or C, found 'd'"):
        StatementReader("d").word("A", "B", "C")


@given(PIECES.map(" ".join), st.lists(st.integers(0, 5), max_size=10))
def test_any_text_is_read_or_an_error_that_says_where(text: str, steps: list[int]) -> None:
    reader = StatementReader(text)
    said = ": expected "
    try:
        for step in steps:
            [
                lambda: reader.name("n"),
                lambda: reader.string("s"),
                lambda: reader.number("d", 10),
                lambda: reader.word("TABLE"),
                reader.parameter,
                reader.end,
            ][step]()
    except ControlSyntaxError as error:
        said = str(error)
    assert ": expected " in said or "has no characters" in said
