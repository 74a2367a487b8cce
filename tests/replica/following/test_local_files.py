"""A follower and files that are not its own, or are taken away under it."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import FileLost, LocalFilesDamaged, UsageError
from spgrepl.replica.following.replay import Replay
from tests import sql as sqlite3
from tests.replica.following.copies import database_bytes, log_of, opened
from tests.replica.following.test_service import FollowerCase, ScriptedMaster, bootstrap

INSERT = "INSERT INTO t VALUES ({}, 'x')"
KINDS = [SqliteEngine, ArchiveEngine, CountingEngine]


def _open(database: Path, kind: Any, wal: Path | None = None) -> Replay:
    replay = Replay(kind(database), DatabasePaths.of(database, wal))
    replay.open()
    return replay


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("content", ["sqlite", "text", "log"])
def test_a_file_of_somebody_else_is_not_taken_for_the_log(
    tmp_path: Path, kind: Any, applied: bool, content: str
) -> None:
    """Just after the bootstrap, and later."""
    snapshot = database_bytes(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)")
    with opened(tmp_path, kind) as copy:
        copy.install(snapshot, 100)
        if applied:
            copy.replay.apply([log_of(INSERT.format(1))])
    other = tmp_path / "customers.db"
    contents = {"sqlite": snapshot, "text": b"Dear diary, " * 20, "log": log_of(*(INSERT.format(9),) * 9)}
    other.write_bytes(contents[content])
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match=r"customers\.db"):
            _open(copy.paths.database, kind, other)
    assert other.read_bytes() == contents[content]
    with opened(tmp_path, kind) as copy:
        assert copy.replay.progress().durable == copy.replay.progress().applied


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_of_a_primary_is_not_a_followers(tmp_path: Path, kind: Any) -> None:
    """app.db and app.copy would share app.wal."""
    from spgrepl.primary.writing.writer import DatabaseWriter

    writer = DatabaseWriter(DatabasePaths.of(tmp_path / "app.db"))
    writer.open()
    writer.close()
    with pytest.raises(LocalFilesDamaged, match=r"app\.wal is the log of .*app\.db.*--wal .*app\.copy\.wal"):
        _open(tmp_path / "app.copy", kind)


@pytest.mark.parametrize(
    "name", ["copy.db", "copy.db.replay.json", "copy.db.replay.json.next", "copy.wal.applied_pos"]
)
def test_an_archive_replaces_nothing_that_it_did_not_make(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Dear diary")
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match=name.replace(".", r"\.")):
            _open(tmp_path / "copy.db", ArchiveEngine)
    assert path.read_text() == "Dear diary"


@pytest.mark.parametrize("kind", [SqliteEngine, ArchiveEngine])
@pytest.mark.parametrize("content", ["sqlite", "text"])
def test_what_somebody_puts_there_while_the_snapshot_comes_stays(tmp_path: Path, kind: Any, content: str) -> None:
    snapshot = database_bytes(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)")
    with opened(tmp_path, kind) as copy:
        other = snapshot if content == "sqlite" else b"Dear diary, " * 50
        copy.paths.database.write_bytes(other)
        with pytest.raises(LocalFilesDamaged, match=r"copy\.db"):
            copy.install(snapshot, 100)
        assert copy.paths.database.read_bytes() == other
        copy.paths.database.unlink()
        copy.install(snapshot, 100)
        copy.replay.apply([log_of(INSERT.format(1))])


def test_an_archive_whose_snapshot_was_exchanged_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, ArchiveEngine) as copy:
        copy.install(b"a snapshot", 100)
        copy.replay.apply([log_of(INSERT.format(1))])
    for content in (b"Dear diary, today", None):
        copy.paths.database.unlink()
        if content is not None:
            copy.paths.database.write_bytes(content)
        with pytest.raises(LocalFilesDamaged, match=r"copy\.db"):
            _open(copy.paths.database, ArchiveEngine)
        assert content is None or copy.paths.database.read_bytes() == content
    copy.paths.database.write_bytes(b"a snapshot")  # restored
    _open(copy.paths.database, ArchiveEngine).close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_follower_left_in_its_log_is_kept_until_a_clean_start(tmp_path: Path, kind: Any) -> None:
    with opened(tmp_path, kind) as copy:
        copy.install(database_bytes(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)"), 100)
    rest = log_of(INSERT.format(1))[:-3]
    copy.paths.wal.write_bytes(rest)
    _open(copy.paths.database, kind).close()
    kept = tmp_path / "copy.wal.cut-0"
    assert (kept.read_bytes(), copy.paths.wal.read_bytes()) == (rest, b"")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    _open(copy.paths.database, kind).close()
    assert not kept.exists()


def test_a_copy_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    with opened(tmp_path) as copy:
        copy.install(database_bytes(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)"), 100)
        copy.replay.apply([log_of(INSERT.format(1))])
    copy.paths.pair.unlink()
    with closing(sqlite3.connect(copy.paths.database)) as connection:
        connection.execute("ALTER TABLE spgrepl_replay DROP COLUMN pair")
    with opened(tmp_path) as copy:
        copy.replay.resume()
        copy.replay.apply([log_of(INSERT.format(2))])
        assert [row[1] for row in copy.rows()] == [1, 2]


def test_one_file_for_two_purposes_is_refused_at_the_start(tmp_path: Path) -> None:
    paths = DatabasePaths(tmp_path / "x.db", tmp_path / "x.db")
    with pytest.raises(UsageError):
        Replay(SqliteEngine(paths.database), paths).open()


@pytest.mark.parametrize("kind", [SqliteEngine, ArchiveEngine])
@pytest.mark.parametrize("suffix", ["db", "wal"])
def test_not_a_byte_is_written_where_a_file_was_taken_away(tmp_path: Path, kind: Any, suffix: str) -> None:
    """Whoever looks twice a second looks before each batch as well."""
    with opened(tmp_path, kind) as copy:
        copy.install(database_bytes(tmp_path, "CREATE TABLE t (a INTEGER, b TEXT)"), 100)
        copy.replay.apply([log_of(INSERT.format(1))])
        lost, away = tmp_path / f"copy.{suffix}", tmp_path / "away"
        lost.rename(away)
        before = (tmp_path / ("away" if suffix == "wal" else "copy.wal")).read_bytes()
        for call in (lambda: copy.replay.apply([log_of(INSERT.format(2))]), copy.replay.resume):
            with pytest.raises(FileLost, match=rf"copy\.{suffix}"):
                call()
        assert not lost.exists()
        away.rename(lost)
        assert copy.paths.wal.read_bytes() == before
        copy.replay.resume()
        copy.replay.apply([log_of(INSERT.format(2))])


class FilesInUseTest(FollowerCase):
    @defer.inlineCallbacks
    def lose(self, path: Path, kind: Any = SqliteEngine) -> Any:
        """A file of a running copy goes away and comes back: nothing is written meanwhile, and it goes on."""
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))
        later = log_of(INSERT.format(2))
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))
        service = self.follow((yield self.listen(master)), kind)
        yield service.when_applied(100 + len(log), 30)
        master.play = lambda script: bootstrap(script, snapshot, 100, log + later)
        away = path.with_name("away")
        path.rename(away)
        before = away.read_bytes()
        yield self.until(lambda: service.status()["error"])
        assert str(path) in service.status()["error"]
        yield self.until(lambda: service.status()["state"] == "waiting")
        assert not path.exists()
        assert away.read_bytes() == before
        self.flushLoggedErrors()
        away.rename(path)
        yield self.until(lambda: service.status()["error"] is None or "connection" in service.status()["error"])

    def test_the_database_is_moved_away(self) -> Any:
        return self.lose(self.paths.database)

    def test_the_log_is_moved_away(self) -> Any:
        return self.lose(self.paths.wal)

    def test_the_snapshot_of_an_archive_is_moved_away(self) -> Any:
        return self.lose(self.paths.database, ArchiveEngine)
