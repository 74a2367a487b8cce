"""What an SPG server does beside the statements of its log: in PostgreSQL it happens too, or they stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.postgresql.master_effects import changed_tables
from spgrepl.engines.postgresql.statement_meanings import tokens_of
from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.engine import IClocked, ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run
from tests.spgsql.copy import Copy

TABLES = (
    "CREATE TABLE parent (id INT PRIMARY KEY)",
    "CREATE TABLE child (id INT PRIMARY KEY, p INT REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMPTZ DEFAULT now(), d DATE DEFAULT '2024-02-03', tags TEXT[] "
    "DEFAULT '{a,b}', n NUMERIC(6,2) DEFAULT 1.5, x TEXT DEFAULT 'a' || 'b', y BYTEA DEFAULT '\\x00ff', "
    "odd TEXT DEFAULT only_spg(1), k INT DEFAULT nextval('k_seq'))",
    "CREATE TABLE computed (a INT, b INT GENERATED ALWAYS AS (a * 2) STORED)",
    "CREATE TABLE halves (id INT PRIMARY KEY, e VECTOR(2) USING HALF)",
    "CREATE TABLE watched (id INT PRIMARY KEY, x TEXT)",
    "INSERT INTO parent VALUES (1), (2)",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
    "INSERT INTO watched VALUES (1, 'a')",
)


def snapshot(path: Path) -> Path:
    """What a snapshot of an SPG server with such tables becomes, before it is put anywhere."""
    made = Copy()
    made.run(*TABLES)
    made.keep("triggers", "g", {"name": "g", "table": "watched", "events": ["INSERT"], "enabled": True})
    made.keep("rules", "r", {"name": "r", "table": "watched", "event": "DELETE"})
    made.run("CREATE TABLE stamped (id INT PRIMARY KEY, x TEXT, seen TIMESTAMPTZ)")
    details = '{"on_update": "CURRENT_TIMESTAMP"}'
    made.connection.execute("UPDATE spgrepl_spg_columns SET details = ? WHERE column_name = 'seen'", (details,))
    made.run("CREATE TABLE hidden (id INT PRIMARY KEY)", "CREATE TABLE hashes (id INT PRIMARY KEY, h HSTORE)")
    made.keep("table row_security", "hidden", {"enabled": True, "forced": False, "policies": []})
    made.run(
        "INSERT INTO stamped (id, x) VALUES (1, 'a')", "CREATE TABLE loud (id INT PRIMARY KEY, w TEXT UNIQUE)"
    )
    made.run("CREATE TABLE labels (id INT PRIMARY KEY, m TEXT, e TEXT, s TEXT, y YEAR)")
    for column, details in (
        ("m", '{"enum": "mood"}'),
        ("e", '{"enum_labels": ["low", "high"]}'),
        ("s", '{"set_labels": ["a", "b"]}'),
    ):
        change = "UPDATE spgrepl_spg_columns SET details = ? WHERE table_name = 'labels' AND column_name = ?"
        made.connection.execute(change, (details, column))
    details = '{"collation": "case-insensitive"}'
    made.connection.execute("UPDATE spgrepl_spg_columns SET details = ? WHERE column_name = 'w'", (details,))
    with apsw.Connection(str(path)) as to, to.backup("main", made.connection, "main") as backup:
        backup.step()
    return path


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    made.install_snapshot(snapshot(tmp_path / "received"), ReplayState(100, 100))
    yield made
    made.close()


@pytest.fixture
def approximating(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url), Nondeterministic.APPROXIMATE)
    made.open()
    made.install_snapshot(snapshot(tmp_path / "received"), ReplayState(100, 100))
    made.tell_clock(lambda _: 1_700_000_000_000_000)
    yield made
    made.close()


def test_foreign_keys_do_what_they_do_at_the_master(engine: PostgresqlEngine, database: Database) -> None:
    """The log has the statement alone, and not what its keys do."""
    run(engine, ["DELETE FROM parent WHERE id = 1", "UPDATE parent SET id = 20 WHERE id = 2"])
    assert database.query("SELECT id, p FROM child") == [(2, 20)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO watched VALUES (2, 'b')", "the trigger g of watched runs at the master and not here"),
        ("INSERT INTO public.watched VALUES (1, 'b') ON CONFLICT DO NOTHING", "the trigger g of watched"),
        ("WITH d AS (DELETE FROM watched RETURNING id) SELECT id FROM d", "the rule r of watched"),
        ("MERGE INTO watched USING t ON t.id = watched.id WHEN MATCHED THEN DELETE", "the trigger g of watched"),
        ("INSERT INTO computed (a) VALUES (1)", "the column b of computed is GENERATED"),
        ("UPDATE computed SET a = 5", "the column b of computed is GENERATED"),
        ("UPDATE stamped SET x = 'b'", "the column seen of stamped is set by the master at every UPDATE"),
        (
            "INSERT INTO stamped VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET x = 'b'",
            "the column seen of stamped",
        ),
        ("INSERT INTO t (id, odd, k) VALUES (1, 'o', 1)", r"the column at of t has a default .*now\(\)"),
        ("INSERT INTO t (id, at, k) VALUES (1, NULL, 1)", r"the column odd of t has a default .*only_spg\(1\)"),
        ("INSERT INTO t (id, at, odd) VALUES (1, NULL, 'o')", r"the column k of t has a default .*nextval"),
        ("INSERT INTO halves VALUES (1, '{1,2}')", r"the column e of halves is a VECTOR\(2\) USING HALF"),
        ("UPDATE halves SET e = '{1,2}'", "the column e of halves is a VECTOR"),
        ("UPDATE loud SET id = 1 WHERE w = 'a'", "the column w of loud ignores case at the master"),
        ("UPDATE watched SET x = 'b' FROM loud l WHERE l.w = 'a'", "the column w of loud ignores case"),
        ("INSERT INTO loud VALUES (1, 'a') ON CONFLICT (w) DO NOTHING", "the column w of loud ignores case"),
        ("INSERT INTO t SELECT id FROM parent", "the column at of t has a default"),
        (
            "INSERT INTO hashes VALUES (1, '{}')",
            "the column h of hashes is a HSTORE at the master, and jsonb here",
        ),
        ("UPDATE hashes SET h = '5'", "the column h of hashes is a HSTORE"),
        ("UPDATE watched SET x = h ->> 'a' FROM hashes", "the column h of hashes is a HSTORE"),
        (
            "DELETE FROM labels WHERE e > 'high'",
            "the column e of labels is an enum at the master, which has an order",
        ),
        ("DELETE FROM labels WHERE id = (SELECT id FROM labels ORDER BY m, id LIMIT 1)", "the column m of labels"),
        ("UPDATE watched SET x = (SELECT max(m) FROM labels)", "the column m of labels is an enum"),
        ("INSERT INTO labels (id, s) VALUES (1, 'b,a')", "the column s of labels is an ENUM or SET at the master"),
        ("UPDATE labels SET y = 99", "the column y of labels is a YEAR at the master"),
        ("DELETE FROM labels WHERE y = '24'", "the column y of labels is a YEAR"),
        ("UPDATE hidden SET id = 5", "hidden has row security"),
        ("INSERT INTO parent SELECT id + 50 FROM hidden", "hidden has row security"),
        ("DELETE FROM loud WHERE loud = ROW(1, 'a')::loud", "the column w of loud ignores case"),
    ],
)
def test_what_the_master_does_beside_a_statement_stops_it(
    statement: str, said: str, engine: PostgresqlEngine, database: Database
) -> None:
    tables = ("watched", "computed", "stamped", "t")
    before = [database.query(f"SELECT * FROM {table}") for table in tables]
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement])
    assert [database.query(f"SELECT * FROM {table}") for table in tables] == before


def test_what_it_does_not_touch_goes_on(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "UPDATE watched SET x = 'b'",
            "UPDATE stamped SET x = 'b', seen = '2024-01-01 00:00+00'",
            "UPDATE stamped SET (x, seen) = ('c', '2024-01-02 00:00+00') WHERE id = 1",
            "DELETE FROM computed WHERE a = 1",
            "INSERT INTO t (id, at, odd, k) VALUES (1, NULL, 'o', 1)",
            "TRUNCATE stamped",
            "INSERT INTO halves (id) VALUES (1)",
            "INSERT INTO loud (id, w) VALUES (1, 'a')",
            "INSERT INTO hashes (id) VALUES (1)",
            "UPDATE hashes SET id = 2 WHERE id = 1",
            "UPDATE loud SET w = 'b' WHERE id = 1",
            "INSERT INTO labels (id, m, e) VALUES (1, 'sad', 'low')",
            "UPDATE labels SET e = 'high' WHERE e = 'low' AND m IN ('sad', 'glad')",
        ],
    )
    assert database.query("SELECT d::text, tags, n::text, x, y FROM t") == [
        ("2024-02-03", ["a", "b"], "1.50", "ab", b"\x00\xff")
    ]


def test_a_time_zone_that_a_session_has_set(engine: PostgresqlEngine, database: Database) -> None:
    """From then on a time without a zone may be another moment, whoever wrote it; also after a restart."""
    run(engine, ["SET TIME ZONE 'UTC'", "SET timezone TO 'utc'", "UPDATE stamped SET seen = '2024-01-01'"])
    with pytest.raises(StatementRefused, match="invalid input"):
        run(engine, ["SET TIME ZONE 'Asia/Tokyo'", "UPDATE stamped SET seen = 'x'"], 300)
    run(engine, ["UPDATE stamped SET seen = '2024-01-02 03:04'"], 300)  # that one was undone
    run(engine, ["SET SESSION TIME ZONE 'Asia/Tokyo'", "SET timezone = 'UTC'"], 400)
    engine.close()
    again = PostgresqlEngine(ServerAddress.parse(database.url))
    again.open()
    for statement in (
        "UPDATE stamped SET seen = '2024-01-02 03:04'",
        "INSERT INTO stamped VALUES (7, 'a', '2024-01-02')",
        "UPDATE stamped SET x = 'c', seen = NULL WHERE seen::date = '2024-1-1'::date",
        "UPDATE stamped SET x = date_trunc('day', seen)::varchar, seen = NULL",
    ):
        with pytest.raises(StatementRefused, match="has set its time zone to asia/tokyo"):
            run(again, [statement], 500)
    zoned = "UPDATE stamped SET seen = '2024-01-02 03:04+01', x = 'b'"
    run(again, [zoned, "UPDATE watched SET x = '2024-01-02'"], 500)
    assert database.query("SELECT seen::text FROM stamped") == [("2024-01-02 02:04:00+00",)]
    assert again.statistics()["spg"] == {"skipped": {}, "approximated": {}}
    again.close()


def test_what_is_noted_follows_names_that_change(engine: PostgresqlEngine, database: Database) -> None:
    run(
        engine,
        [
            "ALTER TABLE watched RENAME TO seen",
            "ALTER TABLE stamped RENAME COLUMN seen TO changed",
            "CREATE TABLE made (id INT PRIMARY KEY)",
            "ALTER TABLE t RENAME TO u",
            "DROP TABLE computed",
            "CREATE TABLE computed (a INT, b INT)",
            "INSERT INTO computed (a) VALUES (1)",
        ],
    )
    for statement, said in (
        ("INSERT INTO seen VALUES (2, 'b')", "the trigger g of watched"),
        ("UPDATE stamped SET x = 'b'", "the column changed of stamped"),
        ("INSERT INTO u (id, at, k) VALUES (1, NULL, 1)", "the column odd of u"),
    ):
        with pytest.raises(StatementRefused, match=said):
            run(engine, [statement], 300)
    kept = database.query("SELECT table_name FROM spgrepl.copy_tables ORDER BY 1")
    assert kept == [
        (name,)
        for name in (
            "child",
            "computed",
            "halves",
            "hashes",
            "hidden",
            "labels",
            "loud",
            "made",
            "parent",
            "seen",
            "stamped",
            "u",
        )
    ]


def test_a_fresh_snapshot_replaces_tables_that_the_log_has_made(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    """As after a CHECKPOINT: what the log made since the first one is the copy's own."""
    run(engine, ["CREATE TABLE made (id INT)", "INSERT INTO made VALUES (1)", "ALTER TABLE t RENAME TO u"])
    engine.install_snapshot(snapshot(tmp_path / "again"), ReplayState(500, 500))
    assert database.query("SELECT to_regclass('made'), to_regclass('u')") == [(None, None)]
    assert database.query("SELECT count(*) FROM parent") == [(2,)]


