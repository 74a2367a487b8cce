"""What an SPG server stores, in PostgreSQL: its types one to one, and the SQL of its log."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import SnapshotError, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.records import RecordType
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.spg_types import array_of, spg_column
from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from tests.postgresql.conftest import Database

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
    try:
        install(engine, tmp_path / "received", STORAGE / name)
    except SnapshotError as refused:
        error = str(refused)
    else:
        error = ""
    if error:
        assert re.search("cold segments|cannot be read", error), error
        return
    found = database.query("SELECT table_name FROM spgrepl.copy_tables ORDER BY 1")
    for (table,) in found:
        database.query(f'SELECT count(*) FROM "{table}"')


SPG_LOG = (
    "CREATE TABLE orders (id SERIAL PRIMARY KEY, t TEXT, n NUMERIC(10,2), at TIMESTAMPTZ, tags TEXT[])",
    "SET search_path TO somewhere",
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


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO orders (id, at) VALUES (5, now())", "now() has another value here"),
        ("INSERT INTO orders (id, at) VALUES (5, 'now'::timestamptz)", "'now' has another value here"),
        ("INSERT INTO orders (id, at) VALUES (5, CURRENT_TIMESTAMP)", "CURRENT_TIMESTAMP has another value"),
        ("INSERT INTO orders (id, t) VALUES (DEFAULT, 'x')", "DEFAULT may have another value"),
        ("INSERT INTO orders (t) VALUES ('x')", "the column id of orders has a default that has another value"),
        ("UPDATE orders SET n = random()", "random() has another value here"),
        ("EXECUTE something", "what EXECUTE did on the master cannot be told"),
        ("DO $$ BEGIN END $$", "what DO did"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "acts by itself"),
        ("CREATE TRIGGER x BEFORE INSERT ON orders EXECUTE FUNCTION f()", "acts by itself"),
        ("DELETE FROM spgrepl.copies", "the schema spgrepl belongs to spgrepl"),
        ("INSERT INTO orders (id) VALUES ('x')", "invalid input syntax for type integer"),
        ("CREATE DATABASE other", "is not for a copy"),
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
