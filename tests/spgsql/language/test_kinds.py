"""PROTOCOL section 8, a line a test: what may stand in a log, and what is done about it."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.kinds import KINDS, Effect, kind_of
from spgrepl.spgsql.language.lexing import head_words
from tests.spgsql.copy import Copy

SKIPPED = """
RESET ALL
DISCARD ALL
PREPARE p AS INSERT INTO t VALUES ($1)
DEALLOCATE p
DECLARE c CURSOR FOR SELECT 1
FETCH NEXT FROM c
CLOSE c
MOVE NEXT FROM c
LISTEN channel
UNLISTEN *
NOTIFY channel, 'payload; DELETE FROM t'
LOCK TABLE t IN EXCLUSIVE MODE
VACUUM (FULL) t
ANALYZE
ANALYZE t
REINDEX TABLE t
CLUSTER t
COMMENT ON TABLE t IS 'it''s mine'
GRANT SELECT ON t TO bob
REVOKE ALL ON t FROM bob
CHECKPOINT
CREATE USER bob WITH PASSWORD 'secret'
CREATE ROLE staff
ALTER USER bob PASSWORD 'secret'
ALTER ROLE staff LOGIN
DROP USER bob
DROP ROLE IF EXISTS staff
CREATE GROUP g
CREATE SCHEMA app
ALTER SCHEMA app RENAME TO other
DROP SCHEMA other
CREATE EXTENSION IF NOT EXISTS pgcrypto
CREATE SEQUENCE s START 5
ALTER SEQUENCE s RESTART WITH 9
DROP SEQUENCE s
CREATE VIEW v AS SELECT * FROM t
CREATE OR REPLACE VIEW v AS SELECT 1
ALTER VIEW v RENAME TO w
DROP VIEW w
CREATE POLICY p ON t USING (true)
CREATE STATISTICS st ON id FROM t
DROP FUNCTION f()
ALTER FUNCTION f() OWNER TO bob
CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)
REASSIGN OWNED BY bob TO alice
SECURITY LABEL ON TABLE t IS 'x'
EXPLAIN SELECT 1
SHOW ALL
ALTER SYSTEM SET work_mem = '1GB'
SET @sql_mode = 'ansi', foreign_key_checks = 1
CREATE DATABASE d
SET DateStyle TO 'ISO, MDY'
SET SESSION standard_conforming_strings TO on
SET lc_time = C
ALTER DATABASE d SET x = 1
ALTER INDEX i SET (fillfactor = 70)
""".strip().splitlines()

REFUSED = {
    "EXECUTE p(1)": "EXECUTE: the statement that was prepared",
    "DO $$ BEGIN DELETE FROM t; END $$": "DO: what it runs",
    "CALL f()": "CALL: what it runs",
    "CREATE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql": "CREATE FUNCTION: what it makes",
    "CREATE OR REPLACE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql": "CREATE OR REPLACE FUNCTION: ",
    "CREATE PROCEDURE f() AS 'x'": "CREATE PROCEDURE: ",
    "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()": "CREATE TRIGGER: ",
    "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()": "CREATE CONSTRAINT TRIGGER: ",
    "DROP TRIGGER g ON t": "DROP TRIGGER: ",
    "CREATE RULE r AS ON INSERT TO t DO NOTHING": "CREATE RULE: ",
    "REFRESH MATERIALIZED VIEW m": "REFRESH: rows of a materialized view",
    "CREATE MATERIALIZED VIEW m AS SELECT 1": "CREATE MATERIALIZED: ",
    "COPY t FROM STDIN": "COPY: the rows that it brings",
    "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE": "MERGE: it is not translated",
    "SELECT nextval('s')": "a SELECT in the log",
    "SELECT setval('s', 5)": "a SELECT in the log",
    "VALUES (1)": "VALUES: only what it calls",
    "DROP OWNED BY bob": "DROP OWNED: which tables it drops is not in the log",
    "CREATE TEMP VIEW v AS SELECT 1": "CREATE TEMP VIEW: it is of one connection",
    "CREATE TEMPORARY VIEW v AS SELECT 1": "CREATE TEMPORARY VIEW: it is of one connection",
    "PREPARE TRANSACTION 'x'": "PREPARE TRANSACTION: its transaction ends later",
    "DROP EXTENSION hstore CASCADE": "DROP EXTENSION … CASCADE: which tables and columns it drops",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY": "row security: which rows a user of the master sees",
    "SET datestyle = ISO, DMY": "after SET datestyle dates of that session may mean other days",
    "SET datestyle TO 'SQL, MDY'": "after SET datestyle dates of that session may mean other days",
    "SET transform_null_equals = on": "after SET transform_null_equals = NULL of that session finds rows",
    "SET SESSION session_replication_role = replica": "triggers and foreign keys do nothing in that session",
    "SET @old = 1, foreign_key_checks = 0": "triggers and foreign keys do nothing in that session",
    "SET @@session.sql_mode = 'ANSI_QUOTES'": "after SET sql_mode strings of that session mean something else",
    "SET lc_numeric = 'de_DE'": "numbers and months of that session are other texts",
    "SET bytea_output TO escape": "bytes of that session become other texts",
    "ALTER ROLE bob SET search_path TO app, public": "after SET search_path to app, public a session means other",
    "ALTER USER bob IN DATABASE d SET array_nulls = off": "NULL in an array of that session is a text",
    "ALTER DATABASE d SET intervalstyle = 'sql_standard'": "dates of that session may mean other days",
    "FROBNICATE t": "begins with FROBNICATE",
    "(SELECT 1)": "not known in the log",
}


@pytest.mark.parametrize("statement", SKIPPED)
def test_what_has_no_effect_is_skipped_and_counted(copy: Copy, statement: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    before = copy.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    copy.run(statement)
    assert copy.values("SELECT id FROM t") == [1]
    assert copy.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL") == before
    ((kind, count),) = copy.counts()["skipped"].items()
    assert count == 1
    assert statement.upper().startswith(kind)


@pytest.mark.parametrize(("statement", "reason"), REFUSED.items(), ids=lambda one: one[:30])
def test_what_has_an_unknown_effect_is_refused_by_name(copy: Copy, statement: str, reason: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)")
    copy.stop(statement, reason)
    assert copy.counts()["skipped"] == {}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP SCHEMA app CASCADE",
        "DROP SCHEMA IF EXISTS app, other cascade",
        "DROP TYPE mood CASCADE",
        "DROP DOMAIN d /* all of it */ CASCADE;",
        "DROP SERVER s CASCADE",
        "DROP SEQUENCE IF EXISTS s CASCADE",
        "DROP FUNCTION f(int) CASCADE",
        "DROP AGGREGATE a(int) CASCADE",
        "DROP COLLATION c CASCADE",
        "DROP OPERATOR === (int, int) CASCADE",
        "DROP CAST (text AS int) CASCADE",
        "DROP TEXT SEARCH CONFIGURATION c CASCADE",
    ],
)
def test_what_drops_tables_and_columns_with_it_stops(copy: Copy, statement: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    copy.stop(
        statement, "CASCADE: which (tables and columns|columns, defaults and triggers) it drops is not in the"
    )
    copy.run(statement.replace("CASCADE", "RESTRICT").replace("cascade", "RESTRICT"))


def test_a_view_is_no_table(copy: Copy) -> None:
    """Views are kept as text: what names one stops, also where a table elsewhere has its name."""
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)")
    copy.run("CREATE VIEW v AS SELECT id FROM t", "CREATE VIEW app.t AS SELECT id FROM u")
    for name in ("v", "app.t"):
        for statement in (
            f"INSERT INTO u SELECT id FROM {name}",
            f"INSERT INTO {name} VALUES (1)",
            f"DELETE FROM {name}",
            f"UPDATE u SET id = 1 FROM {name}",
            f"DELETE FROM u WHERE id IN (SELECT id FROM {name})",
            f"TRUNCATE {name}",
            f"CREATE TABLE w AS SELECT * FROM {name}",
        ):
            said = "app.t is not in the schema public: which table" if "." in name else f"no such table: {name}"
            copy.stop(statement, said)


def test_every_line_of_the_table_has_a_test() -> None:
    """A kind that no statement above is of would be one that nobody has looked at."""
    seen = {kind.name for one in (*SKIPPED, *REFUSED) if (kind := kind_of(head_words(one) or [])) is not None}
    lines = {
        kind.name: {one for one in seen if _is_of(one.split(), kind.words)}
        for kind in KINDS
        if kind.effect in (Effect.NONE, Effect.UNKNOWN)
    }
    without = sorted(name for name, found in lines.items() if not found)
    assert without == UNTESTED


UNTESTED = [
    "ALTER DEFAULT", "ALTER|DROP TEXT SEARCH", "CREATE CAST", "CREATE EVENT", "CREATE OPERATOR",
    "CREATE OR REPLACE RULE", "CREATE|ALTER|DROP COLLATION", "CREATE|ALTER|DROP SERVER",
    "CREATE|ALTER|DROP TABLESPACE", "CREATE|DROP ACCESS", "DROP CAST", "DROP OPERATOR", "FLUSH", "IMPORT", "LOAD",
    "OPTIMIZE", "TABLE", "UNLOCK", "USE",
]  # fmt: skip
"""Kinds that differ from a tested one in nothing but the word; the test below sees to them."""


@pytest.mark.parametrize("line", UNTESTED)
def test_the_others_do_what_their_line_says(copy: Copy, line: str) -> None:
    words = [word.split("|")[0] for word in line.split()]
    found = kind_of(words)
    assert found is not None
    if found.effect is Effect.NONE:
        copy.run(f"{' '.join(words)} something")
        assert copy.counts()["skipped"] == {found.name: 1}
    else:
        copy.stop(f"{' '.join(words)} something", found.name)


def _is_of(words: list[str], line: tuple[str, ...]) -> bool:
    return len(words) == len(line) and all(word in one.split("|") for word, one in zip(words, line, strict=True))


def test_a_longer_line_counts_before_a_shorter_one() -> None:
    assert kind_of(["CREATE", "TEXT", "SEARCH", "X"]).effect is Effect.NONE  # type: ignore[union-attr]
    assert kind_of(["DROP", "MATERIALIZED", "VIEW"]).effect is Effect.UNKNOWN  # type: ignore[union-attr]
    assert kind_of([]) is None