def test_where_told_it_is_left_out_and_counted(approximating: PostgresqlEngine, database: Database) -> None:
    engine = approximating
    run(
        engine,
        [
            "INSERT INTO watched VALUES (2, 'b')",
            "DELETE FROM watched WHERE id = 1",
            "INSERT INTO t (id, odd) VALUES (1, 'o')",
        ],
    )
    assert database.query("SELECT id FROM watched") == [(2,)]
    assert database.query("SELECT at::text, k FROM t") == [("2023-11-14 22:13:20+00", 1)]
    spg = engine.statistics()["spg"]
    assert isinstance(spg, dict)
    assert spg["approximated"] == {
        "t": {"SERIAL": 1, "now()": 1},
        "watched": {"the trigger g of watched": 1, "the rule r of watched holds at the master and not here": 1},
    }
    for statement in ("INSERT INTO t (id) VALUES (2)", "INSERT INTO computed (a) VALUES (1)"):
        with pytest.raises(StatementRefused):
            run(engine, [statement], 300)


def test_texts_that_are_ordered_by_another_collation(database: Database, tmp_path: Path) -> None:
    """An SPG server orders them by their bytes: a database that does not orders none for its log."""
    make = "CREATE DATABASE ordered TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'"
    database.server.query("postgres", "DROP DATABASE IF EXISTS ordered WITH (FORCE)")
    database.server.query("postgres", make)
    engine = PostgresqlEngine(ServerAddress.parse(database.server.url("ordered")))
    engine.open()
    engine.install_snapshot(snapshot(tmp_path / "received"), ReplayState(100, 100))
    for statement in (
        "UPDATE watched SET id = 5 WHERE x < 'B'",
        "DELETE FROM stamped WHERE 'B' >= stamped.x",
        "UPDATE watched SET id = 5 WHERE x NOT BETWEEN 'a' AND 'b'",
        "UPDATE watched SET id = 5 WHERE id IN (SELECT id FROM stamped ORDER BY id, x DESC LIMIT 1)",
        "UPDATE stamped SET seen = NULL WHERE x = (SELECT max(x) FROM stamped)",
    ):
        with pytest.raises(StatementRefused, match="are ordered by their bytes at the master"):
            run(engine, [statement])
    run(engine, ["UPDATE watched SET id = id + 5 WHERE id > 0 AND x = 'a'"])
    engine.close()
    database.server.query("postgres", "DROP DATABASE ordered WITH (FORCE)")


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT 1 FROM t FOR UPDATE", []),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1", [("a", "INSERT"), ("a", "UPDATE")]),
        ('UPDATE ONLY public."A b" SET x = 1', [("A b", "UPDATE")]),
        ("DELETE FROM s.A USING b", [("a", "DELETE")]),
        ("TRUNCATE TABLE ONLY a, s.B CASCADE", [("a", "TRUNCATE"), ("b", "TRUNCATE")]),
        ("WITH x AS (UPDATE a SET b = 1 RETURNING 1) INSERT INTO c SELECT 1", [("a", "UPDATE"), ("c", "INSERT")]),
    ],
)
def test_the_tables_that_a_statement_changes(statement: str, found: list[tuple[str, str]]) -> None:
    assert list(changed_tables(tokens_of(statement))) == found


