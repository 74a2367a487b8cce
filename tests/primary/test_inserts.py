"""Finding the parts of an INSERT, in whatever text."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spgrepl.errors import StatementFailed
from spgrepl.primary.inserts import Insert, RowSource, parse_insert
from spgrepl.sqltext import significant_tokens
from tests.primary.copying import assert_same_on_copy, opened


def parsed(sql: str) -> Insert | None:
    """The parts of a text."""
    return parse_insert(significant_tokens(sql))


@pytest.mark.parametrize(
    ("sql", "table", "columns", "source", "tuples"),
    [
        ("INSERT INTO t VALUES (1, (2)), (3, 4)", "t", None, RowSource.VALUES, 2),
        (
            "REPLACE INTO main.\"a b\" (x, [y z], 'w') VALUES (1, 2, 3)",
            "a b",
            ("x", "y z", "w"),
            RowSource.VALUES,
            1,
        ),
        ("INSERT OR FAIL INTO 't''s' AS u (a) DEFAULT VALUES RETURNING a", "t's", ("a",), RowSource.DEFAULT, 0),
        ("INSERT INTO t (a) SELECT 1 FROM (VALUES (1))", "t", ("a",), RowSource.QUERY, 0),
        ("INSERT INTO t VALUES (1) UNION VALUES (2)", "t", None, RowSource.QUERY, 0),
        ("WITH x (a) AS (SELECT 1), y AS (VALUES (2)) INSERT INTO t VALUES (1)", "t", None, RowSource.VALUES, 1),
    ],
)
def test_parts(sql: str, table: str, columns: tuple[str, ...] | None, source: RowSource, tuples: int) -> None:
    """Names without their quotes, the source, and where its tuples end."""
    found = parsed(sql)
    assert found is not None
    assert (found.table, found.columns, found.source, len(found.tuples)) == (table, columns, source, tuples)
    assert all(sql[end] == ")" for end in found.tuples)
    assert sql[found.source_start :].startswith(("VALUES", "DEFAULT", "SELECT"))
    if columns:
        assert sql[found.list_end] == ")"


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "UPDATE t SET a = 1",
        "INSERT",
        "INSERT t VALUES (1)",
        "INSERT INTO",
        "INSERT INTO t",
        "INSERT INTO 5 VALUES (1)",
        "INSERT INTO t (",
        "INSERT INTO t (a",
        "INSERT INTO t (a b) VALUES (1)",
        "INSERT INTO t (5) VALUES (1)",
        "INSERT INTO t DEFAULT",
        "INSERT INTO t VALUES",
        "INSERT INTO t VALUES (1, (2)",
        "WITH x AS (SELECT 1",
        "WITH x AS (SELECT 1) DELETE FROM t",
    ],
)
def test_what_is_no_insert(sql: str) -> None:
    """It is left to SQLite to say what is wrong."""
    assert parsed(sql) is None


words = st.sampled_from(
    "INSERT INTO t (a) VALUES (1) , ( ) SELECT UPDATE SET a = DELETE FROM WHERE t.a u WITH x AS DEFAULT random() "
    "datetime('now') CURRENT_TIMESTAMP date( 'now' 'localtime' last_insert_rowid() changes() LIMIT ORDER BY a ON "
    "CONFLICT DO NOTHING RETURNING * || - \"a\" [b] 'x -- /* */ EXISTS UNION NULL strftime( '%s' CREATE TABLE "
    "v DROP randomblob(2) REPLACE OR IGNORE main . 5 x'00' ; spgrepl_replay".split()
)
soup = st.lists(words, max_size=14).map(" ".join)
shaped = st.one_of(
    soup,
    soup.map(lambda rest: "INSERT INTO t (a) VALUES (" + rest),
    soup.map(lambda rest: "UPDATE t SET a = " + rest),
    soup.map(lambda rest: f"INSERT INTO t (a, b) VALUES (({rest}), 1)"),
)


@settings(max_examples=60)
@given(st.lists(shaped, max_size=12))
@example(["INSERT INTO t (a) VALUES (date( 'now' , CURRENT_TIMESTAMP ) )"])
def test_any_words_are_run_or_refused(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Whatever is handed over, nothing but a refusal comes out, and the copy has the same rows."""
    table = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b DEFAULT CURRENT_TIMESTAMP, u DEFAULT (random()))"
    folder: Path = tmp_path_factory.mktemp("soup")
    with opened(folder, table, "INSERT INTO t (a) VALUES ('now')") as writer:
        for sql in texts:
            with contextlib.suppress(StatementFailed):
                writer.execute(sql)
        assert_same_on_copy(writer)
