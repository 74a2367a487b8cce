"""The one place where bytes are added to a log file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from spgrepl.files import sync_folder


class LogWriter:
    """Appends to a log file, all or nothing, and makes it durable on demand.

    Blocking; one writer per file, which its owner has to see to (see `spgrepl.files.LockFile`).

    Args:
        path: The log file; `open` creates it when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self._length = 0

    @property
    def length(self) -> int:
        """The length of the log in bytes."""
        return self._length

    def fileno(self) -> int:
        """The descriptor of the open file, good for `os.pread`."""
        return self._handle

    def open(self) -> None:
        """Open the file, or create it and make its name durable."""
        existed = self.path.exists()
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._length = os.fstat(self._handle).st_size
        if not existed:
            sync_folder(self.path.parent)

    def append(self, data: bytes) -> None:
        """Write bytes at the end of the log; they are durable only after `sync`.

        Raises:
            OSError: The bytes could not all be written. The log is as it was before.
        """
        view = memoryview(data)
        at = self._length
        try:
            while view:
                written = os.pwrite(self._handle, view, at)
                at += written
                view = view[written:]
        except OSError:
            # Should even this fail, the half record lies behind `length` and the next append overwrites it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._length)
            raise
        self._length = at

    def sync(self) -> None:
        """Make all that was appended durable. May be called from another thread than `append`."""
        os.fdatasync(self._handle)

    def cut(self, length: int) -> None:
        """Shorten the log, durably.

        Args:
            length: The length that remains, in bytes; not above the present one.
        """
        if length > self._length:
            raise ValueError(f"{self.path} has {self._length} bytes and cannot be cut to {length}")
        os.ftruncate(self._handle, length)
        self._length = length
        os.fsync(self._handle)

    def replace(self) -> None:
        """Put a new, empty file in the log's place: whoever reads the old one goes on seeing what it held."""
        fresh = self.path.with_name(self.path.name + ".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fsync(handle)
            os.rename(fresh, self.path)
            sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            raise
        self.close()
        self._handle = handle
        self._length = 0

    def close(self) -> None:
        """Close the file; nothing happens when it is not open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
