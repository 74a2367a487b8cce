"""The watcher of a log file that somebody writes, in this process or in another one.

A file has no way to say that it grew. So it is looked at every 50 ms, and inotify, where there is one, brings the
next look forward: growth is seen within a turn of the reactor. A look costs a few calls of the system, whatever
the number of connections that are served from the log.

Where a primary writes the log, it says beside it how far it is durable (`spgrepl.log.durable`). What lies after
that is not published.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from spgrepl.base.beat import Beat
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ConfigurationError, LocalFilesDamaged, LogTruncated
from spgrepl.log.durable import DurableReader
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

DEFAULT_INTERVAL = 0.05
"""Seconds between two looks at the file."""

_PRINT_SIZE = 64
_MODIFIED = 2
"""IN_MODIFY of inotify, which is not to be had on other systems."""
_CLOSED = Failure(ConnectionDone())


@attrs.define
class _OpenLog:
    """The file that is being published.

    Attributes:
        handle: Its descriptor.
        identity: Device and inode.
        length: How much of it is published.
        seen: Its size and its time of modification in nanoseconds, at the last look.
        ending: The last published bytes. A log that was cut and has grown again between two looks shows others.
    """

    handle: int
    identity: tuple[int, int]
    length: int = 0
    seen: tuple[int, int] = (0, 0)
    ending: bytes = b""

    def publish(self, length: int) -> None:
        """Publish the log up to a length."""
        self.length = length
        start = max(0, self.length - _PRINT_SIZE)
        self.ending = os.pread(self.handle, self.length - start, start)

    def ends_as_before(self) -> bool:
        """Whether the bytes before the published length are still the ones that were published."""
        size = len(self.ending)
        return os.pread(self.handle, size, self.length - size) == self.ending


def _seen(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


@implementer(ILogSource)
class WalTailer:
    """Publishes a log file's length as it grows, and says when the log is lost.

    The file need not exist: it is waited for. When it is truncated, replaced by another file or disappears, all
    listeners are told, and the tailer starts afresh with whatever is at the path then.

    Args:
        reactor: Runs the looks; with a `twisted.internet.task.Clock` there is no inotify.
        path: The log file.
        interval: Seconds between two looks.
        use_inotify: Whether to ask the kernel for notice of changes. Without it, or where it is not to be had
            (another system, no descriptors left, a network file system), growth is seen within `interval`.

    Attributes:
        foreign: Whether the log's writer has said, since the start, that another program has written its database.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: IReactorTime,
        path: Path,
        interval: float = DEFAULT_INTERVAL,
        use_inotify: bool = True,
    ) -> None:
        self._reactor = reactor
        self._clock = steady_clock(reactor)
        self._path = path
        self._interval = interval
        self._use_inotify = use_inotify
        self._listeners: list[ILogListener] = []
        self._file: _OpenLog | None = None
        self._durable = DurableReader(path)
        # Whether a writer says how far the log is durable, so that its growth alone means nothing.
        self._governed = False
        self.foreign = False
        self._watched = 0
        self._notifier: Any = None
        self._wake: IDelayedCall | None = None
        self._complaint: str | None = None
        self._loop = Beat(reactor, self.look, interval)

    # -- ILogSource -----------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The log file's path."""
        return self._path

    @property
    def length(self) -> int:
        """How many bytes of the log are published; 0 while there is no file."""
        return self._file.length if self._file is not None else 0

    @property
    def known(self) -> bool:
        """Whether there is a file whose length is known; see `ILogSource`."""
        return self._file is not None

    @property
    def complaint(self) -> str | None:
        """Why the log cannot be followed at present; None while it can."""
        return None if self._complaint is None else f"cannot read the log {self._path}: {self._complaint}"

    def fileno(self) -> int:
        """The descriptor of the file that is published; see `ILogSource.fileno`."""
        if self._file is None:
            found = self._complaint or "there is no such file; it is served as soon as its writer has made it"
            raise ConfigurationError(f"cannot read the log {self._path}: {found}")
        return self._file.handle

    def add_listener(self, listener: ILogListener) -> None:
        """Tell a listener of growth and loss from now on."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: ILogListener) -> None:
        """Tell a listener no more, even if a notification is under way."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # -- running --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look at the file for the first time, before this returns, and keep looking."""
        if not self._loop.running:
            self.foreign = False
            self._loop.start()
            self.look()

    def stop(self) -> None:
        """Look no more and close the file. Listeners are told nothing: the log is not lost."""
        self._loop.stop()
        self._cancel_wake()
        self._close()

    def look(self) -> None:
        """Look at the file now, and tell the listeners what has changed.

        An error is logged, once for as long as it stays the same, and does not end the watch.
        """
        with self._log.failuresHandled("the look at the log {path} failed; will look again", path=self._path):
            try:
                if self._file is None:
                    self._open()
                    self._tell_growth()
                else:
                    self._check(self._file)
            except (OSError, LocalFilesDamaged) as error:
                self._complain(str(error))
            else:
                self._complaint = None

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            self._log.error(
                "cannot read the log {path}, will go on trying: {complaint}", path=self._path, complaint=complaint
            )

    # -- looking --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Begin with the file at the path, if there is one."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            status = os.fstat(handle)
            opened = _OpenLog(handle, (status.st_dev, status.st_ino), seen=_seen(status))
            opened.publish(self._counted(status))
        except BaseException:
            os.close(handle)
            raise
        self._file = opened
        self._watch()
        self._watch_durable()
        self._log.info("serving the log {path}, position {position}", path=self._path, position=opened.length)

    def _counted(self, status: os.stat_result) -> int:
        """How much of the log counts, whose status was taken before: the other way round it might be too much."""
        durable = self._durable.read()
        self._governed = durable is not None and durable.governs(status.st_ino)
        if durable is not None and durable.inode == status.st_ino and durable.foreign:
            self.foreign = True
        return status.st_size if durable is None else durable.limit(status.st_ino, status.st_size)

    def _check(self, file: _OpenLog) -> None:
        """Compare the open file, and what is at the path, with what was published."""
        status = os.fstat(file.handle)
        loss = self._loss(file, status)
        if loss is not None:
            self._lose(loss)
            return
        file.seen = _seen(status)
        counted = self._counted(status)
        self._watch_durable()
        if counted > file.length:
            file.publish(counted)
            self._tell_growth()

    def _loss(self, file: _OpenLog, status: os.stat_result) -> str | None:
        """Say in words why the file is no longer the one that was published; None while it is."""
        if status.st_size < file.length:
            return (
                f"it was truncated to {number_of(status.st_size, 'byte')} after {file.length} had been published"
            )
        if _seen(status) != file.seen and not file.ends_as_before():
            return f"other bytes stand before position {file.length} than were published: it was written again"
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return f"it has disappeared after {number_of(file.length, 'byte')} had been published"
        if (named.st_dev, named.st_ino) != file.identity:
            return f"it was replaced by another file after {number_of(file.length, 'byte')} had been published"
        return None

    def _lose(self, loss: str) -> None:
        """Give up the file, begin with what is at the path now, and tell everybody.

        In this order, because those who are told pass on how long the log is: a length of 0 that is only for the
        moment would be taken for a reset.
        """
        reason = LogTruncated(f"the log {self._path} is lost: {loss}; followers must compare or start afresh")
        self._log.warn("{reason}", reason=str(reason))
        lost, self._file = self._file, None
        self._close_notifier()
        try:
            self._open()
        finally:
            for listener in tuple(self._listeners):
                if listener in self._listeners:
                    with self._log.failuresHandled("a listener failed on the loss of {path}", path=self._path):
                        listener.log_lost(reason)
            if lost is not None:
                os.close(lost.handle)
        self._tell_growth()

    def _tell_growth(self) -> None:
        file = self._file
        if file is None:
            return
        for listener in tuple(self._listeners):
            if self._file is not file:
                return
            if listener in self._listeners:
                with self._log.failuresHandled("a listener failed on the growth of {path}", path=self._path):
                    listener.log_grew(file.length)

    def _close(self) -> None:
        self._close_notifier()
        self._durable.close()
        if self._file is not None:
            os.close(self._file.handle)
            self._file = None

    # -- inotify --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Ask for notice of changes to the open file; polling goes on in any case.

        The file is watched and not its folder, where the database beside it would wake us at every page. That
        another file has taken its place shows as a change of the link count (IN_ATTRIB).
        """
        if not self._use_inotify or not IReactorFDSet.providedBy(self._reactor):
            return
        try:
            inotify: Any = importlib.import_module("twisted.internet.inotify")  # not to be had on other systems
        except ImportError as error:
            self._without_inotify(error)
            return
        notifier = None
        try:
            notifier = inotify.INotify(self._reactor)
            mask = inotify.IN_MODIFY | inotify.IN_ATTRIB | inotify.IN_MOVE_SELF
            notifier.watch(FilePath(os.fsencode(self._path)), mask=mask, callbacks=[self._noticed])
            notifier.startReading()
        except (inotify.INotifyError, OSError) as error:
            self._without_inotify(error)
            if notifier is not None:
                notifier.connectionLost(_CLOSED)
            return
        self._notifier = notifier

    def _watch_durable(self) -> None:
        """Ask for notice of what the log's writer says, too: that comes last, when the log is on the disk.

        A file that is gone is not watched any more: when it vanished under its watch, the notifier would end.
        """
        notifier, reader = self._notifier, self._durable
        if notifier is None or not notifier.connected or self._watched == reader.changes:
            return
        inotify: Any = importlib.import_module("twisted.internet.inotify")
        path = FilePath(os.fsencode(reader.path))
        with contextlib.suppress(KeyError):
            notifier.ignore(path)
        self._watched = reader.changes
        if not reader.is_open:
            return
        try:
            notifier.watch(path, mask=inotify.IN_MODIFY | inotify.IN_ATTRIB, callbacks=[self._noticed_durable])
        except (inotify.INotifyError, OSError) as error:
            self._without_inotify(error)
        self._wake_soon()  # for what was said before the watch began

    def _without_inotify(self, error: Exception) -> None:
        self._log.info(
            "no inotify for the log {path}, looking every {interval} s: {error}",
            path=self._path,
            interval=self._interval,
            error=error,
        )

    def _noticed(self, _watch: object, _path: FilePath[bytes], mask: int) -> None:
        """Look in the next turn: many notices are one look, and the notifier is not closed under its own feet."""
        if not (self._governed and mask == _MODIFIED):
            self._wake_soon()

    def _noticed_durable(self, _watch: object, _path: FilePath[bytes], _mask: int) -> None:
        self._wake_soon()

    def _wake_soon(self) -> None:
        if self._wake is None:
            self._wake = self._clock.callLater(0, self._awake)

    def _awake(self) -> None:
        self._wake = None
        self.look()

    def _cancel_wake(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _close_notifier(self) -> None:
        """Give the descriptor back at once; `loseConnection` would leave that to a later turn."""
        notifier, self._notifier = self._notifier, None
        self._watched = 0
        # A reactor that ends closes what it knows by itself; a second close would hit a stranger's descriptor.
        if notifier is not None and notifier.connected:
            notifier.connectionLost(_CLOSED)
