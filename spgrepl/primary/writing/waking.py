"""Waking the reactor from the writer's thread, and going on at once.

Whoever makes a call of the system from Python gives up Python's lock for it, and gets it back when the other
threads let go. The writer wakes the reactor just before it waits for the disk: gave it up the lock then, it would
first wait for all that the reactor does, and only then for the disk. So this one call keeps the lock; it writes
eight bytes and takes a microsecond.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


def _find_write() -> Callable[[int, int], object] | None:
    """What writes to a descriptor without giving up Python's lock; None where there is no such descriptor."""
    try:
        found = ctypes.PyDLL(None).eventfd_write
    except (AttributeError, OSError, TypeError):
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_uint64)
    return found


_write = _find_write()


@implementer(IReadDescriptor)
class Waker:
    """Has the reactor call something soon, in its own thread.

    Args:
        reactor: The reactor. One that watches no descriptors is asked by its ``callFromThread``, and so is any
            on a system that has no eventfd, which is Linux's own.
        call: What it is to call.
    """

    def __init__(self, reactor: Any, call: Callable[[], object]) -> None:
        self._reactor = reactor
        self._call = call
        self._handle = -1

    def start(self) -> None:
        """Be ready to wake; nothing happens when that is so already. In the reactor's thread."""
        if self._handle < 0 and _write is not None and IReactorFDSet.providedBy(self._reactor):
            self._handle = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Give the descriptor back, when no other thread wakes any more; what was woken for may be left out."""
        if self._handle >= 0:
            self._reactor.removeReader(self)
            os.close(self._handle)
            self._handle = -1

    def wake(self) -> None:
        """Wake the reactor; may be called in any thread between `start` and `stop`."""
        if self._handle < 0 or _write is None:
            self._reactor.callFromThread(self._call)
        else:
            _write(self._handle, 1)

    # -- IReadDescriptor ----------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._handle

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._handle)
        self._call()

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: the reactor ends."""

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "spgrepl writer"
