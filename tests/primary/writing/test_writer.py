"""The writer: groups, failures, and the agreement of database, log and copy."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.targets.stored_state import begin_subscription
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    EngineFailed,
    LocalFilesDamaged,
    LoggedNotApplied,
    StatementFailed,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.log.reader import Damage, scan_log
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.sqlite import state as sqlite_state
from tests.primary.copying import Writer, assert_same_on_copy, logged, opened

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)"


def assert_rows(found: list[str], beginning: str, count: int) -> None:
    """Some statements of a log are rows of one kind."""
    assert [sql.startswith(beginning) for sql in found] == [True] * count, found


def requests(*texts: str) -> list[Request]:
    """One request for each text; a text with semicolons is a transaction."""
    return [
        Request(tuple(text.split("; ")), transaction=True) if "; " in text else Request((text,)) for text in texts
    ]


# -- what is written ------------------------------------------------------------------------------------------


def test_positions_are_those_behind_each_request(tmp_path: Path) -> None:
    """Each answer's position is where its last record ends; the last one is the log's length."""
    with opened(tmp_path, TABLE) as writer:
        answers = writer.run(requests("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 2); DELETE FROM t"))
        positions = [answer.position for answer in answers if isinstance(answer, Written)]
        assert writer.logged()[1:] == [
            "INSERT INTO t(id,a)VALUES(1,1)",
            "BEGIN",
            "INSERT INTO t(id,a)VALUES(2,2)",
            "DELETE FROM t WHERE id=1",
            "DELETE FROM t WHERE id=2",
            "COMMIT",
        ]
        assert len(positions) == 2
        assert positions[1] == writer.position == writer.paths.wal.stat().st_size
        report = scan_log(writer.paths.wal, start=positions[0])
        assert (report.records, report.damage) == (5, Damage.NONE)


def test_a_group_shares_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests a group has, the log is synced once."""
    synced = []
    real = os.fdatasync
    with opened(tmp_path, TABLE) as writer:
        monkeypatch.setattr(os, "fdatasync", lambda handle: (synced.append(handle), real(handle)))
        writer.run(requests(*(f"INSERT INTO t VALUES ({i}, {i})" for i in range(200))))
    assert len(synced) == 1


