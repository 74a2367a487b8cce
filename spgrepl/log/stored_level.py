"""The WAL level that ``SET effective_wal_level`` left, in a file beside the log: it survives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from spgrepl.base.small_files import open_regular
from spgrepl.disk.files import replace_file
from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.log.wal_level import Level, WalLevel

_CONTENT = {f"{level.value}\n".encode(): level for level in Level}


def read_level(path: Path) -> Level | None:
    """Read the level that was left. Blocking.

    Returns:
        The level; None where none was ever set.

    Raises:
        LocalFilesDamaged: The file holds something else.
        EngineFailed: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(64)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineFailed(f"{path} cannot be read: {error}") from error
    level = _CONTENT.get(content)
    if level is None:
        raise LocalFilesDamaged(
            f"{path} holds {content[:20]!r}, which is not a WAL level; move it away, then run SET "
            f"effective_wal_level again"
        )
    return level


def write_level(path: Path, level: Level) -> None:
    """Leave a level for the next start. Blocking.

    Raises:
        LocalFilesDamaged: The file that is there is not one of ours.
        EngineFailed: It cannot be written.
    """
    read_level(path)
    try:
        replace_file(path, f"{level.value}\n".encode())
    except OSError as error:
        raise EngineFailed(f"the WAL level stays as it was: {path} cannot be written: {error}") from error


class StoredLevel:
    """Keeps a WAL level beside a log.

    Args:
        reactor: Its threads read and write.
        path: The file; see `spgrepl.disk.files.DatabasePaths.wal_level`.
        level: The level.
    """

    def __init__(self, reactor: Any, path: Path, level: WalLevel) -> None:
        self._reactor = reactor
        self._path = path
        self._level = level
        self._lock = DeferredLock()

    def restore(self) -> Deferred[None]:
        """Put the level that was left into effect, unless the program or its user has chosen one.

        Returns:
            A Deferred that fails with `LocalFilesDamaged` or `EngineFailed`.
        """

        def put(level: Level | None) -> None:
            if level is not None:
                self._level.restore(level)

        return self._in_thread(read_level, self._path).addCallback(put)

    def set(self, level: Level) -> Deferred[None]:
        """Leave a level for the next start, then put it into effect; one such order after the other.

        Returns:
            A Deferred that fails with `LocalFilesDamaged` or `EngineFailed`; the level is as it was then.
        """

        def change() -> Deferred[None]:
            written = self._in_thread(write_level, self._path, level)
            return written.addCallback(lambda _: self._level.set(level))

        done: Deferred[None] = self._lock.run(change)
        return done

    def _in_thread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *arguments)
