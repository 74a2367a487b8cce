"""A process that lives for long gives back what it frees."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COURSE = """
import ctypes, sys, threading
from twisted.internet.task import Clock
from spgrepl.process.heap import GIVE_BACK_SECONDS, HeapKeeper

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 1000

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
clock = Clock()
keeper = HeapKeeper(clock) if sys.argv[1] == "told" else None
if keeper is not None:
    keeper.startService()

def block(size):
    found = libc.malloc(size)
    ctypes.memset(found, 1, size)
    return found

def faults():
    return int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[7])

libc.free(block(20_000_000))  # from this the allocator learns to take large blocks from the heap
libc.free(block(2_000_000))
faulted = faults()
for _ in range(100):
    libc.free(block(2_000_000))
faulted = faults() - faulted
large = []
for _ in range(100):
    large.append(block(500_000))
    block(50_000)  # which lives on
before = resident()

def free_all():
    for one in large:
        libc.free(one)

free_all()
clock.advance(GIVE_BACK_SECONDS)
after = resident()

def in_a_thread():
    large[:] = [block(200_000) for _ in range(100)]
    free_all()

thread = threading.Thread(target=in_a_thread)
thread.start()
thread.join()
clock.advance(GIVE_BACK_SECONDS)
left = resident() - after
if keeper is not None:
    keeper.stopService()
    assert not clock.getDelayedCalls()
print(keeper and keeper.told, before - after, faulted, left)
"""


def run(word: str, **variables: str) -> tuple[str, int, int, int]:
    """Look at a process.

    Returns:
        Whether the allocator was told, how many kB were given back, how often it met a new page, and how many kB
        of what a thread had and freed were kept.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", COURSE, word],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    told, given_back, faults, left = done.stdout.split()
    return told, int(given_back), int(faults), int(left)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_what_is_freed_is_given_back() -> None:
    """Half a MiB at a time, with small blocks in between that live on."""
    assert run("as it is")[1] < 10_000
    told, given_back, _, _ = run("told")
    assert told == "True"
    assert given_back > 45_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_a_large_block_that_is_freed_is_used_again() -> None:
    """Two MB, a hundred times: not 500 new pages each."""
    assert run("told")[2] < 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_what_a_thread_has_freed_is_given_back() -> None:
    """20 MB, which a heap of the thread's own would keep at its end."""
    assert run("told")[3] < 3000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_settings_of_the_environment_stay() -> None:
    assert run("told", MALLOC_ARENA_MAX="4")[0] == "False"
