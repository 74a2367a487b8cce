"""Locks on files: on the file itself, whatever its name."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from spgrepl.disk.file_lock import LockFile
from spgrepl.errors import DatabaseLocked, LocalFilesDamaged


def test_a_file_of_somebody_else_is_not_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.wal.lock"
    path.write_bytes(b"Dear diary")
    for _ in range(2):
        with pytest.raises(LocalFilesDamaged, match="is not a lock file"):
            LockFile(path, "test").acquire()
    assert path.read_bytes() == b"Dear diary"
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(LocalFilesDamaged, match="is not a lock file"):
        LockFile(path, "test").acquire()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("left", [b"", b"proc", b"process 17 (te", bytes(30), b"process \0\0\0"])
def test_what_a_loss_of_power_leaves_of_a_lock_is_one(tmp_path: Path, left: bytes) -> None:
    """Nothing flushes it: its content may be cut, or zeros."""
    path = tmp_path / "x.wal.lock"
    path.write_bytes(left)
    lock = LockFile(path, "test")
    lock.acquire()
    lock.release()
    assert path.read_bytes() == b"process %d (test)\n" % os.getpid()


def test_a_withdrawn_lock_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.wal.lock"
    lock = LockFile(path, "one")
    lock.acquire()
    lock.withdraw()
    assert not path.exists()
    lock.withdraw()


def test_a_lock_file_that_was_there_is_not_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "x.wal.lock"
    before = LockFile(path, "one")
    before.acquire()
    before.release()
    lock = LockFile(path, "two")
    lock.acquire()
    lock.withdraw()
    assert path.exists()


def test_who_had_a_withdrawn_file_open_locks_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its open and its lock another process withdraws the file: two would hold a lock each."""
    path = tmp_path / "x.wal.lock"
    first, second = LockFile(path, "one"), LockFile(path, "two")
    first.acquire()
    real, waits = fcntl.flock, [True]

    def flock(handle: int, how: int) -> None:
        if waits.pop() if waits else False:
            first.withdraw()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    second.acquire()
    assert path.exists()
    with pytest.raises(DatabaseLocked, match="two"):
        LockFile(path, "three").acquire()
    second.release()
