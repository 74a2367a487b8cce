"""SQL text: tokens and statements, compared with SQLite's own opinion."""

from __future__ import annotations

import math
import sqlite3
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spgrepl.text import sqltext
from spgrepl.text.sqltext import (
    TokenKind,
    literal,
    main_verb,
    quote_name,
    significant_tokens,
    split_pieces,
    split_statements,
    tokenize,
)

PIECES = [
    ";",
    ";",
    " ",
    "\n",
    "\t",
    "a",
    "1",
    "'",
    '"',
    "`",
    "[",
    "]",
    "--",
    "-",
    "/*",
    "*/",
    "/",
    "*",
    "CREATE",
    " create ",
    " TRIGGER ",
    " temp ",
    " TEMPORARY ",
    " END",
    "end;",
    " EXPLAIN ",
    " query plan ",
    " BEGIN ",
    "select 1",
    "é",
    "x'00'",
    "'it''s;'",
    "$a",
    ".",
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def split_by_sqlite(text: str) -> list[str]:
    """Cut where sqlite3_complete() says that a statement is complete: quadratic, but its own."""
    pieces, start = [], 0
    for at, character in enumerate(text):
        if character == ";" and sqlite3.complete_statement(text[start : at + 1]):
            pieces.append(text[start:at])
            start = at + 1
    return [*pieces, text[start:]]


def without_edges(text: str) -> str:
    """A text without blanks and comments at its edges."""
    tokens = significant_tokens(text)
    return text[tokens[0].start : tokens[-1].end] if tokens else ""


@given(texts)
@example("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END; SELECT 2;")
@example("EXPLAIN QUERY PLAN CREATE TEMP TRIGGER t BEGIN SELECT ';'; END ; x")
@example("explain explain create trigger a; end; b")
@example("a /* ; */ -- ;\n ; 'b;' \"c;\" `d;` [e;] /* open ;")
@example("CREATE /* x */ TEMPORARY -- y\n TRIGGER a; b; end /* z */ ; c")
def test_statements_are_those_of_sqlite(text: str) -> None:
    """Whatever the text, it is cut where SQLite's own function says that a statement is complete."""
    expected = [piece for piece in map(without_edges, split_by_sqlite(text)) if piece]
    assert split_statements(text) == expected


@given(texts)
def test_splitting_again_changes_nothing(text: str) -> None:
    """The statements, joined by semicolons and newlines, are split into the same ones."""
    pieces = split_statements(text)
    if all(sqlite3.complete_statement(piece + "\n;") for piece in pieces):
        assert split_statements("\n;".join(pieces)) == pieces


@given(st.one_of(st.text(), texts))
def test_tokens_cover_the_text(text: str) -> None:
    """Every character belongs to exactly one token."""
    tokens = list(tokenize(text))
    assert "".join(token.text for token in tokens) == text
    assert [token.start for token in tokens] == [
        sum(len(token.text) for token in tokens[:index]) for index in range(len(tokens))
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("word", "a")]),
        ("naïve_1$", [("word", "naïve_1$")]),
        ("'it''s'", [("string", "'it''s'")]),
        ("x'0aF'", [("blob", "x'0aF'")]),
        ("'open", [("string", "'open")]),
        ('"a""b"[c d]`e`', [("quoted", '"a""b"'), ("quoted", "[c d]"), ("quoted", "`e`")]),
        (
            "1 1.5 .5 1. 1e5 1.5E-3 0xFf",
            [("number", part) for part in ["1", "1.5", ".5", "1.", "1e5", "1.5E-3", "0xFf"]],
        ),
        ("12ab 0x 1e", [("illegal", part) for part in ["12ab", "0x", "1e"]]),
        ("? ?12 :a @b $c::d(e)", [("parameter", part) for part in ["?", "?12", ":a", "@b", "$c::d(e)"]]),
        (
            "a->>'$.b'||c<>1",
            [
                ("word", "a"),
                ("operator", "->>"),
                ("string", "'$.b'"),
                ("operator", "||"),
                ("word", "c"),
                ("operator", "<>"),
                ("number", "1"),
            ],
        ),
        ("a--b\nc", [("word", "a"), ("word", "c")]),
        ("a/*b*/c/*open", [("word", "a"), ("word", "c")]),
        ("a\x0b\x00", [("word", "a"), ("illegal", "\x0b"), ("illegal", "\x00")]),
    ],
)
def test_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    """The token kinds, one by one."""
    assert [(token.kind.value, token.text) for token in significant_tokens(text)] == expected


def test_a_byte_order_mark_is_blank() -> None:
    """SQLite skips a byte order mark; so does the tokenizer."""
    assert [token.text for token in significant_tokens("\ufeffselect 1")] == ["select", "1"]


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_quoted_names_mean_themselves(name: str) -> None:
    """A quoted name gives its name back, to the tokenizer as to SQLite."""
    (token,) = significant_tokens(quote_name(name))
    assert token.kind is TokenKind.QUOTED
    assert token.name == name
    connection = sqlite3.connect(":memory:")
    cursor = connection.execute(f"SELECT 1 AS {quote_name(name)}")
    assert cursor.description[0][0] == name
    connection.close()


