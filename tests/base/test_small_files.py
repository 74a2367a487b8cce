"""Small files that a user names: only whole, regular ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spgrepl.base.small_files import MOST_BYTES, read_small


@pytest.mark.parametrize("size", [0, 1, MOST_BYTES])
def test_a_file(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert len(read_small(path)) == size
    (tmp_path / "link").symlink_to(path)
    assert len(read_small(tmp_path / "link")) == size


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="longer than 4194304 bytes"):
        read_small(path)


def test_a_pipe_that_nobody_writes_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_small(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/dev/full", "/dev/zero"])
def test_a_device_without_an_end(path: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_small(Path(path))


def test_a_folder_and_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        read_small(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "missing")
