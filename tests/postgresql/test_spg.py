"""What an SPG server stores, in PostgreSQL: its types one to one, and the SQL of its log."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import EngineFailed, SnapshotError, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.spg_types import array_of, spg_column
from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.conftest import Database
from tests.spgsql.language.test_kinds import REFUSED, SKIPPED

STORAGE = Path(__file__).parents[1] / "vectors" / "storage"


@pytest.fixture
def engine(database: Database) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    yield made
    made.close()


def install(engine: PostgresqlEngine, path: Path, snapshot: Path | None = None) -> None:
    """Begin with a snapshot, or with nothing."""
    if snapshot is None:
        path.write_bytes(b"")
    else:
        shutil.copy(snapshot, path)
        engine.check_snapshot(path)
    engine.install_snapshot(path, ReplayState(100, 100))


def run(
    engine: PostgresqlEngine,
    statements: Sequence[str],
    position: int = 200,
    types: dict[int, RecordType] | None = None,
) -> None:
    engine.begin()
    try:
        engine.execute([one.encode() for one in statements], types or {})
        engine.commit(ReplayState(position, 100))
    except StatementRefused:
        engine.rollback()
        raise


@contextmanager
def with_tables(database: Database, path: Path, tables: Sequence[str]) -> Iterator[PostgresqlEngine]:
    """An engine with tables that a log has made."""
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    install(made, path)
    run(made, tables)
    yield made
    made.close()


def test_every_type_of_spg_is_one_of_the_server(database: Database) -> None:
    for tag in sorted(TYPE_TAGS):
        for parameters in ((), (3,), (3, 1)):
            try:
                label = SpgType(tag, parameters).label
            except (TypeError, KeyError, IndexError):
                continue
            if "RANGE" in label:
                continue  # its parameter says which
            database.query(f"SELECT NULL::{spg_column(label).mapped.sql}")


@pytest.mark.parametrize(
    ("json", "written"),
    [
        ("[1, 2, null]", '{"1","2",NULL}'),
        ('["a\\"b", "c\\\\d", "", "NULL"]', '{"a\\"b","c\\\\d","","NULL"}'),
        ("[[1, 2], [3, 4]]", '{{"1","2"},{"3","4"}}'),
        ("[true, false]", "{t,f}"),
        ("[1.50]", '{"1.50"}'),
    ],
)
def test_arrays_are_written_as_the_server_reads_them(json: str, written: str) -> None:
    assert array_of(json) == written


def snapshots() -> list[Path]:
    return sorted(path for path in STORAGE.glob("*") if path.read_bytes()[:5] in (b"SPGEN", b"SPGDB"))


EVERY = 1 if "SPGREPL_EVERY_BYTE" in os.environ else 6
"""All snapshots of the vectors are for the campaign of that name."""


@pytest.mark.parametrize("name", [path.name for path in snapshots()[::EVERY]])
def test_snapshots_of_spg_are_taken(
    name: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    error = ""
    try:
        install(engine, tmp_path / "received", STORAGE / name)
    except SnapshotError as refused:
        error = str(refused)
    if error:
        assert "cannot be read" in error
        return
    found = database.query("SELECT table_name FROM spgrepl.copy_tables ORDER BY 1")
    for (table,) in found:
        database.query(f'SELECT count(*) FROM "{table}"')


SPG_LOG = (
    "CREATE TABLE orders (id SERIAL PRIMARY KEY, t TEXT, n NUMERIC(10,2), at TIMESTAMPTZ, tags TEXT[])",
    "SET search_path TO public",
    "INSERT INTO orders (id, t, n, at, tags) VALUES (1, 'it''s', 1.50, '2024-01-01 00:00:00+00', ARRAY['a','b'])",
    "UPDATE orders SET n = n * 2 WHERE t LIKE 'it%'",
    "GRANT SELECT ON orders TO nobody",
    "SAVEPOINT a",
    "DELETE FROM orders",
    "ROLLBACK TO SAVEPOINT a",
    "RELEASE SAVEPOINT a",
    "INSERT INTO orders VALUES (2, 'x', 3, NULL, NULL) ON CONFLICT (id) DO NOTHING",
)


def test_the_sql_of_its_log_runs_as_it_stands(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, SPG_LOG)
    assert database.query("SELECT id, t, n::text, at::text, tags FROM orders ORDER BY id") == [
        (1, "it's", "3.00", "2024-01-01 00:00:00+00", ["a", "b"]),
        (2, "x", "3.00", None, None),
    ]
    mysql = "INSERT INTO `orders` (`id`, `t`) VALUES (3, 'back\\\\slash')"
    run(engine, [mysql], 300, {0: RecordType.MYSQL})
    whole = "BEGIN;\nINSERT INTO orders (id, t) VALUES (4, 'a;b');\nDELETE FROM orders WHERE id = 2;\nCOMMIT"
    run(engine, [whole], 400, {0: RecordType.TRANSACTION})
    assert database.query("SELECT id, t FROM orders WHERE id > 1 ORDER BY id") == [(3, "back\\slash"), (4, "a;b")]


def test_mysqls_words_that_mean_the_same_are_put_into_postgresqls(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, SPG_LOG)
    statements = [
        'INSERT INTO `orders` SET `id` = 5, t = "it\'s\\n"',
        "INSERT INTO orders (id, t) VALUES (6, 'a'), (7, NULL), (8, 'b')",
        "UPDATE orders SET n = id * 2 + 1, t = IFNULL(t, 'none') WHERE id IN (6, 7) AND NOT (t <=> 'b')",
        "UPDATE orders SET t = IF(n > 13, 'more', t) WHERE n IS NOT NULL AND id BETWEEN 6 AND 7",
        "DELETE FROM orders WHERE t LIKE 'b%' OR id < 5",
    ]
    run(engine, statements, 300, dict.fromkeys(range(len(statements)), RecordType.MYSQL))
    assert database.query("SELECT id, t, n::int FROM orders ORDER BY id") == [
        (5, "it's\n", None),
        (6, "a", 13),
        (7, "more", 15),
    ]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE orders SET t = x'6162' WHERE id = 1", "x'6162' may mean something else"),
        ("UPDATE orders SET t = 'a' || 'b' WHERE id = 1", "|| may join texts, or be OR"),
        ("UPDATE orders SET n = id / 2", "id / 2 may mean something else"),
        ("UPDATE orders SET n = LENGTH(t)", "LENGTH(t) may mean something else"),
        ("INSERT INTO orders (id) VALUES (1) ON DUPLICATE KEY UPDATE n = 2", "ON DUPLICATE KEY UPDATE n = 2 may"),
        ("DELETE FROM orders LIMIT 1", "LIMIT 1 may mean something else"),
        ("REPLACE INTO orders (id) VALUES (1)", "not understood"),
        ("INSERT IGNORE INTO orders (id) VALUES (1)", "syntax error"),
        ("UPDATE orders SET n = id, id = n + 1", "n has been set when it is read"),
        ("UPDATE orders SET at = NOW()", "NOW() has another value here"),
        ("UPDATE orders SET n = RAND()", "has another value here"),
    ],
)
def test_mysqls_words_that_may_mean_something_else_stop_by_name(
    statement: str, said: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, SPG_LOG)
    before = database.query("SELECT * FROM orders ORDER BY id")
    with pytest.raises(StatementRefused) as caught:
        run(engine, [statement], 300, {0: RecordType.MYSQL})
    assert said in caught.value.reason
    engine.rollback()
    assert database.query("SELECT * FROM orders ORDER BY id") == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO orders (id, at) VALUES (5, now())", "now() has another value here"),
        ("INSERT INTO orders (id, at) VALUES (5, 'now'::timestamptz)", "'now' has another value here"),
        ("INSERT INTO orders (id, at) VALUES (5, CURRENT_TIMESTAMP)", "CURRENT_TIMESTAMP has another value"),
        ("INSERT INTO orders (id, t) VALUES (DEFAULT, 'x')", "DEFAULT may have another value"),
        ("INSERT INTO orders (t) VALUES ('x')", "the column id of orders has a default that has another value"),
        ("UPDATE orders SET n = random()", "random() has another value here"),
        ("EXECUTE something", "EXECUTE: the statement that was prepared stands elsewhere"),
        ("DO $$ BEGIN END $$", "DO: what it runs"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION: what it makes"),
        ("CREATE TRIGGER x BEFORE INSERT ON orders EXECUTE FUNCTION f()", "CREATE TRIGGER: what it makes"),
        ("DELETE FROM spgrepl.copies", "the schema spgrepl belongs to spgrepl"),
        ("INSERT INTO orders (id) VALUES ('x')", "invalid input syntax for type integer"),
        ("SELECT id INTO copied FROM orders WHERE at < now()", "now() gives rows another value here"),
        ("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", 'type "mood" does not exist'),
        ("DROP TYPE mood CASCADE", 'type "mood" does not exist'),
        (r"INSERT INTO orders (id, t, at) VALUES (5, E'\'', now())", "now() has another value here"),
        ("INSERT INTO orders (id, tags) VALUES (5, ARRAY[now()::text])", "now() has another value here"),
    ],
)
def test_what_is_not_the_same_everywhere_is_refused_by_name(
    statement: str, said: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, SPG_LOG)
    with pytest.raises(StatementRefused) as caught:
        run(engine, ["INSERT INTO orders (id) VALUES (77)", statement], 300)
    assert caught.value.index == 1
    assert said in caught.value.reason
    assert database.query("SELECT count(*) FROM orders") == [(2,)]


# -- what every replica computes for itself -------------------------------------------------------------------


@pytest.fixture
def approximating(database: Database) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url), Nondeterministic.APPROXIMATE)
    made.open()
    made.tell_clock(lambda index: 1_700_000_000_123_456 + index * 1_000_000)
    yield made
    made.close()


MOMENT = "2023-11-14 22:13:20.123456+00"
EVENTS = (
    "CREATE TABLE events (id SERIAL PRIMARY KEY, t TEXT, at TIMESTAMPTZ DEFAULT now(), "
    "day DATE DEFAULT CURRENT_DATE, n INT GENERATED ALWAYS AS IDENTITY, u UUID, r FLOAT8)"
)


@pytest.mark.parametrize(
    ("statement", "found", "what"),
    [
        ("INSERT INTO events (id, t, at, day) VALUES (7, 'x', now(), 'now'::date)", ("at", MOMENT), "now()"),
        ("INSERT INTO events (t, at) VALUES ('now()', CURRENT_TIMESTAMP)", ("at", MOMENT), "CURRENT_TIMESTAMP"),
        ("INSERT INTO events (id, at) VALUES (7, CURRENT_TIMESTAMP(0) - interval '1 day')",
         ("at", "2023-11-13 22:13:20+00"), "CURRENT_TIMESTAMP"),
        ("INSERT INTO public.events (id, at) VALUES (7, 'now'::timestamptz)", ("at", MOMENT), "'now'"),
        ("INSERT INTO events (id, at) VALUES (7, LOCALTIMESTAMP)", ("at", MOMENT), "LOCALTIMESTAMP"),
        ("INSERT INTO events (id, t) VALUES (7, 'x')", ("at", MOMENT), "now()"),
        ("INSERT INTO events (id, t) VALUES (7, E'it\\'s; (now()')", ("day", "2023-11-14"), "CURRENT_DATE"),
        ("INSERT INTO events (t) VALUES ('x'), ('y') RETURNING id", ("id", "1"), "SERIAL"),
        ("INSERT INTO events VALUES (DEFAULT, 'x', DEFAULT)", ("id", "1"), "SERIAL"),
        ("INSERT INTO events (id) VALUES (nextval('events_id_seq'))", ("id", "1"), "nextval()"),
        ("INSERT INTO events DEFAULT VALUES", ("n", "1"), "IDENTITY"),
        ("INSERT INTO events AS e (at) VALUES (DEFAULT) ON CONFLICT (id) DO NOTHING", ("at", MOMENT), "now()"),
    ],
)  # fmt: skip
def test_what_has_another_value_here_is_approximated_where_told(
    statement: str,
    found: tuple[str, str],
    what: str,
    approximating: PostgresqlEngine,
    database: Database,
    tmp_path: Path,
) -> None:
    engine = approximating
    install(engine, tmp_path / "received")
    run(engine, [EVENTS])
    engine.tell_clock(lambda _: 1_700_000_000_123_456)
    run(engine, [statement], 300)
    column, value = found
    assert database.query(f"SELECT {column}::text FROM events ORDER BY id LIMIT 1") == [(value,)]
    spg = engine.statistics()["spg"]
    assert isinstance(spg, dict)
    assert spg["approximated"]["events"][what] == 1


def test_numbers_go_on_behind_the_greatest_and_counts_are_kept(
    approximating: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    engine = approximating
    install(engine, tmp_path / "received")
    run(
        engine,
        [EVENTS, "INSERT INTO events (id, n, u) OVERRIDING SYSTEM VALUE VALUES (41, 70, gen_random_uuid())"],
    )
    run(
        engine,
        ["INSERT INTO events (t, r) VALUES ('a', random()), ('b', 0)", "UPDATE events SET at = DEFAULT"],
        300,
    )
    assert database.query("SELECT id, n FROM events ORDER BY id") == [(41, 70), (42, 71), (43, 72)]
    assert database.query("SELECT count(u), count(r), count(DISTINCT at) FROM events") == [(1, 2, 1)]
    with pytest.raises(StatementRefused, match="is given no value"):
        run(engine, ["INSERT INTO events (t) SELECT 'x'"], 400)
    with pytest.raises(StatementRefused, match="'yesterday' has another value"):
        run(engine, ["UPDATE events SET at = 'yesterday'::timestamptz"], 400)
    counts = engine.statistics()["spg"]
    again = PostgresqlEngine(ServerAddress.parse(database.url), Nondeterministic.APPROXIMATE)
    engine.close()
    state = again.open()
    assert state is not None
    assert state.position == 300
    assert again.statistics()["spg"]["approximated"] == counts["approximated"]  # type: ignore[index]
    again.tell_clock(lambda _: None)
    with pytest.raises(StatementRefused, match="what time it was at the master is not known yet"):
        run(again, ["UPDATE events SET at = now()"], 400)
    again.close()


def test_a_column_that_the_master_counts_has_no_default_here(
    approximating: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    """Tables of a snapshot are made without sequences."""
    install(approximating, tmp_path / "received")
    run(approximating, ["CREATE TABLE plain (id INTEGER PRIMARY KEY, t TEXT)"])
    run(approximating, ["INSERT INTO plain (t) VALUES ('x')", "INSERT INTO plain (t) VALUES ('y')"], 300)
    assert database.query("SELECT id, t FROM plain ORDER BY id") == [(1, "x"), (2, "y")]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE copied AS SELECT now() AS at", "now() gives rows another value here"),
        ("ALTER TABLE orders ADD COLUMN seen TIMESTAMPTZ DEFAULT now()", "now() gives rows another value here"),
        ("ALTER TABLE orders ADD COLUMN k BIGSERIAL", "BIGSERIAL gives rows another value here"),
        ("SET search_path TO somewhere", "means other tables by the same names"),
        ("SET standard_conforming_strings = off", "strings of that session mean something else"),
    ],
)
def test_more_that_would_differ_in_silence(
    statement: str, said: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE orders (id INT PRIMARY KEY, at TIMESTAMPTZ DEFAULT now())"])
    with pytest.raises(StatementRefused) as caught:
        run(engine, [statement], 300)
    assert said in caught.value.reason


# -- PROTOCOL section 8, a line a test -------------------------------------------------------------------------


TAKEN = """
CREATE SCHEMA app
CREATE SEQUENCE s START 5
CREATE VIEW v AS SELECT * FROM t
CREATE OR REPLACE VIEW v AS SELECT 1
MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE
""".strip().splitlines()
"""What this server has, and SQLite has not."""


def objects(database: Database) -> list[tuple[object, ...]]:
    """What is in the database, but what belongs to this package."""
    return database.query(
        "SELECT c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' ORDER BY 1"
    )


@pytest.mark.parametrize("statement", [one for one in SKIPPED if one not in TAKEN])
def test_what_has_no_effect_is_skipped_and_counted(
    statement: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"])
    before = objects(database)
    run(engine, [statement], 300)
    assert objects(database) == before
    assert database.query("SELECT id FROM t") == [(1,)]
    spg = engine.statistics()["spg"]
    assert isinstance(spg, dict)
    ((kind, count),) = spg["skipped"].items()
    assert count == 1
    assert statement.upper().startswith(kind)
    assert "secret" not in str(engine.statistics())


@pytest.mark.parametrize(
    ("statement", "reason"), [one for one in REFUSED.items() if one[0] not in TAKEN], ids=lambda one: one[:30]
)
def test_what_has_an_unknown_effect_is_refused_by_name(
    statement: str, reason: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"])
    with pytest.raises(StatementRefused, match=re.escape(reason)):
        run(engine, [statement], 300)
    assert database.query("SELECT id FROM t") == [(1,)]


def test_what_statements_may_name_is_made(engine: PostgresqlEngine, database: Database, tmp_path: Path) -> None:
    install(engine, tmp_path / "received")
    run(
        engine,
        [
            "CREATE TABLE t (id INT PRIMARY KEY, n INT)",
            "CREATE SEQUENCE s START 5",
            "CREATE TABLE u (id INT DEFAULT nextval('s'), n INT)",
            "CREATE TYPE mood AS ENUM ('sad', 'glad')",
            "CREATE DOMAIN small AS INT CHECK (VALUE < 10)",
            "CREATE TABLE w (m mood, x small)",
            "INSERT INTO w VALUES ('glad'::mood, 5)",
            "INSERT INTO t VALUES (1, 2), (2, 3)",
            "CREATE OR REPLACE VIEW v AS SELECT id, n FROM t WHERE n > 2",
            "INSERT INTO u (id, n) SELECT id, n FROM v",
            "CREATE SCHEMA app",
            "MERGE INTO t USING v ON t.id = v.id WHEN MATCHED THEN UPDATE SET n = 0",
            "SELECT id INTO copied FROM t",
            "ALTER TABLE t RENAME TO renamed",
            "CREATE INDEX i ON renamed (n)",
            "ALTER INDEX i RENAME TO j",
            "DROP INDEX j",
        ],
    )
    assert database.query("SELECT * FROM u") == [(2, 3)]
    assert database.query("SELECT m::text, x FROM w") == [("glad", 5)]
    assert database.query("SELECT n FROM renamed ORDER BY id") == [(2,), (0,)]
    kept = database.query("SELECT table_name FROM spgrepl.copy_tables ORDER BY 1")
    assert kept == [("copied",), ("renamed",), ("u",), ("w",)]


# -- what only SPG's SQL has ----------------------------------------------------------------------------------


def test_what_only_spgs_sql_has_is_respelled(engine: PostgresqlEngine, database: Database, tmp_path: Path) -> None:
    """As it stands first; then as this server writes it. What was counted is counted once."""
    install(engine, tmp_path / "received")
    run(
        engine,
        [
            "CREATE TABLE v (id INT PRIMARY KEY, e VECTOR(3), x TEXT, b BYTES)",
            "INSERT INTO v VALUES (1, '[1, 2.5, -3e2]', TRUE, '\\x00ff')",
            "INSERT INTO v (x, id, e) VALUES (FALSE, 2, '[0.1]'::vector(1)), ('it''s', 3, NULL)",
            "UPDATE v SET e = '[4]', x = true WHERE id = 3",
            "INSERT INTO v (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET e = ARRAY[7, 8]::vector",
            "ALTER TABLE v ADD COLUMN more VECTOR(2)",
            "UPDATE public.v SET more = '[9,9]' WHERE id = 1",
            "CREATE TABLE vector (vector TEXT)",
            "INSERT INTO vector (vector) VALUES ('[1]')",
        ],
    )
    assert database.query("SELECT id, e, x, b, more FROM v ORDER BY id") == [
        (1, [7.0, 8.0], "true", b"\x00\xff", [9.0, 9.0]),
        (2, [0.1], "false", None, None),
        (3, [4.0], "true", None, None),
    ]
    assert database.query("SELECT vector FROM vector") == [("[1]",)]
    whole = "BEGIN;\nSET work_mem = 1;\nUPDATE v SET e = '[5]' WHERE id = 1;\nCOMMIT"
    run(engine, [whole], 300, {0: RecordType.TRANSACTION})
    assert database.query("SELECT e FROM v WHERE id = 1") == [([5.0],)]
    spg = engine.statistics()["spg"]
    assert isinstance(spg, dict)
    assert spg["skipped"] == {"SET": 1}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE w (e VECTOR(3) USING HALF)", "stored USING HALF rounds its numbers"),
        ("INSERT INTO v VALUES (1, '[1, 2'  , 'x')", "malformed array literal"),
        ("INSERT INTO v VALUES (1, '[1,,2]', 'x')", "is not a vector"),
        ("INSERT INTO v (id) VALUES (TRUE)", 'column "id" is of type integer but expression is of type boolean'),
        ("DELETE FROM v WHERE e = '[1]'", "malformed array literal"),
        ("UPDATE v SET x = nonsense(", "a parenthesis does not end|syntax error"),
    ],
)
def test_what_is_not_known_in_other_words_stops_by_name(
    statement: str, said: str, engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE v (id INT PRIMARY KEY, e VECTOR(3), x TEXT)"])
    with pytest.raises(StatementRefused, match=said):
        run(engine, [statement], 300)
    assert database.query("SELECT count(*) FROM v") == [(0,)]


# -- what the snapshot held -----------------------------------------------------------------------------------


def test_a_first_insert_that_meets_its_own_row(
    engine: PostgresqlEngine, database: Database, tmp_path: Path
) -> None:
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE a (id INT PRIMARY KEY, t TEXT)", "INSERT INTO a VALUES (1, 'x'), (2, 'y')"])
    held = [
        "CREATE TABLE a (id INT PRIMARY KEY, t TEXT)",
        "INSERT INTO a VALUES (1, 'x')",
        "INSERT INTO a VALUES (3, 'z')",
    ]
    engine.expect_own_rows(True)
    run(engine, held, 300)
    assert engine.take_met() == 2
    assert engine.take_met() == 0
    assert database.query("SELECT id FROM a ORDER BY id") == [(1,), (2,), (3,)]
    engine.expect_own_rows(False)
    with pytest.raises(StatementRefused, match="duplicate key"):
        run(engine, held[1:2], 400)
    # What breaks anything else is not a row of its own.
    engine.expect_own_rows(True)
    with pytest.raises(StatementRefused, match="invalid input syntax"):
        run(engine, ["INSERT INTO a VALUES ('q')"], 400)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"


def limited(database: Database, path: Path, seconds: float) -> PostgresqlEngine:
    """An engine whose statements may run so long, with a table."""
    engine = PostgresqlEngine(ServerAddress.parse(database.url), seconds=seconds)
    engine.open()
    install(engine, path)
    run(engine, ["CREATE TABLE t (i INT)", "INSERT INTO t VALUES (1)"])
    return engine


def test_a_statement_that_takes_too_long_is_refused(database: Database, tmp_path: Path) -> None:
    """By its number, with nothing left of its transaction; and the connection goes on without a limit."""
    engine = limited(database, tmp_path / "received", 0.2)
    with pytest.raises(
        StatementRefused, match=r"it ran for 0.2 s, which is the limit \(--max-statement"
    ) as refused:
        run(engine, ["INSERT INTO t VALUES (2)", f"INSERT INTO t {ENDLESS}"], 300)
    assert refused.value.index == 1
    run(engine, ["INSERT INTO t VALUES (3)"], 300)
    assert database.query("SELECT i FROM t ORDER BY i") == [(1,), (3,)]
    assert engine._server.connection().execute("SHOW statement_timeout").fetchone() == ("0",)
    engine.close()


def test_who_holds_a_lock_makes_no_statement_refused(database: Database, tmp_path: Path) -> None:
    """That is tried again, however long it takes: the log is not what is wrong."""
    engine = limited(database, tmp_path / "received", 0.4)
    with database.server.connect(database.name) as other:
        other.execute("BEGIN; LOCK TABLE t")
        with pytest.raises(EngineFailed, match="refuses at present: canceling statement due to lock timeout"):
            run(engine, ["INSERT INTO t VALUES (2)"], 300)
    run(engine, ["INSERT INTO t VALUES (2)"], 300)
    assert database.query("SELECT count(*) FROM t") == [(2,)]
    engine.close()


def test_a_statement_that_an_operator_cancels_is_tried_again(database: Database, tmp_path: Path) -> None:
    engine = limited(database, tmp_path / "received", 600)
    find = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO t WITH%'"

    def cancel() -> None:
        while database.query(find) == [(0,)]:
            pass

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(EngineFailed, match="refuses at present: canceling statement due to user request"):
        run(engine, [f"INSERT INTO t {ENDLESS}"], 300)
    thread.join()
    engine.close()


def test_a_subscribers_statements_have_the_limit_too(database: Database) -> None:
    target = PostgresqlTarget(ServerAddress.parse(database.url), "s", TargetOptions(statement_seconds=0.2))
    database.query("CREATE TABLE t (i INT)")
    target.open()
    target.start(SubscriptionState(("p",), 100, 100))
    target.begin()
    target.execute([b"INSERT INTO t VALUES (1)", f"INSERT INTO t {ENDLESS}".encode()])
    with pytest.raises(StatementRefused, match=r"it ran for 0.2 s"):
        target.commit(SubscriptionState(("p",), 100, 200))
    target.rollback()
    assert database.query("SELECT count(*) FROM t") == [(0,)]
    target.close()