@pytest.mark.parametrize("text", ["[a b]", "`a b`", '"a b"'])
def test_every_way_of_quoting_a_name(text: str) -> None:
    """Brackets and back-ticks quote names too."""
    assert significant_tokens(text)[0].name == "a b"


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=50),
    st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)


@given(values)
@example(-(2**63))
@example(-0.0)
@example(math.inf)
@example(-math.inf)
@example("''")
def test_literals_keep_value_and_type(value: int | float | str | bytes | None) -> None:
    """SQLite evaluates a literal to the value that it was made of, whatever operator stands before it."""
    connection = sqlite3.connect(":memory:")
    found, kind = connection.execute(f"SELECT {literal(value)}, typeof({literal(value)})").fetchone()
    if isinstance(value, float) and math.isnan(value):
        value = None
    expected = {type(None): "null", int: "integer", float: "real", bytes: "blob", str: "text"}[type(value)]
    assert kind == expected
    if isinstance(value, float):
        # SQLite's own reading of decimals may be off by the last bit.
        assert math.isclose(found, value, rel_tol=1e-15)
    else:
        assert found == value
    if isinstance(value, int):
        assert connection.execute(f"SELECT 5-{literal(value)} IS 5.0-{literal(value)}").fetchone() is not None
    connection.close()


def test_what_has_no_literal() -> None:
    """NUL in text and integers beyond 64 bits are refused."""
    with pytest.raises(ValueError, match="NUL"):
        literal("a\0b")
    with pytest.raises(OverflowError, match="64-bit"):
        literal(2**63)


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("insert into t values (1)", "INSERT"),
        ("/* a */ WITH x AS (SELECT 'insert') -- b\n UPDATE t SET a = 1", "UPDATE"),
        ("WITH RECURSIVE c(x) AS (VALUES (1)) SELECT * FROM c", "SELECT"),
        ("WITH x", "WITH"),
        ("", ""),
        ("(select 1)", ""),
        ("'select'", ""),
    ],
)
def test_main_verb(text: str, verb: str) -> None:
    """The verb stands first, or after the common table expressions."""
    assert main_verb(significant_tokens(text)) == verb


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES ('" + ";" * 2_000_000 + "');" * 3,
        "a;" * 300_000,
        "/*" * 1_000_000,
        "'" * 1_000_001,
        "-" * 1_000_001,
        "[" * 1_000_000,
        "CREATE TRIGGER a BEGIN " + "b;" * 300_000,
    ],
    ids=["long string", "many", "open comments", "quotes", "dashes", "brackets", "trigger"],
)
def test_time_is_linear(text: str) -> None:
    """Megabytes of the worst kind take a moment, not minutes."""
    started = time.process_time()
    split_statements(text)
    assert time.process_time() - started < 5


ROW_PIECES = (
    "INSERT ",
    "update\n",
    "DELETE",
    " x",
    "'a;''b'",
    "'",
    '"',
    ";",
    "--",
    "-",
    "/",
    "/*",
    "*/",
    "\n",
    "[",
)
rows = st.lists(st.sampled_from(ROW_PIECES), max_size=12).map("".join)


@given(st.lists(rows, max_size=3).map(";".join))
def test_the_quick_way_finds_the_same_statements(text: str) -> None:
    """Statements that change rows are found in one step where they are simple."""
    expected = []
    at = 0
    while at < len(text):
        first, last, at = sqltext._statement_end(text, at)
        if first < last:
            expected.append(text[first:last])
    assert split_statements(text) == expected


@given(st.text("IiNS;'\"`[]-/*\n xT", max_size=60), st.integers(1, 20))
def test_pieces_are_split_as_the_whole_is(text: str, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(split_pieces(pieces)) == split_statements(text)


@given(
    st.lists(
        st.sampled_from(["CREATE TRIGGER t BEGIN ", "INSERT INTO t ", "SELECT 1", "; ", "END", "'it''s;'", "--;"])
    ),
    st.integers(1, 20),
)
def test_pieces_of_statements_are_split_as_the_whole_is(words: list[str], size: int) -> None:
    text = "".join(words)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(split_pieces(pieces)) == split_statements(text)


def test_a_statement_comes_before_the_piece_behind_it_is_read() -> None:
    read: list[str] = []
    pieces = (read.append(piece) or piece for piece in ("SELECT 1; SELECT 2; SEL", "ECT 3", ";"))  # type: ignore[func-returns-value]
    statements = split_pieces(pieces)
    assert next(statements) == "SELECT 1"
    assert next(statements) == "SELECT 2"
    assert len(read) == 1
    assert list(statements) == ["SELECT 3"]


def test_a_long_statement_in_small_pieces_takes_linear_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    cut = sqltext._cut

    def counting(text: str, whole: bool) -> tuple[list[str], int]:
        looked.append(len(text))
        return cut(text, whole)

    monkeypatch.setattr(sqltext, "_cut", counting)
    text = "SELECT " + "1," * 5000
    assert list(split_pieces(text)) == [text]
    assert sum(looked) < 5 * len(text)
