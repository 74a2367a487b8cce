"""Statements in which a row meets several, or another one of its own kind: they stop where it counts which."""

from __future__ import annotations

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.postgresql.statement_meanings import tokens_of
from spgrepl.errors import StatementRefused
from spgrepl.postgresql.reading.joins import rows_that_meet_several
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run

JOINED = "a row is joined with several: which of them counts cannot be told here"
NOT_LOOKED_UP = "UPDATE … FROM where a row may meet several, in or behind a WITH"
FIRST = "ON CONFLICT DO NOTHING with rows of a query without ORDER BY its unique key"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE t SET n = s.n FROM several s WHERE s.k = t.id", JOINED),
        ('UPDATE public.t AS "T t" SET (n, x) = (s.n, s.x) FROM several s WHERE s.k = "T t".id', JOINED),
        ("UPDATE t SET n = v.n FROM (VALUES (1, 5), (1, 6)) v (id, n) WHERE v.id = t.id", JOINED),
        ("UPDATE t SET n = s.n FROM several s JOIN one ON one.k = s.k WHERE s.k = t.id", JOINED),
        ("UPDATE t SET n = (SELECT s.n + o.n FROM one o WHERE o.k = 1) FROM several s WHERE s.k = t.id", JOINED),
        ("WITH s AS (SELECT k, n FROM several) UPDATE t SET n = s.n FROM s WHERE s.k = t.id", JOINED),
        ("UPDATE t SET n = s.n FROM several s", JOINED),
        (
            "WITH s AS (DELETE FROM several RETURNING k, n) UPDATE t SET n = s.n FROM s WHERE s.k = t.id",
            NOT_LOOKED_UP,
        ),
        (
            "WITH m AS (UPDATE t SET n = 5 FROM several s WHERE s.k = t.id RETURNING t.id, s.n) "
            "INSERT INTO one SELECT id + 9, 'w', n FROM m",
            NOT_LOOKED_UP,
        ),
        ("UPDATE v SET x = s.x FROM several s WHERE s.k = v.id", NOT_LOOKED_UP),
    ],
)
def test_an_update_of_rows_that_meet_several_stops(
    statement: str, said: str, engine: PostgresqlEngine, database: Database
) -> None:
    before = database.query("SELECT * FROM t ORDER BY id"), database.query("SELECT * FROM one")
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)
    assert (database.query("SELECT * FROM t ORDER BY id"), database.query("SELECT * FROM one")) == before


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE t SET n = s.n FROM several s WHERE s.k = t.id AND s.k = 2", [1, 7]),
        ("UPDATE t SET n = s.n FROM several s WHERE s.k = t.id AND s.n > 5 RETURNING t.id;", [6, 7]),
        ("UPDATE t SET n = 9 FROM several s WHERE s.k = t.id", [9, 9]),
        ("UPDATE t SET n = one.n FROM one WHERE one.k = t.id", [50, 51]),
        ("UPDATE t SET n = o.n FROM two, one o WHERE two.k = t.id AND o.k = two.k", [1, 2]),
        ("UPDATE ONLY t SET n = v.n FROM (VALUES (1, 5), (2, 6)) v (id, n) WHERE v.id = t.id", [5, 6]),
        ("UPDATE t SET n = (t.n IS DISTINCT FROM s.n)::int FROM several s WHERE s.k = t.id AND s.k = 2", [1, 1]),
        (
            "WITH s AS (SELECT k, max(n) AS n FROM several GROUP BY k) UPDATE t SET n = s.n FROM s WHERE k = id",
            [6, 7],
        ),
        (
            "WITH m AS (UPDATE t SET n = one.n FROM one WHERE one.x = t.x RETURNING t.id) "
            "INSERT INTO several SELECT id FROM m",
            [50, 51],
        ),
    ],
)
def test_an_update_goes_on_where_each_row_meets_one_or_it_does_not_matter(
    statement: str, found: list[int], engine: PostgresqlEngine, database: Database
) -> None:
    run(engine, [statement], 300)
    assert database.query("SELECT n FROM t ORDER BY id") == [(one,) for one in found]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t (id, n) SELECT k, n FROM several ON CONFLICT (id) DO NOTHING",
        "INSERT INTO t (n, id) SELECT n, 5 FROM several ON CONFLICT (id) DO NOTHING",
        "INSERT INTO t (id, n) SELECT n, k FROM one ON CONFLICT DO NOTHING",
        "INSERT INTO t (id, n) SELECT count(*), k FROM several GROUP BY k ON CONFLICT (id) DO NOTHING",
        "INSERT INTO t (id, n) SELECT one.k, s.n FROM several s, one ON CONFLICT (id) DO NOTHING",
        "INSERT INTO t (id, n) SELECT 1, generate_series(1, 3) ON CONFLICT DO NOTHING",
        # A text that may be NULL is no key: that of `two` on it lets no row in all the same.
        "INSERT INTO two (k, x) SELECT k, x FROM one ON CONFLICT DO NOTHING",
    ],
)
def test_rows_of_a_query_that_meet_their_own_kind_stop(statement: str, engine: PostgresqlEngine) -> None:
    """PostgreSQL inserts the first that comes."""
    with pytest.raises(StatementRefused, match=FIRST):
        run(engine, [statement], 300)