def test_the_log_is_durable_before_the_database_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the fsync the log is whole, and nobody sees the row yet."""
    seen = []
    real = os.fdatasync
    with opened(tmp_path, TABLE) as writer:

        def look(handle: int) -> None:
            real(handle)
            seen.append((logged(writer.paths.wal)[-1], writer.rows("SELECT count(*) FROM t")))

        monkeypatch.setattr(os, "fdatasync", look)
        writer.execute("INSERT INTO t VALUES (1, 1)")
    assert seen == [("INSERT INTO t(id,a)VALUES(1,1)", [(0,)])]


def test_returning_gives_rows(tmp_path: Path) -> None:
    """RETURNING works, alone and in a transaction."""
    with opened(tmp_path, TABLE) as writer:
        (result,) = writer.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y') RETURNING id, a").results
        assert (result.columns, result.rows) == (("id", "a"), [(1, "x"), (2, "y")])
        answer = writer.transaction("DELETE FROM t WHERE id = 1", "UPDATE t SET a = 'z' RETURNING a")
        assert [result.rows for result in answer.results] == [[("z",)]]
        assert_same_on_copy(writer)


def test_a_statement_that_changes_nothing_is_not_logged(tmp_path: Path) -> None:
    """Its position is the one that it saw."""
    with opened(tmp_path, TABLE) as writer:
        before = writer.position
        for sql in ("UPDATE t SET a = 1", "DROP TABLE IF EXISTS nowhere", "CREATE TABLE IF NOT EXISTS t (x)"):
            assert writer.execute(sql).position == before
        assert writer.paths.wal.stat().st_size == before


def test_long_statements_are_compressed(tmp_path: Path) -> None:
    """They come back whole."""
    sql = f"INSERT INTO t VALUES (1, '{'many words ' * 1000}')"
    with opened(tmp_path, TABLE) as writer:
        writer.execute(sql)
        assert writer.logged()[-1] == f"INSERT INTO t(id,a)VALUES(1,'{'many words ' * 1000}')"
        assert writer.paths.wal.stat().st_size < 3000


# -- failures of statements -----------------------------------------------------------------------------------


def test_a_failing_request_leaves_the_others_alone(tmp_path: Path) -> None:
    """It is undone alone, whatever kind of failure it is."""
    with opened(tmp_path, TABLE) as writer:
        answers = writer.run(
            requests(
                "INSERT INTO t VALUES (1, 1)",
                "INSERT INTO t VALUES (2, 2); INSERT INTO t VALUES (3, 1)",
                "INSERT OR FAIL INTO t VALUES (4, 4), (5, 1)",
                "INSERT INTO nowhere VALUES (1)",
                "UPDATE t SET a = nothing()",
                "INSERT INTO t VALUES (6, 6)",
            )
        )
        assert [isinstance(answer, Written) for answer in answers] == [True, False, False, False, False, True]
        assert writer.rows("SELECT id FROM t") == [(1,), (6,)]
        assert_same_on_copy(writer)


@pytest.mark.parametrize("conflict", ["INSERT OR ROLLBACK INTO t VALUES (9, 1)", "INSERT INTO u VALUES (1)"])
def test_a_failure_that_ends_the_transaction(tmp_path: Path, conflict: str) -> None:
    """ON CONFLICT ROLLBACK and RAISE(ROLLBACK) would take the other requests of the group with them."""
    with opened(tmp_path, TABLE, "CREATE TABLE u (a)") as writer:
        writer.execute("CREATE TRIGGER r BEFORE INSERT ON u BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
        answers = writer.run(
            requests(
                "INSERT INTO t VALUES (1, 1)",
                "INSERT INTO t (a) VALUES (hex(randomblob(4)))",
                conflict,
                "INSERT INTO t VALUES (3, 3); " + conflict,
                "INSERT INTO t VALUES (4, 4)",
            )
        )
        assert [type(answer) for answer in answers] == [
            Written,
            Written,
            StatementFailed,
            StatementFailed,
            Written,
        ]
        assert writer.rows("SELECT id FROM t") == [(1,), (2,), (4,)]
        assert_same_on_copy(writer)


def test_a_failure_names_statement_and_number(tmp_path: Path) -> None:
    """The text is the caller's own."""
    with opened(tmp_path, TABLE) as writer:
        with pytest.raises(StatementFailed, match="no such table: nowhere") as caught:
            writer.transaction("DELETE FROM t", "DELETE FROM nowhere WHERE a < CURRENT_DATE")
        assert caught.value.number == 2
        assert caught.value.sql == "DELETE FROM nowhere WHERE a < CURRENT_DATE"


