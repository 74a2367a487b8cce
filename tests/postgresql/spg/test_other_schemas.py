"""Tables outside of ``public``: which ones these are depends on an SPG server's version, so none is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run, with_tables
from tests.postgresql.test_spg_effects import give, subscribe
from tests.spgsql.copy import Copy

TABLES = ("CREATE SCHEMA app", "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'a')")


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    with with_tables(database, tmp_path / "received", TABLES) as made:
        database.query("CREATE TABLE app.t (id INT PRIMARY KEY, x TEXT DEFAULT now()::text)")
        yield made


STATEMENTS = [
    "INSERT INTO app.t VALUES (2, 'b')",
    "INSERT INTO app.t (id) VALUES (2)",
    "INSERT INTO t SELECT id + 5, x FROM app.t",
    "UPDATE app.t SET x = 'b'",
    "UPDATE ONLY app.t SET x = 'b'",
    "UPDATE t SET x = 'b' WHERE id IN (SELECT id FROM app.t)",
    "DELETE FROM app.t",
    "DELETE FROM t USING app.t o WHERE o.id = t.id",
    "TRUNCATE TABLE app.t",
    "WITH d AS (DELETE FROM app.t RETURNING id) DELETE FROM t WHERE id IN (SELECT id FROM d)",
    "CREATE TABLE app.u (id INT)",
    "CREATE TABLE IF NOT EXISTS app.u (id INT)",
    "CREATE TABLE app.u AS SELECT id FROM t",
    "SELECT id INTO app.u FROM t",
    "ALTER TABLE app.t ADD COLUMN n INT",
    "ALTER TABLE t SET SCHEMA app",
    "DROP TABLE app.t",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_it_stops_by_name(statement: str, engine: PostgresqlEngine, database: Database) -> None:
    with pytest.raises(
        StatementRefused, match="is not in the schema of the copy: which table that is at the master"
    ):
        run(engine, [statement], 300)
    assert database.query("SELECT * FROM t") == [(1, "a")]
    assert database.query("SELECT count(*) FROM app.t") == [(0,)]


@pytest.mark.parametrize(
    "statement", ["ALTER SCHEMA public RENAME TO app2", "DROP SCHEMA IF EXISTS public RESTRICT"]
)
def test_the_schema_of_the_copy_stays(statement: str, engine: PostgresqlEngine) -> None:
    with pytest.raises(StatementRefused, match="is not in the schema of the copy"):
        run(engine, [statement], 300)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_sqlite_says_the_same(statement: str) -> None:
    copy = Copy()
    copy.run(*TABLES)
    copy.stop(
        statement, r"app\.[tu] is not in the schema public|SET SCHEMA is not translated|a WITH that changes rows"
    )
    assert copy.rows("SELECT * FROM t") == [(1, "a")]


def test_a_subscriber_stops_too(database: Database) -> None:
    database.query("CREATE SCHEMA app")
    database.query("CREATE TABLE app.t (id INT PRIMARY KEY)")
    target = subscribe(database, Nondeterministic.STOP)
    target.start(SubscriptionState(("p",), 100, 100))
    with pytest.raises(StatementRefused, match=r"app\.t is not in the schema of the copy"):
        give(target, ["INSERT INTO app.t VALUES (1)"], 200)
    target.close()
