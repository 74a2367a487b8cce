"""INSERT, UPDATE, DELETE and TRUNCATE of an SPG server's log: the same rows as at the master, or a stop."""

# A table is read line by line, however long one is.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Dialect
from tests.spgsql.copy import NOW_TEXT, Copy

TABLE = (
    "CREATE TABLE t (id INT PRIMARY KEY, n NUMERIC(6,2), x TEXT, b BOOL, y BYTEA, f FLOAT, at TIMESTAMP, d DATE, "
    "tags TEXT[], c CHAR(3), r REAL, big BIGINT)"
)


@pytest.fixture
def copy(copy: Copy) -> Copy:
    copy.run(
        TABLE,
        "CREATE TABLE u (id INT PRIMARY KEY, t_id INT UNIQUE, x TEXT)",
        "INSERT INTO t (id, n, x, b, f) VALUES (1, 1.5, 'one', TRUE, 0.5), (2, 10, 'two', FALSE, 2), (3, NULL, NULL, NULL, NULL)",
        "INSERT INTO u VALUES (1, 1, 'u1'), (2, 2, 'u2')",
    )
    return copy


EXACT: list[tuple[str, str, list[tuple[object, ...]]]] = [
    ("INSERT INTO t (id, y) VALUES (9, '\\x00ff'::bytea)", "SELECT y FROM t WHERE id = 9", [(b"\x00\xff",)]),
    ("INSERT INTO t (id, y) VALUES (9, E'\\\\x00ff')", "SELECT y FROM t WHERE id = 9", [(b"\x00\xff",)]),
    ("INSERT INTO t (id, x) VALUES (9, TRUE)", "SELECT x FROM t WHERE id = 9", [("true",)]),
    ("INSERT INTO t (id, x) VALUES (9, 5)", "SELECT x FROM t WHERE id = 9", [("5",)]),
    ("INSERT INTO t (id, n) VALUES (9, 2.345)", "SELECT n FROM t WHERE id = 9", [("2.35",)]),
    ("INSERT INTO t (id, n) VALUES (9, -2.345)", "SELECT n FROM t WHERE id = 9", [("-2.35",)]),
    ("INSERT INTO t (id, n) VALUES (9, '7')", "SELECT n FROM t WHERE id = 9", [("7.00",)]),
    ("INSERT INTO t (id, tags) VALUES (9, ARRAY['a', NULL, 'b'])", "SELECT tags FROM t WHERE id = 9", [('["a", null, "b"]',)]),
    ("INSERT INTO t (id, tags) VALUES (9, ARRAY['a']::text[])", "SELECT tags FROM t WHERE id = 9", [('["a"]',)]),
    ("INSERT INTO t (id, tags) VALUES (9, '{}')", "SELECT tags FROM t WHERE id = 9", [("[]",)]),
    ("INSERT INTO t (id, at) VALUES (9, TIMESTAMP '2024-01-02 03:04')", "SELECT at FROM t WHERE id = 9", [("2024-01-02 03:04:00",)]),
    ("INSERT INTO t (id, c) VALUES (9, 'x')", "SELECT c FROM t WHERE id = 9", [("x  ",)]),
    ("INSERT INTO t (id, r) VALUES (9, 0.1)", "SELECT r FROM t WHERE id = 9", [(0.10000000149011612,)]),
    ("INSERT INTO t (id) VALUES (-9)", "SELECT id FROM t WHERE id < 0", [(-9,)]),
    ("INSERT INTO public.t (id) VALUES (9)", "SELECT id FROM t WHERE id > 3", [(9,)]),
    ('INSERT INTO "public"."t" ("id", "x") VALUES (9, \'q\')', "SELECT x FROM t WHERE id = 9", [("q",)]),
    ("INSERT INTO T (ID) VALUES (9) RETURNING id, now()", "SELECT id FROM t WHERE id > 3", [(9,)]),
    ("INSERT INTO t VALUES (9, 1, 'x')", "SELECT id, n, x, b FROM t WHERE id = 9", [(9, "1.00", "x", None)]),
    ("INSERT INTO t (id, x) SELECT id + 10, x || '!' FROM t WHERE x IS NOT NULL", "SELECT id, x FROM t WHERE id > 9", [(11, "one!"), (12, "two!")]),
    ("INSERT INTO t (id, x) SELECT 9, 'lit'", "SELECT x FROM t WHERE id = 9", [("lit",)]),
    ("WITH w AS (SELECT id, x FROM u WHERE id = 2) INSERT INTO t (id, x) SELECT id + 10, x FROM w", "SELECT id, x FROM t WHERE id > 9", [(12, "u2")]),
    ("INSERT INTO t (id, x) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET x = excluded.x || t.x", "SELECT x FROM t WHERE id = 1", [("newone",)]),
    ("INSERT INTO t AS q (id, x) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET x = q.x WHERE q.id = 1", "SELECT x FROM t WHERE id = 1", [("one",)]),
    ("INSERT INTO t (id, x) VALUES (1, 'new') ON CONFLICT DO NOTHING", "SELECT x FROM t WHERE id = 1", [("one",)]),
    ("INSERT INTO t (id, x) VALUES (1, 'new') ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING", "SELECT x FROM t WHERE id = 1", [("one",)]),
    ("UPDATE t SET n = n + 0.125 WHERE id = 1", "SELECT n FROM t WHERE id = 1", [("1.63",)]),
    ("UPDATE t SET n = n * 3 - 1 WHERE n = 1.500", "SELECT n FROM t WHERE id = 1", [("3.50",)]),
    ("UPDATE t SET x = 'hit' WHERE n > 9.5", "SELECT id FROM t WHERE x = 'hit'", [(2,)]),
    ("UPDATE t SET x = 'hit' WHERE n IN (1.5, 77)", "SELECT id FROM t WHERE x = 'hit'", [(1,)]),
    ("UPDATE t SET x = 'hit' WHERE b", "SELECT id FROM t WHERE x = 'hit'", [(1,)]),
    ("UPDATE t SET x = 'hit' WHERE b IS NOT TRUE", "SELECT id FROM t WHERE x = 'hit'", [(2,), (3,)]),
    ("UPDATE t SET x = 'hit' WHERE x LIKE 'O%'", "SELECT id FROM t WHERE x = 'hit'", []),
    ("UPDATE t SET x = 'hit' WHERE x ILIKE 'O%'", "SELECT id FROM t WHERE x = 'hit'", [(1,)]),
    ("UPDATE t SET x = 'hit' WHERE x NOT LIKE '%w_'", "SELECT id FROM t WHERE x = 'hit'", [(1,)]),
    ("UPDATE t SET x = 'hit' WHERE x IS DISTINCT FROM 'one'", "SELECT id FROM t WHERE x = 'hit'", [(2,), (3,)]),
    ("UPDATE t SET x = 'hit' WHERE id BETWEEN 2 AND 3 AND NOT (id = 3)", "SELECT id FROM t WHERE x = 'hit'", [(2,)]),
    ("UPDATE t SET x = 'hit' WHERE id = ANY (ARRAY[1, 3])", "SELECT id FROM t WHERE x = 'hit'", [(1,), (3,)]),
    ("UPDATE t SET x = 'hit' WHERE id > 1.5", "SELECT id FROM t WHERE x = 'hit'", [(2,), (3,)]),
    ("UPDATE t SET x = 'hit' WHERE id IN (SELECT t_id FROM u WHERE x = 'u2')", "SELECT id FROM t WHERE x = 'hit'", [(2,)]),
    ("UPDATE t SET x = 'hit' WHERE EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id AND u.id = 1)", "SELECT id FROM t WHERE x = 'hit'", [(1,)]),
    ("UPDATE t SET x = (SELECT max(x) FROM u) WHERE id = 3", "SELECT x FROM t WHERE id = 3", [("u2",)]),
    ("UPDATE t SET (x, n) = ('a', 3) WHERE id = 3", "SELECT x, n FROM t WHERE id = 3", [("a", "3.00")]),
    ("UPDATE t SET x = CASE WHEN id = 1 THEN 'a' ELSE 'b' END", "SELECT x FROM t", [("a",), ("b",), ("b",)]),
    ("UPDATE t SET x = coalesce(x, 'none'), f = coalesce(f, 0) + 1", "SELECT x, f FROM t", [("one", 1.5), ("two", 3.0), ("none", 1.0)]),
    ("UPDATE t SET id = id / 2 + 100 WHERE id = 3", "SELECT id FROM t WHERE id > 3", [(101,)]),
    ("UPDATE t SET x = u.x FROM u WHERE u.t_id = t.id", "SELECT x FROM t", [("u1",), ("u2",), (None,)]),
    ("UPDATE ONLY t AS q SET x = 'z' WHERE q.id = 3", "SELECT x FROM t WHERE id = 3", [("z",)]),
    ("UPDATE t SET c = 'a' WHERE id = 1", "SELECT c FROM t WHERE id = 1", [("a  ",)]),
    ("UPDATE t SET d = '2024-02-03' WHERE d IS NULL AND id = 1", "SELECT d FROM t WHERE id = 1", [("2024-02-03",)]),
    ("UPDATE t SET big = 9223372036854775807 WHERE id = 1", "SELECT big FROM t WHERE id = 1", [(2**63 - 1,)]),
    ("UPDATE t SET x = upper(x) || length(x)", "SELECT x FROM t", [("ONE3",), ("TWO3",), (None,)]),
    ("DELETE FROM t WHERE n < '2'::numeric", "SELECT id FROM t", [(2,), (3,)]),
    ("DELETE FROM t USING u WHERE u.t_id = t.id AND u.x = 'u1'", "SELECT id FROM t", [(2,), (3,)]),
    ("DELETE FROM t WHERE id = (SELECT id FROM t ORDER BY id DESC LIMIT 1)", "SELECT id FROM t", [(1,), (2,)]),
    ("DELETE FROM ONLY public.t WHERE id = 1 /* gone */", "SELECT id FROM t", [(2,), (3,)]),
    ("DELETE FROM t", "SELECT id FROM t", []),
    ("TRUNCATE t, public.u RESTART IDENTITY CASCADE", "SELECT id FROM t UNION ALL SELECT id FROM u", []),
    ("SELECT id, n INTO z FROM t WHERE id < 3", "SELECT * FROM z", [(1, "1.50"), (2, "10.00")]),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "query", "rows"), EXACT, ids=[one[0][:70] for one in EXACT])
