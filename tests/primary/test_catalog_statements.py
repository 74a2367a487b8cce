"""Publications and subscriptions on a primary: judged, logged, undone, recovered, and on copies."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.base.results import QueryResult
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import EngineFailed, LoggedNotApplied, StatementFailed
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.primary.running.session import WriterSession
from spgrepl.sqlite.database_copy import save_database
from tests.primary.copying import Writer, opened
from tests.replica.following import copies

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
PUBLICATIONS = "SHOW PUBLICATIONS"
SUBSCRIBE = "CREATE SUBSCRIPTION s CONNECTION 'host=h port=1' PUBLICATION p, q"


def shown(writer: Writer, what: str = "PUBLICATIONS") -> list[object]:
    """The names that SHOW gives, to the writer and beside it."""
    (inside,) = writer.execute(f"SHOW {what}").results
    with closing(DatabaseReader(writer.paths.database)) as reader:
        assert reader.query(f"SHOW {what}") == inside
    return [row[0] for row in inside.rows]


# -- accepted and refused -------------------------------------------------------------------------------------


def test_what_is_accepted_is_logged_and_shown(tmp_path: Path) -> None:
    """As it was written, in the log's order; the position is behind it."""
    with opened(tmp_path, TABLE) as writer:
        before = writer.position
        answer = writer.execute("create publication P for table T;")
        assert before < answer.position == writer.position == writer.paths.wal.stat().st_size
        writer.execute(SUBSCRIBE)
        writer.execute(" -- why\n DROP PUBLICATION p")
        writer.execute("CREATE PUBLICATION p")
        assert writer.logged()[1:] == [
            "create publication P for table T",
            SUBSCRIBE,
            "DROP PUBLICATION p",
            "CREATE PUBLICATION p",
        ]
        assert writer.execute(PUBLICATIONS).results == (
            QueryResult(("name", "scope", "table_count"), [("p", "FOR ALL TABLES", None)]),
        )
        assert writer.execute("SHOW SUBSCRIPTIONS").results[0].rows == [("s", "host=h port=1", "p, q", 1, None)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE PUBLICATION p", "exists already"),
        ("CREATE PUBLICATION q FOR TABLE nowhere", 'no table "nowhere"'),
        ("CREATE PUBLICATION q FOR TABLE", "the list of tables is empty"),
        ("CREATE PUBLICATION q FOR TABLE spgrepl_replay", "belongs to spgrepl"),
        (SUBSCRIBE, "exists already"),
        ("DROP PUBLICATION q", "no publication"),
        ("DROP SUBSCRIPTION q", "no subscription"),
        ("ALTER PUBLICATION p ADD TABLE t", "drop it, and create it again"),
        ("SHOW PUBLICATIONS q", "expected the end"),
        ("DELETE FROM spgrepl_publications", "belongs to spgrepl"),
        ("INSERT INTO t SELECT 1, name FROM spgrepl_subscriptions", "belongs to spgrepl"),
    ],
)
def test_what_is_refused_leaves_no_trace(tmp_path: Path, sql: str, message: str) -> None:
    """The log and the catalogue are as before."""
    with opened(tmp_path, TABLE, "CREATE PUBLICATION p FOR TABLE t", SUBSCRIBE) as writer:
        before = writer.paths.wal.read_bytes()
        with pytest.raises(StatementFailed, match=message) as caught:
            writer.execute(sql)
        assert caught.value.sql == sql
        assert writer.paths.wal.read_bytes() == before
        assert (shown(writer), shown(writer, "SUBSCRIPTIONS")) == (["p"], ["s"])


def test_a_drop_of_what_is_not_there_is_logged(tmp_path: Path) -> None:
    """As any statement that changes nothing: its position is behind it."""
    with opened(tmp_path) as writer:
        assert writer.execute("DROP PUBLICATION IF EXISTS p").position == writer.paths.wal.stat().st_size > 0
        assert writer.logged() == ["DROP PUBLICATION IF EXISTS p"]


