"""``spgrepl exec`` on a full disk: of each statement it says what became of it, and that is true."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from spgrepl.log.reader import iterate_records

FILLED = [
    f"INSERT INTO t VALUES ({number}, x'{random.Random(number).randbytes(10_000).hex()}')" for number in range(5)
]


@attrs.frozen
class Disk:
    """A disk that can be filled: a small one where root runs the tests, or a limit on the size of files."""

    folder: Path
    mounted: bool

    def run(self, *words: object, leave: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``spgrepl exec`` with so many KiB of the disk left, or of files allowed."""
        limit = None
        if leave is not None and self.mounted:
            free = os.statvfs(self.folder)
            (self.folder / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - leave * 1024))
        elif leave is not None:
            limit = leave * 1024
        command = [sys.executable, "-m", "spgrepl", "exec", *map(str, words)]

        def restrict() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=restrict)
        finally:
            (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture(params=["disk", "limit"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = (
        request.param == "disk"
        and os.geteuid() == 0
        and subprocess.run(mount, capture_output=True).returncode == 0
    )
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def rows(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        found: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        return found


def test_a_disk_that_the_log_fills(disk: Disk, tmp_path: Path) -> None:
    """None of the statements that share an fsync was done, and all of them are named."""
    database, wal = tmp_path / "a.db", disk.folder / "a.wal"
    assert disk.run("--db", database, "--wal", wal, "CREATE TABLE t (a, b)").returncode == 0
    length = wal.stat().st_size
    done = disk.run("--db", database, "--wal", wal, *FILLED, "SELECT 1", "DELETE FROM t", leave=48)
    assert done.returncode == 75
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert said[0].startswith("spgrepl: none of these was done: ")
    assert [line.split(":")[0] for line in said[1:6]] == [f"  statement {number}" for number in range(1, 6)]
    assert said[6:] == ["Not run: statement 6 and those after it."]
    assert rows(database) == 0
    # What was written of them is not cut, but replaced: whoever has read it there can tell.
    assert wal.stat().st_size > length
    left = [sql for batch in iterate_records(wal, length) for sql in batch.sql if sql is not None]
    assert [sql[:2] + sql[-2:] for sql in left] == [b"/**/"] * len(left)
    assert disk.run("--db", database, "--wal", wal, *FILLED).returncode == 0
    assert rows(database) == 5


def test_a_disk_that_the_database_fills(disk: Disk, tmp_path: Path) -> None:
    """The statements are in the log, durable: all of them are reported as done, each with its position."""
    database, wal = disk.folder / "a.db", tmp_path / "a.wal"
    assert disk.run("--db", database, "--wal", wal, "CREATE TABLE t (a, b)").returncode == 0
    tables = [f"CREATE TABLE t{number} (a UNIQUE, b UNIQUE, c UNIQUE, d UNIQUE)" for number in range(5)]
    done = disk.run("--db", database, "--wal", wal, *tables, "SELECT 1", leave=48)
    assert done.returncode == 75, done
    said = [line for line in done.stderr.splitlines() if line.startswith("spgrepl:")]
    ends = [batch.start_of(index) for batch in iterate_records(wal) for index in range(1, len(batch) + 1)]
    assert [line.split(": ")[1] for line in said] == [
        f"statement {number} is done, at position {end}" for number, end in enumerate(ends[-5:], 1)
    ]
    assert done.stderr.splitlines()[-1] == "Not run: statement 6."
    assert done.stdout == f"position {ends[-1]}\n"
    again = disk.run("--db", database, "--wal", wal, "SELECT count(*) FROM t4")
    assert again.returncode == 65  # a reader alone does not bring it up to date
    assert disk.run("--db", database, "--wal", wal, "INSERT INTO t4 (a) VALUES (1)").returncode == 0
    assert disk.run("--db", database, "--wal", wal, "SELECT count(*) FROM t4").returncode == 0


def test_a_statement_that_the_database_has_no_room_for(disk: Disk, tmp_path: Path) -> None:
    """What stands before a statement that is refused is done; what follows is not run."""
    database, wal = tmp_path / "a.db", tmp_path / "a.wal"
    done = disk.run(
        "--db", database, "--wal", wal, "CREATE TABLE t (a UNIQUE, b)", FILLED[0], FILLED[0], FILLED[1]
    )
    assert done.returncode == 65
    said = done.stderr.splitlines()
    assert said[0].startswith("spgrepl: statement 3 failed: UNIQUE constraint failed")
    assert said[-1] == "Not run: statement 4."
    assert rows(database) == 1