def test_the_same_rows(copy: Copy, statement: str, query: str, rows: list[tuple[object, ...]]) -> None:
    copy.run(statement)
    assert copy.rows(query) == rows


STOPS = {
    "INSERT INTO t (id, x) VALUES (9, now())": r"now\(\) has another value",
    "INSERT INTO t (id, at) VALUES (9, CURRENT_TIMESTAMP)": "CURRENT_TIMESTAMP has another value",
    "INSERT INTO t (id, f) VALUES (9, random())": r"random\(\) has another value",
    "INSERT INTO t (id, x) VALUES (9, gen_random_uuid())": r"gen_random_uuid\(\) has another value",
    "INSERT INTO t (id) VALUES (nextval('s'))": r"nextval\(\)",
    "UPDATE t SET id = id + nextval('s')": "it is not the value of a column",
    "DELETE FROM t WHERE at < now() - interval '1 day'": r"now\(\) has another value",
    "INSERT INTO t (id, x) VALUES (9, current_user)": "of the master's session",
    "INSERT INTO t (id, x) VALUES (9, my_function(1))": r"my_function\(\) is not known",
    "INSERT INTO t (id, x) VALUES (9, app.f(1))": r"app.f\(\) is not known",
    "INSERT INTO t (id, b) VALUES (9, 1)": None,
    "INSERT INTO t (id, b) VALUES (9, 7)": "column of type BOOL",
    "INSERT INTO t (id, x) VALUES (9, 1.50)": "column of type TEXT",
    "INSERT INTO t (id, at) VALUES (9, 'yesterday')": "column of type TIMESTAMP",
    "INSERT INTO t (id, tags) VALUES (9, ARRAY[x])": "other things than literals",
    "INSERT INTO missing VALUES (1)": "no such table: missing",
    "INSERT INTO other.t VALUES (1)": r"other\.t is not in the schema public: which table that is at the master",
    "UPDATE t SET id = 1 FROM other.t": r"other\.t is not in the schema public",
    "DELETE FROM other.t": r"other\.t is not in the schema public",
    "TRUNCATE other.t": r"other\.t is not in the schema public",
    "INSERT INTO t (nope) VALUES (1)": "no column nope",
    "INSERT INTO t (id, n) VALUES (1)": "table t has 2 columns for the values, and 1",
    "UPDATE t SET f = f * 1.1, n = n * f": "is not translated",
    "UPDATE t SET n = n / 3": "is not translated",
    "UPDATE t SET x = 'a' WHERE x > 5": "a text and a number",
    "UPDATE t SET x = 'a' WHERE tags < tags": "the order of",
    "UPDATE t SET x = substring(x from 1 for 2)": "it is not understood",
    "UPDATE t SET x = x COLLATE \"C\"": "it is not understood",
    "UPDATE t SET tags[1] = 'x'": "an element of an array",
    "UPDATE t SET x = y": "what becomes of a value of type BYTEA",
    "UPDATE t SET c = x": "what becomes of a value of type TEXT",
    "UPDATE t SET x = 'a' WHERE id IN (SELECT id FROM t LIMIT 1)": "LIMIT without ORDER BY a unique column",
    "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)": "SKIP LOCKED",
    "DELETE FROM t WHERE CURRENT OF c": "CURRENT OF",
    "UPDATE t SET x = u.x FROM u WHERE u.id > 0": "is joined with several",
    "INSERT INTO t (id) VALUES (1) ON CONFLICT ON CONSTRAINT some DO NOTHING": "constraint some",
    "WITH d AS (DELETE FROM u RETURNING id) INSERT INTO t (id) SELECT id FROM d": "a WITH that changes rows",
    "INSERT INTO t (id) SELECT id FROM u UNION SELECT 5": "UNION is not translated",
    "INSERT INTO t (id) SELECT id FROM generate_series(10, 12)": r"generate_series\(\)",
    "UPDATE spgrepl_spg_columns SET tag = 1": "belongs to spgrepl",
    "DELETE FROM sqlite_master": "sqlite_master belongs to SQLite: names that begin with sqlite_ are its own",
    "UPDATE t SET x = (SELECT name FROM spgrepl_spg_columns)": "belongs to spgrepl",
    "INSERT INTO t (id, x) VALUES (9, 'a' 'b')": "side by side",
    "SELECT id FROM t": "a SELECT in the log",
}  # fmt: skip