def test_showing_is_not_logged(tmp_path: Path) -> None:
    """Not alone, not among others; its position is the one that it saw."""
    with opened(tmp_path, TABLE) as writer:
        before = writer.position
        assert writer.execute(PUBLICATIONS).position == before
        assert writer.transaction(PUBLICATIONS, "SHOW SUBSCRIPTIONS").position == before
        assert writer.paths.wal.stat().st_size == before
        answers = writer.run(
            [Request((sql,)) for sql in ("CREATE PUBLICATION p", PUBLICATIONS, "CREATE PUBLICATION q")]
        )
        positions = [answer.position for answer in answers if isinstance(answer, Written)]
        assert before < positions[0] == positions[1] < positions[2] == writer.position
        assert writer.logged()[1:] == ["CREATE PUBLICATION p", "CREATE PUBLICATION q"]


def test_a_group_that_only_looked_keeps_the_fence(tmp_path: Path) -> None:
    """Database and log still prove that they belong together."""
    with opened(tmp_path, TABLE) as writer:
        writer.execute("CREATE PUBLICATION p")
        row = writer.rows("SELECT * FROM spgrepl_replay")
        writer.execute(PUBLICATIONS)
        assert writer.rows("SELECT * FROM spgrepl_replay") == row


# -- transactions ---------------------------------------------------------------------------------------------


def test_inside_a_transaction(tmp_path: Path) -> None:
    """Each statement sees what those before it did; the log has one unit, without what only shows."""
    with opened(tmp_path) as writer:
        answer = writer.transaction(
            TABLE,
            "CREATE PUBLICATION p FOR TABLE t",
            PUBLICATIONS,
            "SAVEPOINT s",
            "CREATE PUBLICATION undone",
            "ROLLBACK TO s",
            "INSERT INTO t VALUES (1, 'a') RETURNING id",
            PUBLICATIONS,
        )
        assert [result.rows for result in answer.results] == [
            [("p", "FOR TABLE t", 1)],
            [(1,)],
            [("p", "FOR TABLE t", 1)],
        ]
        assert writer.logged()[0] == "BEGIN"
        assert writer.logged()[-2:] == ["INSERT INTO t(id,a)VALUES(1,'a')", "COMMIT"]
        assert PUBLICATIONS not in writer.logged()
        assert shown(writer) == ["p"]


def test_a_transaction_that_fails_takes_its_publications_with_it(tmp_path: Path) -> None:
    """Whatever of it fails; the failure is named by its number."""
    with opened(tmp_path, TABLE, "CREATE PUBLICATION old") as writer:
        before = writer.position
        for last in ("CREATE PUBLICATION p", "INSERT INTO nowhere VALUES (1)", "SHOW effective_wal_level"):
            with pytest.raises(StatementFailed) as caught:
                writer.transaction("DROP PUBLICATION old", "CREATE PUBLICATION p", last)
            assert (caught.value.number, caught.value.sql) == (3, last)
        assert (writer.position, shown(writer)) == (before, ["old"])


@pytest.mark.parametrize(
    "sql", ["SHOW effective_wal_level", "SET effective_wal_level TO logical", "WAIT FOR WAL POSITION 5"]
)
def test_what_is_for_a_server_stands_in_no_transaction(tmp_path: Path, sql: str) -> None:
    """It would not be undone, or never end."""
    with opened(tmp_path) as writer, pytest.raises(StatementFailed, match="run this alone, outside of a trans"):
        writer.transaction(sql)


def test_a_failure_that_ends_the_groups_transaction(tmp_path: Path) -> None:
    """What was done before it in the same group is done again, publications too."""
    with opened(tmp_path, TABLE, "INSERT INTO t VALUES (1, 'a')") as writer:
        answers = writer.run(
            [
                Request(("CREATE PUBLICATION p FOR TABLE t",)),
                Request(("INSERT OR ROLLBACK INTO t VALUES (1, 'b')",)),
                Request(("CREATE PUBLICATION q",)),
            ]
        )
        assert [isinstance(answer, Written) for answer in answers] == [True, False, True]
        assert shown(writer) == ["p", "q"]


# -- crashes and disks ----------------------------------------------------------------------------------------


def test_the_catalogue_survives_a_restart(tmp_path: Path) -> None:
    """It is in the database."""
    with opened(tmp_path, TABLE, "CREATE PUBLICATION p FOR TABLE t", SUBSCRIBE) as writer:
        paths = writer.paths
    again = Writer(paths)
    again.open()
    assert (shown(again), shown(again, "SUBSCRIPTIONS")) == (["p"], ["s"])
    with pytest.raises(StatementFailed, match="exists already"):
        again.execute("CREATE PUBLICATION p")
    again.close()


