"""The disk of the simulation: what was flushed, flushes that fail, files after a kill or a loss of power."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

_SECTOR = 512
_VOLATILE = ("-shm", ".control")


@attrs.define
class _Trap:
    """Takes the files of a node at a moment.

    Attributes:
        files: The files; None until it was sprung.
        flushed: What was flushed then.
    """

    folder: Path
    wal: Path
    number: int
    after: bool
    caught: Callable[[], None]
    files: dict[Path, bytes] | None = None
    flushed: dict[tuple[int, int], int] = attrs.field(factory=dict)


class Disk:
    """Stands between this process and `os.fdatasync` while it is in use.

    Args:
        chance: Draws what a loss of power leaves.

    Attributes:
        failing: So many of the next flushes fail.
        failed: How many have.
        during: Called in the middle of a flush, as other processes go on meanwhile.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._flushed: dict[tuple[int, int], int] = {}
        self.failing = 0
        self.failed = 0
        self.during: Callable[[], None] = lambda: None
        self._trap: _Trap | None = None

    def set_trap(self, folder: Path, wal: Path, number: int, after: bool, caught: Callable[[], None]) -> _Trap:
        """Take the files of a node in the middle of a call: just before or after a later flush of its log.

        Args:
            folder: The node's folder.
            wal: Its log.
            number: Which of the next flushes, from 0.
            after: Whether the flush has been done then.
            caught: Called at that moment.
        """
        self._trap = _Trap(folder, wal, number, after, caught)
        return self._trap

    def drop_trap(self) -> None:
        """Catch nothing any more."""
        self._trap = None

    def _spring(self, handle: int, after: bool) -> None:
        trap = self._trap
        if trap is None or trap.files is not None or threading.current_thread() is not threading.main_thread():
            return
        if trap.after is not after or not os.path.samestat(os.fstat(handle), os.stat(trap.wal)):
            return
        trap.number -= 1
        if trap.number < 0:
            trap.files = self.snapshot(trap.folder)
            trap.flushed = dict(self._flushed)
            trap.caught()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Use it."""
        before, before_all = os.fdatasync, os.fsync

        def fdatasync(handle: int) -> None:
            if threading.current_thread() is threading.main_thread():
                self.during()
            if self.failing:
                self.failing -= 1
                self.failed += 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._spring(handle, after=False)
            before(handle)
            found = os.fstat(handle)
            self._flushed[found.st_dev, found.st_ino] = found.st_size
            self._spring(handle, after=True)

        def fsync(handle: int) -> None:
            before_all(handle)
            found = os.fstat(handle)
            self._flushed[found.st_dev, found.st_ino] = found.st_size

        os.fdatasync, os.fsync = fdatasync, fsync  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fdatasync, os.fsync = before, before_all

    def snapshot(self, folder: Path) -> dict[Path, bytes]:
        """All files of a node as they are now, as a kill leaves them."""
        return {
            path: path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(_VOLATILE)
        }

    def lose_power(self, files: dict[Path, bytes], wal: Path, trap: _Trap | None = None) -> int:
        """Take from a log what was not flushed, or a part of it, the rest torn; returns how much."""
        content = files.get(wal)
        if content is None or not wal.exists():
            return 0
        found = wal.stat()
        known = self._flushed if trap is None else trap.flushed
        flushed = min(len(content), known.get((found.st_dev, found.st_ino), len(content)))
        tail = bytearray(content[flushed:])
        if not tail:
            return 0
        kept = self._chance.randrange(len(tail) + 1)
        for sector in range(flushed // _SECTOR, (flushed + kept) // _SECTOR + 1):
            if self._chance.random() < 0.3:
                first, last = max(sector * _SECTOR - flushed, 0), min((sector + 1) * _SECTOR - flushed, kept)
                tail[first:last] = bytes(last - first)
        files[wal] = content[:flushed] + bytes(tail[:kept])
        return len(content) - len(files[wal])

    @staticmethod
    def restore(folder: Path, files: dict[Path, bytes]) -> None:
        """Make the files of a node what they were: each the very file (its inode) where it is still there."""
        for path in sorted(folder.rglob("*"), reverse=True):
            if path not in files and (path.is_file() or path.is_socket()):
                path.unlink()
        for path, content in files.items():
            path.parent.mkdir(exist_ok=True)
            with open(path, "r+b" if path.exists() else "wb") as file:
                file.truncate(0)
                file.write(content)
