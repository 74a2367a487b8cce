"""What one commit to a real PostgreSQL is, and what it costs; what an initial copy takes, and what it refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import CopyRefused, EngineFailed, LocalFilesDamaged, StatementRefused, TableMismatch
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.snapshot_copy import SnapshotCopy
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.postgresql.conftest import Database


@pytest.fixture
def engine(tmp_path: Path, database: Database) -> Iterator[PostgresqlEngine]:
    snapshot = tmp_path / "snapshot"
    with closing(sqlite3.connect(snapshot)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    made.install_snapshot(snapshot, ReplayState(10, 10))
    made.begin()
    made.execute([ROWS_FROM_HERE])
    made.commit(ReplayState(20, 10))
    yield made
    made.close()


def insert(number: int) -> bytes:
    return f"INSERT INTO t(id,name)VALUES({number},'x')".encode()


def test_a_commit_from_a_position_that_was_moved_keeps_nothing(
    engine: PostgresqlEngine, database: Database
) -> None:
    engine.begin()
    engine.execute([insert(1)])
    database.query("UPDATE spgrepl.copies SET position = 99")
    with pytest.raises(LocalFilesDamaged, match="is not at position 20, where it was left"):
        engine.commit(ReplayState(30, 10))
    engine.rollback()
    assert database.query("SELECT count(*) FROM t") == [(0,)]
    assert database.query("SELECT position FROM spgrepl.copies") == [(99,)]


def test_one_row_is_two_ways_there_and_back(engine: PostgresqlEngine, database: Database, tmp_path: Path) -> None:
    engine.begin()
    engine.execute([insert(1)])
    engine.commit(ReplayState(30, 10))
    pgconn = engine._server.session.open().pgconn
    with open(tmp_path / "trace", "wb") as trace:
        pgconn.trace(trace.fileno())
        engine.begin()
        engine.execute([insert(2)])
        engine.commit(ReplayState(40, 10))
        pgconn.untrace()
    assert (tmp_path / "trace").read_text().count("ReadyForQuery") == 2
    assert database.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_refused_row_leaves_the_next_transaction_as_it_was(engine: PostgresqlEngine, database: Database) -> None:
    for before in ([], [insert(5)]):
        engine.begin()
        with pytest.raises(StatementRefused):
            engine.execute([*before, b"INSERT INTO t(id,name)VALUES('no',NULL)"])
        engine.rollback()
    engine.begin()
    engine.commit(ReplayState(30, 10))
    engine.begin()
    engine.execute([insert(number) for number in range(100)])
    engine.commit(ReplayState(40, 10))
    assert database.query("SELECT count(*), sum(id) FROM t") == [(100, 4950)]
    assert database.query("SELECT position FROM spgrepl.copies") == [(40,)]


def test_a_connection_that_ends_before_the_commit_loses_all_of_it(
    engine: PostgresqlEngine, database: Database
) -> None:
    engine.begin()
    engine.execute([insert(1)])
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'spgrepl copy%%'"
    )
    with pytest.raises(EngineFailed, match="lost"):
        engine.commit(ReplayState(30, 10))
    assert engine.reopen() == ReplayState(20, 10)
    assert database.query("SELECT count(*) FROM t") == [(0,)]


def test_commits_carry_the_masters_position(engine: PostgresqlEngine, database: Database, tmp_path: Path) -> None:
    """For whoever decodes the server's log."""
    engine.begin()
    engine.execute([insert(1)])
    engine.commit(ReplayState(0x1_0000_0002, 100))
    query = "SELECT remote_lsn::text FROM pg_replication_origin_status WHERE external_id = 'spgrepl_copy_follower'"
    assert database.query(query) == [("1/2",)]


# -- the initial copy -----------------------------------------------------------------------------------------


def made(path: Path, *statements: str) -> Path:
    """A database in which these were run."""
    with closing(sqlite3.connect(path)) as source, source:
        for statement in statements:
            source.execute(statement)
    return path


@pytest.fixture
def target(database: Database) -> Iterator[PostgresqlTarget]:
    one = PostgresqlTarget(ServerAddress.parse(database.url), "s")
    one.open()
    yield one
    one.close()