@pytest.mark.parametrize(("statement", "reason"), STOPS.items(), ids=[one[:70] for one in STOPS])
def test_what_cannot_be_told_is_a_stop(copy: Copy, statement: str, reason: str | None) -> None:
    if reason is None:
        copy.run(statement)
        return
    before = copy.rows("SELECT * FROM t"), copy.rows("SELECT * FROM u")
    copy.stop(statement, reason)
    assert (copy.rows("SELECT * FROM t"), copy.rows("SELECT * FROM u")) == before


def test_a_plan_is_kept_for_the_next_values(copy: Copy) -> None:
    copy.run("INSERT INTO t (id, n) VALUES (50, 1.005)")
    assert len(copy.replay._plans) > 0
    copy.run("INSERT INTO t (id, n) VALUES (51, 7)", "INSERT INTO t (id, n) VALUES (52, 0.999)")
    assert copy.values("SELECT n FROM t WHERE id >= 50") == ["1.01", "7.00", "1.00"]
    copy.run("ALTER TABLE t RENAME COLUMN n TO m")
    copy.stop("INSERT INTO t (id, n) VALUES (53, 7)", "no column n")


def test_a_plan_made_of_a_number_is_not_taken_for_another(copy: Copy) -> None:
    """What is a part of the statement and not a value makes another plan."""
    copy.run("UPDATE t SET x = 'a' WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 1)")
    copy.run("UPDATE t SET x = 'b' WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 2)")
    assert copy.values("SELECT x FROM t") == ["b", "b", None]
    copy.run(
        "UPDATE t SET n = '1.26'::numeric(5,1) WHERE id = 1", "UPDATE t SET n = '1.26'::numeric(5,2) WHERE id = 2"
    )
    assert copy.values("SELECT n FROM t WHERE id < 3") == ["1.30", "1.26"]