def test_a_crash_between_log_and_commit(tmp_path: Path) -> None:
    """The log is run again, in its order: a ROLLBACK TO undoes what stands before it and nothing else."""
    with opened(tmp_path, TABLE, "CREATE PUBLICATION old") as writer:
        paths = writer.paths
    with open(paths.wal, "ab") as log:
        log.write(encode_statement(b"CREATE PUBLICATION p FOR TABLE t"))
        inside = (
            b"BEGIN",
            b"DROP PUBLICATION old",
            b"SAVEPOINT s",
            b"CREATE PUBLICATION undone",
            b"INSERT INTO t VALUES (1, 'undone')",
            b"ROLLBACK TO s",
            b"CREATE PUBLICATION kept",
            b"INSERT INTO t VALUES (1, 'kept')",
            b"COMMIT",
        )
        log.writelines(map(encode_v2, inside))
        log.writelines(map(encode_v2, (b"BEGIN", b"CREATE PUBLICATION rolled_back", b"ROLLBACK")))
        log.write(encode_statement(b"DROP PUBLICATION IF EXISTS never_there"))
        log.write(encode_v2(b"BEGIN") + encode_v2(b"CREATE PUBLICATION never_ended"))
    again = Writer(paths)
    again.open()
    assert shown(again) == ["kept", "p"]
    assert again.rows("SELECT a FROM t") == [("kept",)]
    again.close()


def test_a_disk_that_refuses_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the publication stays."""
    with opened(tmp_path, TABLE) as writer:

        def refuse(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(EngineFailed):
                writer.execute("CREATE PUBLICATION p")
        assert shown(writer) == []
        writer.execute("CREATE PUBLICATION p")


def test_a_commit_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was logged is told so, and applied with the next group; what only looked has its answer."""
    with opened(tmp_path, TABLE) as writer:

        def refuse(_session: WriterSession) -> None:
            raise EngineFailed("the disk refuses")

        with monkeypatch.context() as patch:
            patch.setattr(WriterSession, "commit", refuse)
            created, looked = writer.run([Request(("CREATE PUBLICATION p",)), Request((PUBLICATIONS,))])
        assert isinstance(created, LoggedNotApplied)
        assert isinstance(looked, Written)
        assert looked.results[0].rows == [("p", "FOR ALL TABLES", None)]
        assert shown(writer) == ["p"]


# -- copies ---------------------------------------------------------------------------------------------------


def test_a_copy_learns_it_from_the_log_and_from_a_snapshot(tmp_path: Path) -> None:
    """The same publications; the subscriptions too, which are not enabled there."""
    folders = {name: tmp_path / name for name in ("log", "snapshot")}
    for folder in folders.values():
        folder.mkdir()
    with opened(tmp_path, TABLE, "CREATE PUBLICATION p FOR ALL TABLES EXCEPT t", SUBSCRIBE) as writer:
        writer.transaction("CREATE PUBLICATION q", "INSERT INTO t VALUES (1, 'a')", "DROP PUBLICATION p")
        log, expected = writer.paths.wal.read_bytes(), writer.execute(PUBLICATIONS).results[0]
        position = save_database(writer.paths.database, tmp_path / "saved")
    with copies.opened(folders["snapshot"]) as copy:
        copy.install((tmp_path / "saved").read_bytes(), position)
    with copies.opened(folders["log"]) as copy:
        copy.install(copies.database_bytes(tmp_path), 0)
        copy.replay.apply([log])
    for folder in folders.values():
        with closing(DatabaseReader(folder / "copy.db")) as reader:
            assert reader.query(PUBLICATIONS) == expected
            assert reader.query("SHOW SUBSCRIPTIONS").rows == [("s", "host=h port=1", "p, q", 0, None)]


def test_a_copy_that_becomes_a_database_of_its_own(tmp_path: Path) -> None:
    """Without the state of a copy, its subscriptions are its own."""
    with opened(tmp_path, TABLE, SUBSCRIBE) as writer:
        save_database(writer.paths.database, tmp_path / "own.db")
    with closing(sqlite3.connect(tmp_path / "own.db")) as connection:
        connection.execute("DROP TABLE spgrepl_replay")
    own = Writer(DatabasePaths.of(tmp_path / "own.db"))
    own.open()
    assert own.execute("SHOW SUBSCRIPTIONS").results[0].rows[0][3] == 1
    own.close()