COPIED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, x TEXT)",
    "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')",
)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO t VALUES (7, 'seven', 'x')", "table t, row id=7, column n: the text 'seven' does not fit"),
        (
            "INSERT INTO t VALUES (7, 7, CAST(x'ff' AS TEXT))",
            "row id=7, column x: the text b'\\xff', which is not UTF-8",
        ),
        ("INSERT INTO t VALUES (7, 7, 'a' || char(0))", "row id=7, column x: the text 'a\\x00' holds a zero byte"),
        ("INSERT INTO t VALUES (7, 7, x'00')", "row id=7, column x: the blob b'\\x00' does not fit the type text"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_nothing_is_copied(
    statement: str, said: str, target: PostgresqlTarget, database: Database, tmp_path: Path
) -> None:
    path = made(tmp_path / "received", *COPIED, statement)
    with pytest.raises(CopyRefused) as refused:
        target.copy_snapshot(path, (), 0)
    assert said in str(refused.value)
    assert database.query("SELECT to_regclass('t')") == [(None,)]


def test_a_table_that_is_there_is_used_where_it_matches(
    target: PostgresqlTarget, database: Database, tmp_path: Path
) -> None:
    database.query("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, x varchar(9), at timestamptz DEFAULT now())")
    target.copy_snapshot(made(tmp_path / "received", *COPIED), (), 0)
    assert database.query("SELECT id, n, x, at IS NOT NULL FROM t ORDER BY id") == [
        (1, 1, "a", True),
        (2, 2, "b", True),
    ]


def test_rows_that_go_out_binary_are_what_they_were(database: Database, tmp_path: Path) -> None:
    """Each type that has a binary form, its least and greatest values, and a server whose text is no UTF-8."""
    columns = "id bigint PRIMARY KEY, n2 smallint, n4 numbered, f float8, ok boolean, x varchar, b bytea"
    rows = [
        (-(2**63), -(2**15), -(2**31), 5e-324, 0, "", b""),
        (0, 0, None, 0.1, None, "é\t\\N\n", b"\0\xff"),
        (1, None, 0, float("-inf"), 1, None, None),
        (2, 1, -1, 2.0**60, 1, "\u007f", b"PGCOPY\n\xff\r\n"),
        (2**63 - 1, 2**15 - 1, 2**31 - 1, 1.7976931348623157e308, 0, "ÿ" * 3000, bytes(200_000)),
    ]
    path = tmp_path / "received"
    with closing(sqlite3.connect(path)) as source, source:
        source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n2 INT, n4 INT, f REAL, ok BOOL, x TEXT, b BLOB)")
        source.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    url = database.server.new_database("latin", "template0", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    for one in (database, Database(database.server, "latin", url)):
        one.query("CREATE DOMAIN numbered AS integer")
        one.query(f"CREATE TABLE t ({columns})")
        with closing(PostgresqlTarget(ServerAddress.parse(one.url), "s")) as target:
            target.open()
            target.copy_snapshot(path, (), 0)
        assert one.query("SELECT * FROM t ORDER BY id") == rows


SERVERS = [
    ("CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)", False, "CockroachDB", "24.1.0", False),
    ("PostgreSQL 11.2-YB-2.20.1.3-b0 on x86_64-pc-linux-gnu", False, "YugabyteDB", "2.20.1.3", True),
    ("PostgreSQL 15.6 on x86_64-pc-linux-gnu", True, "Citus", "15.6", True),
    ("Something 7.1 that speaks the protocol", False, "Something", "", True),
]


@pytest.mark.parametrize(("version", "citus", "name", "number", "locks"), SERVERS)
def test_a_server_that_says_it_is_another_one_gets_what_it_can_do(
    version: str, citus: bool, name: str, number: str, locks: bool, database: Database, tmp_path: Path
) -> None:
    """PostgreSQL itself, in which other words of its catalogue stand before its own."""
    database.query("DROP SCHEMA IF EXISTS words CASCADE")
    database.query("CREATE SCHEMA words")
    database.query(f"CREATE FUNCTION words.version() RETURNS text LANGUAGE sql AS $$ SELECT '{version}' $$")
    if citus:
        database.query("CREATE TABLE words.pg_extension AS SELECT 'citus' AS extname")
    url = f"{database.url}&options=-c%20search_path%3Dwords,pg_catalog,public"
    database.query("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, x text)")
    with closing(PostgresqlTarget(ServerAddress.parse(url), "s")) as target:
        target.open()
        target.copy_snapshot(made(tmp_path / "received", *COPIED), (), 0)
        target.begin()
        target.execute([b"INSERT INTO t(id,n,x)VALUES(3,3,'c')"], {}, rows=True)
        target.commit(SubscriptionState((), 0, 100))
        server: Any = target.statistics()["server"]
        assert (server["name"], server["version"]) == (name, number)
        assert any("advisory" in one for one in server["absent"]) is not locks
        assert database.query("SELECT count(*) FROM spgrepl.leases") == [(0 if locks else 1,)]
    assert database.query("SELECT * FROM t ORDER BY id") == [(1, 1, "a"), (2, 2, "b"), (3, 3, "c")]
    database.query("DROP SCHEMA words CASCADE")


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)",), "it has no column x there"),
        (("CREATE TABLE t (id bigint, n bigint PRIMARY KEY, x text)",), "its primary key is on n there and on id"),
        (
            ("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, x text, y text NOT NULL)",),
            "its column y needs a value, and the master's table has no such column",
        ),
        (
            ("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, x text)", "INSERT INTO t VALUES (9, 9, 'z')"),
            "holds rows, where none are expected",
        ),
        (("CREATE VIEW t AS SELECT 1 AS id, 2 AS n, 'a' AS x",), "it is not a table there"),
    ],
)
def test_a_table_that_is_another_one_is_refused_by_name(
    statements: tuple[str, ...], said: str, target: PostgresqlTarget, database: Database, tmp_path: Path
) -> None:
    for statement in statements:
        database.query(statement)
    with pytest.raises(TableMismatch, match=f"the table t of the master is in .*{said}"):
        target.copy_snapshot(made(tmp_path / "received", *COPIED), (), 0)
    assert database.query("SELECT count(*) FROM spgrepl.subscriptions") == [(0,)]