# -- what every replica computes for itself -------------------------------------------------------------------


def test_approximations_are_counted_by_table(loose: Copy) -> None:
    loose.run(
        "CREATE TABLE s (id SERIAL PRIMARY KEY, at TIMESTAMPTZ DEFAULT now(), u UUID DEFAULT gen_random_uuid(), x INT)",
        "INSERT INTO s (x) VALUES (1), (2)",
        "INSERT INTO s (id, x) VALUES (nextval('s_id_seq'), 3), (DEFAULT, 4)",
        "INSERT INTO s (x) SELECT x + 10 FROM s WHERE x < 3",
        "UPDATE s SET at = CURRENT_TIMESTAMP - interval '1 hour' WHERE x = 1",
        "DELETE FROM s WHERE at > now()",
    )
    assert loose.values("SELECT id FROM s") == [1, 2, 3, 4, 5, 6]
    assert loose.values("SELECT DISTINCT at FROM s") == ["2023-11-14 21:13:20+00", NOW_TEXT + "+00"]
    assert len(set(loose.values("SELECT u FROM s"))) == 6
    assert loose.counts()["approximated"] == {
        "s": {
            "CURRENT_TIMESTAMP": 1,
            "SERIAL": 3,
            "gen_random_uuid()": 3,
            "nextval()": 1,
            "now()": 4,
        }
    }


