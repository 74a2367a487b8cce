"""Opening after a crash: every way in which log and database may stand to each other."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.records import encode_mysql, encode_statement, encode_v1, encode_v2
from spgrepl.log.reader import Damage, iterate_records, scan_log
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.primary.copying import Writer, assert_same_on_copy, logged, opened

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


@pytest.fixture
def paths(tmp_path: Path) -> DatabasePaths:
    """A primary's files, with one row."""
    with opened(tmp_path, TABLE, "INSERT INTO t VALUES (1, 'a')") as writer:
        return writer.paths


def append(paths: DatabasePaths, data: bytes) -> None:
    """Put bytes after the log's end, as a crash may leave them."""
    with open(paths.wal, "ab") as file:
        file.write(data)


def rows(paths: DatabasePaths) -> list[tuple[object, ...]]:
    """Open, look at the rows, and check that database and log agree."""
    writer = Writer(paths)
    writer.open()
    try:
        assert writer.position == paths.wal.stat().st_size
        report = scan_log(paths.wal)
        assert (report.damage, report.open_transaction) == (Damage.NONE, None)
        assert_same_on_copy(writer)
        writer.execute("INSERT INTO t VALUES (99, 'after')")
        assert_same_on_copy(writer)
        return writer.rows("SELECT id FROM t WHERE id <> 99 ORDER BY id")
    finally:
        writer.close()


def test_the_database_is_rolled_forward(paths: DatabasePaths) -> None:
    """Statements and transactions that the log has and the database has not are applied, rolled-back ones not."""
    append(paths, encode_statement(b"INSERT INTO t VALUES (2, 'b')"))
    for sql in (
        b"BEGIN",
        b"INSERT INTO t VALUES (3, 'c')",
        b"SAVEPOINT s",
        b"DELETE FROM t",
        b"ROLLBACK TO s",
        b"COMMIT",
    ):
        append(paths, encode_v2(sql))
    for sql in (b"BEGIN", b"DELETE FROM t", b"ROLLBACK"):
        append(paths, encode_v2(sql))
    assert rows(paths) == [(1,), (2,), (3,)]


@pytest.mark.parametrize(("end", "expected"), [(b"COMMIT", [(1,), (2,), (3,), (4,)]), (b"ROLLBACK", [(1,), (4,)])])
def test_a_transaction_longer_than_what_is_read_at_once(
    paths: DatabasePaths, end: bytes, expected: list[tuple[int]]
) -> None:
    """It is one unit all the same."""
    append(paths, encode_v2(b"BEGIN"))
    for number in (2, 3):
        append(paths, encode_v2(b"INSERT INTO t VALUES (%d, '%s')" % (number, b"x" * 1_500_000)))
    append(paths, encode_v2(end) + encode_statement(b"INSERT INTO t VALUES (4, 'd')"))
    assert rows(paths) == expected


def test_a_torn_tail_is_cut(paths: DatabasePaths) -> None:
    """A half record at the end was never acknowledged."""
    length = paths.wal.stat().st_size
    append(paths, encode_statement(b"INSERT INTO t VALUES (2, 'b')")[:-1])
    assert rows(paths) == [(1,)]
    assert scan_log(paths.wal, start=length).records == 1


def test_an_open_transaction_is_ended(paths: DatabasePaths) -> None:
    """With a ROLLBACK after it, for somebody may have read its records already."""
    for sql in (b"BEGIN", b"INSERT INTO t VALUES (2, 'b')"):
        append(paths, encode_v2(sql))
    append(paths, encode_v2(b"COMMIT")[:-2])
    assert rows(paths) == [(1,)]
    assert logged(paths.wal)[-4:-1] == ["BEGIN", "INSERT INTO t VALUES (2, 'b')", "ROLLBACK"]


@pytest.mark.parametrize("zeros", [1, 4, 5, 4096, 100_003])
@pytest.mark.parametrize("whole", [b"", encode_statement(b"INSERT INTO t VALUES (2, 'b')"), encode_v2(b"BEGIN")])
def test_a_tail_of_zeros_is_cut(paths: DatabasePaths, zeros: int, whole: bytes) -> None:
    """What a file system may leave after a loss of power, and what would read like empty records."""
    length = paths.wal.stat().st_size
    append(paths, whole + bytes(zeros))
    expected = [(1,), (2,)] if b"INSERT" in whole else [(1,)]
    assert rows(paths) == expected
    with open(paths.wal, "rb") as log:
        log.seek(length + len(whole))
        assert not log.read(4).startswith(b"\0\0\0")


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_header_of_which_the_end_was_lost_is_no_record_of_v1(paths: DatabasePaths, kept: int) -> None:
    """Where zeros begin inside of the first word, that states a short record of a form without a checksum."""
    record = bytearray(encode_statement(b"INSERT INTO t VALUES (2, 'b')"))
    record[kept:4] = bytes(4 - kept)
    append(paths, bytes(record) + encode_statement(b"INSERT INTO t VALUES (3, 'c')"))
    assert rows(paths) == [(1,)]


