"""A primary and files that are not its log: nothing is changed that is not known to be its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import DatabaseLocked, LocalFilesDamaged, UsageError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.primary.parts.requests import Written
from spgrepl.primary.running.session import Request
from spgrepl.primary.writing.repair import rebuild_database
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.sqlite import state as sqlite_state
from tests.primary.copying import Writer, logged, opened

TABLE = "CREATE TABLE t (a)"


def _database(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    return path.read_bytes()


def _begin(paths: DatabasePaths, *statements: str) -> None:
    writer = DatabaseWriter(paths)
    writer.open()
    try:
        answers = writer.run([Request((sql,)) for sql in statements])
        assert all(isinstance(answer, Written) for answer in answers), answers
    finally:
        writer.close()


def _refused(paths: DatabasePaths, message: str) -> None:
    """Opening fails twice, and changes no file but the lock."""
    folder = {paths.database.parent, paths.wal.parent}
    before = {path: path.read_bytes() for one in folder for path in one.iterdir() if path != paths.writer_lock}
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match=message):
            DatabaseWriter(paths).open()
    after = {path: path.read_bytes() for one in folder for path in one.iterdir() if path != paths.writer_lock}
    assert after == before


# -- strangers' files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("statements", [[], [TABLE], [TABLE, "INSERT INTO t VALUES (1)"]])
@pytest.mark.parametrize("kind", ["sqlite", "text", "zeros", "log", "record that is not whole"])
def test_a_file_that_is_not_the_log_stays_as_it_is(tmp_path: Path, statements: list[str], kind: str) -> None:
    """At position 0, after the first group, and later."""
    fresh = DatabasePaths.of(tmp_path / "fresh.db")
    _begin(fresh, *statements)
    other = tmp_path / "customers.db"
    record = encode_v2(b"CREATE TABLE customers (name)")
    contents = {
        "sqlite": lambda: _database(other),
        "text": lambda: b"Dear diary, " * 20,
        "zeros": lambda: bytes(9000),
        "log": lambda: record * 9,
        "record that is not whole": lambda: record[:-1],
    }
    other.write_bytes(contents[kind]())
    _refused(DatabasePaths.of(fresh.database, other), r"customers\.db")
    _begin(fresh, "CREATE TABLE later (a)")  # the pair itself is as it was


def test_a_new_database_beside_a_file_of_somebody_else(tmp_path: Path) -> None:
    other = tmp_path / "customers.db"
    _database(other)
    _refused(DatabasePaths.of(tmp_path / "new.db", other), r"is a SQLite database; .*new\.db was not written")
    assert not (tmp_path / "new.db").exists()


def test_a_file_of_somebody_else_where_the_log_was(tmp_path: Path) -> None:
    """What lies beside the log says that it is the database's, and its content says that it is not."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths)
    paths.wal.unlink()
    _database(paths.wal)
    _refused(paths, "is a SQLite database")


