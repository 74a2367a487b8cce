"""Triggers and rules that others have put on tables of a copy: they act on no row of it in silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import EngineFailed, StatementRefused, TableMismatch
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.session import Session
from spgrepl.postgresql.tables import read_table
from spgrepl.postgresql.triggers import in_the_way, read_acting
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run, with_tables
from tests.postgresql.test_spg_effects import give, subscribe

LOUD = "BEGIN IF TG_OP <> 'DELETE' THEN NEW.x := 'changed'; RETURN NEW; END IF; RETURN OLD; END"
TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, x TEXT)",
    "CREATE TABLE child (id INT PRIMARY KEY, x TEXT, p INT REFERENCES t (id) ON DELETE CASCADE)",
    "CREATE TABLE other (id INT PRIMARY KEY, x TEXT)",
    "CREATE VIEW seen AS SELECT id, x FROM other",
    "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO child VALUES (1, 'a', 1), (2, 'b', 2)",
    "INSERT INTO other VALUES (1, 'a')",
)


def trigger(database: Database, events: str, table: str, when: str = "BEFORE", enable: str = "") -> None:
    database.query(f"CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $${LOUD}$$")
    database.query(f"CREATE TRIGGER g {when} {events} ON {table} FOR EACH ROW EXECUTE FUNCTION act()")
    if enable:
        database.query(f"ALTER TABLE {table} {enable} TRIGGER g")


def run_again(engine: PostgresqlEngine, statements: list[str]) -> None:
    """Run statements where tables were changed since others ran: they are done once more."""
    with pytest.raises(EngineFailed, match="were changed while rows were written: once more"):
        run(engine, statements)
    engine.rollback()
    run(engine, statements)


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    with with_tables(database, tmp_path / "received", TABLES) as made:
        yield made


@pytest.mark.parametrize(
    ("events", "table", "statement"),
    [
        ("INSERT", "other", "INSERT INTO other VALUES (2, 'b')"),
        ("UPDATE", "other", "INSERT INTO other VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET x = 'c'"),
        ("UPDATE", "other", "UPDATE other SET x = 'b'"),
        ("DELETE", "child", "DELETE FROM t WHERE id = 1"),
        ("INSERT", "other", "WITH d AS (INSERT INTO other VALUES (2, 'b') RETURNING id) SELECT id FROM d"),
        ("UPDATE", "other", "UPDATE seen SET x = 'b'"),
    ],
)
def test_a_trigger_on_a_followers_table_stops_what_it_would_act_on(
    events: str, table: str, statement: str, engine: PostgresqlEngine, database: Database
) -> None:
    trigger(database, events, table)
    run_again(engine, ["INSERT INTO t VALUES (3, 'c')"])
    said = f"the trigger g of {table} here would act on rows of the copy.*ALTER TABLE .{table}. DISABLE TRIGGER"
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)
    database.query(f"ALTER TABLE {table} DISABLE TRIGGER g")
    run(engine, [statement], 400)


def test_a_rule_stops_too(engine: PostgresqlEngine, database: Database) -> None:
    database.query("CREATE RULE r AS ON INSERT TO other DO INSTEAD NOTHING")
    run_again(engine, ["UPDATE other SET x = 'b'"])
    with pytest.raises(StatementRefused, match="the rule r of other here would act"):
        run(engine, ["INSERT INTO other VALUES (2, 'b')"], 300)


def test_one_that_is_there_to_look_acts(engine: PostgresqlEngine, database: Database) -> None:
    trigger(database, "INSERT OR UPDATE", "other", when="AFTER", enable="ENABLE ALWAYS")
    run_again(engine, ["INSERT INTO other VALUES (2, 'b')"])
    assert database.query("SELECT x FROM other ORDER BY id") == [("a",), ("b",)]


def test_one_that_comes_while_it_runs_is_noticed(engine: PostgresqlEngine, database: Database) -> None:
    """What was looked up is compared in the commit itself."""
    trigger(database, "UPDATE", "other", enable="DISABLE")
    run_again(engine, ["UPDATE other SET x = 'b'"])
    database.query("ALTER TABLE other ENABLE TRIGGER g")
    with pytest.raises(EngineFailed, match="once more"):
        run(engine, ["UPDATE other SET x = 'c'"], 300)
    engine.rollback()
    with pytest.raises(StatementRefused, match="the trigger g of other here would act"):
        run(engine, ["UPDATE other SET x = 'c'"], 300)
    assert database.query("SELECT x FROM other") == [("b",)]


@pytest.mark.parametrize("enable", ["ENABLE ALWAYS", "ENABLE REPLICA"])
def test_rows_of_a_follower(enable: str, database: Database, tmp_path: Path) -> None:
    """An ordinary trigger rests where rows arrive; one that does not is named."""
    snapshot = tmp_path / "snapshot"
    with closing(sqlite3.connect(snapshot)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    engine.install_snapshot(snapshot, ReplayState(10, 10))
    trigger(database, "INSERT", "t")
    run(engine, [ROWS_FROM_HERE.decode(), "INSERT INTO t(id,x)VALUES(1,'a')"])
    database.query(f"ALTER TABLE t {enable} TRIGGER g")
    given = [f"INSERT INTO t(id,x)VALUES({number},'a')" for number in range(2, 40)]
    for some in (given[:1], given):
        with (
            pytest.raises(EngineFailed, match="once more")
            if some == given[:1]
            else pytest.raises(StatementRefused)
        ):
            run(engine, some, 300)
        engine.rollback()
    with pytest.raises(StatementRefused, match="the trigger g of t here would act on rows of the copy"):
        run(engine, given[:1], 300)
    assert database.query("SELECT x FROM t") == [("a",)]
    engine.close()


def test_a_table_that_was_there_with_a_trigger(database: Database, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    with closing(sqlite3.connect(snapshot)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    database.query("CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT)")
    trigger(database, "INSERT", "t", enable="ENABLE ALWAYS")
    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    with pytest.raises(
        TableMismatch, match=r"the table t of the master is in .* the trigger g of t here would act"
    ):
        engine.install_snapshot(snapshot, ReplayState(10, 10))
    engine.close()


def test_a_subscribers_own_triggers_with_foreign_keys(database: Database) -> None:
    """They rest; where foreign keys have to act, they would act too."""
    for statement in TABLES:
        database.query(statement)
    trigger(database, "DELETE", "child")
    target = subscribe(database, Nondeterministic.STOP)
    target.start(SubscriptionState(("p",), 100, 100))
    give(target, ["DELETE FROM child WHERE id = 2", "INSERT INTO t VALUES (3, 'c')"], 200)
    with pytest.raises(StatementRefused, match="the trigger g of child here rests or acts together with them"):
        give(target, ["DELETE FROM t WHERE id = 1"], 300)
    database.query("ALTER TABLE child ENABLE ALWAYS TRIGGER g")
    give(target, ["DELETE FROM t WHERE id < 3"], 300)
    assert database.query("SELECT count(*) FROM child") == [(0,)]
    target.close()


def test_what_is_read_of_a_table(database: Database) -> None:
    """Parts of it, and what refers to it; not what others have."""
    database.query("CREATE TABLE t (id INT PRIMARY KEY, x TEXT) PARTITION BY RANGE (id)")
    database.query("CREATE TABLE part PARTITION OF t FOR VALUES FROM (0) TO (10)")
    database.query("CREATE TABLE refers (x TEXT, p INT REFERENCES t ON UPDATE CASCADE)")
    database.query("CREATE TABLE refers_too (x TEXT, p INT REFERENCES t)")
    for table in ("part", "refers", "refers_too"):
        trigger(database, "INSERT OR DELETE", table)
    session = Session(ServerAddress.parse(database.url), "test")
    table = read_table(session.open(), "t", with_own=False)
    assert table is not None
    acting = read_acting(session.open(), table.oid)
    assert acting == table.acting
    assert {one.table: set(one.events) for one in acting} == {
        "part": {"INSERT", "DELETE", "UPDATE"},
        "refers": {"UPDATE", "DELETE", "TRUNCATE"},
    }
    assert in_the_way(acting, replica=True) is None
    assert "the trigger g of part" in str(in_the_way(acting, replica=False, events={"INSERT"}))
    session.close()