def test_stopping_at_a_failure(tmp_path: Path) -> None:
    """What follows the failure is left out, and has no answer."""
    with opened(tmp_path, TABLE) as writer:
        answers = writer.run(
            requests("INSERT INTO t VALUES (1, 1)", "x", "INSERT INTO t VALUES (2, 2)"), stop_at_failure=True
        )
        assert len(answers) == 2
        assert writer.rows("SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT INTO 'spgrepl_replay' SELECT 2, 'x', 0, 0, 0, 0", "belongs to spgrepl"),
        ("UPDATE OR REPLACE 'spgrepl_replay' SET position = 1", "belongs to spgrepl"),
        ("INSERT INTO t SELECT 1, position FROM v", "belongs to spgrepl"),
        ("ALTER TABLE t RENAME TO 'spgrepl_x'", "belong to spgrepl"),
        ("CREATE TABLE spgrepl_x (a)", "belongs to spgrepl"),
        ("CREATE TABLE 'SPGREPL_x' AS SELECT 1", "belongs? to spgrepl"),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM spgrepl_replay; END", "belongs to spgrepl"),
        ("CREATE TEMP TABLE x (a)", "temporary"),
        ("CREATE TABLE temp.x (a)", "temporary"),
        ("CREATE TEMP VIEW x AS SELECT 1", "temporary"),
        ("INSERT INTO t VALUES (1, load_extension('x'))", "not authorized"),
        ("INSERT INTO t VALUES (?, 1)", "bindings"),
        ("INSERT INTO t VALUES (8, 1) RETURNING CAST(x'ff' AS TEXT)", "not UTF-8"),
        ("INSERT INTO t VALUES (8, '\udc80')", "not valid Unicode"),
    ],
)
def test_what_is_refused(tmp_path: Path, sql: str, message: str) -> None:
    """Seen through views and triggers; nothing of it stays, and the next request works."""
    database = tmp_path / "primary.db"
    with closing(sqlite3.connect(database)) as connection:
        # Made before spgrepl: it would refuse the view.
        connection.execute("CREATE VIEW v AS SELECT * FROM spgrepl_replay")
    with opened(tmp_path, TABLE, "INSERT INTO t VALUES (7, 'now')") as writer:
        before = writer.position
        with pytest.raises(StatementFailed, match=message):
            writer.execute(sql)
        assert writer.position == before
        assert writer.rows("SELECT * FROM t") == [(7, "now")]
        writer.execute("INSERT INTO t VALUES (9, 9)")


def test_schema_changes_of_all_kinds(tmp_path: Path) -> None:
    """What SQLite itself reads and calls for them is not refused."""
    with opened(tmp_path, TABLE, "INSERT INTO t VALUES (1, '2020-01-01')") as writer:
        for sql in (
            "ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'x' CHECK (b <> '')",
            "ALTER TABLE t RENAME COLUMN a TO c",
            "ALTER TABLE t DROP COLUMN b",
            "CREATE INDEX i ON t (date(c)) WHERE c > date('2000-01-01')",
            "CREATE VIEW v AS SELECT c, random() AS r FROM t",
            "CREATE VIRTUAL TABLE f USING fts5(words)",
            "INSERT INTO f VALUES ('a few words')",
            "INSERT INTO t SELECT value + 10, key FROM json_each('[1, 2]')",
            "ANALYZE",
            "REINDEX",
            "CREATE TABLE g (a INTEGER PRIMARY KEY AUTOINCREMENT, b ANY) STRICT",
            "CREATE TABLE h AS SELECT c, CURRENT_DATE AS d FROM t",
            "DROP INDEX i",
        ):
            writer.execute(sql)
        assert_same_on_copy(writer)


values = st.sampled_from(
    [
        *("1", "NULL", "random()", "'x'", "CURRENT_TIMESTAMP", "datetime('now', '-1 day')", "changes()"),
        *("0.0", "-0.0", "1e999", "x'00'", "char(0)", "CAST(x'ff' AS TEXT)"),
    ]
)
statements = st.one_of(
    st.lists(values, min_size=1, max_size=3).map(
        lambda found: "INSERT INTO t (a) VALUES " + ", ".join(f"({value})" for value in found)
    ),
    values.map(lambda value: f"UPDATE t SET a = {value} WHERE id % 2"),
    values.map(lambda value: f"INSERT INTO t (a, at) SELECT {value}, id FROM t LIMIT 3"),
    st.sampled_from(
        [
            "INSERT INTO t DEFAULT VALUES",
            "DELETE FROM t WHERE id > 5",
            "INSERT INTO t (a) VALUES (last_insert_rowid())",
            "UPDATE t SET n = last_insert_rowid()",
            "INSERT INTO t (a) SELECT 1",
            "INSERT OR ROLLBACK INTO t (id) VALUES (1)",
            "INSERT OR REPLACE INTO t (id, at) VALUES (1, NULL)",
            "DROP TABLE IF EXISTS u",
            "CREATE TABLE IF NOT EXISTS u AS SELECT a, date() AS d FROM t",
        ]
    ),
)
groups = st.lists(st.lists(st.lists(statements, min_size=1, max_size=3), min_size=1, max_size=4), max_size=5)


