"""What is made of files, and made again when they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import UsageError
from spgrepl.text.role_log import RoleLogger

_T = TypeVar("_T")
_RETRY_SECONDS = 1.0


class Reloading(Generic[_T]):
    """Something that is made of files, and made again when they change.

    What was made stays in use while the files cannot be read or do not fit together, as when they are being
    replaced one after the other; the log says so once for each state of the files.

    Args:
        clock: The reactor, or a clock.
        paths: The files.
        load: Makes it of the files.

    Raises:
        UsageError: It cannot be made the first time.

    Attributes:
        reloads: How often it was made again.
        error: Why the files are not what is in use; None where they are.
    """

    _log = RoleLogger()

    def __init__(self, clock: IReactorTime, paths: Sequence[Path], load: Callable[[], _T]) -> None:
        self._clock = steady_clock(clock)
        self._paths = paths
        self._load = load
        self._stamp = self._refused = self._look()
        self._tried = 0.0
        self._made = load()
        self.reloads = 0
        self.error: str | None = None

    def current(self) -> _T:
        """What the files are now, or were when they were whole for the last time."""
        stamp = self._look()
        if stamp == self._stamp:
            if self.error is not None:
                self.error = None
                self._refused = stamp
            return self._made
        now = self._clock.seconds()
        if stamp == self._refused and now - self._tried < _RETRY_SECONDS:
            return self._made
        self._tried = now
        try:
            self._made = self._load()
        except UsageError as error:
            if stamp != self._refused:
                self._log.error("the certificates that were there before stay in use: {error}", error=str(error))
            self._refused, self.error = stamp, str(error)
            return self._made
        self._stamp = self._refused = stamp
        self.error = None
        self.reloads += 1
        self._log.info("certificates were read again: {files}", files=", ".join(map(str, self._paths)))
        return self._made

    def _look(self) -> tuple[object, ...]:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