def test_a_serial_without_its_value_is_a_stop(copy: Copy) -> None:
    copy.run("CREATE TABLE s (id SERIAL PRIMARY KEY, g INT GENERATED ALWAYS AS IDENTITY, x INT)")
    copy.stop("INSERT INTO s (g, x) VALUES (1, 1)", r"the number that SERIAL gave to s\.id .*--nondeterministic")
    copy.stop("INSERT INTO s (id, x) VALUES (1, 1)", r"the number that IDENTITY gave to s\.g")
    copy.run("INSERT INTO s (id, g, x) OVERRIDING SYSTEM VALUE VALUES (7, 8, 9)")
    assert copy.rows("SELECT * FROM s") == [(7, 8, 9)]


def test_the_time_that_is_not_known_is_a_stop(loose: Copy) -> None:
    loose.run("CREATE TABLE s (at TIMESTAMP)")
    loose.replay.tell_clock(lambda _: None)
    loose.stop("INSERT INTO s VALUES (now())", "has not sent a STATUS")


def test_a_default_that_is_evaluated_alike_is_exact(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE s (id INT, x TEXT DEFAULT 'a' || 'b', n NUMERIC(4,1) DEFAULT 1.25, z INT DEFAULT 2 + 3)",
        "INSERT INTO s (id) VALUES (1)",
        "INSERT INTO s VALUES (2, DEFAULT, DEFAULT, DEFAULT)",
        "INSERT INTO s DEFAULT VALUES",
    )
    assert copy.rows("SELECT * FROM s") == [(1, "ab", "1.3", 5), (2, "ab", "1.3", 5), (None, "ab", "1.3", 5)]
    copy.run("CREATE TABLE q (x TEXT DEFAULT current_user)")
    copy.stop("INSERT INTO q DEFAULT VALUES", r"the default of q\.x, current_user, is evaluated at the master")


# -- what happens at the master besides -----------------------------------------------------------------------


def test_triggers_rules_and_parts_are_named(copy: Copy) -> None:
    copy.keep("triggers", "g", {"name": "g", "table": "t", "events": ["INSERT"], "enabled": True})
    copy.keep("triggers", "h", {"name": "h", "table": "u", "events": ["DELETE"], "enabled": False})
    copy.stop("INSERT INTO t (id) VALUES (9)", "the trigger g of t runs at the master")
    copy.run("UPDATE t SET x = 'a' WHERE id = 1", "DELETE FROM u WHERE id = 1")
    copy.keep("rules", "r", {"name": "r", "table": "u", "event": "UPDATE"})
    copy.stop("UPDATE u SET x = 'a'", "the rule r of u")
    copy.keep("table partition", "u", {"role": "parent"})
    copy.stop("DELETE FROM u", "u is partitioned")
    copy.keep("table partition", "child", {"role": "inherits", "parents": ["t"]})
    copy.stop("DELETE FROM t", "inherit from t")


