"""What stands behind the names in a statement: views, functions and operators are read, or it stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.postgresql.statement_meanings import tokens_of
from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.reading.reader import shape_of
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import install, run
from tests.postgresql.test_spg_effects import snapshot

ORDERED = "are ordered by their bytes at the master"
CASELESS = "the column w of loud ignores case at the master"

HERE = (
    "CREATE TABLE free (id INT PRIMARY KEY, x TEXT)",
    "INSERT INTO free VALUES (1, 'a')",
    "CREATE VIEW few AS SELECT id AS i FROM watched WHERE x < 'B'",
    "CREATE VIEW fewer AS SELECT i AS j FROM few",
    "CREATE VIEW whole AS SELECT id AS i, w AS q FROM loud",
    "CREATE VIEW late AS SELECT id FROM stamped WHERE seen < now()",
    "CREATE VIEW of_day AS SELECT id, seen::date AS day FROM stamped",
    "CREATE VIEW cut AS SELECT id FROM watched LIMIT 1",
    "CREATE VIEW plain AS SELECT id, x FROM watched WHERE id > 0",
    "CREATE VIEW moving AS SELECT id, at, odd, k FROM t",
    "CREATE FUNCTION lesser(a text) RETURNS bool LANGUAGE sql AS 'SELECT $1 < ''B'''",
    "CREATE FUNCTION lesser_still(a text) RETURNS bool LANGUAGE sql RETURN lesser(a)",
    "CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'",
    "CREATE FUNCTION later(a int, b timestamptz DEFAULT now()) RETURNS bool LANGUAGE sql RETURN a > 0",
    "CREATE FUNCTION opaque(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN a; END'",
    "CREATE FUNCTION same(a anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION counts(a int) RETURNS int LANGUAGE sql AS 'DELETE FROM loud RETURNING 1'",
    "CREATE OPERATOR <# (FUNCTION = lesser, RIGHTARG = text)",
    "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS id",
    "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "CREATE SEQUENCE numbers",
)
"""What somebody has made in the server."""


def opened(database: Database, url: str, path: Path, policy: Nondeterministic) -> PostgresqlEngine:
    engine = PostgresqlEngine(ServerAddress.parse(url), policy)
    engine.open()
    engine.install_snapshot(snapshot(path), ReplayState(100, 100))
    for statement in HERE:
        database.server.query(url.partition("?")[0].rpartition("/")[2], statement)
    return engine


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    made = opened(database, database.url, tmp_path / "received", Nondeterministic.STOP)
    yield made
    made.close()


@pytest.fixture(scope="module")
def elsewhere(postgres: object) -> Iterator[Database]:
    """A database that orders texts as people do."""
    from tests.postgresql.server import PostgresServer

    assert isinstance(postgres, PostgresServer)
    make = "CREATE DATABASE people TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'"
    postgres.query("postgres", make)
    yield Database(postgres, "people", postgres.url("people"))
    postgres.query("postgres", "DROP DATABASE people WITH (FORCE)")


@pytest.fixture
def ordering(elsewhere: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    elsewhere.query("DROP SCHEMA IF EXISTS public, spgrepl CASCADE")
    elsewhere.query("CREATE SCHEMA public")
    made = opened(elsewhere, elsewhere.url, tmp_path / "received", Nondeterministic.STOP)
    yield made
    made.close()


def rows(database: Database) -> list[object]:
    """What is in the tables that are changed."""
    return [
        database.query(f"SELECT * FROM {name} ORDER BY 1")
        for name in ("parent", "watched", "loud", "stamped", "free")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM parent WHERE id IN (SELECT i FROM few)",
        "DELETE FROM parent WHERE id IN (SELECT j FROM fewer)",
        "DELETE FROM parent USING watched w WHERE lesser(w.x)",
        "DELETE FROM parent USING watched w WHERE lesser_still(w.x)",
        "DELETE FROM parent USING watched w WHERE <# w.x",
        "UPDATE watched SET id = 5 WHERE (x) < 'B'",
        "UPDATE watched SET id = 5 WHERE lower(x) >= 'B'",
        "UPDATE watched SET id = 5 WHERE x || 'a' < 'B'",
        "UPDATE watched SET id = 5 WHERE (id, x) < (7, 'B')",
        "UPDATE watched SET id = 5 WHERE x > ANY ('{A,B}'::text[])",
        "UPDATE watched SET x = (SELECT max(v) FROM (VALUES ('a'), ('b')) AS m(v))",
        "UPDATE watched SET id = (SELECT count(*) FROM stamped s WHERE s.x = (SELECT min(lower(x)) FROM stamped))",
        "INSERT INTO parent SELECT id FROM watched ORDER BY x, id LIMIT 1",
        "INSERT INTO parent SELECT id FROM (SELECT id, x FROM watched ORDER BY 2, 1 LIMIT 1) a",
        "INSERT INTO free SELECT id + 7, string_agg(x, ',' ORDER BY x) FROM stamped GROUP BY id",
        "CREATE TABLE made AS SELECT id FROM watched WHERE x < 'B'",
        "CREATE TABLE made AS SELECT id FROM watched WHERE x < 'B' WITH NO DATA",
        "SELECT id INTO made FROM watched WHERE x < 'B'",
        "CREATE TABLE made (a TEXT, b BOOL GENERATED ALWAYS AS (a < 'B') STORED)",
        "ALTER TABLE watched ADD COLUMN b BOOL GENERATED ALWAYS AS (x < 'B') STORED",
        "ALTER TABLE watched ALTER COLUMN x TYPE BOOL USING x < 'B'",
    ],
)
def test_texts_that_something_behind_a_name_orders(
    statement: str, ordering: PostgresqlEngine, elsewhere: Database
) -> None:
    before = rows(elsewhere)
    with pytest.raises(StatementRefused, match=ORDERED):
        run(ordering, [statement])
    assert rows(elsewhere) == before


def test_what_orders_no_texts_goes_on(ordering: PostgresqlEngine, elsewhere: Database) -> None:
    run(
        ordering,
        [
            "UPDATE watched SET id = id + 5 WHERE id > 0 AND x = 'a'",
            "UPDATE watched SET id = id + 1 WHERE length(x) < 5 AND x LIKE 'a%' AND x IN ('a', 'b')",
            "UPDATE watched SET x = 'b' WHERE x COLLATE \"C\" < 'b' COLLATE \"C\"",
            "INSERT INTO parent SELECT id FROM watched ORDER BY id LIMIT 1",
            "INSERT INTO parent SELECT twice(id) + 90 FROM watched WHERE x IS NOT NULL GROUP BY id, x",
        ],
    )
    assert elsewhere.query("SELECT * FROM watched") == [(7, "b")]
    assert elsewhere.query("SELECT id FROM parent ORDER BY 1") == [(1,), (2,), (7,), (104,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM parent WHERE id IN (SELECT i FROM whole WHERE q = 'a')", CASELESS),
        ("INSERT INTO parent SELECT max(i) FROM whole GROUP BY q", CASELESS),
        ("WITH z AS (SELECT w AS q FROM loud) DELETE FROM free USING z WHERE z.q = free.x", CASELESS),
        ("INSERT INTO free SELECT DISTINCT 1, w FROM loud", CASELESS),
        ("INSERT INTO parent SELECT count(DISTINCT w) FROM loud", CASELESS),
        ("UPDATE loud SET id = CASE w WHEN 'a' THEN 1 ELSE id END", CASELESS),
        ("INSERT INTO loud VALUES (1, 'a') ON CONFLICT DO NOTHING", CASELESS),
        (
            "DELETE FROM free WHERE id IN (SELECT id FROM late)",
            r"the view late: now\(\) has another value",
        ),
        ("DELETE FROM parent WHERE later(id)", r"the function later: now\(\) has another value here"),
        ("DELETE FROM parent WHERE id IN (SELECT id FROM cut)", "the view cut: LIMIT, or DISTINCT ON, without"),
        ("DELETE FROM parent WHERE opaque(id) = 1", "what the function opaque here does .* in plpgsql"),
        (
            "DELETE FROM parent WHERE same(id) = 1",
            "the function same here does .* of any types",
        ),
        ("UPDATE parent SET id = counts(id)", "the function counts: it changes rows"),
        ("DELETE FROM parent WHERE id IN (SELECT id FROM kept)", "kept is a materialized view"),
        ("DELETE FROM parent WHERE id IN (SELECT last_value FROM numbers)", "numbers is a sequence"),
        (
            "DELETE FROM parent WHERE id IN (SELECT relpages FROM pg_class)",
            "pg_class is this server's",
        ),
        ("UPDATE watched SET x = CURRENT_ROLE", "a value of this session"),
        ("UPDATE watched SET x = current_database()", r"current_database\(\) has another value"),
        ("UPDATE watched SET x = current_setting('server_version')", r"current_setting\(\) has another value"),
        ("UPDATE watched SET x = age('2024-01-01'::timestamp)", r"age\(\) has another value"),
        ("UPDATE watched SET x = pg_sleep(0)", r"pg_sleep\(\) has another value"),
        ("DELETE FROM free WHERE x COLLATE loose = 'A'", "the collation loose takes texts for equal"),
        (
            "DELETE FROM free WHERE x COLLATE \"en-x-icu\" < 'B'",
            "the collation en-x-icu: make it",
        ),
        ("UPDATE parent SET id = 5 WHERE id = (SELECT id FROM child LIMIT 1)", "LIMIT, or DISTINCT ON, without"),
        ("UPDATE parent SET id = 5 WHERE id = (SELECT id FROM child ORDER BY p LIMIT 1)", "LIMIT, or DISTINCT ON"),
        ("INSERT INTO parent SELECT DISTINCT ON (p) id + 50 FROM child", "LIMIT, or DISTINCT ON, without"),
        ("INSERT INTO free SELECT 8, string_agg(x, ',') FROM stamped", r"string_agg\(\) without ORDER BY"),
        ("INSERT INTO parent SELECT 9 + row_number() OVER () FROM child", r"row_number\(\) OVER rows without"),
        (
            "INSERT INTO parent SELECT id + 9 FROM child TABLESAMPLE bernoulli (50)",
            "TABLESAMPLE takes",
        ),
        (
            "DELETE FROM parent WHERE id = (SELECT id FROM child ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
            "SKIP LOCKED takes the rows",
        ),
        ("INSERT INTO moving (id) VALUES (5)", "rows of t are changed through the view moving"),
        ("UPDATE plain SET x = 'c'", "rows of watched are changed through the view plain"),
    ],
)
def test_what_else_stands_behind_a_name_stops_it(
    statement: str, said: str, engine: PostgresqlEngine, database: Database
) -> None:
    before = rows(database)
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement])
    assert rows(database) == before
    assert database.query("SELECT count(*) FROM pg_proc WHERE proname = 'statement_that_is_read'") == [(0,)]


def test_what_can_be_read_goes_on(engine: PostgresqlEngine, database: Database) -> None:
    """In a database that orders texts by their bytes, as the master does."""
    database.query("CREATE VIEW bare AS SELECT id FROM parent")
    run(
        engine,
        [
            "DELETE FROM child WHERE id IN (SELECT j FROM fewer)",
            "INSERT INTO parent SELECT twice(id) + 10 FROM parent WHERE lesser('A') AND <# 'A'",
            "INSERT INTO loud SELECT id, x FROM watched WHERE id = 1",
            "UPDATE loud SET w = 'b' WHERE id = 1",
            "INSERT INTO loud VALUES (1, 'c') ON CONFLICT (id) DO UPDATE SET id = 1",
            "INSERT INTO bare VALUES (70)",
            "DELETE FROM bare WHERE id = 1",
            "UPDATE parent SET id = 71 WHERE id = (SELECT id FROM parent ORDER BY id DESC LIMIT 1)",
            "DELETE FROM parent WHERE EXISTS (SELECT 1 FROM child c WHERE c.p = parent.id AND c.id = 99 LIMIT 1)",
            "INSERT INTO parent SELECT 80 + rank() OVER (ORDER BY p) FROM child",
            "UPDATE watched SET x = (SELECT string_agg(x, ',' ORDER BY x) FROM watched)",
        ],
    )
    assert database.query("SELECT id FROM child") == [(2,)]
    assert database.query("SELECT id FROM parent ORDER BY id") == [(2,), (12,), (14,), (71,), (81,)]
    assert database.query("SELECT id, w FROM loud") == [(1, "b")]


def test_a_view_that_somebody_replaces_is_read_again(engine: PostgresqlEngine, database: Database) -> None:
    """What was read of it before is worth nothing then."""
    statement = "DELETE FROM child WHERE id IN (SELECT id FROM plain WHERE id > {})"
    run(engine, [statement.format(1000)], 200)
    database.query("CREATE OR REPLACE VIEW plain AS SELECT id, x FROM watched WHERE random() < 2")
    with pytest.raises(StatementRefused, match=r"the view plain: random\(\) has another value"):
        run(engine, [statement.format(2000)], 300)
    replace = "CREATE OR REPLACE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS"
    database.query(f"{replace} 'SELECT $1'")
    run(engine, ["DELETE FROM child WHERE twice(id) = 77"], 300)
    database.query(
        "CREATE OR REPLACE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT $1 * random()::int'"
    )
    with pytest.raises(StatementRefused, match=r"the function twice: random\(\) has another value"):
        run(engine, ["DELETE FROM child WHERE twice(id) = 78"], 400)


def test_a_view_that_the_log_replaces_and_this_server_does_not(
    engine: PostgresqlEngine, database: Database
) -> None:
    """The old one must not be used in its place."""
    run(engine, ["CREATE VIEW v AS SELECT id FROM parent"], 200)
    with pytest.raises(StatementRefused, match="what v is at the master is not taken here"):
        run(engine, ["CREATE OR REPLACE VIEW v AS SELECT only_spg(id) AS id FROM parent"], 300)
    run(engine, ["CREATE OR REPLACE VIEW other AS SELECT only_spg(id) AS id FROM parent"], 300)


def test_time_zones_behind_names(engine: PostgresqlEngine, database: Database) -> None:
    run(engine, ["SET TIME ZONE 'Asia/Tokyo'"], 200)
    for statement in (
        "DELETE FROM parent WHERE id IN (SELECT id FROM of_day WHERE day = '2024-01-01')",
        "UPDATE stamped SET x = 'c', seen = 'Jan 2 2024'",
        "UPDATE stamped SET x = seen::text, seen = NULL",
        "CREATE TABLE made AS SELECT seen::date AS day FROM stamped",
        "ALTER TABLE stamped ADD COLUMN more TIMESTAMPTZ DEFAULT '2024-01-01 00:00'",
        "DELETE FROM parent WHERE '2024-01-01'::timestamptz > '2023-01-01 00:00+00'",
    ):
        with pytest.raises(StatementRefused, match="has set its time zone to asia/tokyo"):
            run(engine, [statement], 300)
    run(engine, ["UPDATE stamped SET x = '2024-01-01', seen = 'Jan 2 2024 00:00+00'"], 300)
    assert database.query("SELECT seen::text FROM stamped") == [("2024-01-02 00:00:00+00",)]


def test_random_values_are_this_servers_own_where_told(database: Database, tmp_path: Path) -> None:
    """In the statement itself; what a view has of them cannot be counted."""
    engine = opened(database, database.url, tmp_path / "received", Nondeterministic.APPROXIMATE)
    engine.tell_clock(lambda _: 1_700_000_000_000_000)
    run(engine, ["UPDATE stamped SET x = random()::text, seen = now()"])
    assert database.query("SELECT seen::text FROM stamped") == [("2023-11-14 22:13:20+00",)]
    for statement in ("DELETE FROM parent WHERE id IN (SELECT id FROM late)", "UPDATE watched SET x = version()"):
        with pytest.raises(StatementRefused, match="has another value here"):
            run(engine, [statement], 300)
    engine.close()


def test_a_subscriber_reads_what_stands_behind_names_too(database: Database) -> None:
    database.query("CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMPTZ)")
    database.query("CREATE VIEW late AS SELECT id FROM t WHERE at < now()")
    target = PostgresqlTarget(ServerAddress.parse(database.url), "s", TargetOptions())
    target.open()
    target.start(SubscriptionState(("p",), 100, 100))
    target.begin()
    target.execute([b"DELETE FROM t WHERE id IN (SELECT id FROM late)"], {})
    with pytest.raises(StatementRefused, match=r"the view late: now\(\) has another value"):
        target.commit(SubscriptionState(("p",), 100, 200))
    target.rollback()
    target.close()


def test_a_server_that_does_not_show_how_it_reads(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is plain runs there."""
    import attrs

    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    install(engine, tmp_path / "received")
    session = engine._server.session
    monkeypatch.setattr(session, "_features", attrs.evolve(session.features, reads=False))
    run(
        engine,
        [
            "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)",
            "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
            "INSERT INTO public.t (id, x) VALUES (3, 'b')",
            "UPDATE t SET x = 'c', id = id + 10 WHERE id = 1 AND x IN ('a', 'b')",
            "DELETE FROM t WHERE id = 2 OR x IS NULL",
            "CREATE VIEW v AS SELECT id FROM t",
        ],
    )
    assert database.query("SELECT id, x FROM t ORDER BY id") == [(3, "b"), (11, "c")]
    for statement in (
        "DELETE FROM t WHERE id < 5",
        "UPDATE t SET x = lower(x)",
        "INSERT INTO t SELECT id + 50 FROM t",
        "DELETE FROM v",
        "CREATE TABLE u AS SELECT id FROM t",
    ):
        with pytest.raises(StatementRefused, match="this server does not show how it reads a statement"):
            run(engine, [statement], 300)
    engine.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (22, 'it''s')", True),
        ("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)", True),
        ("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES ('a', 'a')", False),
        ("DELETE FROM t WHERE id IN (1)", "DELETE FROM t WHERE id IN (1, 2, 3)", True),
        ("DELETE FROM t WHERE id IN (f(1))", "DELETE FROM t WHERE id IN (g(1))", False),
        ("DELETE FROM t WHERE x IS NULL", "DELETE FROM t WHERE x = NULL", False),
        ("INSERT INTO t SELECT a, b FROM u ORDER BY 1", "INSERT INTO t SELECT a, b FROM u ORDER BY 2", False),
        ('UPDATE t SET "A" = 1', "UPDATE t SET a = 1", False),
    ],
)
def test_what_shapes_of_statements_have_in_common(one: str, other: str, same: bool) -> None:
    assert (shape_of(tokens_of(one)) == shape_of(tokens_of(other))) is same
