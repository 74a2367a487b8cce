"""Keeps the heap of a process that lives for months from growing into holes.

By default the allocator of glibc learns from each large block that is freed to take the next one, up to 32 MiB,
from the heap, where a small block that lives on keeps all that was freed below it. So the memory of a process that
sends pieces of half a MiB grows for hours, though what it holds stays the same. The settings are described in
mallopt(3).
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 128 * 1024
"""Blocks from so many bytes on are given back as soon as they are freed; glibc's own value before it learns."""

_ARENAS = 2
"""Heaps for threads: all but one thread at a time wait for Python's lock anyway."""


def keep_heap_small() -> bool:
    """Tell the allocator to give back what is freed; for the main program of a process, before its threads start.

    Where the environment has settings of its own (``MALLOC_ARENA_MAX``, ``GLIBC_TUNABLES``), or the allocator is
    not glibc's, nothing is changed.

    Returns:
        Whether it was told.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        return False
    wanted = ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE), (_ARENA_MAX, _ARENAS))
    return bool(min(tell(name, value) for name, value in wanted))
