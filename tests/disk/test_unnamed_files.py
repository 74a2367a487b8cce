"""Databases in files without a name."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from spgrepl.disk import unnamed_files
from spgrepl.disk.unnamed_files import (
    create_unnamed,
    database_uri,
    folder_of,
    is_unnamed,
    replace_unnamed,
    unnamed_path,
)
from spgrepl.sqlite.session import plain_connection

FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
    "INSERT INTO t SELECT i, i FROM n; CREATE INDEX i ON t (b); DELETE FROM t WHERE a > 4000"
)


@contextlib.contextmanager
def made(folder: Path) -> Iterator[tuple[int, Path]]:
    handle = create_unnamed(folder)
    try:
        path = unnamed_path(handle)
        with contextlib.closing(plain_connection(path)) as connection:
            connection.pragma("journal_mode", "off")
            connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
            connection.execute(f"BEGIN; {FILL}; COMMIT; VACUUM")
        yield handle, path
    finally:
        os.close(handle)


@pytest.mark.parametrize("supported", [True, False])
def test_a_database_is_written_and_read_there(
    tmp_path: Path, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not supported:
        # As on a file system without O_TMPFILE.
        monkeypatch.setattr(unnamed_files.os, "O_TMPFILE", os.O_DIRECTORY)
    with made(tmp_path) as (_, path):
        assert list(tmp_path.iterdir()) == []
        assert is_unnamed(path)
        assert folder_of(path) == tmp_path
        assert path.stat().st_mode & 0o777 == 0o600
        with contextlib.closing(plain_connection(path, immutable=True)) as connection:
            assert connection.pragma("quick_check") == "ok"
            assert connection.execute("SELECT count(*), sum(b) FROM t").get == (4000, 8002000)


def test_it_can_be_attached_to_another_and_outlives_its_descriptor(tmp_path: Path) -> None:
    with contextlib.closing(plain_connection(tmp_path / "other.db")) as connection:
        with made(tmp_path) as (_, path):
            connection.execute("ATTACH ? AS s", (database_uri(path, immutable=True),))
        # The descriptor is closed, and its number may be that of something else now.
        with open(tmp_path / "something else", "w") as other:
            assert connection.execute("SELECT count(*) FROM s.t").get == 4000
            assert other.name
        connection.execute("DETACH s")
        with pytest.raises(apsw.CantOpenError, match="Bad file descriptor"):
            connection.execute("ATTACH ? AS s", (database_uri(unnamed_path(9999), immutable=True),))


def test_a_disk_that_is_full_is_told_as_sqlite_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with made(tmp_path) as (_, path), contextlib.closing(plain_connection(path)) as connection:
        connection.pragma("journal_mode", "off")
        monkeypatch.setattr(unnamed_files.os, "pwrite", full)
        with pytest.raises(apsw.FullError, match="no space left"):
            connection.execute("DELETE FROM t")


def test_another_file_takes_its_place(tmp_path: Path) -> None:
    with made(tmp_path) as (handle, path):
        other = create_unnamed(tmp_path)
        os.write(other, b"text")
        replace_unnamed(path, other)
        assert path.read_bytes() == b"text"
        assert not os.get_inheritable(handle)