@settings(max_examples=60)
@given(groups)
def test_a_copy_is_always_the_same(tmp_path_factory: pytest.TempPathFactory, work: list[list[list[str]]]) -> None:
    """Whatever is asked for, in whatever groups: the log alone makes the same database."""
    table = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, n INT DEFAULT (abs(random())), "
        "at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
    )
    with opened(tmp_path_factory.mktemp("same"), table) as writer:
        for group in work:
            writer.run([Request(tuple(texts), transaction=len(texts) > 1) for texts in group])
        assert_same_on_copy(writer)


# -- opening --------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """By the name of the file, the process and its purpose."""
    with (
        opened(tmp_path) as writer,
        pytest.raises(DatabaseLocked, match=rf"{os.getpid()} \(writes .*primary\.db\)"),
    ):
        DatabaseWriter(writer.paths).open()


def test_a_plain_database_is_adopted(tmp_path: Path) -> None:
    """Its rows stay, its log begins at 0; it is put into WAL mode."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    with closing(sqlite3.connect(paths.database)) as connection:
        connection.executescript("CREATE TABLE old (a); INSERT INTO old VALUES (1)")
    with opened(tmp_path) as writer:
        assert writer.position == 0
        writer.execute("INSERT INTO old VALUES (2)")
        assert writer.rows("SELECT a FROM old") == [(1,), (2,)]
        assert writer.rows("PRAGMA journal_mode") == [("wal",)]
        assert paths.cluster_id.stat().st_size == 8


def refused(paths: DatabasePaths, error: type[Exception], message: str) -> None:
    """Opening fails, and changes neither the database nor the log."""
    before = {path.name: path.read_bytes() for path in (paths.database, paths.wal) if path.exists()}
    with pytest.raises(error, match=message):
        DatabaseWriter(paths).open()
    assert {path.name: path.read_bytes() for path in (paths.database, paths.wal) if path.exists()} == before
    # The lock was given back: only the reason of the refusal keeps the next one out.
    with pytest.raises(error, match=message):
        DatabaseWriter(paths).open()


def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    """Neither an empty database nor a strange one is put beside it."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    paths.wal.write_bytes(encode_v2(b"CREATE TABLE t(a)"))
    refused(paths, LocalFilesDamaged, "its database .* is missing")
    with closing(sqlite3.connect(paths.database)) as connection:
        connection.execute("CREATE TABLE t (a)")
    refused(paths, LocalFilesDamaged, "was not written beside it")


def test_a_followers_copy_is_refused(tmp_path: Path) -> None:
    """Its rows come from its master."""
    paths = DatabasePaths.of(tmp_path / "copy.db")
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, ReplayState(5, 5))
    refused(paths, ConfigurationError, "is a follower's copy")


def test_the_database_of_a_subscriber_is_refused(tmp_path: Path) -> None:
    """Its subscriber writes it beside any log: copies would lack rows, and the subscriber could not go on."""
    paths = DatabasePaths.of(tmp_path / "reports.db")
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        begin_subscription(connection, "news", SubscriptionState(("p",), 0, 5))
    refused(paths, ConfigurationError, "is written by the subscriber of 'news', whose rows stand in no log")
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM spgrepl_subscriber")
    writer = DatabaseWriter(paths)
    writer.open()
    writer.close()


