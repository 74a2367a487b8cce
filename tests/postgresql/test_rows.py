"""Rows and their culprits: what does not fit, or does not meet what it must, is named by table, key and column."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import ConfigurationError, DatabaseLocked, EngineFailed, StatementRefused
from spgrepl.interfaces.engine import IRemoteEngine
from spgrepl.interfaces.target import IRemoteTarget, SubscriptionState
from spgrepl.postgresql import name_guard
from spgrepl.postgresql.address import ServerAddress
from tests.postgresql.conftest import Database

CREATE = """
CREATE TABLE t (id bigint PRIMARY KEY, name text UNIQUE, amount numeric(8,2), at timestamp, small smallint,
    short varchar(5), yes boolean, f real);
CREATE TABLE plain (id bigint PRIMARY KEY, n bigint, s text, r double precision, x numeric);
CREATE TABLE keyless (a text, b bigint);
"""
START = SubscriptionState(("p",), 100, 100)


@pytest.fixture
def target(database: Database) -> Iterator[PostgresqlTarget]:
    for statement in CREATE.split(";"):
        if statement.strip():
            database.query(statement)
    made = PostgresqlTarget(ServerAddress.parse(database.url), "s")
    made.open()
    made.start(START)
    yield made
    made.close()


def apply(target: PostgresqlTarget, statements: Sequence[str], position: int = 200) -> None:
    target.begin()
    try:
        target.execute([statement.encode() for statement in statements], {}, rows=True)
        target.commit(SubscriptionState(("p",), 100, position))
    except StatementRefused:
        target.rollback()
        raise


def refused(target: PostgresqlTarget, *statements: str) -> StatementRefused:
    with pytest.raises(StatementRefused) as caught:
        apply(target, statements)
    return caught.value


def test_target_and_engine_keep_their_interfaces() -> None:
    address = ServerAddress.parse("postgresql://host/db")
    assert verifyObject(IRemoteTarget, PostgresqlTarget(address, "s"))
    assert verifyObject(IRemoteEngine, PostgresqlEngine(address))


FINE = [f"INSERT INTO plain(id,n)VALUES({n},{n})" for n in range(5)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "INSERT INTO t(id,name)VALUES(1,5)",
            "table t, row id=1, name=5, column name: the integer 5 does not fit",
        ),
        (
            "INSERT INTO t(id,small)VALUES(1,40000)",
            "column small: the integer 40000 does not fit the type smallint",
        ),
        (
            "INSERT INTO t(id,amount)VALUES(1,1.234)",
            "column amount: the number 1.234 does not fit the type numeric",
        ),
        ("INSERT INTO t(id,amount)VALUES(1,12345678.5)", "table t, row id=1, amount=12345678.5"),
        ("INSERT INTO t(id,short)VALUES(1,'sixsix')", "column short: the text 'sixsix' does not fit"),
        (
            "INSERT INTO t(id,yes)VALUES(1,2)",
            "column yes: the integer 2 does not fit the type boolean: only 0 and 1",
        ),
        ("INSERT INTO t(id,f)VALUES(1,0.1)", "column f: the number 0.1 does not fit the type real exactly"),
        (
            "INSERT INTO t(id,at)VALUES(1,'yesterday it was')",
            "does not fit the type timestamp without time zone exactly",
        ),
        (
            "INSERT INTO t(id,name)VALUES(1,CAST(x'610062' AS TEXT))",
            "column name: the text 'a\\x00b' holds a zero",
        ),
        ("INSERT INTO t(id,name)VALUES(1,CAST(x'ff' AS TEXT))", "which is not UTF-8 does not fit"),
        ("INSERT INTO t(id,more)VALUES(1,'x')", 'ALTER TABLE "t" ADD COLUMN "more" text'),
        ("UPDATE t SET name='x' WHERE rowid=1", "a column rowid bigint PRIMARY KEY"),
        ("INSERT INTO nowhere(id)VALUES(1)", "there is no table nowhere here; make it"),
        ("INSERT INTO spgrepl_x(id)VALUES(1)", "spgrepl_x belongs to spgrepl"),
    ],
)
def test_what_does_not_fit_is_named(
    statement: str, said: str, target: PostgresqlTarget, database: Database
) -> None:
    error = refused(target, *FINE, statement, "INSERT INTO plain(id)VALUES(99)")
    assert error.index == 5
    assert error.sql == statement.encode()
    assert said.replace(", which", " which") in error.reason.replace(", which", " which")
    assert database.query("SELECT count(*) FROM plain") == [(0,)]
    assert database.query("SELECT position FROM spgrepl.subscriptions") == [(100,)]
    apply(target, FINE)
    assert database.query("SELECT count(*) FROM plain") == [(5,)]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO t(id,name)VALUES(1,'other')", "insert_exists"),
        ("INSERT INTO t(id,name)VALUES(2,'one')", "insert_exists"),
        ("UPDATE t SET id=2 WHERE id=1", None),
        ("UPDATE t SET name='one' WHERE id=3", "update_exists"),
        ("UPDATE t SET name='x' WHERE id=77", "update_missing"),
        ("DELETE FROM t WHERE id=77", "delete_missing"),
        ("DELETE FROM t", "table_cleared"),
    ],
)
@pytest.mark.parametrize("count", [0, 500])
def test_conflicts_are_told_by_kind(
    count: int, statement: str, kind: str | None, target: PostgresqlTarget, database: Database
) -> None:
    apply(target, ["INSERT INTO t(id,name)VALUES(1,'one')", "INSERT INTO t(id,name)VALUES(3,'three')"])
    before = [f"INSERT INTO plain(id,s)VALUES({n},'x')" for n in range(count)]
    if kind is None:
        apply(target, [*before, statement], 300)
        assert database.query("SELECT id FROM t ORDER BY 1") == [(2,), (3,)]
        return
    target.begin()
    target.execute([one.encode() for one in (*before, statement)], {}, rows=True)
    with pytest.raises(StatementRefused) as caught:
        target.commit(SubscriptionState(("p",), 100, 300))
    target.rollback()
    assert (caught.value.index, caught.value.conflict) == (count, kind)
    assert target.statistics()["conflicts"] == {kind: 1}
    assert database.query("SELECT count(*) FROM plain") == [(0,)]


def changes(chance: random.Random, count: int) -> list[str]:
    """Rows of all kinds, in an order in which each meets what it must."""
    rows: dict[int, int] = {}
    found = []
    for number in range(count):
        key = chance.randrange(40)
        if chance.random() < 0.05:
            first = 1000 + number * 100
            found += [
                f"INSERT INTO plain(id,n,s,r)VALUES({first + n},{n},'it''s\t{n}',{n / 4!r})" for n in range(80)
            ]
        elif key not in rows:
            rows[key] = number
            found.append(f"INSERT INTO plain(id,n,x)VALUES({key},{number},{number / 10!r})")
        elif chance.random() < 0.3:
            del rows[key]
            found.append(f"DELETE FROM plain WHERE id={key}")
        elif chance.random() < 0.2:
            new = next(n for n in range(100, 2**20) if n not in rows)
            rows[new] = rows.pop(key)
            found.append(f"UPDATE plain SET id={new} WHERE id={key}")
        else:
            text = chance.choice(["NULL", "'a'", "'\\N'", "'tab\tnew\nline'", "'it''s'", "'{\"x\"}'"])
            found.append(f"UPDATE plain SET s={text},n={number} WHERE id={key}")
    return found


@pytest.mark.parametrize("seed", range(2))
def test_rows_taken_together_are_what_they_are_one_by_one(
    seed: int, target: PostgresqlTarget, database: Database
) -> None:
    statements = changes(random.Random(seed), 120)
    apply(target, statements)
    together = database.query("SELECT * FROM plain ORDER BY id")
    database.query("TRUNCATE plain")
    for number, statement in enumerate(statements):
        apply(target, [statement], 300 + number)
    assert database.query("SELECT * FROM plain ORDER BY id") == together
    assert len(together) > 50
    counts: Any = target.statistics()["rows"]
    assert counts["plain"]["insert"] == 2 * sum(one.startswith("INSERT") for one in statements)


def test_a_unique_value_that_moves_is_no_conflict(target: PostgresqlTarget, database: Database) -> None:
    apply(target, [f"INSERT INTO t(id,name)VALUES({n},'n{n}')" for n in range(5)])
    moves = ["UPDATE t SET name='free' WHERE id=0"]
    moves += [f"UPDATE t SET name='n{n - 1}' WHERE id={n}" for n in range(1, 5)]
    apply(target, [*moves, "UPDATE t SET name='n4' WHERE id=0"], 300)
    assert database.query("SELECT name FROM t ORDER BY id") == [("n4",), ("n0",), ("n1",), ("n2",), ("n3",)]


def test_alike_rows_without_a_key_are_one_of_many(target: PostgresqlTarget, database: Database) -> None:
    apply(target, ["INSERT INTO keyless(a,b)VALUES('x',1)"] * 3)
    one = "rowid=(SELECT min(rowid)FROM keyless WHERE a='x' COLLATE BINARY AND b=1 AND typeof(b)='integer')"
    apply(target, [f"DELETE FROM keyless WHERE {one}"], 300)
    assert database.query("SELECT count(*) FROM keyless") == [(2,)]


def test_a_transaction_that_met_another_is_done_again(
    target: PostgresqlTarget, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(target, ["INSERT INTO plain(id,n)VALUES(1,1)"])
    met = []

    def meet(connection: Any, position: int) -> None:
        if len(met) < 3:
            met.append(position)
            code = ("40001", "40P01")[len(met) % 2]
            connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'met another' USING ERRCODE = '{code}'; END $$")

    monkeypatch.setattr(target._server, "mark_commit", meet)
    apply(target, ["UPDATE plain SET n=2 WHERE id=1"], 300)
    assert met == [300] * 3
    assert database.query("SELECT n FROM plain") == [(2,)]
    server: Any = target.statistics()["server"]
    assert server["retried"] == 3


def test_after_a_lost_answer_the_server_says_how_far_it_is(
    target: PostgresqlTarget, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = target._server.connection()
    execute = connection.execute

    def lose(sql: Any, *more: Any, **named: Any) -> Any:
        done = execute(sql, *more, **named)
        if sql == "COMMIT":
            connection.close()
            execute("SELECT 1")
        return done

    monkeypatch.setattr(connection, "execute", lose)
    with pytest.raises(EngineFailed, match="was lost"):
        apply(target, ["INSERT INTO plain(id)VALUES(1)"])
    target.rollback()
    state = target.reopen()
    assert state is not None
    assert state.position == 200
    apply(target, ["INSERT INTO plain(id)VALUES(2)"], 300)
    assert database.query("SELECT count(*) FROM plain") == [(2,)]


LOCKS = "pg_try_advisory_lock(bigint), pg_advisory_unlock(bigint)"


@pytest.fixture
def weak(database: Database) -> Iterator[str]:
    """A role without the rights by which a server's features are used; the advisory locks are taken from all."""
    _allow_little(database)
    database.query(f"REVOKE EXECUTE ON FUNCTION {LOCKS} FROM PUBLIC")
    yield database.server.url(database.name, "weak")
    database.query(f"GRANT EXECUTE ON FUNCTION {LOCKS} TO PUBLIC")