def test_rows_that_do_not_meet_their_own_kind_go_on(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "INSERT INTO t (id, n) SELECT k + 10, 5 FROM several WHERE k = 7 ON CONFLICT (id) DO NOTHING",
            "INSERT INTO t (id) SELECT k + 20 FROM several ON CONFLICT DO NOTHING",
            "INSERT INTO t (id, n) SELECT k, n FROM one ON CONFLICT (id) DO NOTHING",
            "INSERT INTO t (id, n) SELECT k, n FROM one ON CONFLICT DO NOTHING",
            "INSERT INTO two (k, x) SELECT k, x FROM one ON CONFLICT (k) DO NOTHING",
            "INSERT INTO t (id, n) SELECT n, k FROM one ORDER BY k ON CONFLICT DO NOTHING",
            "INSERT INTO t (id, n) SELECT k, count(*) FROM several GROUP BY k ON CONFLICT (id) DO NOTHING",
            "INSERT INTO t (id, n) SELECT 3, 2 WHERE true ON CONFLICT DO NOTHING",
            "INSERT INTO t (id, n) VALUES (4, 2), (4, 4) ON CONFLICT (id) DO NOTHING",
        ],
        300,
    )
    assert database.query("SELECT id, n FROM t ORDER BY id") == [
        (1, 1), (2, 2), (3, 2), (4, 2), (21, None), (22, None), (50, 1), (51, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO one SELECT 7, (ARRAY(SELECT x FROM several))[1], 1", r"ARRAY\(SELECT …\) without ORDER BY"),
        ("UPDATE t SET f = (SELECT sum(f) FROM several)", r"sum\(\) of binary fractions in no order"),
        ("UPDATE t SET f = (SELECT avg(f) FROM several)", r"avg\(\) of binary fractions in no order"),
        ("INSERT INTO t SELECT k + 9, x, n, sum(f) OVER (ORDER BY k) FROM several", r"sum\(\) OVER rows without"),
        ("DELETE FROM t WHERE ctid = '(0,1)'", "ctid is where this server keeps a row"),
        ("UPDATE t SET n = xmin::text::int", "xmin is where this server keeps a row"),
        ("UPDATE t SET x = tableoid::text", "tableoid is where this server keeps a row"),
    ],
)
def test_what_depends_on_how_a_server_keeps_its_rows_stops(
    statement: str, said: str, engine: PostgresqlEngine
) -> None:
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)


def test_an_order_of_values_is_one(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "UPDATE t SET f = (SELECT sum(f ORDER BY f) FROM several), n = (SELECT sum(n) FROM several)",
            "UPDATE t SET x = (ARRAY(SELECT x FROM several ORDER BY x))[2] WHERE id = 1",
            "UPDATE t SET x = (ARRAY(SELECT x FROM one ORDER BY k))[2] WHERE id = 2",
            "UPDATE t SET n = (ARRAY(SELECT 5))[1] WHERE id = 2",
        ],
        300,
    )
    assert database.query("SELECT x, n FROM t ORDER BY id") == [("q", 18), ("b", 5)]


@pytest.mark.parametrize(
    ("statement", "query"),
    [
        ("DELETE FROM t USING u WHERE t.a = u.a", None),
        ("UPDATE t SET a = 1 WHERE a IN (SELECT b FROM u)", None),
        (
            "UPDATE ONLY s.t * SET a = u.a FROM u WHERE (SELECT 1 FROM x WHERE u.b = 2) = 1 RETURNING 1;",
            "SELECT 1 FROM ONLY s.t * , u WHERE (SELECT 1 FROM x WHERE u.b = 2) = 1 GROUP BY t.tableoid, t.ctid",
        ),
        ("UPDATE t AS a SET a = u.a FROM u;", "SELECT 1 FROM t AS a , u GROUP BY a.tableoid, a.ctid"),
    ],
)
def test_the_query_for_rows_that_meet_several(statement: str, query: str | None) -> None:
    found = rows_that_meet_several(tokens_of(statement), statement)
    words = None if found is None else " ".join(found.split())
    assert words == (None if query is None else f"{query} HAVING count(*) > 1 LIMIT 1")
