"""A copy beside tables of others: an SPG server's log changes its own tables, wherever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import StatementRefused
from spgrepl.postgresql.address import ServerAddress
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import install, run


def opened(url: str, path: Path) -> PostgresqlEngine:
    engine = PostgresqlEngine(ServerAddress.parse(url))
    engine.open()
    install(engine, path)
    return engine


def test_public_is_the_schema_of_the_copy(database: Database, tmp_path: Path) -> None:
    """The search path says where the copy is: another table in public is somebody else's."""
    database.query("CREATE TABLE public.t (id INT PRIMARY KEY, x TEXT)")
    database.query("INSERT INTO public.t VALUES (1, 'mine')")
    database.query("DROP SCHEMA IF EXISTS apart CASCADE")
    database.query("CREATE SCHEMA apart")
    engine = opened(f"{database.url}&options=-csearch_path%3Dapart", tmp_path / "received")
    run(
        engine,
        [
            "CREATE TABLE public.t (id INT PRIMARY KEY, x TEXT)",
            'INSERT INTO "public"."t" VALUES (1, \'public.t\')',
            "UPDATE public.t SET id = public.t.id + 1 WHERE x = 'public.t'",
            "ALTER TABLE public.t ADD COLUMN n INT",
            "CREATE INDEX i ON public.t (x)",
            "CREATE TABLE public.gone AS SELECT id FROM public.t",
            "DROP TABLE public.gone",
        ],
    )
    assert database.query("SELECT * FROM apart.t") == [(2, "public.t", None)]
    with pytest.raises(StatementRefused, match="public is a schema here, and a table or an alias"):
        run(engine, ["UPDATE public.t AS public SET x = 'b'"], 300)
    run(engine, ["TRUNCATE public.t", "DROP TABLE public.t"], 300)
    assert database.query("SELECT * FROM public.t") == [(1, "mine")]
    assert database.query("SELECT to_regclass('apart.t'), to_regclass('apart.gone')") == [(None, None)]
    engine.close()
    database.query("DROP SCHEMA apart CASCADE")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE IF EXISTS mine",
        "DROP TABLE IF EXISTS nothing, public.mine CASCADE",
        "CREATE TABLE IF NOT EXISTS mine (id INT)",
        "ALTER TABLE ONLY mine ADD COLUMN x INT",
    ],
)
def test_ddl_of_the_log_leaves_tables_of_others_alone(statement: str, database: Database, tmp_path: Path) -> None:
    """DROP TABLE IF EXISTS is in the log though the master had no such table."""
    engine = opened(database.url, tmp_path / "received")
    database.query("CREATE TABLE mine (id INT)")
    database.query("INSERT INTO mine VALUES (1)")
    with pytest.raises(StatementRefused, match="the table mine here is not of this copy"):
        run(engine, [statement])
    run(engine, ["DROP TABLE IF EXISTS nothing, public.never", "CREATE TABLE IF NOT EXISTS own (id INT)"])
    run(engine, ["CREATE TABLE IF NOT EXISTS own (id INT)", "ALTER TABLE own ADD COLUMN x INT"], 300)
    run(engine, ["DROP TABLE own"], 400)
    assert database.query("SELECT * FROM mine") == [(1,)]
    engine.close()
