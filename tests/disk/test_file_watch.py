"""Tests for the watch over files in use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from spgrepl.disk.file_watch import FileGuard, FileWatch
from spgrepl.errors import FileLost


def test_a_file_is_known_by_its_inode(tmp_path: Path) -> None:
    path, other = tmp_path / "x.db", tmp_path / "later.db"
    path.touch()
    watch = FileWatch(other)
    watch.expect(path, tmp_path / "never there")
    watch.require_in_place()
    path.rename(tmp_path / "moved")
    with pytest.raises(FileLost, match=r"x\.db was moved away or deleted"):
        watch.require_in_place()
    shutil.copy(tmp_path / "moved", path)
    with pytest.raises(FileLost, match=r"x\.db was replaced by another file"):
        watch.require_in_place()
    (tmp_path / "moved").rename(path)
    watch.require_in_place()
    other.touch()
    watch.require_in_place()
    other.unlink()
    with pytest.raises(FileLost, match=r"later\.db"):
        watch.require_in_place()
    watch.expect(other)  # nothing is expected there any more
    watch.require_in_place()


def test_a_loss_is_told_within_a_second_and_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    clock, told = Clock(), []
    guard = FileGuard(clock, FileWatch(path), told.append)
    guard.start()
    clock.pump([0.25] * 4)
    assert (guard.error, told) == (None, [])
    path.rename(tmp_path / "moved")
    clock.pump([0.25] * 4)
    assert guard.error is not None
    clock.pump([0.25] * 8)
    assert len(told) == 1
    (tmp_path / "moved").rename(path)
    clock.pump([0.25] * 4)
    assert guard.error is None
    guard.stop()
    assert clock.getDelayedCalls() == []