def test_another_file_is_refused(tmp_path: Path) -> None:
    """What is not a database is named."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    paths.database.write_bytes(b"no database at all, by any means" * 100)
    refused(paths, LocalFilesDamaged, "file is not a database")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(ConfigurationError, match="nowhere is not a folder"):
        DatabaseWriter(DatabasePaths.of(tmp_path / "nowhere" / "primary.db")).open()


# -- a disk that refuses --------------------------------------------------------------------------------------


def test_a_log_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole group fails, what stands there is replaced by a mark of its length, and the next one works."""
    with opened(tmp_path, TABLE) as writer:
        before = writer.position

        def fail(_handle: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            answers = writer.run(requests("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 2)"))
        assert [type(answer) for answer in answers] == [EngineFailed, EngineFailed]
        refused = sum(len(encode_statement(b"INSERT INTO t(id,a)VALUES(%d,%d)" % (n, n))) for n in (1, 2))
        assert writer.paths.wal.stat().st_size == before + refused
        assert writer.rows("SELECT * FROM t") == []
        writer.execute("INSERT INTO t VALUES (3, 3)")
        beginnings = ["/* spgrepl: refused ", "/* spgrepl: the disk refused", "INSERT INTO t(id,a)VALUES(3,3)"]
        found = writer.logged()[1:]
        assert [sql[: len(text)] for sql, text in zip(found, beginnings, strict=True)] == beginnings
        assert_same_on_copy(writer)


def test_a_log_that_can_neither_be_written_nor_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands after its end is unknown: everything is refused until it is opened again."""
    with opened(tmp_path, TABLE) as writer:

        def fail(*_arguments: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            patched.setattr(os, "fsync", fail)
            with pytest.raises(LocalFilesDamaged, match="not be taken back"):
                writer.execute("INSERT INTO t VALUES (1, 1)")
        with pytest.raises(LocalFilesDamaged, match="open the database again"):
            writer.execute("INSERT INTO t VALUES (2, 2)")
    with opened(tmp_path) as writer:
        writer.execute("INSERT INTO t VALUES (3, 3)")
        assert_same_on_copy(writer)


def test_a_database_held_by_another_program(tmp_path: Path) -> None:
    """The request fails after a while; when the other one is done, the next works."""
    with opened(tmp_path, TABLE) as writer:
        writer._session().connection.execute("PRAGMA busy_timeout = 10")
        with closing(apsw.Connection(str(writer.paths.database))) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(EngineFailed, match="locked"):
                writer.execute("INSERT INTO t VALUES (1, 1)")
        writer.execute("INSERT INTO t VALUES (2, 2)")
        assert_same_on_copy(writer)


def test_another_program_that_writes(tmp_path: Path) -> None:
    """What it wrote is in no log: that is told loudly, once, and a reader alone is no reason."""
    told: list[LogEvent] = []
    with opened(tmp_path, TABLE) as writer, closing(apsw.Connection(str(writer.paths.database))) as other:
        globalLogPublisher.addObserver(told.append)
        try:
            other.execute("SELECT * FROM t").fetchall()
            writer.execute("INSERT INTO t VALUES (1, 1)")
            assert told == []
            other.execute("CREATE TABLE u (a, b DEFAULT CURRENT_DATE)")
            writer.execute("INSERT INTO u (a) VALUES (1)")
            writer.execute("INSERT INTO u (a) VALUES (2)")
        finally:
            globalLogPublisher.removeObserver(told.append)
        (event,) = told
        assert "another program has changed" in (formatEvent(event) or "")
        assert_rows(writer.logged()[-2:], "INSERT INTO u(rowid,a,b)VALUES(", 2)


FULL_DISK = """
    import random, resource, signal, sys
    from pathlib import Path
    from spgrepl.errors import EngineFailed, LoggedNotApplied
    from spgrepl.disk.files import DatabasePaths
    from spgrepl.primary.parts.requests import Request
    from spgrepl.primary.parts.requests import Written
    from spgrepl.primary.writing.writer import DatabaseWriter

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database, wal, filling = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    writer = DatabaseWriter(DatabasePaths.of(database, wal))
    writer.open()
    def put(sql):
        return writer.run([Request((sql,))])[0]
    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    put("CREATE TABLE t (a)")
    # Makes the log longer than the database's files, and changes nothing.
    put("PRAGMA user_version /* " + random.Random(1).randbytes(filling).hex() + " */ = 1")
    writer._session().connection.execute("PRAGMA wal_autocheckpoint = 5")
    for more in range(0, 20_000, 2_777):
        longest = max(path.stat().st_size for path in database.parent.iterdir())
        limit(longest + more)
        for number in range(8):
            answer = put("INSERT INTO t VALUES (hex(randomblob(1200)))")
            if isinstance(answer, LoggedNotApplied):
                assert "do not repeat" in str(answer)
            elif not isinstance(answer, Written):
                assert isinstance(answer, EngineFailed), answer
            print(type(answer).__name__)
        limit(resource.RLIM_INFINITY)
        assert isinstance(put("INSERT INTO t VALUES ('between')"), Written)
    writer.close()
"""


@pytest.mark.parametrize(
    ("filling", "expected"),
    [(0, {"Written", "EngineFailed", "LoggedNotApplied"}), (150_000, {"Written", "EngineFailed"})],
)
def test_a_full_disk(tmp_path: Path, filling: int, expected: set[str]) -> None:
    """Files that may grow no further than so: what is refused leaves no trace, and all goes on afterwards."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert soft == resource.RLIM_INFINITY
    paths = DatabasePaths.of(tmp_path / "primary.db")
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), paths.database, paths.wal, str(filling)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answers = ended.stdout.split()
    assert set(answers) == expected
    assert scan_log(paths.wal).damage is Damage.NONE
    writer = Writer(paths)
    writer.open()
    (rows,) = writer.rows("SELECT count(*) FROM t WHERE a <> 'between'")
    assert rows == (len(answers) - answers.count("EngineFailed"),)
    assert_same_on_copy(writer)
    writer.close()


