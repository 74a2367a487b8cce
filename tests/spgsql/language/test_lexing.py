"""Tokens as PostgreSQL and MySQL read them, and templates."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Dialect, TokenKind, lex, literals_of, split, template
from spgrepl.spgsql.language.stops import StatementStopped


def strings(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> list[str]:
    return [token.text for token in lex(text, dialect) if token.kind is TokenKind.STRING]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("'it''s'", "it's"),
        (r"'a\nb'", r"a\nb"),
        (r"E'a\nb\t\\ \'x'", "a\nb\t\\ 'x"),
        (r"e'\101\x42\u0043\U0001F600'", "ABC😀"),
        (r"E'\xc3\xa4'", "ä"),
        ("$$it's ; \\n$$", "it's ; \\n"),
        ("$tag$ $$ $tag$", " $$ "),
        ("'a;b--c'", "a;b--c"),
    ],
)
def test_strings_of_postgresql(text: str, said: str) -> None:
    assert strings(text) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [(r"'a\nb'", "a\nb"), (r"'it\'s'", "it's"), ('"x\'y"', "x'y"), ("'a''b'", "a'b"), (r"'50\%'", r"50\%")],
)
def test_strings_of_mysql(text: str, said: str) -> None:
    assert strings(text, Dialect.MYSQL) == [said]


@pytest.mark.parametrize(
    "text",
    ["'open", "$$ open", "/* open", r"E'\xff'", r"E'\0'", r"E'\ud800'", "U&'x'", "B'01'", "'a' 'b'", "'a' E'b'"],
)
def test_what_is_not_read_is_refused(text: str) -> None:
    with pytest.raises(StatementStopped):
        lex(text)


def test_comments_that_mysql_runs_are_refused() -> None:
    with pytest.raises(StatementStopped, match="a comment that MySQL runs"):
        lex("/*!50000 DROP TABLE t */", Dialect.MYSQL)


def test_statements_are_cut_by_their_own_rules() -> None:
    assert split("INSERT INTO t VALUES ($$;$$); /* ; /* ; */ */ DELETE FROM t;;") == [
        "INSERT INTO t VALUES ($$;$$)",
        "DELETE FROM t",
    ]


def test_a_template_is_the_text_without_literals() -> None:
    one = template("INSERT INTO t1 (a2, b) VALUES (1, 'x''y', 2.5)")
    two = template("INSERT INTO t1 (a2, b) VALUES (77, '', 0.1)")
    assert one is not None
    assert two is not None
    assert one[0] == two[0]
    assert [literal.text for literal in one[1]] == ["1", "x'y", "2.5"]
    assert template("INSERT INTO t1 (a2, b) VALUES ('1', 'x', 2.5)")[0] != one[0]  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT E'x'",
        'SELECT "a1"',
        "SELECT $$1$$",
        "SELECT 1 -- 2",
        "SELECT 1; SELECT 2",
        "SELECT 'a' 'b'",
        "SELECT 'a",
    ],
)
def test_an_odd_text_has_no_template(text: str) -> None:
    assert template(text) is None


@given(st.text(alphabet="abE'\"$1.5 \n-/*;,()\\x", max_size=30))
def test_a_template_agrees_with_the_tokens(text: str) -> None:
    """Whatever the text: its quick cut has the literals that its tokens have, or there is none."""
    cut = template(text)
    if cut is None:
        return
    with contextlib.suppress(StatementStopped):
        assert [(one.kind, one.text) for one in literals_of(lex(text))] == [(one.kind, one.text) for one in cut[1]]