def test_columns_that_the_master_computes_are_named(copy: Copy) -> None:
    copy.run("CREATE TABLE g (a INT, b INT GENERATED ALWAYS AS (a * 2) STORED)")
    copy.stop("INSERT INTO g (a) VALUES (1)", "the column b of g is GENERATED")
    copy.run("DELETE FROM g WHERE a = 1")


def test_foreign_keys_do_what_they_do_at_the_master(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT, p INT REFERENCES parent (id) ON DELETE CASCADE, q INT REFERENCES parent)",
        "INSERT INTO parent VALUES (1), (2)",
        "INSERT INTO child VALUES (1, 1, 2), (2, 2, 1)",
        "DELETE FROM parent WHERE id = 1",
    )
    assert copy.rows("SELECT id FROM child") == [(2,)]
    copy.run("TRUNCATE parent CASCADE")
    assert copy.rows("SELECT id FROM child") == []


# -- the other dialect ----------------------------------------------------------------------------------------


def test_mysql(copy: Copy, loose: Copy) -> None:
    copy.run(
        "INSERT INTO `t` (`id`, `x`, `b`) VALUES (9, 'it\\'s\\n', TRUE)",
        'INSERT INTO t (id, x) VALUES (1, "q") ON DUPLICATE KEY UPDATE x = VALUES(x)',
        "REPLACE INTO u (id, t_id, x) VALUES (7, 1, 'r')",
        "INSERT INTO t SET id = 10, y = x'00ff'",
        "UPDATE t SET x = 'case' WHERE x LIKE 'TW%'",
        dialect=Dialect.MYSQL,
    )
    assert copy.rows("SELECT x, b FROM t WHERE id = 9") == [("it's\n", 1)]
    assert copy.rows("SELECT x, n FROM t WHERE id = 1") == [("q", "1.50")]
    assert copy.rows("SELECT id FROM u ORDER BY id") == [(2,), (7,)]
    assert copy.rows("SELECT y FROM t WHERE id = 10") == [(b"\x00\xff",)]
    assert copy.rows("SELECT id FROM t WHERE x = 'case'") == [(2,)]
    copy.stop("UPDATE t SET x = 'a' LIMIT 1", "UPDATE with LIMIT", Dialect.MYSQL)
    copy.stop("INSERT IGNORE INTO t (id) VALUES (1)", "INSERT IGNORE", Dialect.MYSQL)
    loose.run(
        "CREATE TABLE m (id INT PRIMARY KEY AUTO_INCREMENT, at DATETIME) ENGINE=InnoDB", dialect=Dialect.MYSQL
    )
    loose.run("INSERT INTO m VALUES (NULL, NOW())", dialect=Dialect.MYSQL)
    assert loose.rows("SELECT * FROM m") == [(1, NOW_TEXT)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE w SET i = i / s", "a division by zero"),
        ("UPDATE w SET i = i % 0", "a division by zero"),
        ("UPDATE w SET f = f / 0", "a division by zero"),
        ("DELETE FROM w WHERE 1 / s > 0", "a division by zero"),
        ("UPDATE w SET i = i * 1000000000", "-7000000000 does not fit into a whole number of 32 bits"),
        ("UPDATE w SET i = b", "5000000000 does not fit into a whole number of 32 bits"),
        (
            "UPDATE w SET s = CASE WHEN i < 0 THEN i * 10000 END",
            "-70000 does not fit into a whole number of 16 bits",
        ),
        ("UPDATE w SET b = b * 9223372036854775807", "does not fit into a whole number of 64 bits"),
    ],
)
def test_numbers_that_sqlite_would_take(statement: str, said: str) -> None:
    """SQLite makes NULL of a quotient, and a fraction of a whole number that is too large."""
    copy = Copy()
    copy.run("CREATE TABLE w (id INT PRIMARY KEY, i INT, b BIGINT, s SMALLINT, f FLOAT)")
    copy.run("INSERT INTO w VALUES (1, -7, 5000000000, 0, 0.5)")
    copy.stop(statement, said)
    copy.run("UPDATE w SET i = i / 2 + 1, b = b * 1000000 - i % 4, f = f / 2", "UPDATE w SET s = i * 1000")
    assert copy.rows("SELECT i, b, s, f FROM w") == [(-2, 5000000000000003, -2000, 0.25)]
