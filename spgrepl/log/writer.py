"""The one place where bytes are added to a log file."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from spgrepl.base.measures import SECONDS, Histogram
from spgrepl.disk.file_lock import lock_open_file
from spgrepl.disk.file_watch import GOES_ON
from spgrepl.disk.files import create_private, keep_mode, own_name, sync_folder
from spgrepl.errors import FileLost, LocalFilesDamaged
from spgrepl.text.quantities import number_of


class LogWriter:
    """Appends to a log file, all or nothing, and makes it durable on demand.

    Blocking. The file is locked, by its inode, for as long as it is open.

    Args:
        path: The log file; `open` creates it when it is missing.

    Attributes:
        sync_seconds: How long it takes to make the log durable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)
        self._handle = -1
        self._length = 0
        self._half_written = False
        self.sync_seconds = Histogram(SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._handle >= 0

    @property
    def length(self) -> int:
        """The length of the log in bytes."""
        return self._length

    def fileno(self) -> int:
        """The descriptor of the open file, good for `os.pread`."""
        return self._handle

    def open(self) -> None:
        """Open and lock the file, or create it and make its name durable.

        Raises:
            DatabaseLocked: It has a writer, perhaps under another name.
            LocalFilesDamaged: It is not a plain file.
            OSError: It cannot be opened.
        """
        made = True
        try:
            handle = create_private(self.path)
        except FileExistsError:
            made = False
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise LocalFilesDamaged(f"{self.path} is not a plain file: name another log with --wal") from None
            handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock_open_file(handle, self.path)
            self._length = os.fstat(handle).st_size
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        self._half_written = False
        if made:
            sync_folder(self.path.parent)

    def require_in_place(self) -> None:
        """See that the file still has its name, and just the bytes that were written here.

        Raises:
            FileLost: It was moved away, deleted, replaced, truncated or written by another program.
        """
        found = os.fstat(self._handle)
        try:
            named = os.stat(self._name)
        except FileNotFoundError:
            what = "was moved away" if found.st_nlink else "was deleted"
            raise self._lost(f"{what} while it was being written") from None
        if not os.path.samestat(found, named):
            raise self._lost("was replaced by another file while it was being written")
        if found.st_size != self._length and not self._half_written:
            raise self._lost(
                f"has {number_of(found.st_size, 'byte')}, and {self._length} were written here: "
                f"another program truncated it or wrote there"
            )

    def _lost(self, what: str) -> FileLost:
        return FileLost(f"the log {self.path} {what}; nothing more is written. Put it back as it was: {GOES_ON}")

    def append(self, data: bytes) -> None:
        """Write bytes at the end of the log; they are durable only after `sync`.

        Raises:
            OSError: The bytes could not all be written. The log is as it was before.
        """
        start = self._length
        try:
            self._write(data)
        except OSError:
            # Should even this fail, the half record lies beyond `length` and the next append overwrites it.
            self._length = start
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, start)
                self._half_written = False
            raise

    def _write(self, data: bytes) -> None:
        """Write bytes at the end of the log; after a failure `length` says how many of them are there."""
        view = memoryview(data)
        self._half_written = True
        while view:
            written = os.pwrite(self._handle, view, self._length)
            self._length += written
            view = view[written:]
        self._half_written = False

    def sync(self) -> None:
        """Make all that was appended durable. May be called from another thread than `append`."""
        self.sync_seconds.time(os.fdatasync, self._handle)

    def cut(self, length: int) -> None:
        """Shorten the log, durably.

        Args:
            length: The length that remains, in bytes; not above the present one.
        """
        if length > self._length:
            raise ValueError(f"{self.path} has {number_of(self._length, 'byte')} and cannot be cut to {length}")
        os.ftruncate(self._handle, length)
        self._length = length
        os.fsync(self._handle)

    def take_back(self, length: int) -> None:
        """Cut off what was appended last, where the file, whatever became of its name, still ends with it.

        Args:
            length: The log's length before, in bytes.
        """
        with contextlib.suppress(OSError):
            if os.fstat(self._handle).st_size == self._length:
                self.cut(length)

    def replace(self, keep_as: Path | None = None) -> None:
        """Put a new, empty file in the log's place: whoever reads the old one goes on seeing what it held.

        Args:
            keep_as: A name for the old file, which nothing has; None where it is given up.

        Raises:
            OSError: The disk refuses. The log is as it was.
        """
        fresh = own_name(self.path, "tmp")
        handle = create_private(fresh)
        try:
            lock_open_file(handle, fresh)
            keep_mode(self.path, handle)
            os.fsync(handle)
            if keep_as is not None:
                os.link(self.path, keep_as)
            os.rename(fresh, self.path)
            sync_folder(self.path.parent)
        except OSError:
            os.close(handle)
            fresh.unlink(missing_ok=True)
            raise
        self.close()
        self._handle = handle
        self._length = 0

    def close(self) -> None:
        """Close the file; nothing happens when it is not open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