# -- subscribers ----------------------------------------------------------------------------------------------


def subscribe(database: Database, policy: Nondeterministic) -> PostgresqlTarget:
    target = PostgresqlTarget(ServerAddress.parse(database.url), "s", TargetOptions(nondeterministic=policy))
    target.open()
    return target


def give(target: PostgresqlTarget, statements: list[str], position: int, moment: int | None = None) -> None:
    """One record after the other, as an applier hands them over."""
    target.begin()
    for number, statement in enumerate(statements):
        target.tell_clock(lambda index, at=number: None if moment is None else moment + (index + at) * 1_000_000)
        target.execute([statement.encode()], {})
    try:
        target.commit(SubscriptionState(("p",), 100, position))
    except StatementRefused:
        target.rollback()
        raise


def test_a_subscriber_approximates_where_told(database: Database) -> None:
    """The time is that of each record, and counts are kept over a restart."""
    database.query("CREATE TABLE e (id SERIAL PRIMARY KEY, at TIMESTAMPTZ DEFAULT now())")
    target = subscribe(database, Nondeterministic.APPROXIMATE)
    assert IClocked.providedBy(target)
    target.start(SubscriptionState(("p",), 100, 100))
    inserts = ["INSERT INTO e (id) VALUES (7)", "INSERT INTO e (at) VALUES (now())"]
    give(target, inserts, 200, 1_700_000_000_000_000)
    assert database.query("SELECT id, at::text FROM e ORDER BY id") == [
        (7, "2023-11-14 22:13:20+00"),
        (8, "2023-11-14 22:13:21+00"),
    ]
    counted = {"approximated": {"e": {"SERIAL": 1, "now()": 2}}, "skipped": {}}
    assert target.statistics()["spg"] == counted
    target.close()
    again = subscribe(database, Nondeterministic.APPROXIMATE)
    with pytest.raises(StatementRefused, match="what time it was at the master is not known yet"):
        give(again, ["UPDATE e SET at = now()"], 300)
    give(again, ["DELETE FROM e WHERE id = 7"], 300)
    assert again.statistics()["spg"] == counted
    again.close()


