"""The log's writer on real files: all or nothing, also when the file system refuses."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spgrepl.errors import LocalFilesDamaged
from spgrepl.log.writer import LogWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "name.wal"


@pytest.fixture
def writer(path: Path) -> Iterator[LogWriter]:
    writer = LogWriter(path)
    writer.open()
    yield writer
    writer.close()


@pytest.fixture
def small_files() -> Iterator[int]:
    """Let the kernel refuse to make any file longer than some bytes, as a full disk does."""
    bound = 100_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bound, hard))
    yield bound
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_open_creates_an_empty_log(path: Path, writer: LogWriter) -> None:
    assert path.read_bytes() == b""
    assert writer.length == 0


def test_appended_bytes_stand_one_behind_the_other(path: Path, writer: LogWriter) -> None:
    writer.append(b"first")
    writer.append(b"")
    writer.append(b" second")
    writer.sync()
    assert path.read_bytes() == b"first second"
    assert writer.length == 12
    assert os.pread(writer.fileno(), 100, 6) == b"second"


def test_open_goes_on_at_the_end(path: Path) -> None:
    path.write_bytes(b"held before, ")
    writer = LogWriter(path)
    writer.open()
    assert writer.length == 13
    writer.append(b"added")
    writer.close()
    assert path.read_bytes() == b"held before, added"


def test_open_in_a_missing_folder_fails(path: Path) -> None:
    writer = LogWriter(path.parent / "missing" / "name.wal")
    with pytest.raises(FileNotFoundError):
        writer.open()
    writer.close()


def test_big_appends_are_written_whole(path: Path, writer: LogWriter) -> None:
    data = os.urandom(3 << 20)
    writer.append(b"x")
    writer.append(data)
    assert path.read_bytes() == b"x" + data


@pytest.mark.usefixtures("small_files")
def test_a_refused_append_leaves_the_log_as_it_was(path: Path, writer: LogWriter) -> None:
    writer.append(b"a" * 60_000)
    # 40,000 bytes of it fit, and are written before the rest is refused.
    with pytest.raises(OSError, match="File too large"):
        writer.append(b"b" * 60_000)
    assert writer.length == 60_000
    assert path.read_bytes() == b"a" * 60_000
    writer.append(b"c" * 40_000)
    assert writer.length == 100_000
    assert path.read_bytes() == b"a" * 60_000 + b"c" * 40_000


def test_cut_shortens_the_log_and_it_grows_from_there(path: Path, writer: LogWriter) -> None:
    writer.append(b"0123456789")
    writer.cut(4)
    assert writer.length == 4
    assert path.read_bytes() == b"0123"
    writer.append(b"xy")
    assert path.read_bytes() == b"0123xy"
    writer.cut(6)
    writer.cut(0)
    assert path.read_bytes() == b""


def test_cut_never_lengthens(path: Path, writer: LogWriter) -> None:
    writer.append(b"0123")
    with pytest.raises(ValueError, match="has 4 bytes and cannot be cut to 5"):
        writer.cut(5)
    assert path.read_bytes() == b"0123"


def test_replace_begins_a_new_file_and_leaves_the_old_one_to_its_readers(path: Path, writer: LogWriter) -> None:
    writer.append(b"old")
    before = len(os.listdir("/proc/self/fd"))
    with open(path, "rb") as reader:
        writer.replace()
        writer.append(b"new one")
        assert reader.read() == b"old"
        assert os.fstat(reader.fileno()).st_ino != path.stat().st_ino
    assert len(os.listdir("/proc/self/fd")) == before
    assert writer.length == 7
    assert path.read_bytes() == b"new one"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_replace_passes_over_what_an_interrupted_one_left(path: Path, writer: LogWriter) -> None:
    writer.append(b"old")
    path.with_name(path.name + ".new").write_bytes(b"left behind")
    writer.replace()
    assert path.read_bytes() == b""


def test_a_failed_replace_leaves_the_log_open_as_it_was(path: Path, writer: LogWriter) -> None:
    writer.append(b"old")
    path.unlink()
    path.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="directory"):
        writer.replace()
    assert len(os.listdir("/proc/self/fd")) == before
    assert writer.length == 3
    assert os.pread(writer.fileno(), 10, 0) == b"old"


def test_close_may_be_called_twice_and_ends_writing(path: Path) -> None:
    writer = LogWriter(path)
    writer.close()
    writer.open()
    before = len(os.listdir("/proc/self/fd"))
    writer.close()
    writer.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.append(b"more")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is handed to the kernel's two sync calls, which still do their work."""
    names: list[str] = []

    def watch(call: str, real: Callable[[int], None]) -> None:
        def spy(handle: int) -> None:
            names.append(Path(f"/proc/self/fd/{handle}").readlink().name)
            real(handle)

        monkeypatch.setattr(os, call, spy)

    watch("fsync", os.fsync)
    watch("fdatasync", os.fdatasync)
    return names


def test_what_has_to_be_durable_is_synced(path: Path, synced: list[str]) -> None:
    folder, log = path.parent.name, path.name
    writer = LogWriter(path)
    writer.open()
    assert synced == [folder]
    writer.append(b"0123")
    assert synced == [folder]
    writer.sync()
    assert synced == [folder, log]
    writer.cut(2)
    assert synced == [folder, log, log]
    writer.replace()
    assert synced.pop(3).startswith(f"{log}.")
    assert synced == [folder, log, log, folder]
    writer.close()
    writer.open()
    assert synced == [folder, log, log, folder]
    writer.close()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_not_a_file_is_not_a_log(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    with pytest.raises(LocalFilesDamaged, match="is not a plain file"):
        LogWriter(path).open()
