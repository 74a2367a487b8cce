"""A follower's own log, as its own followers may see it: no further than it is applied."""

from __future__ import annotations

import os
from pathlib import Path

from zope.interface import implementer

from spgrepl.errors import LogTruncated, unusable_file
from spgrepl.log.source import ILogListener, ILogSource


@implementer(ILogSource)
class AppliedLog:
    """The published part of a follower's local log.

    What lies after the applied position may yet be cut back; what is published never is. The log is not known
    before there is a copy that it belongs to.

    Args:
        path: The local log.
        database: The database that it is applied to; None where there is none.

    Attributes:
        base: The position in the master's log that its first byte stands at; see `publish`.
    """

    def __init__(self, path: Path, database: Path | None = None) -> None:
        self.path = path
        self.database = database
        self.base = 0
        self.length = 0
        self.known = False
        self._handle: int | None = None
        self._listeners: list[ILogListener] = []

    def fileno(self) -> int:
        """See `ILogSource`."""
        if self._handle is None:
            try:
                self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise unusable_file(error, f"{self.path} cannot be read") from error
        return self._handle

    def publish(self, length: int, base: int | None = None) -> None:
        """Let the log be read up to a length in bytes, which does not fall: the log is known from now on.

        Args:
            length: The length.
            base: The position that its first byte stands at; None where that is as before.
        """
        if base is not None:
            self.base = base
        if length > self.length or not self.known:
            self.known = True
            self.length = max(length, self.length)
            for listener in list(self._listeners):
                listener.log_grew(length)

    def hold(self) -> None:
        """Newcomers are to wait: a snapshot is about to be put in place, and the log may begin again with it."""
        self.known = False

    def restart(self) -> None:
        """The log begins again, after a fresh snapshot: whoever reads the old one has to go."""
        reason = LogTruncated(f"{self.path} begins again after a fresh snapshot of this follower's own master")
        self.close()
        for listener in list(self._listeners):
            listener.log_lost(reason)

    def close(self) -> None:
        """Close the file; nothing is published any more."""
        self.length = 0
        self.known = False
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
