"""A primary that has lost one of its two files keeps what the other holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.catalogue.sources import read_catalogue
from spgrepl.cli import main
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import DatabaseLocked, LocalFilesDamaged, UsageError
from spgrepl.log.format.records import encode_v2
from spgrepl.log.reader import iterate_records
from spgrepl.primary.writing.repair import begin_new_log, rebuild_database
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.primary.copying import logged, opened
from tests.replica.following import copies
from tests.replica.following.copies import log_of


@pytest.fixture
def paths(tmp_path: Path) -> DatabasePaths:
    with opened(
        tmp_path, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    ) as writer:
        return writer.paths


def _exec(paths: DatabasePaths, *words: str) -> int:
    return main(["exec", "--db", str(paths.database), *words])


def _rows(paths: DatabasePaths) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(paths.database)) as connection:
        return connection.execute("SELECT a FROM t ORDER BY a").fetchall()


def _assert_says_that_rows_begin(paths: DatabasePaths) -> None:
    (first, *_) = iterate_records(paths.wal)
    assert first.sql[0] == ROWS_FROM_HERE
    assert read_catalogue(paths.database).rows_from == 0


def test_a_log_says_that_it_holds_rows_whatever_the_database_was_before(paths: DatabasePaths) -> None:
    """A copy that is made a database of its own knows where rows began in another log."""
    with closing(sqlite3.connect(paths.database)) as connection:
        connection.execute("DROP TABLE spgrepl_replay")
        connection.execute("UPDATE spgrepl_rows SET position = 5000")
        connection.commit()
    for path in (paths.wal, paths.pair):
        path.unlink()
    assert _exec(paths, "INSERT INTO t VALUES (3, 'c')") == 0
    _assert_says_that_rows_begin(paths)


@pytest.mark.parametrize("harm", ["missing", "cut", "another"])
def test_a_lost_log_costs_no_row(paths: DatabasePaths, harm: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the command, and the command does what it says."""
    whole = paths.wal.read_bytes()
    if harm == "missing":
        paths.wal.unlink()
    else:
        paths.wal.write_bytes(whole[:20] if harm == "cut" else encode_v2(b"CREATE TABLE another (a)") * 9)
    before = paths.wal.read_bytes() if paths.wal.exists() else None
    assert _exec(paths, "INSERT INTO t VALUES (3, 'c')") == 65
    assert f"spgrepl exec --db {paths.database} --new-log" in capsys.readouterr().err
    assert _exec(paths, "--new-log", "INSERT INTO t VALUES (3, 'c')") == 0
    assert _rows(paths) == [(1,), (2,), (3,)]
    assert logged(paths.wal) == ["INSERT INTO t(a,b)VALUES(3,'c')"]
    _assert_says_that_rows_begin(paths)
    aside = paths.wal.with_name("primary.wal.old-1")
    assert (aside.read_bytes() if aside.exists() else None) == before


def test_a_new_log_is_begun_only_where_one_is_needed(paths: DatabasePaths, tmp_path: Path) -> None:
    log = paths.wal.read_bytes()
    with pytest.raises(UsageError, match="can be used: go on with it"):
        begin_new_log(paths)
    other = tmp_path / "customers.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    with pytest.raises(UsageError, match=r"customers\.db is a SQLite database"):
        begin_new_log(DatabasePaths.of(paths.database, other))
    folder = tmp_path / "other"
    folder.mkdir()
    with opened(folder, "CREATE TABLE u (a)") as writer, pytest.raises(DatabaseLocked):
        begin_new_log(DatabasePaths.of(paths.database, writer.paths.wal))
    with pytest.raises(UsageError, match=r"is the log of .*other"):
        begin_new_log(DatabasePaths.of(paths.database, writer.paths.wal))
    with pytest.raises(UsageError, match="there is no database"):
        begin_new_log(DatabasePaths.of(tmp_path / "nothing.db"))
    with pytest.raises(UsageError, match="beside no log"):
        begin_new_log(DatabasePaths.of(other))
    assert paths.wal.read_bytes() == log


def test_a_copy_goes_on_without_its_lost_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of("INSERT INTO t VALUES (1, 'a')")
    with copies.opened(tmp_path) as copy:
        copy.install(copies.database_bytes(tmp_path, copies.CREATE.decode()), 100)
        copy.replay.apply([log])
    copy.paths.wal.unlink()
    with pytest.raises(LocalFilesDamaged, match="--new-log"), copies.opened(tmp_path):
        pass
    assert _exec(copy.paths, "--new-log") == 0
    assert "begins a new log" in capsys.readouterr().out
    later = log_of("INSERT INTO t VALUES (2, 'b')")
    for _ in range(2):
        with copies.opened(tmp_path) as copy:
            # The master's log is compared with what the copy was made from, then goes on.
            whole = b"\0" * 100 + log + later
            copy.replay.apply([whole[copy.resume(whole) :]])
            assert [row[1] for row in copy.rows()] == [1, 2]
        assert copy.paths.wal.read_bytes() == later


@pytest.mark.parametrize("tail", [b"", encode_v2(b"BEGIN") + encode_v2(b"INSERT INTO t VALUES (9, 'x')"), b"\x80"])
def test_a_lost_database_is_made_from_its_log(
    paths: DatabasePaths, tail: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("", "-wal", "-shm"):
        paths.database.with_name(paths.database.name + suffix).unlink(missing_ok=True)
    with open(paths.wal, "ab") as log:
        log.write(tail)
    assert _exec(paths, "SELECT 1") == 66 or "is missing" in capsys.readouterr().err
    assert not paths.database.exists()
    assert _exec(paths, "INSERT INTO t VALUES (3, 'c')") == 65
    assert f"spgrepl exec --db {paths.database} --rebuild" in capsys.readouterr().err
    assert _exec(paths, "--rebuild", "INSERT INTO t VALUES (3, 'c')") == 0
    assert _rows(paths) == [(1,), (2,), (3,)]
    assert [path.name for path in paths.database.parent.glob("*rebuilding*")] == []


def test_what_a_log_does_not_tell_is_not_made_from_it(tmp_path: Path) -> None:
    """A database that held rows when its log began."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    with closing(sqlite3.connect(paths.database)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (0)")
        connection.commit()
    with opened(tmp_path, "INSERT INTO t VALUES (1)"):
        pass
    with pytest.raises(UsageError, match="is there"):
        rebuild_database(paths)
    backup = paths.database.read_bytes()
    paths.database.unlink()
    with pytest.raises(LocalFilesDamaged, match="does not tell all rows"):
        rebuild_database(paths)
    paths.pair.unlink()  # as for a log of an earlier version: the statements themselves tell
    with pytest.raises(LocalFilesDamaged, match="no such table"):
        rebuild_database(paths)
    assert not paths.database.exists()
    paths.database.write_bytes(backup)
    with opened(tmp_path) as writer:
        assert writer.rows("SELECT a FROM t") == [(0,), (1,)]


def test_subscriptions_whose_place_is_lost_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path, "CREATE SUBSCRIPTION s CONNECTION 'host=h port=1' PUBLICATION p") as writer:
        paths = writer.paths
    paths.database.unlink()
    assert _exec(paths, "--rebuild") == 0
    said = capsys.readouterr()
    assert "was made from its log" in said.out
    assert "is lost (s)" in said.err
