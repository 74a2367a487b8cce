"""Keeps the heap of a process that lives for months from growing into holes, and large blocks cheap.

A small block that lives on keeps all that was freed below it, so the memory of a process that sends pieces of
half a MiB grows for hours, though what it holds stays the same. To have each large block from the kernel and give
it back at once would help, but costs more than all that is done with the bytes: every page of it is new each time.
So large blocks come from the heap, and what lies free there, in holes too, is given back now and then. The
settings are described in mallopt(3), the call in malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from spgrepl.base.beat import Beat

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 8 * 1024 * 1024
"""Blocks from so many bytes on come from the kernel: none that are used again and again are as long."""

_FREE_AT_END = 32 * 1024 * 1024
"""So much may lie free at the end of a heap between two times that everything is given back."""

_ARENAS = 1
"""One heap for all threads, of which all but one at a time wait for Python's lock anyway: what lies free in it
after a peak of one of them, the others use. A second one kept 15 MB that malloc_trim() did not give back."""

GIVE_BACK_SECONDS = 30.0
"""How often what lies free is given back."""


def _told() -> Callable[[int], int] | None:
    """Tell the allocator; returns what makes it give back what lies free, None where it was not told."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return None
    allocator = ctypes.CDLL(None)
    tell, trim = getattr(allocator, "mallopt", None), getattr(allocator, "malloc_trim", None)
    if tell is None or trim is None:
        return None
    wanted = ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _FREE_AT_END), (_ARENA_MAX, _ARENAS))
    if not min(tell(name, value) for name, value in wanted):
        return None
    trim.argtypes = [ctypes.c_size_t]
    return trim  # type: ignore[no-any-return]


class HeapKeeper(Service):
    """Gives back what the process has freed, twice a minute; for a main program, made before its threads start.

    Where the environment has settings of its own (``MALLOC_ARENA_MAX``, ``GLIBC_TUNABLES``), or the allocator is
    not glibc's, nothing is changed and nothing is done.

    Args:
        reactor: The reactor.

    Attributes:
        told: Whether the allocator was told.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._trim = _told()
        self.told = self._trim is not None
        self._beat = Beat(reactor, self.give_back, GIVE_BACK_SECONDS)

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        if self.told:
            self._beat.start()

    def stopService(self) -> None:
        """End."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._beat.stop()

    def give_back(self) -> None:
        """Give back now what lies free."""
        if self._trim is not None:
            self._trim(0)