def test_a_subscriber_stops_where_not_told(database: Database) -> None:
    database.query("CREATE TABLE e (id INT PRIMARY KEY, at TIMESTAMPTZ DEFAULT now())")
    target = subscribe(database, Nondeterministic.STOP)
    target.start(SubscriptionState(("p",), 100, 100))
    with pytest.raises(StatementRefused, match="the column at of e has a default") as refused:
        give(target, ["DELETE FROM e", "INSERT INTO e (id) VALUES (1)"], 200, 0)
    assert refused.value.index == 1
    target.close()


def test_foreign_keys_act_for_a_subscriber_and_its_triggers_do_not(database: Database) -> None:
    database.query("CREATE TABLE parent (id INT PRIMARY KEY)")
    database.query("CREATE TABLE child (id INT, p INT REFERENCES parent ON DELETE CASCADE)")
    database.query("CREATE TABLE seen (id INT)")
    act = "BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END"
    database.query(f"CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS '{act}'")
    database.query("CREATE TRIGGER acts AFTER INSERT ON child EXECUTE FUNCTION act()")
    target = subscribe(database, Nondeterministic.STOP)
    target.start(SubscriptionState(("p",), 100, 100))
    statements = ["INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1)", "DELETE FROM parent"]
    give(target, statements, 200)
    assert database.query("SELECT count(*) FROM child") == [(0,)]
    assert database.query("SELECT count(*) FROM seen") == [(0,)]
    target.close()


