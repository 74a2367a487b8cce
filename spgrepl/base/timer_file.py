"""A timer of the Linux kernel that is read like a file, and counts monotonic time."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import weakref
from typing import Any

_CLOCK_MONOTONIC = 1
_NONBLOCK = os.O_NONBLOCK
_CLOEXEC = os.O_CLOEXEC


class _Duration(ctypes.Structure):
    """``struct timespec``."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """``struct itimerspec``: how often, and when first."""

    _fields_ = (("interval", _Duration), ("value", _Duration))


@functools.cache
def _library() -> Any:
    """The C library; Python has these calls from 3.13 on."""
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refuses a timer: {os.strerror(number)}")
    return result


class TimerFile:
    """A timerfd. It becomes readable when its time has come, whatever is done to the clock on the wall.

    The descriptor is closed when the object is no longer used.

    Raises:
        OSError: The kernel has none to give.
    """

    def __init__(self) -> None:
        self._handle = _check(_library().timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK | _CLOEXEC))
        weakref.finalize(self, os.close, self._handle)

    def fileno(self) -> int:
        """The descriptor."""
        return self._handle

    def set(self, seconds: float) -> None:
        """Become readable after so many seconds from now; what was set before is forgotten."""
        # Zero would switch the timer off.
        nanoseconds = max(1, int(seconds * 1e9))
        setting = _Setting(_Duration(0, 0), _Duration(*divmod(nanoseconds, 1_000_000_000)))
        _check(_library().timerfd_settime(self._handle, 0, ctypes.byref(setting), None))

    def clear(self) -> None:
        """Be readable no more; nothing happens when it was not."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._handle, 8)