def test_a_commit_that_fails_behind_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the statement: it is run again, before the answer or before the next group."""
    with opened(tmp_path, TABLE) as writer:
        session = writer._session()
        real = type(session).commit
        failures = iter([True, False, True, True])

        def commit(self: object) -> None:
            if next(failures, False):
                raise EngineFailed("the disk is full")
            real(session)

        monkeypatch.setattr(type(session), "commit", commit)
        assert isinstance(writer.execute("INSERT INTO t VALUES (1, 1)"), Written)
        with pytest.raises(LoggedNotApplied, match="do not repeat") as caught:
            writer.execute("INSERT INTO t VALUES (2, 2)")
        assert caught.value.position == writer.paths.wal.stat().st_size
        assert writer.rows("SELECT id FROM t") == [(1,)]
        writer.transaction("INSERT INTO t VALUES (3, 3)", "DELETE FROM t WHERE id = 1")
        assert writer.rows("SELECT id FROM t") == [(2,), (3,)]
        assert_same_on_copy(writer)


def test_a_row_that_is_too_long(tmp_path: Path) -> None:
    """Each row must fit into a record; the statement that makes it may be longer, or much shorter."""
    writer = DatabaseWriter(DatabasePaths.of(tmp_path / "primary.db"), max_record=2000)
    writer.open()
    sqls = ["CREATE TABLE t (a)", *(f"INSERT INTO t VALUES (zeroblob({n}))" for n in (900, 1100, 10**10))]
    answers = writer.run([Request((sql,)) for sql in sqls])
    assert [type(answer) for answer in answers] == [Written, Written, *[StatementFailed] * 2]
    assert "takes 2235 bytes in the log" in str(answers[2])
    assert "too big" in str(answers[3])
    (answer,) = writer.run([Request(("INSERT INTO t VALUES " + ", ".join(["(1)"] * 1000),))])
    assert isinstance(answer, Written)
    writer.close()
