"""Reading files for connections: at once where the page cache has the bytes, else in a thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextvars import copy_context
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

from spgrepl.errors import LocalFilesDamaged
from spgrepl.text.quantities import number_of

_T = TypeVar("_T")

PIECE = 512 * 1024
"""How many bytes are read at a time."""

_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_NOT_AT_ONCE = frozenset({errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class RunInThread(Protocol):
    """Runs a blocking call beside the reactor."""

    def __call__(self, call: Callable[[], _T]) -> Deferred[_T]:
        """Run a call; the Deferred fires in the reactor's thread with its result."""


def thread_runner(reactor: IReactorThreads) -> RunInThread:
    """Run calls in a reactor's own thread pool, which know what their caller does: whose lines they log."""

    def run(call: Callable[[], _T]) -> Deferred[_T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), copy_context().run, call)

    return run


class FileReader:
    """Reads pieces of a file by its descriptor, which it owns.

    Args:
        handle: The descriptor; closed when the reader is closed and no read is under way.
        name: What the file is called in errors.
        in_thread: Runs what could wait for a disk.
    """

    def __init__(self, handle: int, name: str, in_thread: RunInThread) -> None:
        self._handle = handle
        self._name = name
        self._in_thread = in_thread
        self._under_way = 0
        self._closed = False

    def read_now(self, start: int, size: int, room: int = 0, into: bytearray | None = None) -> bytearray | None:
        """Read bytes that are in memory already.

        Args:
            start: The first byte's offset in the file.
            size: How many to read; the file must have them.
            room: How many bytes to leave free in front of them, for a header.
            into: Where to read them to; `room + size` bytes long.

        Returns:
            `room` bytes and those of the file, or None where the disk would have to be waited for.
        """
        if not _NOWAIT:
            return None
        piece = bytearray(room + size) if into is None else into
        try:
            count = os.preadv(self._handle, [memoryview(piece)[room:]], start, _NOWAIT)
        except OSError as error:
            if error.errno in _NOT_AT_ONCE:
                return None
            raise
        return piece if count == size else None

    def read_later(
        self, start: int, size: int, room: int = 0, into: bytearray | None = None
    ) -> Deferred[bytearray]:
        """Read bytes in a thread; arguments and result as for `read_now`.

        The Deferred fails with `LocalFilesDamaged` when the file ends early, and with `OSError`.
        """
        self._under_way += 1
        reading = self._in_thread(lambda: self._read(start, size, room, into))

        def done(result: _T) -> _T:
            self._under_way -= 1
            self._close_when_idle()
            return result

        return reading.addBoth(done)

    def _read(self, start: int, size: int, room: int, into: bytearray | None) -> bytearray:
        piece = bytearray(room + size) if into is None else into
        view = memoryview(piece)[room:]
        while view:
            count = os.preadv(self._handle, [view], start)
            if not count:
                raise LocalFilesDamaged(
                    f"{self._name} ends at {start}, {number_of(len(view), 'byte')} early: it was "
                    f"truncated while it was served"
                )
            view = view[count:]
            start += count
        return piece

    def close(self) -> None:
        """Read no more. The descriptor is closed once no read is under way."""
        if not self._closed:
            self._closed = True
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._closed and not self._under_way:
            handle, self._handle = self._handle, -1
            if handle >= 0:
                # Closing the last descriptor of a big unlinked file frees its blocks, which takes time.
                self._in_thread(lambda: os.close(handle)).addErrback(lambda _: None)