def _allow_little(database: Database) -> None:
    if not database.query("SELECT 1 FROM pg_roles WHERE rolname = 'weak'"):
        database.query("CREATE ROLE weak LOGIN")
    database.query("GRANT ALL ON SCHEMA public TO weak")
    database.query(f'GRANT CREATE ON DATABASE "{database.name}" TO weak')


@pytest.mark.parametrize("locks", [True, False])
def test_a_second_process_under_the_name_is_kept_away(
    locks: bool, database: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """By an advisory lock, and where the server has none by a row that is leased."""
    url = database.url if locks else request.getfixturevalue("weak")
    monkeypatch.setattr(name_guard, "_PATIENCE", {True: 0.5, False: 0.5})
    first = PostgresqlTarget(ServerAddress.parse(url), "s")
    second = PostgresqlTarget(ServerAddress.parse(url), "s")
    first.open()
    first._server.connection().execute("CREATE TABLE plain (id bigint PRIMARY KEY)")
    first.start(START)
    apply(first, ["INSERT INTO plain(id)VALUES(1)"])
    with pytest.raises(DatabaseLocked, match="in the hands of"):
        second.open()
    absent = str(first.statistics()["server"])
    assert ("a leased row keeps a second process away" in absent) is not locks
    assert ("commits carry none" in absent) is not locks
    if not locks:
        # While it does nothing it keeps the lease, unless that has run out.
        monkeypatch.setattr(name_guard, "LEASE_SECONDS", 0)
        database.query("UPDATE spgrepl.leases SET until = now() + interval '1 second'")
        first.look()
        assert database.query("SELECT until > now() + interval '9 seconds' FROM spgrepl.leases") == [(True,)]
        database.query("UPDATE spgrepl.leases SET until = now() - interval '1 second'")
        second.open()
        with pytest.raises(DatabaseLocked, match="taken over"):
            first.look()
        with pytest.raises(DatabaseLocked, match="taken over"):
            apply(first, ["INSERT INTO plain(id)VALUES(2)"], 300)
    first.close()
    second.open()
    second.close()
    assert database.query("SELECT count(*) FROM plain") == [(1,)]


def test_a_role_that_may_little_gets_the_same_rows(postgres: Any, database: Database) -> None:
    for statement in CREATE.split(";")[:3]:
        database.query(statement)
    _allow_little(database)
    database.query("GRANT ALL ON plain, t TO weak")
    database.query("CREATE TABLE child (id bigint PRIMARY KEY, p bigint REFERENCES plain)")
    database.query("GRANT ALL ON child TO weak")
    target = PostgresqlTarget(ServerAddress.parse(postgres.url(database.name, "weak")), "s")
    target.open()
    target.start(START)
    rows = [f"INSERT INTO plain(id,n)VALUES({n},{n})" for n in range(10)]
    apply(target, [*rows, "INSERT INTO child(id,p)VALUES(1,1)", "UPDATE plain SET n=5 WHERE id=3"])
    error = refused(target, "INSERT INTO child(id,p)VALUES(2,77)")
    assert "violates foreign key" in error.reason
    server: Any = target.statistics()["server"]
    assert len(server["absent"]) == 2
    target.close()


def test_a_right_that_is_missing_is_told_and_a_schema_may_be_made_by_others(database: Database) -> None:
    """The role may make no schema here; once it has one, it needs no more."""
    _allow_little(database)
    database.query(f'REVOKE CREATE ON DATABASE "{database.name}" FROM weak')
    target = PostgresqlTarget(ServerAddress.parse(database.server.url(database.name, "weak")), "s")
    target.open()
    with pytest.raises(EngineFailed, match=r"permission denied for database.*grant that right to the role weak"):
        target.start(START)
    database.query("CREATE SCHEMA spgrepl AUTHORIZATION weak")
    target.start(START)
    assert database.query("SELECT position FROM spgrepl.subscriptions") == [(100,)]
    target.close()


def test_what_is_not_there_or_refuses_is_told_without_the_password(postgres: Any) -> None:
    for text, error in (
        (f"postgresql://nobody:hidden-word@/postgres?host={postgres.folder}", ConfigurationError),
        (f"postgresql://spg:hidden-word@/nowhere?host={postgres.folder}", ConfigurationError),
        ("postgresql://spg:hidden-word@/x?host=/nonexistent&connect_timeout=1", EngineFailed),
        ("postgresql://spg:hidden%zzword@/x", ConfigurationError),
    ):
        target = PostgresqlTarget(ServerAddress.parse(text), "s")
        with pytest.raises(error) as caught:
            target._server.connection()
        assert "hidden" not in str(caught.value)
        assert "hidden" not in repr(target.address)
        assert "hidden" not in str(target.statistics())
