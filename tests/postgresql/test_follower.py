"""A follower whose copy is in a real PostgreSQL: real processes, from the snapshot to the last DDL."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Server, run_command, until
from tests.postgresql.conftest import Database
from tests.postgresql.pair import Pair
from tests.postgresql.test_subscriber import ALL, TABLES, loses_its_session, same, values
from tests.wrong_files import looks


@pytest.fixture
def copy(tmp_path: Path, database: Database) -> Iterator[Pair]:
    made = Pair(tmp_path, database, "follower")
    yield made
    made.stop()


def test_a_master_is_copied_and_followed(copy: Pair) -> None:
    chance = random.Random(2)
    write = copy.master.execute
    write(*TABLES, *(one for _ in range(100) for one in values(chance)))
    follower = copy.start()
    copy.settle(write(*(one for _ in range(200) for one in values(chance))))
    same(copy, *ALL)
    position = write(
        "CREATE TABLE made (id INTEGER PRIMARY KEY, t TEXT DEFAULT 'x' UNIQUE, at DATETIME)",
        "CREATE INDEX made_at ON made (at, t)",
        "INSERT INTO made VALUES (1, 'a', '2024-01-01'), (2, 'b', 20240101)",
        "ALTER TABLE made ADD COLUMN more INTEGER NOT NULL DEFAULT 7",
        "ALTER TABLE made RENAME COLUMN at TO moment",
        "INSERT INTO made (id, t, more) VALUES (3, 'c', 9)",
        "ALTER TABLE made RENAME TO renamed",
        "UPDATE renamed SET t = t || id",
        "ALTER TABLE plain DROP COLUMN n",
        "INSERT INTO plain (id, name) VALUES (10000, 'after')",
        "CREATE VIEW seen AS SELECT * FROM renamed",
        "CREATE TRIGGER acts AFTER INSERT ON plain BEGIN INSERT INTO keyless VALUES ('by trigger', 1); END",
        "INSERT INTO plain (id, name) VALUES (10001, 'with a trigger')",
        "CREATE TABLE gone (n)",
        "DROP TABLE gone",
        "CREATE VIRTUAL TABLE words USING fts5(t)",
        "INSERT INTO words VALUES ('some words')",
        "DELETE FROM pairs",
        "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)",
        "INSERT INTO counted (n) VALUES (1), (2)",
        "UPDATE sqlite_sequence SET seq = 100",
        "ANALYZE",
    )
    copy.settle(position)
    same(copy, "plain", "keyless", "Odd Name", "counted")
    query = copy.database.query
    assert query("SELECT id, t, moment, more FROM renamed ORDER BY id") == [
        (1, "a1", "2024-01-01", 7),
        (2, "b2", "20240101", 7),
        (3, "c3", None, 9),
    ]
    assert query("SELECT count(*) FROM pairs") == [(0,)]
    assert query("SELECT to_regclass('gone'), to_regclass('words'), to_regclass('made_at')::text") == [
        (None, None, "made_at")
    ]
    assert "words_content" in follower.status()["left_out"]
    # From the middle of the log on, after a kill.
    follower.kill()
    position = write(
        "ALTER TABLE renamed DROP COLUMN more",
        "ALTER TABLE renamed ADD COLUMN loud TEXT AS (t || '!')",
        "ALTER TABLE renamed ADD COLUMN twice INTEGER AS (id * 2)",
        "ALTER TABLE renamed ADD COLUMN k INTEGER CHECK (k > 0)",
        "ALTER TABLE renamed RENAME COLUMN t TO u",
        "ALTER TABLE renamed RENAME COLUMN loud TO louder",
        "ALTER TABLE renamed DROP COLUMN twice",
        "CREATE UNIQUE INDEX once ON renamed (u) WHERE k IS NULL",
        "INSERT INTO renamed (id, u) VALUES (4, 'd')",
    )
    follower.start()
    copy.settle(position)
    assert query("SELECT id, u, moment, louder, k FROM renamed WHERE id = 4") == [(4, "d", None, "d!", None)]
    assert query("SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'renamed'::regclass") == [
        (1,)
    ]
    assert query("SELECT to_regclass('once')::text") == [("once",)]
    assert query("SELECT position FROM spgrepl.copies") == [(position,)]


def test_a_lost_session_is_noticed_without_a_row(copy: Pair) -> None:
    position = copy.master.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    follower = copy.start()
    copy.settle(position)
    loses_its_session(copy.database, follower)
    copy.settle(copy.master.execute("INSERT INTO t VALUES (2)"))
    same(copy, "t")


@pytest.mark.parametrize("with_log", [False, True])
def test_files_of_a_stopped_copy_become_no_database(copy: Pair, with_log: bool) -> None:
    """Nothing of them is in SQLite: a command that took them for a primary's would make an empty one."""
    position = copy.master.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
    follower = copy.start()
    if with_log:
        position = copy.master.execute("INSERT INTO kept VALUES (1)")
    copy.settle(position)
    follower.stop()
    assert bool(follower.wal.stat().st_size) == with_log
    before = looks(follower.folder)
    for words in (["SELECT 1"], ["CREATE TABLE x (a)"], ["--create"], ["--rebuild"]):
        said = run_command("exec", "--db", follower.database, *words, code=78)
        assert "is the log of a copy in PostgreSQL" in said
    assert "in PostgreSQL" in run_command("promote", "--force", "--db", follower.database, code=78)
    for role in (["master", "--listen", "127.0.0.1:0"], ["follower", "--master", "127.0.0.1:1"]):
        other = Server(follower.folder.parent, role[0] + "-there", *role)
        other.database = follower.database
        other._words[other._words.index("--db") + 1] = str(follower.database)
        other.launch()
        assert other.exit_code() == 78
        assert "is the log of a copy in PostgreSQL" in other.output()
    assert looks(follower.folder) == before | {"output": looks(follower.folder)["output"]}
    follower.start()
    copy.settle(copy.master.execute("INSERT INTO kept VALUES (2)"))
    assert copy.database.query("SELECT max(id) FROM kept") == [(2,)]


@pytest.mark.parametrize("role", ["follower", "subscriber"])
def test_a_locked_table_is_named_with_its_server_until_it_is_free(
    tmp_path: Path, database: Database, role: str
) -> None:
    pair = Pair(tmp_path, database, role)
    try:
        write = pair.master.execute
        write("CREATE TABLE held (id INTEGER PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE held")
        copy = pair.start()
        pair.settle(write("INSERT INTO held VALUES (1)"))
        with database.server.connect(database.name) as other:
            other.execute("BEGIN")
            other.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            position = write("INSERT INTO held VALUES (2)")
            (problem,) = until(lambda: copy.status()["problems"], copy.output)
            other.execute("ROLLBACK")
        assert problem["kind"] == "delayed"
        assert "has waited for postgresql://" in problem["reason"]
        pair.settle(position)
        until(lambda: not copy.status()["problems"], copy.output)
    finally:
        pair.stop()
