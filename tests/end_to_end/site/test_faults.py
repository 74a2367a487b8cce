"""The n-th write, flush or rename fails, in all processes of a site at once: nothing is lost, nothing is silent.

A primary, its relay, two followers and a subscriber run with `faults.c` loaded, each with its own count. Whoever
ends says why. Afterwards all start again without faults, and hold the same. ``SPGREPL_FAULTS=60`` is the campaign:
every number up to that.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.site.kit import Fault, Process, Site, not_refused_anywhere, starter, until

COMPILER = shutil.which("cc") or shutil.which("gcc")
CALLS = {"write": 1, "flush": 2, "rename": 3}
MOST = int(os.environ.get("SPGREPL_FAULTS", "0"))
NUMBERS = range(1, MOST + 1) if MOST else (1, 7, 43)
UNIT = Path(__file__).parents[3] / "contrib/systemd/spgrepl@.service"
NOT_AGAIN = [
    int(code)
    for line in UNIT.read_text().splitlines()
    if line.startswith("RestartPreventExitStatus=")
    for code in line.partition("=")[2].split()
]
REQUESTS = 60
SECONDS = 3.0
"""Some calls never come; so long the site runs then."""

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the library needs a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets calls fail."""
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return made


def says_why_it_ended(one: Process, before: int) -> None:
    """An exit status for errors, words, and nothing that keeps systemd from starting it again."""
    printed = one.output()[before:]
    assert one.ended is not None
    assert one.ended > 0, (one.name, one.ended, printed[-3000:])
    assert one.ended not in NOT_AGAIN, (one.name, one.ended, printed[-3000:])
    assert os.strerror(errno.EIO) in printed or os.strerror(errno.ENOSPC) in printed or "disk" in printed, (
        one.name,
        printed[-3000:],
    )


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_call_that_fails(number: int, call: str, code: int, library: Path, tmp_path: Path) -> None:
    with starter(library) as processes:
        site = Site(processes, tmp_path)
        try:
            site.start()
            for one in site.copies:
                until(lambda one=one: one.applied() > 0, lambda one=one: (one.status(), one.output()[-2000:]))
            site.kill()
            before = len(site.notes().acknowledged)
            printed = {one.name: len(one.output()) for one in site.all}
            site.start({one.name: Fault(CALLS[call], number, code, 1 + number % 3) for one in site.all})
            end = time.monotonic() + SECONDS
            until(
                lambda: (
                    time.monotonic() > end
                    or not site.primary.look()
                    or (
                        len(site.notes().acknowledged) > before + REQUESTS
                        and all(one.hits.exists() or not one.look() for one in site.all)
                    )
                )
            )
            not_refused_anywhere(site)
            for one in site.all:
                if not one.look():
                    says_why_it_ended(one, printed[one.name])
            site.kill()
            site.start()
            site.settle()
            site.check()
            if call != "rename":
                assert any(one.hits.exists() for one in site.all), "nothing has failed"
        finally:
            site.kill()
