"""Queries inside statements: they find what the master's find, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import lex, literals_of
from spgrepl.spgsql.language.nodes import Select
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import INT, TEXT
from spgrepl.spgsql.typed.queries import QueryCompiler
from tests.spgsql.copy import Copy
from tests.spgsql.typed.kit import Asked

ROWS = [(number, number % 3, "abc"[number % 3], str(20 - number)) for number in range(1, 13)]


@pytest.fixture(scope="module")
def asked() -> Asked:
    copy = Copy()
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, g INT, x TEXT, n NUMERIC, f FLOAT)")
    copy.run("CREATE TABLE u (id INT PRIMARY KEY, y TEXT UNIQUE)", "INSERT INTO u VALUES (1, 'one'), (2, 'two')")
    copy.connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, 1.5)", ROWS)
    return Asked(copy)


def found(
    asked: Asked, text: str, hints: list[SpgType] | None = None, exact: bool = False
) -> tuple[list[tuple[object, ...]], list[str]]:
    """The rows that a query finds, and the names of its columns."""
    tokens = lex(text)
    node = StatementReader(tokens).read()
    assert isinstance(node, Select)
    literals = literals_of(tokens)
    compiler = asked.compiler(literals)
    queries = QueryCompiler(compiler)
    sql, kinds = queries.query(node, None, hints, exact)
    values = [one.value(literals, lambda: 0) for one in compiler.take_bindings()]
    rows = asked.connection.execute(sql, values).fetchall()
    assert all(len(row) == len(kinds) == len(queries.names) for row in rows)
    return rows, queries.names


@settings(max_examples=30)
@given(st.integers(0, 12), st.integers(0, 15), st.integers(0, 15), st.booleans())
def test_rows_by_condition_and_place(asked: Asked, least: int, limit: int, offset: int, down: bool) -> None:
    order = f"n {'DESC' if down else ''}, id"
    text = f"SELECT n, id FROM t WHERE id > {least} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    wanted = sorted((int(n), number) for number, _, _, n in ROWS if number > least)[:: -1 if down else 1]
    assert found(asked, text)[0] == [(str(n), number) for n, number in wanted[offset : offset + limit]]


@pytest.mark.parametrize(
    ("text", "rows", "names"),
    [
        ("SELECT u.*, 5 FROM u WHERE y = 'one'", [(1, "one", 5)], ["id", "y", "column3"]),
        ("SELECT t.id AS A, y FROM t JOIN u ON t.id = u.id AND u.id > 1", [(2, "two")], ["a", "y"]),
        (
            "SELECT u.id FROM u LEFT JOIN t AS v ON v.id = u.id + 100 WHERE v.id IS NULL AND u.id = 1",
            [(1,)],
            ["id"],
        ),
        ("SELECT count(*) FROM u CROSS JOIN u AS v", [(4,)], ["column1"]),
        ("SELECT max(n) FROM t GROUP BY g HAVING g = 1", [("19",)], ["column1"]),
        ("SELECT DISTINCT x FROM t WHERE id < 4 AND g <> 0", [("b",), ("c",)], ["x"]),
        ("WITH q AS (SELECT id + 1 AS one FROM u) SELECT one FROM q WHERE one > 2", [(3,)], ["one"]),
        ("WITH u AS (SELECT y FROM u WHERE id = 2) SELECT y FROM u", [("two",)], ["y"]),
        ("SELECT s.y FROM (SELECT y FROM u WHERE id = 1) AS s", [("one",)], ["y"]),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AND g = 2", [(2,)], ["id"]),
        (
            "SELECT s.x, s.id FROM (SELECT id, x FROM t WHERE g IN (SELECT id AS other FROM u)) AS s "
            "WHERE s.id < 3",
            [("b", 1), ("c", 2)],
            ["x", "id"],
        ),
    ],
)
def test_what_a_query_finds(asked: Asked, text: str, rows: list[object], names: list[str]) -> None:
    assert found(asked, text) == (rows, names)


def test_columns_become_what_is_wanted_of_them(asked: Asked) -> None:
    assert found(asked, "SELECT '5', id FROM u WHERE id = 1", [INT, TEXT], exact=True)[0] == [(5, "1")]
    assert found(asked, "SELECT '5' FROM u WHERE id = 1")[0] == [("5",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT id FROM t LIMIT 1", "LIMIT without ORDER BY a unique column"),
        ("SELECT id FROM t ORDER BY g LIMIT 1", "LIMIT without ORDER BY a unique column"),
        ("SELECT y FROM u ORDER BY y LIMIT 1", "LIMIT without ORDER BY a unique column"),
        ("SELECT id FROM t ORDER BY id LIMIT 'x'", "LIMIT x is not translated"),
        ("SELECT id FROM t ORDER BY id LIMIT 1.5", "LIMIT 1.5 is not translated"),
        (f"SELECT id FROM t ORDER BY id OFFSET {'9' * 5000}", "OFFSET 9+ is not translated"),
        ("SELECT id FROM t ORDER BY id LIMIT 1 + 1", "LIMIT of what is not a number"),
        ("SELECT id FROM t ORDER BY 1, id LIMIT 1", "ORDER BY a number"),
        ("SELECT count(*) FROM t GROUP BY 1", "GROUP BY a number"),
        ("SELECT DISTINCT n FROM t", r"DISTINCT or GROUP BY of NUMERIC"),
        ("SELECT 1 FROM t, t", "two tables of a query have the same name"),
        ("SELECT 1 FROM (SELECT 1)", "without a name"),
        ("SELECT id INTO other FROM t", "SELECT INTO inside"),
        ("SELECT 1 FROM (SELECT t.id) AS s, t", r"no column t\.id"),
        ("WITH q AS (SELECT id FROM q) SELECT id FROM q", "no such table: q"),
        ("SELECT 1 FROM sqlite_master", "sqlite_master"),
    ],
)
def test_what_is_refused(asked: Asked, text: str, said: str) -> None:
    with pytest.raises(StatementStopped, match=said):
        found(asked, text)
