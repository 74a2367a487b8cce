"""A process that lives for long gives back what it frees."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COURSE = """
import ctypes, sys
from spgrepl.process.heap import keep_heap_small

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 1000

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
told = keep_heap_small() if sys.argv[1] == "told" else None

def block(size):
    found = libc.malloc(size)
    ctypes.memset(found, 1, size)
    return found

libc.free(block(20_000_000))  # from this the allocator learns to take large blocks from the heap
large = []
for _ in range(100):
    large.append(block(500_000))
    block(50_000)  # which lives on
before = resident()
for one in large:
    libc.free(one)
print(told, before - resident())
"""


def run(word: str, **variables: str) -> tuple[str, int]:
    """Whether the allocator was told, and how many kB a process gave back."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", COURSE, word],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    told, given_back = done.stdout.split()
    return told, int(given_back)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_what_is_freed_is_given_back() -> None:
    """Half a MiB at a time, with small blocks in between that live on."""
    assert run("as it is")[1] < 10_000
    told, given_back = run("told")
    assert told == "True"
    assert given_back > 45_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another one")
def test_settings_of_the_environment_stay() -> None:
    assert run("told", MALLOC_ARENA_MAX="4")[0] == "False"
