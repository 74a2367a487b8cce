"""A timer of the kernel that is read like a file."""

from __future__ import annotations

import gc
import os
import select

from spgrepl.base.timer_file import TimerFile


def readable(timer: TimerFile, seconds: float) -> bool:
    return bool(select.select([timer.fileno()], [], [], seconds)[0])


def test_it_becomes_readable_and_is_cleared() -> None:
    timer = TimerFile()
    timer.clear()
    assert not readable(timer, 0)
    timer.set(0)
    assert readable(timer, 10)
    timer.clear()
    assert not readable(timer, 0)


def test_what_was_set_before_is_forgotten() -> None:
    timer = TimerFile()
    timer.set(0.001)
    timer.set(1000)
    assert not readable(timer, 0.05)


def is_timer(number: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[timerfd]"
    except FileNotFoundError:
        return False


def test_its_descriptor_is_closed_with_it() -> None:
    timer = TimerFile()
    number = timer.fileno()
    assert is_timer(number)
    del timer
    gc.collect()
    assert not is_timer(number)
