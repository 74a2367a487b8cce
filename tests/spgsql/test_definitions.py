"""DDL of an SPG server's log: tables with SPG's types, kept beside what SQLite declares."""

# A table is read line by line, however long one is.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Dialect
from tests.spgsql.copy import Copy


def types(copy: Copy, table: str) -> dict[str, str]:
    rows = copy.rows(
        f"SELECT column_name, spg_type FROM spgrepl_spg_columns WHERE table_name = '{table}' ORDER BY position"
    )
    return dict(rows)


def test_a_table_is_made_as_a_snapshot_would_make_it(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE IF NOT EXISTS public.t (id BIGSERIAL, n NUMERIC(5,1) NOT NULL DEFAULT 0, v VECTOR(3) USING HALF, "
        "ts TIMESTAMP WITH TIME ZONE DEFAULT now(), e character varying(20) CHECK (e <> ''), tags TEXT[] DEFAULT '{}', "
        "b BYTEA DEFAULT '\\x00', CONSTRAINT t_pk PRIMARY KEY (id), UNIQUE (e, n), CHECK (n > 0)) WITH (fillfactor = 70)"
    )
    assert types(copy, "t") == {
        "id": "BIGINT",
        "n": "NUMERIC(5,1)",
        "v": "VECTOR(3) USING HALF",
        "ts": "TIMESTAMPTZ",
        "e": "VARCHAR(20)",
        "tags": "TEXT[]",
        "b": "BYTEA",
    }
    assert copy.values("SELECT sql FROM sqlite_master WHERE name = 't'") == [
        'CREATE TABLE "t" ("id" INTEGER NOT NULL, "n" TEXT NOT NULL DEFAULT \'0.0\', "v" TEXT, "ts" TEXT, "e" TEXT, '
        '"tags" TEXT DEFAULT \'[]\', "b" BLOB DEFAULT x\'00\', PRIMARY KEY ("id"), UNIQUE ("e", "n"))'
    ]
    copy.run("CREATE TABLE IF NOT EXISTS t (other INT)")
    assert "other" not in types(copy, "t")
    copy.run("INSERT INTO t (id, ts) VALUES (1, NULL)")
    assert copy.rows("SELECT n, tags, b FROM t") == [("0.0", "[]", b"\0")]


def test_what_changes_no_rows_of_a_table(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(5), n INT DEFAULT 4)",
        "INSERT INTO t VALUES (1, 'a')",
        "ALTER TABLE t ADD COLUMN y NUMERIC(4,1) DEFAULT 1.25, ADD z TEXT",
        "ALTER TABLE t ALTER COLUMN n SET DEFAULT 9, ALTER x TYPE TEXT, ALTER COLUMN n TYPE BIGINT",
        "ALTER TABLE t OWNER TO bob",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)",
        "ALTER TABLE ONLY public.t ADD CONSTRAINT uq UNIQUE (x)",
        "INSERT INTO t (id, x) VALUES (2, 'long enough now')",
        "ALTER TABLE t ALTER n DROP DEFAULT",
        "INSERT INTO t (id) VALUES (3)",
        "ALTER TABLE t DROP CONSTRAINT uq",
        "INSERT INTO t (id, x) VALUES (4, 'a')",
        "ALTER TABLE t DROP COLUMN IF EXISTS nope, DROP COLUMN z CASCADE",
        "ALTER TABLE t RENAME COLUMN x TO label",
        "ALTER TABLE t RENAME TO s",
        "ALTER TABLE s SET (autovacuum_enabled = off)",
    )
    assert copy.rows("SELECT id, label, n, y FROM s") == [
        (1, "a", 4, "1.3"),
        (2, "long enough now", 9, "1.3"),
        (3, None, None, "1.3"),
        (4, "a", None, "1.3"),
    ]
    assert types(copy, "s") == {"id": "INT", "label": "TEXT", "n": "BIGINT", "y": "NUMERIC(4,1)"}
    copy.run("DROP TABLE IF EXISTS nope, s")
    assert types(copy, "s") == {}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE t (id INT)", "is there already"),
        ("CREATE TEMP TABLE x (id INT)", "a temporary table"),
        ("CREATE TABLE x (id INT) PARTITION BY RANGE (id)", "PARTITION"),
        ("CREATE TABLE x (LIKE t)", "LIKE"),
        ("CREATE TABLE x PARTITION OF t DEFAULT", "PARTITION"),
        ("CREATE TABLE x (m mystery)", "the type mystery is not known"),
        ("CREATE TABLE x (m app.kind)", r"the type app\.kind"),
        ('CREATE TABLE x (m TEXT COLLATE "de_DE")', "collation de_DE"),
        ("CREATE TABLE spgrepl_x (id INT)", "spgrepl_x belongs to spgrepl"),
        ("CREATE TABLE x (a INT UNIQUE NULLS NOT DISTINCT)", "NULLS NOT DISTINCT"),
        ("CREATE TABLE x (a INT REFERENCES t (x) ON DELETE CASCADE)", "no unique key"),
        ("ALTER TABLE t ALTER COLUMN x TYPE INT USING x::int", "become others"),
        ("ALTER TABLE t ALTER COLUMN id TYPE SMALLINT", "become others"),
        ("ALTER TABLE t ALTER COLUMN id DROP NOT NULL", "DROP NOT NULL"),
        ("ALTER TABLE t ADD COLUMN s SERIAL", "values of the column s"),
        ("ALTER TABLE t ADD COLUMN s TIMESTAMP DEFAULT now()", "values of the column s"),
        ("ALTER TABLE t ADD COLUMN s INT NOT NULL", "NOT NULL, without a default"),
        ("ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES t (id) ON DELETE CASCADE", "cannot be added"),
        ("ALTER TABLE t DROP CONSTRAINT t_something", "what the constraint t_something"),
        ("ALTER TABLE t DISABLE TRIGGER ALL", "DISABLE"),
        ("ALTER TABLE t INHERIT p", "INHERIT"),
        ("CREATE UNIQUE INDEX i ON t (lower(x))", "a unique index over an expression"),
        ("CREATE UNIQUE INDEX i ON t (x) WHERE x > 'a'", "with a condition"),
        ("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", "ALTER TYPE mood"),
        ("SET search_path TO app, public", "means other tables"),
        ("SET standard_conforming_strings = off", "mean something else"),
        ("SET LOCAL datestyle TO 'German'", "mean other days"),
    ],
)
def test_what_sqlite_cannot_do_alike_is_a_stop(copy: Copy, statement: str, reason: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'a')")
    copy.run("CREATE TYPE mood AS ENUM ('a', 'b')")
    before = copy.rows("SELECT name, sql FROM sqlite_master")
    copy.stop(statement, reason)
    assert copy.rows("SELECT name, sql FROM sqlite_master") == before
    assert types(copy, "t") == {"id": "INT", "x": "TEXT"}