@settings(max_examples=40)
@given(st.data())
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever a write of several requests is cut: what is whole is there, what is not has left no trace."""
    folder = tmp_path_factory.mktemp("cut")
    with opened(folder, TABLE) as writer:
        paths = writer.paths
        start = writer.position
    records = b""
    ends = []
    for number in range(1, 6):
        insert = f"INSERT INTO t VALUES ({number}, 'x')".encode()
        if number % 2:
            records += encode_statement(insert)
        else:
            records += encode_v2(b"BEGIN") + encode_v2(insert) + encode_v2(b"COMMIT")
        ends.append(len(records))
    cut = data.draw(st.integers(0, len(records)))
    append(paths, records[:cut])
    assert rows(paths) == [(number,) for number, end in enumerate(ends, 1) if end <= cut]
    assert paths.wal.stat().st_size >= start


def test_recovery_again(paths: DatabasePaths) -> None:
    """Opening once more changes nothing."""
    append(paths, encode_statement(b"INSERT INTO t VALUES (2, 'b')") + encode_v2(b"BEGIN"))
    assert rows(paths) == [(1,), (2,)]
    before = paths.wal.read_bytes()
    writer = Writer(paths)
    writer.open()
    writer.close()
    assert paths.wal.read_bytes() == before


def refused(paths: DatabasePaths, message: str) -> None:
    """Opening fails with a message, and changes neither the log nor the rows."""
    log = paths.wal.read_bytes()
    with closing(sqlite3.connect(paths.database)) as connection:
        dump = list(connection.iterdump())
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match=message):
            Writer(paths).open()
    assert paths.wal.read_bytes() == log
    with closing(sqlite3.connect(paths.database)) as connection:
        assert list(connection.iterdump()) == dump


def test_a_log_that_is_shorter_than_the_database(paths: DatabasePaths) -> None:
    """Both files and both places are named."""
    length = paths.wal.stat().st_size
    paths.wal.write_bytes(paths.wal.read_bytes()[: length - 3])
    refused(paths, rf"primary\.wal holds {length - 3} bytes, but .*primary\.db .* position {length}")
    paths.wal.write_bytes(b"")
    refused(paths, "holds 0 bytes")


def test_a_log_that_is_broken_in_the_middle(paths: DatabasePaths) -> None:
    """It is not cut: what follows the broken place was acknowledged."""
    broken = bytearray(encode_statement(b"INSERT INTO t VALUES (2, 'b')"))
    broken[-1] ^= 1
    append(paths, bytes(broken) + encode_statement(b"INSERT INTO t VALUES (3, 'c')"))
    refused(paths, r"primary\.wal is broken at position \d+ .*CRC")


def test_a_log_of_another_database(paths: DatabasePaths, tmp_path: Path) -> None:
    """A log that is long enough, and not the one that the database was written beside."""
    other = tmp_path / "other"
    other.mkdir()
    with opened(other, TABLE, *(f"INSERT INTO t VALUES ({n}, 'b')" for n in range(9))) as writer:
        other_log = writer.paths.wal
    shutil.copy(other_log, paths.wal)
    refused(paths, "do not belong together")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (encode_statement(b"INSERT INTO nowhere VALUES (1)"), "no such table: nowhere"),
        (encode_statement(b"INSERT INTO t VALUES (1, 'twice')"), "UNIQUE constraint failed"),
        (encode_statement(b"INSERT INTO t VALUES (2, '\xff')"), "does not fit"),
        (encode_mysql(b"INSERT INTO t VALUES (2, 'b')"), "no primary writes"),
        (encode_v2(b"CREATE PUBLICATION"), "does not fit"),
    ],
)
def test_statements_that_do_not_fit(paths: DatabasePaths, record: bytes, message: str) -> None:
    """The database stands before them, and nothing is skipped."""
    append(paths, record)
    refused(paths, message)


def test_an_empty_record_in_the_middle(paths: DatabasePaths) -> None:
    """Zeros with something after them are not an unfinished write; an empty statement changes nothing."""
    append(paths, encode_v1(b"") + encode_statement(b"INSERT INTO t VALUES (2, 'b')"))
    assert rows(paths) == [(1,), (2,)]


def test_control_statements_of_the_log(paths: DatabasePaths) -> None:
    """Publications are noted in the catalogue, as on a copy."""
    append(paths, encode_statement(b"CREATE PUBLICATION p FOR TABLE t"))
    writer = Writer(paths)
    writer.open()
    assert writer.rows("SELECT name FROM spgrepl_publications") == [("p",)]
    assert writer.position == paths.wal.stat().st_size
    writer.close()


def test_a_primary_before_its_first_statement(tmp_path: Path) -> None:
    """A database that was adopted, killed before its log had a byte."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        connection.execute(TABLE)
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, sqlite_state.ROLE_PRIMARY, ReplayState(0, 0))
    with opened(tmp_path) as writer:
        assert writer.position == 0
        assert paths.wal.exists()


