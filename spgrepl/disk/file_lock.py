"""Locks that keep a second writer away: beside a log by name, and on the log itself, whatever its name.

The lock on the log is on its inode, so that symbolic links, hard links and mounts of one file are one. It is not
on the database: closing any descriptor of a database would take SQLite's own locks away from this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from pathlib import Path

from spgrepl.disk.files import PRIVATE, create_private
from spgrepl.errors import DatabaseLocked, LocalFilesDamaged, unusable_file

_OFD_LOCK = struct.Struct("hhqqi4x")
_LOCKED_BYTE = 2**62
"""Where a log is locked: far behind all that it will ever hold."""

_WORD = b"process "
_LONGEST = 200


def lock_open_file(handle: int, path: Path) -> None:
    """Lock a file for as long as a descriptor of it is open, whatever the name that the file was opened by.

    Whoever may only read the file cannot take this lock, nor keep anybody from it.

    Args:
        handle: A descriptor for writing.
        path: The file, for the error.

    Raises:
        DatabaseLocked: Another descriptor of this file, of any process, has the lock.
    """
    if _try_lock(handle):
        return
    # A program that can only read may hold a shared lock, which says nothing: no writer has the file then.
    query = _OFD_LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    (kind, *_) = _OFD_LOCK.unpack(fcntl.fcntl(handle, fcntl.F_OFD_GETLK, query))
    if kind == fcntl.F_UNLCK:
        return
    raise DatabaseLocked(
        f"{path} is written by another process, or by another part of this one, perhaps under another name: one "
        f"writes a log at a time: stop that one, or wait for it"
    )


def _try_lock(handle: int) -> bool:
    wanted = _OFD_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _may_be_ours(content: bytes) -> bool:
    """Whether a lock file holds what one of ours does, or what a loss of power can leave of that."""
    if len(content) < _LONGEST and not content.strip(b"\0"):
        return True
    return content[: len(_WORD)] == _WORD[: len(content)]


class LockFile:
    """An exclusive lock that the kernel releases when its process ends, however it ends.

    The lock file may only be opened by its owner, so nobody else can hold it.

    Args:
        path: The lock file. It stays, empty of meaning, when the lock is released.
        purpose: What the holder does, for the error that a second one gets.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose
        self._handle: int | None = None
        self._made = False

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            DatabaseLocked: Somebody else has it; the message names the file, the process and its purpose.
            LocalFilesDamaged: Another kind of file has its name.
            ConfigurationError: It cannot be made there: no folder, no permission, a name that is too long.
            EngineFailed: The disk refuses.
        """
        while not self._try_to_acquire():
            pass  # Somebody has withdrawn the file meanwhile.

    def _try_to_acquire(self) -> bool:
        try:
            handle = self._open()
        except OSError as error:
            raise unusable_file(error, f"the file {self._path} cannot be made or opened") from error
        try:
            self._lock(handle)
            in_place = self._is_in_place(handle)
        except BaseException:
            os.close(handle)
            raise
        if not in_place:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def _open(self) -> int:
        self._made = False
        try:
            handle = create_private(self._path)
            self._made = True
            return handle
        except FileExistsError:
            if not stat.S_ISREG(os.lstat(self._path).st_mode):
                raise self._stranger() from None
        return os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def _stranger(self) -> LocalFilesDamaged:
        return LocalFilesDamaged(f"{self._path} is there and is not a lock file of spgrepl: move it away")

    def _lock(self, handle: int) -> None:
        holder = os.pread(handle, _LONGEST, 0)
        if not _may_be_ours(holder):
            raise self._stranger()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            named = holder.decode("utf-8", "replace").strip() or "another process"
            raise DatabaseLocked(
                f"{self._path} is held by {named}; one process writes a database at a time: stop that one, or "
                f"wait for it"
            ) from None
        with contextlib.suppress(PermissionError):  # another user's, whose mode is theirs
            os.fchmod(handle, PRIVATE)
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%s%d (%s)\n" % (_WORD, os.getpid(), os.fsencode(self._purpose)), 0)

    def _is_in_place(self, handle: int) -> bool:
        """Whether the file that is locked is still the one that has the name."""
        try:
            return os.path.samestat(os.fstat(handle), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def withdraw(self) -> None:
        """Give the lock back after a refusal, and remove the lock file where this lock has made it.

        Nothing happens when the lock is not held.
        """
        if self._handle is not None and self._made and self._is_in_place(self._handle):
            # Whoever waits for the lock has the removed file open, sees that, and begins again.
            os.unlink(self._path)
        self.release()

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
