"""Databases in files without a name, which nothing leaves behind, whatever ends the process.

Such a file is reached by its descriptor: ``/proc/self/fd/7`` names it for whoever opens files. SQLite does not
follow links when it opens one, so it gets a VFS of its own for these. Only what one connection at a time writes,
or what nobody writes any more, may lie in one: there are no locks and no journals.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from spgrepl.disk.files import create_private, own_name

_FOLDER = "/proc/self/fd/"
_VFS = "spgrepl-unnamed"
_lock = threading.Lock()
_registered: list[apsw.VFS] = []


def create_unnamed(folder: Path) -> int:
    """Make a file that has no name, and that only its owner may read and write.

    Args:
        folder: The folder on whose file system it lies.

    Returns:
        Its descriptor, by which it lives until it is closed.

    Raises:
        OSError: It cannot be made.
    """
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        # Not all file systems can do that.
        path = own_name(folder / "spgrepl", "tmp")
        handle = create_private(path)
        path.unlink()
        return handle


def unnamed_path(handle: int) -> Path:
    """The path by which this process reaches a file by its descriptor, as long as that is open."""
    return Path(f"{_FOLDER}{handle}")


def is_unnamed(path: Path) -> bool:
    """Whether a path is one of `unnamed_path`."""
    return str(path).startswith(_FOLDER)


def folder_of(path: Path) -> Path:
    """The folder on whose file system a file without a name lies."""
    return Path(os.readlink(path)).parent


def replace_unnamed(path: Path, handle: int) -> None:
    """Let a path mean another file; the one that it meant before is gone.

    Args:
        path: A path of `unnamed_path`.
        handle: The other file's descriptor, which is closed.
    """
    os.dup2(handle, int(path.name), inheritable=False)
    os.close(handle)


def database_uri(database: Path, immutable: bool = False) -> str:
    """The URI with which SQLite opens a database, in a file with or without a name.

    Args:
        database: The file.
        immutable: Whether it is read as a file that nobody changes, without locks.
    """
    options = ["immutable=1"] if immutable else []
    if is_unnamed(database):
        with _lock:
            if not _registered:
                _registered.append(_UnnamedFiles())
        options.append(f"vfs={_VFS}")
    return database.absolute().as_uri() + ("?" + "&".join(options) if options else "")


class _UnnamedFiles(apsw.VFS):
    """SQLite's own VFS, but for what has no name."""

    def __init__(self) -> None:
        super().__init__(_VFS, "")

    def xFullPathname(self, name: str) -> str:
        return name if name.startswith(_FOLDER) else super().xFullPathname(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not path.startswith(_FOLDER):
            return super().xOpen(name, flags)
        flags[1] = flags[0]
        return _UnnamedFile(int(path.removeprefix(_FOLDER)))


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Tell what the disk refuses as SQLite does, so that whoever uses the database knows it."""
    try:
        yield
    except OSError as error:
        kind = apsw.FullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else apsw.IOError
        raise kind(str(error)) from error


class _UnnamedFile(apsw.VFSFile):
    def __init__(self, handle: int) -> None:
        # A descriptor of its own: the other one may be closed, and its number given again, under a read.
        try:
            self._handle = os.dup(handle)
        except OSError as error:
            raise apsw.CantOpenError(str(error)) from error

    def xRead(self, amount: int, offset: int) -> bytes:
        with _faults():
            return os.pread(self._handle, amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        with _faults():
            while view:
                written = os.pwrite(self._handle, view, offset)
                view, offset = view[written:], offset + written

    def xTruncate(self, newsize: int) -> None:
        with _faults():
            os.ftruncate(self._handle, newsize)

    def xSync(self, flags: int) -> None:
        """A loss of power leaves nothing of it in any case."""

    def xFileSize(self) -> int:
        return os.fstat(self._handle).st_size

    def xLock(self, level: int) -> None:
        """Nobody else can reach it."""

    def xUnlock(self, level: int) -> None:
        """Nobody else can reach it."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 0

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xClose(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
