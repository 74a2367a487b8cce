"""Tests for the files beside a database: names, modes, locks, and strangers' files in the way."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import (
    DatabasePaths,
    create_private,
    make_private_folder,
    own_name,
    remove_own,
    remove_temporaries,
    replace_file,
)
from spgrepl.errors import DatabaseLocked, FileLost, UsageError
from spgrepl.log.writer import LogWriter


@pytest.fixture(params=[0o000, 0o777])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- modes ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_umask")
def test_what_is_made_is_its_owners_only_whatever_the_umask(tmp_path: Path) -> None:
    os.close(create_private(tmp_path / "made"))
    replace_file(tmp_path / "replaced", b"x")
    LockFile(tmp_path / "lock", "test").acquire()
    log = LogWriter(tmp_path / "x.wal")
    log.open()
    log.append(b"abc")
    os.chmod(log.path, 0o640)
    log.replace()
    log.close()
    make_private_folder(tmp_path / "folder")
    modes = {path.name: _mode(path) for path in tmp_path.iterdir()}
    # A mode that somebody has given stays.
    assert modes == {"made": 0o600, "replaced": 0o600, "lock": 0o600, "x.wal": 0o640, "folder": 0o700}


def test_a_file_keeps_the_mode_that_somebody_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    replace_file(path, b"1")
    path.chmod(0o644)
    replace_file(path, b"2")
    assert (_mode(path), path.read_bytes()) == (0o644, b"2")
    assert list(tmp_path.iterdir()) == [path]


# -- names ----------------------------------------------------------------------------------------------------


def test_only_what_was_made_here_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.wal"
    left = own_name(path, "tmp")
    others = [tmp_path / name for name in ("x.wal.tmp", "x.wal.1234.tmp", f"{left.name}.old", f"y{left.name}")]
    for file in (left, *others):
        file.write_bytes(b"")
    assert remove_own(path, "tmp") == [left]
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_a_killed_process_was_about_to_put_in_place_is_removed(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "x.db")
    for file in (paths.pair, paths.applied_position, paths.wal, paths.subscription_marks):
        own_name(file, "tmp").touch()
    others = {"x.tmp", "x.wal.tmp", "x.db2.0123456789abcdef.tmp"}
    for name in others:
        (tmp_path / name).touch()
    remove_temporaries(paths.all_files())
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_strangers_file_in_the_way_of_a_temporary_name_stays(tmp_path: Path) -> None:
    for name in ("x.tmp", "x.new"):
        (tmp_path / name).write_bytes(b"a letter")
    replace_file(tmp_path / "x", b"content")
    writer = LogWriter(tmp_path / "x")
    writer.open()
    writer.replace()
    writer.close()
    assert {path.read_bytes() for path in tmp_path.iterdir() if path.name != "x"} == {b"a letter"}


@pytest.mark.parametrize(
    ("database", "wal"),
    [
        ("data.wal", None),
        ("x", "x"),
        ("x.db", "./x.db"),
        ("x.db", "x.db-wal"),  # SQLite's own
        ("x.db", "x.db-shm"),
        ("x.wal.lock", "x.wal"),
        ("x.wal.applied_pos", "x.wal"),
        ("x.wal.pair", "x.wal"),
        ("x.db", "x.db.replay.json"),
        ("x.db", "x.spg"),
    ],
)
def test_one_file_for_two_purposes_is_refused(tmp_path: Path, database: str, wal: str | None) -> None:
    with pytest.raises(UsageError, match="would share the file"):
        DatabasePaths.of(tmp_path / database, None if wal is None else f"{tmp_path}/{wal}")


@pytest.mark.parametrize("other", ["x.wal", "x.db-wal", "x.wal.cluster_id", "x.wal.pair"])
def test_two_names_of_one_file_are_refused(tmp_path: Path, other: str) -> None:
    (tmp_path / "x.db").write_bytes(b"precious")
    (tmp_path / other).hardlink_to(tmp_path / "x.db")
    with pytest.raises(UsageError, match=r"x\.db and .* are one and the same file"):
        DatabasePaths.of(tmp_path / "x.db")


@pytest.mark.parametrize("which", ["database", "wal"])
def test_what_is_no_regular_file_is_no_database_and_no_log(tmp_path: Path, which: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path("/dev/full")):
        names = {"database": str(tmp_path / "data.db"), "wal": str(tmp_path / "data.wal"), which: str(odd)}
        with pytest.raises(UsageError, match=f"{odd} is a device or a pipe"):
            DatabasePaths.of(names["database"], names["wal"])


def test_a_symbolic_link_stands_for_its_file(tmp_path: Path) -> None:
    (tmp_path / "main.db").touch()
    (tmp_path / "link.db").symlink_to("main.db")
    (tmp_path / "link.wal").symlink_to("main.wal")
    assert DatabasePaths.of(tmp_path / "link.db") == DatabasePaths.of(tmp_path / "main.db")
    assert DatabasePaths.of(tmp_path / "main.db", tmp_path / "link.wal").wal == tmp_path / "main.wal"
    (tmp_path / "same.wal").symlink_to("main.db")
    with pytest.raises(UsageError):
        DatabasePaths.of(tmp_path / "main.db", tmp_path / "same.wal")


def test_what_names_no_file_is_refused() -> None:
    with pytest.raises(UsageError):
        DatabasePaths.of("/")


# -- locks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_log_is_locked_whatever_its_name(tmp_path: Path, link: object) -> None:
    first, second = LogWriter(tmp_path / "a.wal"), LogWriter(tmp_path / "b.wal")
    first.open()
    link(first.path, second.path)  # type: ignore[operator]
    with pytest.raises(DatabaseLocked, match=r"b\.wal is written by another process"):
        second.open()
    second.close()
    with pytest.raises(DatabaseLocked):  # still
        LogWriter(first.path).open()
    first.close()
    second.open()
    second.close()


@pytest.mark.parametrize("how", ["flock", "lockf"])
def test_whoever_only_reads_a_log_keeps_no_writer_away(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.wal"
    path.touch()
    with open(path, "rb") as reader:
        if how == "flock":
            fcntl.flock(reader, fcntl.LOCK_EX)
        else:
            fcntl.lockf(reader, fcntl.LOCK_SH)
        writer = LogWriter(path)
        writer.open()
        writer.append(b"x")
        writer.close()


# -- a log that is in use -------------------------------------------------------------------------------------


def _delete(path: Path) -> None:
    path.unlink()


def _move(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").rename(path)


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_delete, "was deleted"),
        (_move, "was moved away"),
        (_replace, "was replaced by another file"),
        (_truncate, "has 0 bytes, and 5 were written here"),
        (_append, "has 9 bytes, and 5 were written here"),
    ],
)
def test_what_happens_to_a_log_in_use_is_named(tmp_path: Path, harm: object, message: str) -> None:
    writer = LogWriter(tmp_path / "a.wal")
    writer.open()
    writer.append(b"12345")
    writer.require_in_place()
    harm(writer.path)  # type: ignore[operator]
    with pytest.raises(FileLost, match=message):
        writer.require_in_place()
    writer.close()


def test_a_second_name_of_a_log_harms_nothing(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "a.wal")
    writer.open()
    (tmp_path / "backup.wal").hardlink_to(writer.path)
    writer.require_in_place()
    writer.close()
