"""Statements: each clause is where it belongs, and what would be lost is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Dialect, lex
from spgrepl.spgsql.language.nodes import (
    Column,
    Conflict,
    Const,
    Default,
    Delete,
    Insert,
    Order,
    Select,
    Statement,
    TableName,
    Truncate,
    Update,
)
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.language.stops import NotUnderstood, StatementStopped

A = Column("", "a")
WORDS = st.sampled_from(
    "insert into t ( a ) values ( 1 ) , default select * from u as x join v on a = b where limit 1 order by group "
    "having with q update set delete using truncate on conflict do nothing returning ; cross left outer cascade "
    "for union public . lateral distinct all".split()
)


def parse(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> Statement:
    return StatementReader(lex(text, dialect), dialect).read()


def test_an_insert_with_all_that_it_may_have() -> None:
    found = parse(
        "WITH q AS MATERIALIZED (SELECT 1) INSERT INTO public.t AS x (a, b) OVERRIDING SYSTEM VALUE VALUES (1, "
        "DEFAULT) ON CONFLICT (a) DO UPDATE SET a = 2 WHERE a RETURNING (SELECT ';'), a;"
    )
    assert isinstance(found, Insert)
    assert (found.table, found.columns, found.overriding) == (TableName("t", "x"), ("a", "b"), "SYSTEM")
    assert found.query == Select(values=((Const(1), Default()),))
    assert found.conflict == Conflict(("a",), "", (("a", Const(2)),), A)
    assert [name for name, _ in found.ctes] == ["q"]


def test_what_mysql_writes() -> None:
    text = "REPLACE t SET a = 1, b = DEFAULT ON DUPLICATE KEY UPDATE a = VALUES(a)"
    found = parse(text, Dialect.MYSQL)
    assert isinstance(found, Insert)
    assert (found.replace, found.columns) == (True, ("a", "b"))
    assert found.query == Select(values=((Const(0), Default()),))
    assert found.conflict is not None
    assert parse("INSERT INTO t VALUE (1)", Dialect.MYSQL) == parse("INSERT t VALUES (1)", Dialect.MYSQL)
    with pytest.raises(NotUnderstood, match="INTO is expected"):
        parse("INSERT t VALUES (1)")


def test_other_changes() -> None:
    update = parse(
        "UPDATE ONLY t * x SET (a, b) = ROW (1, 2), t.c = 3 FROM u, v AS w LEFT OUTER JOIN y ON a WHERE a"
    )
    assert isinstance(update, Update)
    assert (update.table, update.where) == (TableName("t", "x"), A)
    assert update.assignments == (("a", Const(0)), ("b", Const(1)), ("c", Const(2)))
    assert [(one.table, one.alias, one.join) for one in update.sources] == [
        ("u", "", ""),
        ("v", "w", ","),
        ("y", "", "LEFT JOIN"),
    ]
    delete = parse("DELETE FROM t USING (SELECT 1) AS s")
    assert isinstance(delete, Delete)
    assert (delete.sources[0].alias, delete.where) == ("s", None)
    assert parse("TRUNCATE t, ONLY public.u RESTART IDENTITY CASCADE") == Truncate(("t", "u"), True)
    assert parse("TRUNCATE TABLE t CONTINUE IDENTITY RESTRICT;") == Truncate(("t",), False)


def test_a_query_with_all_that_it_may_have() -> None:
    found = parse(
        'SELECT DISTINCT t.*, a AS one, a "Two" INTO UNLOGGED TABLE new FROM t WHERE a GROUP BY a, b HAVING a '
        "ORDER BY a DESC NULLS LAST, b LIMIT 5 OFFSET 6 FOR NO KEY UPDATE OF t NOWAIT"
    )
    assert isinstance(found, Select)
    assert [name for _, name in found.items] == ["", "one", "Two"]
    assert (found.distinct, found.into, len(found.group), found.having) == (True, "new", 2, A)
    assert found.order == (Order(A, True, False), Order(Column("", "b"), False, None))
    assert (found.limit, found.offset) == (Const(0), Const(1))
    assert StatementReader(lex("((VALUES (1), (2)))")).read_query().values == ((Const(0),), (Const(1),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("WITH RECURSIVE q AS (SELECT 1) DELETE FROM t", "WITH RECURSIVE"),
        ("WITH q (a) AS (SELECT 1) DELETE FROM t", "names columns"),
        ("WITH q AS (DELETE FROM u RETURNING a) DELETE FROM t", "changes rows itself"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) WHERE b DO NOTHING", "the condition of an index"),
        ("UPDATE t, u SET a = 1", "several tables"),
        ("UPDATE t SET (a, b) = (SELECT 1, 2)", "a value is expected"),
        ("UPDATE t SET (a, b) = (1)", "several columns from a query"),
        ("UPDATE t SET a[1] = 2", "an element of an array"),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", "CURRENT OF"),
        ("DELETE FROM t LIMIT 5", "which rows it takes"),
        ("SELECT 1 INTO TEMP x", "temporary table"),
        ("SELECT 1 UNION SELECT 2", "UNION is not"),
        ("SELECT DISTINCT ON (a) a FROM t", "DISTINCT ON"),
        ("SELECT a FROM t FOR UPDATE SKIP LOCKED", "SKIP LOCKED"),
        ("SELECT a FROM t JOIN u USING (a)", "JOIN … USING"),
        ("SELECT a FROM t NATURAL JOIN u", "NATURAL JOIN"),
        ("SELECT a FROM LATERAL (SELECT 1) AS x", "LATERAL"),
        ("SELECT a FROM (VALUES (1)) AS x", "VALUES in the place of a table"),
        ("SELECT a FROM f(1)", "the function f"),
        ("SELECT a FROM t TABLESAMPLE system (1)", "by chance"),
        ("DELETE FROM t; DELETE FROM u", "its end is expected"),
        ("MERGE INTO t", "INSERT, UPDATE, DELETE, TRUNCATE or SELECT is expected"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(NotUnderstood, match=said):
        parse(text)


@given(st.lists(WORDS, max_size=20).map(" ".join), st.sampled_from(Dialect))
def test_any_words_are_read_or_refused(text: str, dialect: Dialect) -> None:
    try:
        found = parse(text, dialect)
    except StatementStopped:
        return
    assert isinstance(found, Insert | Update | Delete | Truncate | Select)
