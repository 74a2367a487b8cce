"""The n-th write, flush or rename fails, in all processes of a site at once: nothing is lost, nothing is silent.

A primary, its relay, two followers and a subscriber, which were killed while they ran, start with `faults.c`
loaded, each with its own count: from its start, or from when all copies were attached. Whoever ends says why.
Afterwards all start again without faults, and hold the same. ``SPGREPL_FAULTS=60`` is the campaign: every number
up to that; ``-n 2`` runs two courses at a time.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.site.kit import Fault, Process, Site, Starter, not_refused_anywhere, starter, until

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
"""Some calls never come, where their process waits for one that has failed; so long the site runs at least."""
RENAMING = ("relay", "leaf", "other")
"""A primary and a subscriber rename files when they are made, and not any more."""
FROM_ONE = 30
"""So many courses begin where the same site was killed; then another one is made."""

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the library needs a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets calls fail."""
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return made


@pytest.fixture(scope="module")
def processes(library: Path) -> Iterator[Starter]:
    """Starts the processes of all courses."""
    with starter(library) as made:
        yield made


class Begun:
    """Sites that were killed while they ran: each course gets its files as they were left.

    Args:
        processes: Starts them.
        folders: Where they are made.
    """

    def __init__(self, processes: Starter, folders: pytest.TempPathFactory) -> None:
        self._processes = processes
        self._folders = folders
        self._at_hand: Path | None = None
        self._given = 0

    def site(self, folder: Path) -> Site:
        """Returns a site in a folder, which stands still and goes on where it was killed."""
        if self._at_hand is None or self._given == FROM_ONE:
            self._at_hand, self._given = self._begin(), 0
        self._given += 1
        shutil.copytree(self._at_hand, folder, dirs_exist_ok=True, ignore=sockets)
        return Site(self._processes, folder)

    def _begin(self) -> Path:
        folder = self._folders.mktemp("begun")
        site = Site(self._processes, folder)
        try:
            site.start()
            for one in site.copies:
                until(lambda one=one: one.applied() > 0, lambda one=one: (one.status(), one.output()[-2000:]))
        finally:
            site.kill()
        return folder


def sockets(folder: str, names: list[str]) -> list[str]:
    """The sockets among some files, and the links beside them that say whose they were."""
    return [name for name in names if (path := Path(folder, name)).is_socket() or path.is_symlink()]


@pytest.fixture(scope="module")
def begun(processes: Starter, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """The sites that courses begin with."""
    return Begun(processes, tmp_path_factory)


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
@pytest.mark.parametrize("attached", [False, True], ids=["starting", "attached"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_call_that_fails(
    number: int, attached: bool, call: str, code: int, begun: Begun, tmp_path: Path
) -> None:
    site = begun.site(tmp_path)
    meeting = [one for one in site.all if call != "rename" or one.name in RENAMING]
    try:
        before = len(site.notes().acknowledged)
        printed = {one.name: len(one.output()) for one in site.all}
        counts = tmp_path / "calls-count"
        fault = Fault(CALLS[call], number, code, 1 + number % 3, str(counts) if attached else "")
        site.start({one.name: fault for one in site.all})
        if attached:
            for one in site.copies:
                until(
                    lambda one=one: one.status().get("state") == "streaming", lambda one=one: one.output()[-2000:]
                )
            counts.touch()
        end = time.monotonic() + SECONDS
        until(
            lambda: (
                (time.monotonic() > end and any(one.hits.exists() for one in site.all))
                or not site.primary.look()
                or (
                    len(site.notes().acknowledged) > before + REQUESTS
                    and all(one.hits.exists() or not one.look() for one in meeting)
                )
            )
        )
        not_refused_anywhere(site)
        for one in site.all:
            if not one.look():
                says_why_it_ended(one, printed[one.name])
        met = [one.name for one in site.all if one.hits.exists()]
        print(f"{call} {number}, {errno.errorcode[code]}, {attached=}: met by {', '.join(met)}")
        site.kill()
        site.start()
        site.settle()
        site.check()
        assert met, "nothing has failed"
    finally:
        site.kill()
