"""The spool folder: own, found again after a kill, never another master's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from spgrepl.master.snapshots.spool import PREFIX, SpoolFolder

_CHILD = """
import sys, time
from pathlib import Path
from spgrepl.master.snapshots.spool import SpoolFolder
path = SpoolFolder(Path(sys.argv[1])).new_path()
path.write_bytes(b"a part of a snapshot")
print(path.parent, flush=True)
time.sleep(600)
"""


def test_paths_are_new_and_in_an_existing_folder(tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path / "deep" / "spool")
    first, second = spool.new_path(), spool.new_path()
    assert first != second
    assert not first.exists()
    assert first.parent.is_dir()
    assert first.parent.parent == tmp_path / "deep" / "spool"
    assert first.parent.name.startswith(PREFIX)
    spool.close()
    assert list((tmp_path / "deep" / "spool").iterdir()) == []
    spool.close()


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path / "spool")
    spool.clear_leftovers()
    spool.close()
    assert not (tmp_path / "spool").exists()


def test_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    spool = SpoolFolder(tmp_path)
    first = spool.new_path()
    (first.parent / "lock").unlink()
    first.parent.rmdir()
    second = spool.new_path()
    assert second.parent.is_dir()
    spool.close()


def test_leftovers_of_a_killed_process_go_and_a_living_ones_stay(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_CHILD), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        left = Path(child.stdout.readline().strip())
        spool = SpoolFolder(tmp_path)
        own = spool.new_path().parent
        spool.clear_leftovers()
        assert left.exists(), "its owner lives"
        child.kill()
        child.wait()
        spool.clear_leftovers()
    assert not left.exists()
    assert own.exists()
    spool.close()


def test_folder_that_is_about_to_be_locked_stays(tmp_path: Path) -> None:
    fresh = tmp_path / f"{PREFIX}fresh"
    fresh.mkdir()
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    os.utime(old, (0, 0))
    foreign = tmp_path / "something else"
    foreign.mkdir()
    SpoolFolder(tmp_path).clear_leftovers()
    assert (fresh.exists(), old.exists(), foreign.exists()) == (True, False, True)


def test_leftover_that_cannot_be_removed_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}a").symlink_to(tmp_path)  # rmtree refuses links
    (tmp_path / "lock").write_bytes(b"")
    old = tmp_path / f"{PREFIX}b"
    old.mkdir()
    os.utime(old, (0, 0))
    SpoolFolder(tmp_path).clear_leftovers()
    assert not old.exists()
    assert (tmp_path / "lock").exists()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        SpoolFolder(tmp_path / "file" / "spool").new_path()


def test_a_folder_that_somebody_else_has_used_stays(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}of-mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    os.utime(folder, (0, 0))
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    SpoolFolder(tmp_path).clear_leftovers()
    assert (folder / "notes.txt").read_text() == "precious"
    assert (tmp_path / f"{PREFIX}link").is_symlink()