@pytest.mark.parametrize("name", ["pair", "lock", "cluster_id", "subscriptions"])
def test_a_file_of_somebody_else_where_a_sidecar_belongs(tmp_path: Path, name: str) -> None:
    paths = DatabasePaths.of(tmp_path / "app.db")
    (tmp_path / f"app.wal.{name}").write_text("Dear diary")
    with pytest.raises(LocalFilesDamaged, match=rf"app\.wal\.{name}"):
        DatabaseWriter(paths).open()
    assert (tmp_path / f"app.wal.{name}").read_text() == "Dear diary"


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_a_database_that_was_moved_away_has_left_is_not_thrown_away(tmp_path: Path, suffix: str) -> None:
    """SQLite would delete it beside a new, empty database."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    (tmp_path / f"app.db{suffix}").write_bytes(b"changes")
    _refused(paths, rf"app\.db{suffix} is there without its database")


# -- two databases, one log -----------------------------------------------------------------------------------


@pytest.mark.parametrize("statements", [[], [TABLE]])
@pytest.mark.parametrize("plain", [False, True])
def test_the_second_database_beside_a_log_is_refused(tmp_path: Path, statements: list[str], plain: bool) -> None:
    """app.db and app.sqlite would share app.wal by default, from the log's first byte on."""
    first, second = DatabasePaths.of(tmp_path / "app.db"), DatabasePaths.of(tmp_path / "app.sqlite")
    assert first.wal == second.wal
    _begin(first, *statements)
    if plain:
        _database(second.database)
        with closing(sqlite3.connect(second.database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    elif statements:
        _begin(DatabasePaths.of(second.database, tmp_path / "its.wal"))
    _refused(second, rf"app\.wal.*(log of {first.database}).*--wal")
    advised = DatabasePaths.of(second.database, tmp_path / ("app.sqlite.wal" if plain else "its.wal"))
    _begin(advised, "CREATE TABLE of_the_second (a)")
    _begin(first, "CREATE TABLE of_the_first (a)")


def test_a_new_database_beside_the_log_of_another(tmp_path: Path) -> None:
    """It is not that database, missing: and is not made from its log."""
    first = DatabasePaths.of(tmp_path / "app.db")
    _begin(first, TABLE)
    second = DatabasePaths.of(tmp_path / "typo.db", first.wal)
    _refused(second, rf"typo\.db was not written beside it.*the log of {first.database}")
    with pytest.raises(UsageError, match=rf"is the log of {first.database}, which is there"):
        rebuild_database(second)
    assert not second.database.exists()


def test_an_empty_log_whose_database_is_gone_is_anybodys(tmp_path: Path) -> None:
    first, second = DatabasePaths.of(tmp_path / "app.db"), DatabasePaths.of(tmp_path / "app.sqlite")
    _begin(first)
    first.database.unlink()
    _begin(second, TABLE)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_writer_whatever_the_names(tmp_path: Path, link: object) -> None:
    paths = DatabasePaths.of(tmp_path / "main.db")
    writer = DatabaseWriter(paths)
    writer.open()
    for suffix in ("db", "wal"):
        link(tmp_path / f"main.{suffix}", tmp_path / f"link.{suffix}")  # type: ignore[operator]
    with pytest.raises(DatabaseLocked):
        DatabaseWriter(DatabasePaths.of(tmp_path / "link.db")).open()
    assert isinstance(writer.run([Request((TABLE,))])[0], Written)
    with pytest.raises(DatabaseLocked):
        DatabaseWriter(DatabasePaths(tmp_path / "link.db", tmp_path / "link.wal")).open()
    assert isinstance(writer.run([Request(("INSERT INTO t VALUES (1)",))])[0], Written)
    writer.close()


def test_a_database_that_is_written_has_no_second_log(tmp_path: Path) -> None:
    """Its lock is on its log: so nobody writes it with another one."""
    with opened(tmp_path) as writer:
        for exists in (False, True):
            other = DatabasePaths.of(writer.paths.database, tmp_path / "other.wal")
            if exists:
                _begin(DatabasePaths.of(tmp_path / "x.db", other.wal))
            with pytest.raises(LocalFilesDamaged, match=r"other\.wal"):
                DatabaseWriter(other).open()


# -- what a pair is known by ----------------------------------------------------------------------------------


def test_a_pair_whose_file_was_lost_is_known_by_its_content(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths, TABLE)
    made = json.loads(paths.pair.read_bytes())
    assert (made["from_empty"], made["database"]) == (True, "app.db")
    paths.pair.unlink()
    _begin(paths, "INSERT INTO t VALUES (1)")
    assert json.loads(paths.pair.read_bytes())["id"] == made["id"]


def test_a_pair_may_be_moved_and_restored_from_a_backup(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths, TABLE, "INSERT INTO t VALUES (1)")
    backup = tmp_path / "backup.db"
    shutil.copy(paths.database, backup)
    _begin(paths, "INSERT INTO t VALUES (2)")
    # Both under other names, without what lies beside; then an older database beside the newer log.
    moved = DatabasePaths.of(tmp_path / "moved.db", tmp_path / "log")
    paths.database.rename(moved.database)
    paths.wal.rename(moved.wal)
    _begin(moved, "INSERT INTO t VALUES (3)")
    shutil.copy(backup, moved.database)
    writer = DatabaseWriter(moved)
    writer.open()
    (answer,) = writer.run([Request(("INSERT INTO t VALUES (4) RETURNING (SELECT count(*) FROM t)",))])
    writer.close()
    assert isinstance(answer, Written)
    assert answer.results[0].rows[0][0] in (3, 4)


def test_a_pair_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    """Neither has an id; the first group's position came without a fence."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths, TABLE)
    length = paths.wal.stat().st_size
    paths.pair.unlink()
    with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE spgrepl_replay DROP COLUMN pair")
        connection.execute("UPDATE spgrepl_replay SET fence_start = NULL, fence_crc = NULL")
        assert sqlite_state.read_state(connection) == sqlite_state.StoredState("primary", ReplayState(length, 0))
    _begin(paths, "INSERT INTO t VALUES (1)")
    with closing(sqlite3.connect(paths.database)) as connection:
        stored = sqlite_state.read_state(connection)
    assert stored is not None
    assert stored.replay.pair == json.loads(paths.pair.read_bytes())["id"]


def test_a_start_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    """Killed when log and pair file were there, and the database was not."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths)
    for suffix in ("", "-wal", "-shm"):
        paths.database.with_name(paths.database.name + suffix).unlink(missing_ok=True)
    _begin(paths, TABLE)


# -- tails ----------------------------------------------------------------------------------------------------


def _kept(paths: DatabasePaths) -> list[Path]:
    return sorted(paths.wal.parent.glob(f"{paths.wal.name}.cut-*"))


@pytest.mark.parametrize("statements", [[], [TABLE]])
def test_what_is_cut_off_is_kept_until_the_next_clean_start(tmp_path: Path, statements: list[str]) -> None:
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths, *statements)
    end = paths.wal.stat().st_size
    torn = encode_statement(b"CREATE TABLE torn (a)")[:-2]
    for number in range(2):
        with open(paths.wal, "ab") as log:
            log.write(torn)
        if number:
            (tmp_path / f"app.wal.cut-{end}.1").write_text("somebody's")
        _begin(paths)
        assert paths.wal.stat().st_size == end
    mine = tmp_path / f"app.wal.cut-{end}.1"
    first, stranger, second = _kept(paths)
    assert (first.read_bytes(), stranger, second.read_bytes()) == (torn, mine, torn)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    second.write_bytes(b"changed since")
    _begin(paths)
    assert _kept(paths) == [stranger, second]


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_page_that_was_lost_in_what_nobody_acknowledged(tmp_path: Path, resumes: bool, inside: bool) -> None:
    """Power fails while a group of several pages is on its way: one page is zero, those after it are there."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    _begin(paths, TABLE)
    acknowledged = paths.wal.stat().st_size
    group = encode_v2(b"BEGIN")
    # One record that ends where a page does, so that after a lost page the log can be read again, or just not.
    lead = 4096 - acknowledged - len(group) - 8 - (0 if resumes else 5)
    group += encode_v2(b"INSERT INTO t VALUES('" + b"x" * (lead - 24) + b"')")
    group += b"".join(encode_v2(b"INSERT INTO t VALUES(%04d)" % number) for number in range(1000))
    group += encode_v2(b"COMMIT")
    whole = bytearray(paths.wal.read_bytes() + group)
    page = 4096 if not inside else 8192
    whole[page : page + 4096] = bytes(4096)
    paths.wal.write_bytes(whole)
    _begin(paths, "INSERT INTO t VALUES ('after')")
    (kept,) = _kept(paths)
    at = int(kept.name.rpartition("-")[2])
    assert acknowledged <= at <= page
    assert whole[at:] == kept.read_bytes()
    assert logged(paths.wal)[-2:] == ["ROLLBACK", "INSERT INTO t(rowid,a)VALUES(1,'after')"]
    with closing(sqlite3.connect(paths.database)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [("after",)]


# -- files that are exchanged while they are in use -----------------------------------------------------------


def _move(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _replace(path: Path) -> None:
    shutil.copy(path, path.with_name("new"))
    path.with_name("new").rename(path)


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [
        ("wal", Path.unlink),
        ("wal", _move),
        ("wal", _replace),
        ("wal", _truncate),
        ("db", Path.unlink),
        ("db", _move),
        ("db", _replace),
    ],
)
def test_nothing_is_acknowledged_into_a_file_that_is_gone(tmp_path: Path, suffix: str, harm: object) -> None:
    paths = DatabasePaths.of(tmp_path / "app.db")
    writer = DatabaseWriter(paths)
    writer.open()
    assert isinstance(writer.run([Request((TABLE,))])[0], Written)
    log = os.open(paths.wal, os.O_RDONLY)
    length = os.fstat(log).st_size
    harm(tmp_path / f"app.{suffix}")  # type: ignore[operator]
    for _ in range(2):
        answers = writer.run([Request(("INSERT INTO t VALUES (1)",))] * 2)
        assert [type(answer).__name__ for answer in answers] == ["FileLost"] * 2
        assert f"app.{suffix}" in str(answers[0])
    assert os.fstat(log).st_size in (0, length)
    os.close(log)
    writer.close()


@pytest.mark.parametrize("suffix", ["wal", "db"])
def test_a_file_that_goes_while_its_group_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The group is refused, and what was written of it taken back: it does not happen later after all."""
    paths = DatabasePaths.of(tmp_path / "app.db")
    writer = DatabaseWriter(paths)
    writer.open()
    assert isinstance(writer.run([Request((TABLE,))])[0], Written)
    before, real = paths.wal.read_bytes(), os.fdatasync
    away = tmp_path / "away"

    def sync_late(handle: int) -> None:
        real(handle)
        if not away.exists():
            (tmp_path / f"app.{suffix}").rename(away)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", sync_late)
        (answer,) = writer.run([Request(("INSERT INTO t VALUES (1)",))])
    writer.close()
    assert type(answer).__name__ == "FileLost"
    away.rename(tmp_path / f"app.{suffix}")
    assert paths.wal.read_bytes() == before
    with opened_again(paths) as writer:
        assert writer.rows("SELECT * FROM t") == []


@contextlib.contextmanager
def opened_again(paths: DatabasePaths) -> Iterator[Writer]:
    writer = Writer(paths)
    writer.open()
    try:
        yield writer
    finally:
        writer.close()
