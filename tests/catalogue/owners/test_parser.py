"""Which tables a statement changes: SQLite's authorizer is asked beside it."""

from __future__ import annotations

import time

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.catalogue.owners import parser as parser_module
from spgrepl.catalogue.owners.parser import VERBS, Statement, TooManyTokens, read_statement

CHANGES = {apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE}
NAMES = st.sampled_from(["t", "T", '"t"', "[u]", "`u`", "main.t", '"into"', "'u'", "only", "ignore", "quick"])
VALUES = st.sampled_from(
    ["1", "'it''s'", "(SELECT max(a) FROM u)", "x'00'", "'); DELETE FROM w'", "/* UPDATE w */ 2"]
)
STATEMENTS = st.one_of(
    st.builds("INSERT INTO {} (a) VALUES ({})".format, NAMES, VALUES),
    st.builds("INSERT OR IGNORE INTO {} SELECT {}".format, NAMES, VALUES),
    st.builds("REPLACE INTO {} VALUES ({})".format, NAMES, VALUES),
    st.builds("UPDATE OR FAIL {} AS w SET a = {} WHERE a = 5".format, NAMES, VALUES),
    st.builds("UPDATE {} SET a = u2.a FROM u AS u2 WHERE u2.a = {}".format, NAMES, VALUES),
    st.builds("DELETE FROM {} WHERE a = {} RETURNING a".format, NAMES, VALUES),
    st.builds("SELECT a FROM {} WHERE a = {}".format, NAMES, VALUES),
)
WITHS = st.sampled_from(
    [
        "",
        "WITH w AS (SELECT 1 AS update1) ",
        "-- DELETE FROM w\n",
        "WITH RECURSIVE w (a) AS (VALUES (1), (2)), v AS (SELECT ')') ",
    ]
)


def changed_by_sqlite(sql: str) -> set[str]:
    connection = apsw.Connection(":memory:")
    for name in ("t", "u", "w0", '"into"', "only", "ignore", "quick"):
        connection.execute(f"CREATE TABLE {name} (a)")
    found: set[str] = set()

    def ask(operation: int, table: str | None, *_: object) -> int:
        if operation in CHANGES and table is not None:
            found.add(table)
        return apsw.SQLITE_OK

    connection.authorizer = ask
    connection.execute(f"EXPLAIN {sql}")
    return found


@settings(max_examples=80, deadline=None)
@given(WITHS, STATEMENTS)
def test_what_sqlite_changes(before: str, statement: str) -> None:
    sql = before + statement
    assert {name.lower() for name in read_statement(sql).tables} == changed_by_sqlite(sql)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("UPDATE t, u AS x JOIN v ON 1 SET x.a = 1, v.b = (SELECT t.c)", {"u", "v"}),
        ("UPDATE t, u SET a = 1", {"t", "u"}),
        ("DELETE x, t FROM t JOIN u AS x", {"u", "t"}),
        ("DELETE FROM x USING t AS x, u", {"t"}),
        ("INSERT LOW_PRIORITY IGNORE s.t VALUES (1)", {"s.t"}),
        ("DELETE QUICK FROM `T`.`U`", {"T.U"}),
    ],
)
def test_what_mysql_writes(sql: str, tables: set[str]) -> None:
    assert read_statement(sql, mysql=True).tables == tables


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("UPDATE ONLY (public.t) SET a = 1", {"t"}),
        ("MERGE INTO ONLY s.t USING u ON true WHEN MATCHED THEN DELETE", {"s.t"}),
        (
            "WITH a AS (DELETE FROM t RETURNING *), b AS (UPDATE u SET x = 1) INSERT INTO v SELECT * FROM a",
            {"t", "u", "v"},
        ),
        ("WITH a AS (WITH b AS (INSERT INTO t VALUES (1)) SELECT 1) SELECT 1", {"t"}),
        ("WITH a AS (SELECT 'DELETE FROM x') SELECT delete FROM update", set()),
    ],
)
def test_what_postgresql_writes(sql: str, tables: set[str]) -> None:
    assert read_statement(sql).tables == tables


def test_what_changes_no_rows() -> None:
    for sql, word in (("CREATE TABLE t (a)", "CREATE"), ("", ""), ("'x'", ""), ('DELETE FROM "open', "DELETE")):
        assert read_statement(sql) == Statement(word, frozenset())
    assert "MERGE" in VERBS


def test_a_statement_is_read_in_the_time_of_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.monotonic()
    for sql in (
        "WITH a AS (" * 3000,
        "UPDATE t," * 3000,
        "DELETE " + "t, " * 3000,
        "WITH a AS (VALUES " + "(1,'x')," * 30_000,
    ):
        read_statement(sql)
    assert time.monotonic() - begin < 5
    monkeypatch.setattr(parser_module, "MOST_TOKENS", 100)
    with pytest.raises(TooManyTokens, match="words and signs stand in front"):
        read_statement("DELETE " + "t, " * 100 + "t FROM t")
