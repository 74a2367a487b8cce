"""Snapshots of databases that are written meanwhile, and files that others keep."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
import pytest
from zope.interface.verify import verifyObject

from spgrepl.errors import ManifestError, SnapshotError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.master.snapshots import sources
from spgrepl.master.snapshots.sources import FileSnapshotSource, ISnapshotSource, SqliteSnapshotSource
from spgrepl.segments.manifest import Manifest, write_manifest
from spgrepl.sqlite.state import ROLE_FOLLOWER, ROLE_PRIMARY, ensure_table, write_state
from tests import sql as sqlite3


def make_database(path: Path, role: str = ROLE_PRIMARY, position: int = 0, base: int = 0) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    ensure_table(connection)
    write_state(connection, role, ReplayState(position, base))
    connection.execute("CREATE TABLE t (n INTEGER)")
    return connection


class TestSqlite:
    def test_interface(self, tmp_path: Path) -> None:
        assert verifyObject(ISnapshotSource, SqliteSnapshotSource(tmp_path / "db"))

    def test_position_of_a_primary_and_of_a_follower(self, tmp_path: Path) -> None:
        with closing(make_database(tmp_path / "a", ROLE_PRIMARY, 622)):
            assert SqliteSnapshotSource(tmp_path / "a").save(tmp_path / "a.copy") == 622
        with closing(make_database(tmp_path / "b", ROLE_FOLLOWER, 622, 600)):
            assert SqliteSnapshotSource(tmp_path / "b").save(tmp_path / "b.copy") == 22

    def test_consistent_while_it_is_written(self, tmp_path: Path) -> None:
        """A writer moves rows and position together; each copy has them together."""
        writing = make_database(tmp_path / "db")
        stop = threading.Event()

        def write() -> None:
            position = 0
            while not stop.is_set():
                position += 1
                writing.execute("BEGIN")
                writing.execute("INSERT INTO t VALUES (?)", (position,))
                write_state(writing, ROLE_PRIMARY, ReplayState(position, 0))
                writing.execute("COMMIT")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            source = SqliteSnapshotSource(tmp_path / "db")
            seen: list[int] = []
            while len(seen) < 10 or seen[0] == seen[-1]:
                copy = tmp_path / f"copy{len(seen)}"
                position = source.save(copy)
                with closing(sqlite3.connect(copy)) as connection:
                    counted = connection.execute("SELECT count(*), coalesce(max(n), 0) FROM t").fetchone()
                assert counted == (position, position)
                seen.append(position)
        finally:
            stop.set()
            writer.join()
            writing.close()
        assert seen == sorted(seen)

    def test_row_numbers_stay(self, tmp_path: Path) -> None:
        with closing(make_database(tmp_path / "db")) as connection:
            connection.execute("INSERT INTO t VALUES (1), (2), (3)")
            connection.execute("DELETE FROM t WHERE n < 3")
            SqliteSnapshotSource(tmp_path / "db").save(tmp_path / "copy")
        with closing(sqlite3.connect(tmp_path / "copy")) as copy:
            assert copy.execute("SELECT rowid, n FROM t").fetchall() == [(3, 3)]

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SnapshotError, match=r"there is no database .*gone"):
            SqliteSnapshotSource(tmp_path / "gone").save(tmp_path / "copy")
        assert list(tmp_path.iterdir()) == []

    def test_no_database_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "db").write_bytes(b"something else, and long enough to be looked at" * 100)
        with pytest.raises(SnapshotError, match="db"):
            SqliteSnapshotSource(tmp_path / "db").save(tmp_path / "copy")

    def test_without_a_state_row(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "db")) as connection:
            connection.execute("CREATE TABLE t (n INTEGER)")
        with pytest.raises(SnapshotError, match="no replication state"):
            SqliteSnapshotSource(tmp_path / "db").save(tmp_path / "copy")


class TestFile:
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = tmp_path / "db"
        self.manifest = tmp_path / "manifest.v10"
        self.copy = tmp_path / "copy"
        self.database.write_bytes(b"SPGENV01 and so on")
        self.source = FileSnapshotSource(self.database, self.manifest)
        self.slept: list[float] = []
        monkeypatch.setattr(sources.time, "sleep", self.slept.append)

    def register(self, baseline: int, content: bytes | None = None) -> None:
        found = self.database.read_bytes() if content is None else content
        write_manifest(self.manifest, Manifest(crc32(found), (), baseline))

    def test_interface(self) -> None:
        assert verifyObject(ISnapshotSource, self.source)

    def test_without_a_manifest(self) -> None:
        assert self.source.save(self.copy) == 0
        assert self.copy.read_bytes() == b"SPGENV01 and so on"

    def test_at_the_manifests_baseline(self) -> None:
        self.register(622)
        assert self.source.save(self.copy) == 622
        assert self.copy.read_bytes() == b"SPGENV01 and so on"

    def test_no_bytes_are_copied(self) -> None:
        self.source.save(self.copy)
        assert self.copy.stat().st_ino == self.database.stat().st_ino

    def test_replaced_later(self) -> None:
        """What was opened stays what it was."""
        self.source.save(self.copy)
        other = self.database.with_name("other")
        other.write_bytes(b"another snapshot")
        os.rename(other, self.database)
        assert self.copy.read_bytes() == b"SPGENV01 and so on"

    def test_another_file_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
        self.register(5)
        assert self.source.save(self.copy) == 5
        assert self.copy.read_bytes() == b"SPGENV01 and so on"

    def test_replaced_between_open_and_link(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.link

        def late(source: Path, target: Path) -> None:
            other = self.database.with_name("other")
            other.write_bytes(b"another snapshot")
            os.rename(other, self.database)
            real(source, target)

        monkeypatch.setattr(os, "link", late)
        self.register(5)
        assert self.source.save(self.copy) == 5
        assert self.copy.read_bytes() == b"SPGENV01 and so on"

    def test_missing(self) -> None:
        self.database.unlink()
        with pytest.raises(SnapshotError, match="there is no file"):
            self.source.save(self.copy)

    def test_empty(self) -> None:
        self.database.write_bytes(b"")
        with pytest.raises(SnapshotError, match="is empty"):
            self.source.save(self.copy)

    def test_manifest_of_another_snapshot(self) -> None:
        """A crash between the replacement of one file and of the other: the baseline would be a wrong one."""
        self.register(622, b"the one before")
        with pytest.raises(SnapshotError, match=r"the CRC-32 of .*db is not the one"):
            self.source.save(self.copy)
        assert not self.copy.exists()
        assert len(self.slept) == 2

    def test_replacement_under_way_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.register(622, b"the next one")

        def meanwhile(_: float) -> None:
            self.database.write_bytes(b"the next one")

        monkeypatch.setattr(sources.time, "sleep", meanwhile)
        assert self.source.save(self.copy) == 622
        assert self.copy.read_bytes() == b"the next one"

    def test_manifest_that_appears_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The file that was opened may be the new one: then its position is not 0 any more."""
        real = self.source._open

        def late() -> Any:
            self.register(622)
            return real()

        monkeypatch.setattr(self.source, "_open", late)
        assert self.source.save(self.copy) == 622

    def test_damaged_manifest(self) -> None:
        self.manifest.write_bytes(b"SPGMAN01")
        with pytest.raises(ManifestError):
            self.source.save(self.copy)

    def test_checksum_is_made_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.register(1)
        made: list[int] = []
        monkeypatch.setattr(sources, "crc32", lambda block, crc: made.append(1) or crc32(block, crc))
        for number in range(3):
            self.source.save(self.copy.with_name(f"copy{number}"))
        assert len(made) == 1
        self.database.write_bytes(b"changed in place")
        self.register(2)
        assert self.source.save(self.copy) == 2
