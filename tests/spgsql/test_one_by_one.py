"""Statements whose rows or columns come out in another way in another order: as at the master, or a stop."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.nodes import Scalar, Select, Source
from spgrepl.spgsql.one_by_one import reads
from spgrepl.spgsql.typed.schema import TableInfo
from tests.spgsql.copy import Copy


@pytest.fixture
def copy(copy: Copy) -> Copy:
    copy.run(
        "CREATE TABLE t (id INT PRIMARY KEY, k INT UNIQUE, x TEXT, n NUMERIC UNIQUE)",
        "CREATE TABLE s (id INT PRIMARY KEY, g INT, x TEXT, n NUMERIC)",
        "INSERT INTO s VALUES (1, 7, 'a', 1.5), (2, 7, 'b', 1.50), (3, 8, 'c', 2)",
    )
    return copy


SAME = "rows of the query have the same {} in t: which of them comes first"


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("INSERT INTO t (id, x) SELECT g, x FROM s ON CONFLICT DO NOTHING", "id"),
        ("INSERT INTO t (id, x) SELECT g, x FROM s ON CONFLICT (id) DO NOTHING", "id"),
        ("INSERT INTO t (id, x) SELECT g, x FROM s ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING", "id"),
        ("INSERT INTO t (id, k) SELECT id, g FROM s ON CONFLICT DO NOTHING", "k"),
        ("INSERT INTO t (id, n) SELECT id, n FROM s ON CONFLICT DO NOTHING", "n"),
        ("INSERT INTO t (id, x) SELECT 5, x FROM s WHERE id < 3 ON CONFLICT DO NOTHING", "id"),
        ("INSERT INTO t (id, x) SELECT g, x FROM s ON CONFLICT (id) DO UPDATE SET x = excluded.x", "id"),
        ("INSERT INTO t (id) SELECT g FROM s ON CONFLICT (id) DO UPDATE SET x = t.x || '!'", "id"),
        ("WITH w AS (SELECT g, x FROM s) INSERT INTO t (id, x) SELECT g, x FROM w ON CONFLICT DO NOTHING", "id"),
    ],
)
def test_rows_of_a_query_with_the_same_key(copy: Copy, statement: str, key: str) -> None:
    copy.stop(statement, SAME.format(key))
    assert copy.rows("SELECT * FROM t") == []


def test_replaced_rows_with_the_same_key(copy: Copy) -> None:
    copy.stop("REPLACE INTO t (id, x) SELECT g, x FROM s", SAME.format("id"), Dialect.MYSQL)
    copy.stop(
        "INSERT INTO t (id, x) SELECT g, x FROM s ON DUPLICATE KEY UPDATE x = VALUES(x)",
        SAME.format("id"),
        Dialect.MYSQL,
    )


def test_rows_of_a_query_that_differ_by_their_keys(copy: Copy) -> None:
    """Nothing stops where it makes no difference which comes first: other keys, no keys, or the same rows."""
    copy.run(
        "INSERT INTO t (id, x) SELECT id, x FROM s WHERE id > 1 ON CONFLICT DO NOTHING",
        "INSERT INTO t (id, x) SELECT id, x || '2' FROM s ON CONFLICT (id) DO UPDATE SET x = excluded.x",
        "INSERT INTO t (id) SELECT g FROM s ON CONFLICT DO NOTHING",
        "INSERT INTO t (id, k) SELECT id + 10, NULL FROM s ON CONFLICT DO NOTHING",
    )
    assert copy.values("SELECT id FROM t ORDER BY id") == [1, 2, 3, 7, 8, 11, 12, 13]
    assert copy.values("SELECT x FROM t WHERE id < 4 ORDER BY id") == ["a2", "b2", "c2"]


def test_a_column_that_is_left_to_a_constant_is_the_same_in_all_rows(copy: Copy) -> None:
    copy.run("CREATE TABLE d (k INT DEFAULT 5 UNIQUE, x TEXT)")
    reason = "rows of the query have the same k in d"
    copy.stop("INSERT INTO d (x) SELECT x FROM s ON CONFLICT DO NOTHING", reason)
    copy.run("INSERT INTO d (x) SELECT x FROM s WHERE id = 1 ON CONFLICT DO NOTHING")
    assert copy.rows("SELECT * FROM d") == [(5, "a")]


def test_a_unique_index_that_is_not_known_by_columns(copy: Copy) -> None:
    copy.connection.execute("CREATE UNIQUE INDEX some ON t (k) WHERE k > 1")
    copy.stop("INSERT INTO t (id) SELECT id FROM s ON CONFLICT DO NOTHING", "a unique index over some of its rows")
    copy.run("INSERT INTO t (id) SELECT id FROM s ON CONFLICT (id) DO NOTHING")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE s SET g = id, id = g",
        "UPDATE s SET g = 1, x = concat(g)",
        "INSERT INTO s (id, g) VALUES (1, 1) ON DUPLICATE KEY UPDATE g = 5, id = g",
    ],
)
def test_columns_that_mysql_sets_in_turn(copy: Copy, statement: str) -> None:
    copy.stop(statement, "MySQL sets columns one after another, and g has been set", Dialect.MYSQL)


def test_columns_that_are_set_at_once(copy: Copy) -> None:
    copy.run("UPDATE s SET g = id, id = g WHERE id = 3")
    copy.run("UPDATE s SET g = g + 1, x = 'z' WHERE id = 1", dialect=Dialect.MYSQL)
    copy.run(
        "INSERT INTO s (id, g) VALUES (2, 9) ON DUPLICATE KEY UPDATE g = VALUES(g), x = VALUES(g)",
        dialect=Dialect.MYSQL,
    )
    assert copy.rows("SELECT id, g, x FROM s ORDER BY id") == [(1, 8, "z"), (2, 9, "9"), (8, 3, "c")]


def test_an_update_reads_what_was_there_before_it(copy: Copy) -> None:
    """A query for each row reads none that the statement has written."""
    copy.run("UPDATE s SET g = (SELECT sum(o.g) FROM s AS o WHERE o.id <= s.id)")
    assert copy.values("SELECT g FROM s ORDER BY id") == [7, 14, 22]
    copy.run("WITH w AS (SELECT id, g FROM s) UPDATE s SET g = (SELECT sum(w.g) FROM w WHERE w.id <= s.id)")
    assert copy.values("SELECT g FROM s ORDER BY id") == [7, 21, 43]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO s (id, g) VALUES (8, (SELECT count(*) FROM s)), (9, (SELECT count(*) FROM s))",
        "INSERT INTO s (id) SELECT id FROM s ON CONFLICT (id) DO UPDATE SET g = (SELECT max(o.g) FROM s AS o)",
    ],
)
def test_rows_that_are_inserted_read_none_of_the_same_statement(copy: Copy, statement: str) -> None:
    copy.stop(statement, "a query reads rows of s while the statement inserts several")
    copy.run("INSERT INTO s (id, g) VALUES (8, (SELECT count(*) FROM s))")
    assert copy.values("SELECT g FROM s WHERE id = 8") == [3]


def test_a_query_anywhere_in_a_part_of_a_statement_reads_its_table() -> None:
    part = (("x", Scalar(Select(sources=(Source("S", None, ""),)))),)
    assert reads(part, TableInfo("s", (), (), False, ()))
    assert not reads(part, TableInfo("t", (), (), False, ()))