def test_a_copy_whose_connection_ends_leaves_nothing_and_is_made_again(
    target: PostgresqlTarget, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "received", *COPIED)
    finish = SnapshotCopy._finish

    def cut(copying: SnapshotCopy, *words: Any) -> None:
        database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        finish(copying, *words)

    monkeypatch.setattr(SnapshotCopy, "_finish", cut)
    with pytest.raises(EngineFailed, match="was lost"):
        target.copy_snapshot(path, (), 0)
    assert database.query("SELECT to_regclass('t')") == [(None,)]
    monkeypatch.undo()
    assert target.reopen() is None
    target.copy_snapshot(path, (), 0)
    assert database.query("SELECT count(*) FROM t") == [(2,)]
    assert target.statistics()["copied"]["rows"] == 2  # type: ignore[index]


def test_a_subscriber_says_which_ddl_to_run(target: PostgresqlTarget, database: Database, tmp_path: Path) -> None:
    target.copy_snapshot(made(tmp_path / "received", *COPIED), (), 0)
    for statement, rows, said in (
        (b"ALTER TABLE t ADD COLUMN y INT", False, "run ALTER TABLE t ADD COLUMN y INT in the server yourself"),
        (b"INSERT INTO t(id,n,x,y)VALUES(3,3,'c',3)", True, "ALTER TABLE"),
    ):
        target.begin()
        target.execute([statement], {}, rows)
        with pytest.raises(StatementRefused, match=said):
            target.commit(SubscriptionState((), 0, 100))
        target.rollback()


def test_two_databases_of_one_server_have_a_copy_each(engine: PostgresqlEngine, database: Database) -> None:
    """A replication origin is of the whole server: the second copy has one of its own."""
    other = PostgresqlEngine(ServerAddress.parse(database.server.new_database("beside")))
    other.open()
    query = "SELECT roname FROM pg_replication_origin ORDER BY 1"
    assert [row for row in database.query(query) if "copy" in str(row[0])] == [
        ("spgrepl_copy_follower",),
        ("spgrepl_copy_follower@beside",),
    ]
    engine.begin()
    engine.execute([insert(1)])
    engine.commit(ReplayState(30, 10))
    other.close()
    database.server.query("postgres", "DROP DATABASE beside WITH (FORCE)")