def test_a_table_that_is_there_with_other_defaults(database: Database, tmp_path: Path) -> None:
    """A column that is given no value gets the master's default, or the statement stops."""
    database.query("CREATE TABLE loud (id INT PRIMARY KEY, w TEXT UNIQUE DEFAULT 'here', more INT DEFAULT 5)")
    database.query(
        "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMPTZ, d DATE DEFAULT 'Feb 3 2024', "
        "tags TEXT[] DEFAULT '{a,b}', "
        "n NUMERIC(6,2) DEFAULT 2, x TEXT, y BYTEA DEFAULT '\\x00ff', odd TEXT, k INT)"
    )
    target = subscribe(database, Nondeterministic.STOP)
    target.copy_snapshot(snapshot(tmp_path / "received"), (), 0)
    for statement, said in (
        ("INSERT INTO loud (id) VALUES (1)", r"the column w of loud has a default .*\(NULL\)"),
        ("INSERT INTO t (id, at, x, odd, k) VALUES (1, NULL, '', '', 1)", r"the column n of t has a default"),
    ):
        with pytest.raises(StatementRefused, match=said):
            give(target, [statement], 200)
    given = [
        "INSERT INTO loud (id, w) VALUES (1, 'a')",
        "INSERT INTO t (id, at, n, x, odd, k) VALUES (1, NULL, 1, '', '', 1)",
    ]
    give(target, given, 200)
    assert database.query("SELECT w, more FROM loud") == [("a", 5)]
    assert database.query("SELECT d::text, tags, y FROM t") == [("2024-02-03", ["a", "b"], b"\x00\xff")]
    target.close()
