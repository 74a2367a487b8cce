"""A subscriber whose target is a real PostgreSQL: real processes, from the initial copy to the last row."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Server, until
from tests.postgresql.conftest import Database
from tests.postgresql.pair import Pair

TABLES = (
    "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, r REAL, b BLOB)",
    "CREATE TABLE pairs (a TEXT NOT NULL, b INTEGER NOT NULL, v NUMERIC, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE TABLE keyless (x TEXT, y DECIMAL(10,2))",
    'CREATE TABLE "Odd Name" ("Some Key" INTEGER PRIMARY KEY, "select" BOOLEAN, "per%cent" TEXT)',
)
ALL = ("plain", "pairs", "keyless", "Odd Name")
TEXTS = ("", "a", "tab\tnew\nline\\back", "it's", "ünïcode 🐘", "NULL", "\\N", '"quoted"', "{curly,}", "x" * 300)


def values(chance: random.Random) -> list[str]:
    """A statement or two that change something."""
    text = chance.choice(TEXTS).replace("'", "''")
    number, key = chance.randrange(-(2**63), 2**63), chance.randrange(60)
    real = chance.choice([0.1, -0.0, 1e300, 5.0, 1.5e-10, float("inf")])
    shown = "9e999" if real == float("inf") else repr(real)
    return chance.choice(
        [
            [f"INSERT OR REPLACE INTO plain VALUES ({key}, '{text}', {number}, {shown}, x'00ff{key:02x}')"],
            [f"UPDATE plain SET name = '{text}', n = {number} WHERE id % 7 = {key % 7} AND id < 60"],
            [f"DELETE FROM plain WHERE id = {key}"],
            [f"INSERT OR REPLACE INTO pairs VALUES ('{text}', {key}, {number % 1000} / 10.0)"],
            [f"UPDATE pairs SET v = {number} WHERE b BETWEEN {key} AND {key + 20}"],
            [f"UPDATE OR IGNORE pairs SET b = b + 1 WHERE a = '{text}'"],
            [f"INSERT INTO keyless VALUES ('{text}', {number % 100000} / 100.0)"],
            [f"DELETE FROM keyless WHERE rowid % 5 = {key % 5} AND x <> '{text}' AND rowid < 200"],
            [f"UPDATE keyless SET y = y + 1 WHERE rowid = {key}"],
            [f"INSERT OR REPLACE INTO \"Odd Name\" VALUES ({key}, {key % 2}, '{text}')"],
            ["BEGIN", f"UPDATE plain SET n = NULL WHERE id = {key}", "DELETE FROM pairs", "ROLLBACK"],
            [
                "BEGIN",
                "SAVEPOINT a",
                f"DELETE FROM plain WHERE id < {key}",
                "ROLLBACK TO a",
                f"UPDATE plain SET r = {shown} WHERE id = {key}",
                "COMMIT",
            ],
        ]
    )


def rows_of(master: Path, table: str) -> list[tuple[object, ...]]:
    """A table of the master's database, in the order of its key."""
    with closing(sqlite3.connect(f"file:{master}?mode=ro&immutable=0", uri=True)) as connection:
        number = "rowid, " if table == "keyless" else ""
        order = {"pairs": "a, b"}.get(table, "1")
        return connection.execute(f'SELECT {number}* FROM "{table}" ORDER BY {order}').fetchall()


def rows_there(database: Database, table: str) -> list[tuple[object, ...]]:
    order = {"pairs": 'a COLLATE "C", b'}.get(table, "1")
    found = database.query(f'SELECT * FROM "{table}" ORDER BY {order}')
    return [tuple(map(plain, row)) for row in found]


def plain(value: object) -> object:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == int(value) and value.as_tuple().exponent == 0 else float(value)
    return int(value) if isinstance(value, bool) else value


def same(pair: Pair, *tables: str) -> None:
    for table in tables:
        assert rows_there(pair.database, table) == rows_of(pair.master.database, table), table


def loses_its_session(database: Database, server: Server) -> None:
    """End the session of an idle copy, and then the whole server: it says so, and is there again by itself."""

    def is_there_again(times: int) -> bool:
        status = server.status()
        return bool(status["server"]["reconnected"] == times and status["state"] == "streaming")

    for times, end in enumerate((end_sessions, restart), start=1):
        end(database)
        until(partial(is_there_again, times), server.status)
    assert "was lost: terminating connection due to administrator command" in server.output()
    assert "the connection to" in str(server.status()["errors"])


def end_sessions(database: Database) -> None:
    ended = database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'spgrepl %%'"
    )
    assert ended == [(True,)]


def restart(database: Database) -> None:
    database.server.stop()
    database.server.start()


@pytest.fixture
def pair(tmp_path: Path, database: Database) -> Iterator[Pair]:
    made = Pair(tmp_path, database, "subscriber")
    made.master.execute(*TABLES, "CREATE TABLE other (n INTEGER)")
    made.master.execute("CREATE PUBLICATION p FOR ALL TABLES EXCEPT other")
    yield made
    made.stop()


def test_tables_are_copied_and_followed(pair: Pair) -> None:
    chance = random.Random(1)
    write = pair.master.execute
    write(*(one for _ in range(150) for one in values(chance)))
    subscriber = pair.start()
    pair.settle(write("INSERT INTO other VALUES (1)"))
    same(pair, *ALL)
    status = subscriber.status()
    assert status["engine"] == "postgresql"
    assert status["copied"]["tables"] == 4
    for _ in range(3):
        pair.settle(write(*(one for _ in range(100) for one in values(chance))))
        same(pair, *ALL)
    assert pair.database.query("SELECT to_regclass('other')") == [(None,)]
    position = pair.database.query("SELECT position FROM spgrepl.subscriptions WHERE name = 's'")
    assert position == [(subscriber.applied(),)]
    marks = pair.database.query("SELECT json_array_length(history::json->'marks') FROM spgrepl.subscriptions")
    assert marks == [(1,)]
    assert subscriber.stop() in (0, -15)


def test_a_lost_session_is_noticed_without_a_row(pair: Pair) -> None:
    position = pair.master.execute("INSERT INTO keyless VALUES ('one', 1)")
    subscriber = pair.start()
    pair.settle(position)
    loses_its_session(pair.database, subscriber)
    pair.settle(pair.master.execute("INSERT INTO keyless VALUES ('two', 2)"))
    same(pair, *ALL)


HELD = (
    "CREATE TABLE plain (id bigint PRIMARY KEY, name text, n bigint, r double precision, b bytea)",
    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF NEW.id = 4000 THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NEW; END $$",
    "CREATE TRIGGER hold BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION hold()",
    "ALTER TABLE plain ENABLE ALWAYS TRIGGER hold",
)


def test_a_copy_that_is_killed_half_way_is_made_again(pair: Pair) -> None:
    number = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000)"
    position = pair.master.execute(f"{number} INSERT INTO plain SELECT n, 'name', n, n / 3.0, x'00' FROM c")
    query = pair.database.query
    for statement in HELD:
        query(statement)
    with pair.database.server.connect(pair.database.name) as holder:
        holder.execute("SELECT pg_advisory_lock(4711)")
        subscriber = pair.start()
        waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
        ((session,),) = until(lambda: query(waits), subscriber.output)
        progress = until(lambda: subscriber.status()["copied"], subscriber.status)
        assert progress["table"] == "plain"
        subscriber.kill()
    until(lambda: not query("SELECT 1 FROM pg_stat_activity WHERE pid = %s", session))
    assert query("SELECT count(*) FROM plain") == [(0,)]
    subscriber.start()
    pair.settle(position)
    same(pair, *ALL)
