"""Waiting for the position that a database stores, beside whoever moves it on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from spgrepl.catalogue.statements import WaitForPosition
from spgrepl.cli.parts import stored_position
from spgrepl.cli.parts.stored_position import wait_for_position
from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import write_applied_position
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.errors import ConfigurationError, LocalFilesDamaged
from tests.primary.copying import opened
from tests.replica.following import copies

LOG = copies.log_of("INSERT INTO made_by VALUES ('a')", "INSERT INTO made_by VALUES ('b')")


@attrs.define
class Moments:
    """A clock that moves only when somebody sleeps, and what happens then."""

    now: float = 0.0
    slept: list[float] = attrs.field(factory=list)
    happens: list[object] = attrs.field(factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        if self.happens:
            self.happens.pop(0)()  # type: ignore[operator]


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moments]:
    made = Moments()
    monkeypatch.setattr(stored_position, "time", made)
    yield made
    assert made.happens == []


def _locks(path: Path) -> int:
    """How many locks this process has on a file, as the kernel says."""
    inode = f":{path.stat().st_ino} "
    found = [line.split() for line in Path("/proc/locks").read_text().splitlines() if inode in line]
    return sum(1 for line in found if line[1] == "POSIX" and line[4] == str(os.getpid()))


def test_the_locks_of_sqlite_stay(tmp_path: Path) -> None:
    """Another program that closes the database would otherwise remove its journal under our feet."""
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        paths = writer.paths
    stored = stored_position._StoredPosition(paths)
    stored.read()
    held = _locks(paths.database)
    assert held > 0
    stored.read()
    assert _locks(paths.database) == held
    stored.close()


def test_a_primarys_position(tmp_path: Path, moments: Moments) -> None:
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        reached = writer.position
        assert wait_for_position(writer.paths, WaitForPosition(reached, 0.0))
        assert moments.slept == []
        assert not wait_for_position(writer.paths, WaitForPosition(reached + 1, 0.0))
        assert not wait_for_position(writer.paths, WaitForPosition(reached + 1, 0.05))
        assert sum(moments.slept) == pytest.approx(0.05)
        moments.happens = [lambda: None, lambda: writer.execute("INSERT INTO t VALUES (1)")]
        assert wait_for_position(writer.paths, WaitForPosition(reached + 1))


@pytest.mark.parametrize("with_sidecar", [True, False])
def test_a_followers_position_is_the_one_with_its_rows(
    tmp_path: Path, moments: Moments, with_sidecar: bool
) -> None:
    with copies.opened(tmp_path) as copy:
        copy.install(copies.database_bytes(tmp_path), 1000)
        if with_sidecar:
            write_applied_position(copy.paths, 9_000_000)
        else:
            copy.paths.applied_position.unlink()
        assert wait_for_position(copy.paths, WaitForPosition(1000, 0.0))
        assert not wait_for_position(copy.paths, WaitForPosition(1001, 0.0))
        moments.happens = [lambda: copy.replay.apply([LOG])]
        assert wait_for_position(copy.paths, WaitForPosition(1000 + len(LOG), 1.0))


@pytest.mark.parametrize("kind", [ArchiveEngine, CountingEngine])
def test_copies_without_rows_have_a_file(tmp_path: Path, moments: Moments, kind: type) -> None:
    """The snapshot in an archive's place is a primary's database, whose position stands still."""
    primary = tmp_path / "primary"
    primary.mkdir()
    with opened(primary, "CREATE TABLE t (a)") as writer:
        snapshot = writer.paths.database
    with copies.opened(tmp_path, kind) as copy:
        copy.install(snapshot.read_bytes(), 1000)
        assert wait_for_position(copy.paths, WaitForPosition(1000, 0.0))
        assert not wait_for_position(copy.paths, WaitForPosition(1001, 0.0))
        moments.happens = [lambda: copy.replay.apply([LOG])]
        assert wait_for_position(copy.paths, WaitForPosition(1000 + len(LOG)))


@pytest.mark.parametrize("content", [None, b"", b"SPGENV01 and more"])
def test_a_file_that_has_no_position(tmp_path: Path, content: bytes | None) -> None:
    paths = DatabasePaths.of(tmp_path / "x.db")
    if content is not None:
        paths.database.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.db \(.+\) nor .*x\.wal\.applied_pos holds a position"):
        wait_for_position(paths, WaitForPosition(0))
    write_applied_position(paths, 5)
    assert wait_for_position(paths, WaitForPosition(5))


def test_a_file_with_the_position_that_is_damaged(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "x.db")
    paths.applied_position.write_bytes(b"1234567")
    with pytest.raises(LocalFilesDamaged, match="holds 7 bytes, a position has 8"):
        wait_for_position(paths, WaitForPosition(0))