# -- rows and statements --------------------------------------------------------------------------------------

TRIGGER = "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (NEW.id); END"


def test_rows_of_the_log_fire_no_trigger(tmp_path: Path) -> None:
    """What a trigger did stands in the log itself."""
    with opened(tmp_path, TABLE, "CREATE TABLE seen (id)", TRIGGER) as writer:
        paths = writer.paths
    append(paths, encode_statement(b"INSERT INTO t(id,a)VALUES(1,NULL)"))
    append(paths, encode_statement(b"INSERT INTO seen(rowid,id)VALUES(5,1)"))
    append(paths, encode_statement(b"PRAGMA user_version = 3"))
    with opened(tmp_path) as writer:
        assert writer.rows("SELECT rowid, id FROM seen") == [(5, 1)]
        assert writer.rows("PRAGMA user_version") == [(3,)]
        assert_same_on_copy(writer)


@pytest.mark.parametrize("sql", ["DELETE FROM t WHERE id=7", "UPDATE t SET a=1 WHERE id=7"])
def test_a_row_that_is_not_there_is_named(paths: DatabasePaths, sql: str) -> None:
    """The database is not the one that the log was written beside."""
    append(paths, encode_statement(sql.encode()))
    refused(paths, "changes 0 rows, not one")


def test_a_log_of_statements_goes_on_with_rows(tmp_path: Path) -> None:
    """A database of an earlier version: what its log holds beyond it means what it meant, then rows begin."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    old = [TABLE, "CREATE TABLE seen (id)", TRIGGER]
    paths.wal.write_bytes(b"".join(encode_statement(sql.encode()) for sql in old))
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        for sql in old:
            connection.execute(sql)
        sqlite_state.ensure_table(connection)
        state = ReplayState(paths.wal.stat().st_size, 0)
        sqlite_state.write_state(connection, sqlite_state.ROLE_PRIMARY, state)
    for sql in ("DELETE FROM t WHERE id=7", "INSERT INTO t(id,a)VALUES(1,'x')", "DELETE FROM t WHERE id=1"):
        append(paths, encode_statement(sql.encode()))
    with opened(tmp_path) as writer:
        assert writer.rows("SELECT id FROM seen") == [(1,)]
        length = writer.position
        writer.execute("UPDATE t SET a = 1")  # changes nothing, and is no reason for a mark
        assert writer.position == length
        writer.execute("INSERT INTO t VALUES (2, 'y')")
    found = [sql for batch in iterate_records(paths.wal, length) for sql in batch.sql]
    assert found[0] == ROWS_FROM_HERE
    assert found[2:-1] == [b"INSERT INTO t(id,a)VALUES(2,'y')", b"INSERT INTO seen(rowid,id)VALUES(2,2)"]
    # Killed after the mark was logged, and before the database had it.
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM t")
        connection.execute("DELETE FROM seen WHERE id = 2")
        connection.execute("DROP TABLE spgrepl_rows")
        connection.execute(
            "UPDATE spgrepl_replay SET position = ?, fence_start = NULL, fence_crc = NULL", (length,)
        )
    with opened(tmp_path) as writer:
        assert writer.rows("SELECT id FROM seen") == [(1,), (2,)]
        assert writer.rows("SELECT position FROM spgrepl_rows") == [(length,)]
        assert writer.logged().count("INSERT INTO t(id,a)VALUES(2,'y')") == 1
