"""A follower's own log, as its own followers may see it: no further than it is applied."""

from __future__ import annotations

import os
from pathlib import Path

from zope.interface import implementer

from spgrepl.errors import ConfigurationError, LogTruncated
from spgrepl.wal.source import ILogListener, ILogSource


@implementer(ILogSource)
class AppliedLog:
    """The published part of a follower's local log.

    What lies behind the applied position may yet be cut back; what is published never is.

    Args:
        path: The local log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = 0
        self._handle: int | None = None
        self._listeners: list[ILogListener] = []

    def fileno(self) -> int:
        """See `ILogSource`."""
        if self._handle is None:
            try:
                self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise ConfigurationError(f"{self.path} cannot be read: {error}") from error
        return self._handle

    def publish(self, length: int) -> None:
        """Let the log be read up to a length in bytes, which does not fall."""
        if length > self.length:
            self.length = length
            for listener in list(self._listeners):
                listener.log_grew(length)

    def restart(self) -> None:
        """The log begins anew, behind a fresh snapshot: whoever reads the old one has to go."""
        reason = LogTruncated(f"{self.path} begins anew behind a fresh snapshot of this follower's own master")
        self.close()
        for listener in list(self._listeners):
            listener.log_lost(reason)

    def close(self) -> None:
        """Close the file; nothing is published any more."""
        self.length = 0
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def add_listener(self, listener: ILogListener) -> None:
        """See `ILogSource`."""
        self._listeners.append(listener)

    def remove_listener(self, listener: ILogListener) -> None:
        """See `ILogSource`."""
        if listener in self._listeners:
            self._listeners.remove(listener)
