"""The place where snapshots are written before they are sent."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import PRIVATE_FOLDER
from spgrepl.errors import DatabaseLocked, LocalError
from spgrepl.text.role_log import RoleLogger

PREFIX = "spgrepl-spool-"
"""How the folders begin that masters make for themselves in a spool folder."""

_LOCK = "lock"
_OWN = re.compile(rf"{_LOCK}|snapshot-[0-9]+(?:-wal|-shm|-journal)?")
_UNLOCKED_SECONDS = 60.0


class SpoolFolder:
    """A folder of one master's own inside a folder that several may share. Blocking: for threads.

    The master holds a lock in it, which the kernel releases when the process ends. A folder whose lock is free is
    what a killed process left behind.

    Args:
        parent: Where to make it; created when it is missing.
    """

    _log = RoleLogger()

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._own: Path | None = None
        self._lock: LockFile | None = None
        self._numbers = itertools.count()
        self._guard = threading.Lock()

    def clear_leftovers(self) -> None:
        """Remove what killed processes left here. What cannot be removed is logged and left."""
        for folder in self._parent.glob(PREFIX + "*"):
            try:
                if _abandoned(folder):
                    shutil.rmtree(folder)
                    self._log.info(
                        "removed the spooled snapshots of a killed master: {folder}", folder=str(folder)
                    )
            except (OSError, LocalError) as error:
                self._log.warn("cannot remove the leftover {folder}: {error}", folder=str(folder), error=error)

    def new_path(self) -> Path:
        """Name a file that does not exist yet, in a folder that does.

        Raises:
            OSError: The folder cannot be made.
        """
        with self._guard:
            if self._own is None or not self._own.is_dir():
                self._make_own()
            assert self._own is not None
            return self._own / f"snapshot-{next(self._numbers)}"

    def _make_own(self) -> None:
        self._remove_own()
        self._parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
        self._lock = LockFile(own / _LOCK, "serving snapshots")
        self._lock.acquire()
        self._own = own

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        with self._guard:
            self._remove_own()

    def _remove_own(self) -> None:
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            self._own = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _abandoned(folder: Path) -> bool:
    """Whether a folder is a spool folder, and nobody holds its lock."""
    if folder.is_symlink() or not all(_OWN.fullmatch(path.name) for path in folder.iterdir()):
        return False  # somebody else's, or a master's into which somebody else has put something
    if not (folder / _LOCK).exists():
        # Its owner may be about to lock it.
        return time.time() - folder.stat().st_mtime > _UNLOCKED_SECONDS
    lock = LockFile(folder / _LOCK, "clearing up")
    with contextlib.suppress(DatabaseLocked):
        lock.acquire()
        lock.release()
        return True
    return False