def test_enums_and_domains(copy: Copy) -> None:
    copy.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN price AS NUMERIC(6,2) DEFAULT 1.005 NOT NULL CHECK (VALUE > 0)",
        "CREATE TABLE t (m mood, p price)",
        "INSERT INTO t (m) VALUES ('ok'::mood)",
        "ALTER TYPE mood ADD VALUE 'great' AFTER 'ok'",
        "INSERT INTO t VALUES ('great', 2)",
    )
    assert copy.rows("SELECT * FROM t") == [("ok", "1.01"), ("great", "2.00")]
    copy.stop("DROP TYPE IF EXISTS mood, price CASCADE", "which tables and columns it drops is not in the log")
    copy.run("DROP TABLE t", "DROP TYPE IF EXISTS mood, price")
    copy.stop("CREATE TABLE s (m mood)", "the type mood is not known")


def test_indexes(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE t (id INT, x TEXT, tags TEXT[])",
        "CREATE INDEX a ON t (x DESC NULLS LAST, id)",
        "CREATE INDEX b ON t USING gin (tags)",
        "CREATE INDEX c ON t (lower(x))",
        "CREATE INDEX d ON t (x) WHERE id > 5",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (id)",
        "CREATE UNIQUE INDEX e ON public.t USING btree (id) INCLUDE (x)",
        "CREATE INDEX ON t (id)",
    )
    names = copy.values("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    assert names == ["a", "e", "t_id_idx"]
    copy.run(
        "INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO NOTHING", "DROP INDEX b, a", "DROP INDEX IF EXISTS nope"
    )
    names = copy.values("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    assert names == ["e", "t_id_idx"]


def test_tables_made_of_queries_have_types(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE t (id INT PRIMARY KEY, n NUMERIC(5,1), at TIMESTAMPTZ)",
        "INSERT INTO t VALUES (1, 2.25, '2024-01-01 00:00:00Z')",
        "CREATE TABLE s AS SELECT id AS key, n, at, 'x' AS label, id + 1 AS more FROM t",
        "CREATE TABLE empty AS SELECT * FROM t WHERE id > 5",
    )
    assert copy.rows("SELECT * FROM s") == [(1, "2.3", "2024-01-01 00:00:00+00", "x", 2)]
    assert types(copy, "s") == {
        "key": "INT",
        "n": "NUMERIC(5,1)",
        "at": "TIMESTAMPTZ",
        "label": "TEXT",
        "more": "BIGINT",
    }
    assert types(copy, "empty") == {"id": "INT", "n": "NUMERIC(5,1)", "at": "TIMESTAMPTZ"}


def test_a_zone_that_a_session_has_set_makes_literals_without_one_a_stop(copy: Copy) -> None:
    copy.run("CREATE TABLE t (at TIMESTAMPTZ, z TIMESTAMP)", "SET TIME ZONE 'UTC'", "SET timezone TO DEFAULT")
    copy.run("INSERT INTO t (at) VALUES ('2024-01-01 00:00:00')")
    copy.run("SET TIME ZONE 'Europe/Berlin'")
    copy.stop("INSERT INTO t (at) VALUES ('2024-01-01 00:00:00')", "write the zone")
    copy.run("INSERT INTO t VALUES ('2024-01-01 00:00:00+01', '2024-01-01 00:00:00')")
    assert copy.values("SELECT at FROM t") == ["2024-01-01 00:00:00+00", "2023-12-31 23:00:00+00"]
    assert copy.counts()["skipped"] == {"SET": 3}


def test_ddl_of_mysql(copy: Copy) -> None:
    copy.run(
        "CREATE TABLE `m` (`id` int(11) NOT NULL AUTO_INCREMENT, `x` varchar(20) DEFAULT 'a' COMMENT 'text', "
        "`y` longblob, PRIMARY KEY (`id`), KEY `k` (`x`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        "ALTER TABLE m ADD COLUMN z DOUBLE",
        "RENAME TABLE m TO n",
        dialect=Dialect.MYSQL,
    )
    assert types(copy, "n") == {"id": "INT", "x": "VARCHAR(20)", "y": "BYTEA", "z": "FLOAT"}
    copy.stop("CREATE TABLE x (e ENUM('a'))", "the type ENUM with labels", Dialect.MYSQL)
    copy.stop("CREATE TABLE x (e TINYINT)", "TINYINT", Dialect.MYSQL)


def test_an_undone_table_is_forgotten(copy: Copy) -> None:
    copy.connection.execute("BEGIN")
    copy.run("CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "VACUUM")
    copy.connection.execute("ROLLBACK")
    copy.replay.undone()
    copy.stop("INSERT INTO t VALUES (1)", "no such table: t")
    assert copy.counts() == {"skipped": {}, "approximated": {}}
    copy.connection.execute("BEGIN")
    copy.replay.transaction_word("SAVEPOINT a")
    copy.run("CREATE TABLE t (id TEXT)", "INSERT INTO t VALUES ('a')")
    copy.replay.transaction_word("ROLLBACK TO SAVEPOINT a")
    copy.run("CREATE TABLE t (id INT)", "INSERT INTO t VALUES ('5')")
    assert copy.values("SELECT id FROM t") == [5]
