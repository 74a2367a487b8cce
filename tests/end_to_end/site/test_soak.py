"""A site under load and faults for a long time: its memory stays what it was, no descriptor leaks, all is equal.

Fifteen seconds by default, in which memory is not judged; ``SPGREPL_SOAK=1200`` makes a campaign of twenty minutes
of it, and prints what was measured (`pytest -s`). Processes are stopped for a while, connections cut, strangers
come, and one follower and one subscriber more are killed and started again; the other five live all the time.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from tests.end_to_end.site.kit import Process, Site, not_refused_anywhere, starter, until
from tests.master.test_strangers import hello

SOAK = float(os.environ.get("SPGREPL_SOAK", "15"))
SEED = os.environ.get("SPGREPL_SEED", "1")
JUDGED_FROM = 300.0
PAUSE = 0.02
EVERY = min(5.0, SOAK / 10)


class Way:
    """A socket that leads to another one, and can be cut."""

    def __init__(self, path: Path, to: Path) -> None:
        self._to = to
        self._open: set[socket.socket] = set()
        self._pumps: list[threading.Thread] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(100)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._to))
            except OSError:
                client.close()
                server.close()
                continue
            self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pump, args=(one, other), daemon=True)
                self._pumps = [pump for pump in self._pumps if pump.is_alive()] + [thread]
                thread.start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
        self._open.discard(source)

    def cut(self) -> None:
        """End all connections."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take none any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join()
        self.cut()
        for pump in self._pumps:
            pump.join()


@attrs.frozen
class Sample:
    """What a process has at a moment."""

    memory: int


def sample(process: Process) -> Sample:
    """Look at a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return Sample(pages * os.sysconf("SC_PAGE_SIZE"))


def open_files(process: Process) -> Counter[str]:
    """What the descriptors of a process are, without what tells equal ones apart."""
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found[re.sub(r"[0-9]+", "N", Path(os.readlink(link)).name)] += 1
    return found


def quiet(site: Site) -> dict[str, Counter[str]]:
    """What each has open when little happens: the fewest of some looks."""
    found: dict[str, Counter[str]] = {}
    for _ in range(10):
        for one in site.all:
            now = open_files(one)
            if one.name not in found or now.total() < found[one.name].total():
                found[one.name] = now
        time.sleep(0.1)  # in which connections that were just over are closed
    return found


KEPT = Counter({"data.db": 4})
"""SQLite keeps the descriptor of a connection that was closed while another one of its process held a lock, for a
later connection: there are as many of a database as connections were open at once."""


def more(now: dict[str, Counter[str]], before: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What has become more, in those that have more."""
    counted = {name: found - (found - before[name] & KEPT) for name, found in now.items()}
    return {name: found - before[name] for name, found in counted.items() if found.total() > before[name].total()}


class Nemesis:
    """Does harm, now and then."""

    def __init__(self, site: Site, ways: tuple[Way, Way], chance: random.Random) -> None:
        self._site = site
        self._ways = ways
        self._chance = chance
        self.counts: Counter[str] = Counter()

    def strike(self) -> None:
        """Do one thing."""
        what = self._chance.choice((self._pause, self._cut, self._strangers, self._kill))
        self.counts[what.__name__.strip("_")] += 1
        what()

    def _pause(self) -> None:
        one = self._chance.choice(self._site.all)
        one.signal(signal.SIGSTOP)
        time.sleep(self._chance.random() * 2)  # for so long it stands still
        one.signal(signal.SIGCONT)

    def _cut(self) -> None:
        self._chance.choice(self._ways).cut()

    def _strangers(self) -> None:
        held = []
        for _ in range(self._chance.randrange(1, 60)):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(5)
            with suppress(OSError):
                one.connect(str(self._site.folder / f"{self._chance.choice(('primary', 'relay'))}.socket"))
                one.sendall(hello(self._chance))
            held.append(one)
        for one in held:
            one.close()

    def _kill(self) -> None:
        one = self._chance.choice(self._site.extra)
        one.signal(signal.SIGKILL)
        one.wait()
        one.start()


def judge(samples: dict[str, list[Sample]]) -> Iterator[tuple[str, float, float]]:
    """The median memory of each process in the first and the last third, in MB."""
    for name, found in samples.items():
        third = len(found) // 3
        parts = (found[:third], found[-third:])
        first, last = (statistics.median(one.memory for one in part) / 1e6 for part in parts)
        yield name, first, last


def test_a_site_is_the_same_after_a_long_time(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    ways = tuple(Way(tmp_path / f"{name}.way", tmp_path / f"{name}.socket") for name in ("primary", "relay"))
    samples: dict[str, list[Sample]] = {}
    with starter() as processes:
        site = Site(processes, tmp_path, PAUSE, "way")
        try:
            site.start()
            for one in site.extra:
                one.start()
            for one in (*site.copies, *site.extra):
                until(lambda one=one: one.applied() > 0, lambda one=one: (one.status(), one.output()[-2000:]))
            began = quiet(site)
            nemesis = Nemesis(site, (ways[0], ways[1]), chance)
            end, following = time.monotonic() + SOAK, 0.0
            while (now := time.monotonic()) < end:
                nemesis.strike()
                time.sleep(chance.random() * min(2.0, EVERY))  # until the next harm
                if now >= following:
                    following = now + EVERY
                    for one in site.all:
                        assert one.look(), f"{one.name} has ended with {one.ended}: {one.output()[-3000:]}"
                        samples.setdefault(one.name, []).append(sample(one))
            not_refused_anywhere(site)
            print(f"{dict(nemesis.counts)}, {len(site.notes().acknowledged):,} requests acknowledged")
            for name, found in samples.items():
                shown = found[:: max(1, len(found) // 20)]
                print(f"{name}: {' '.join(f'{one.memory / 1e6:.1f}' for one in shown)} MB")
            for name, first, last in judge(samples):
                print(f"{name}: {first:.1f} MB, then {last:.1f} MB; {began[name].total()} descriptors at first")
            until(lambda: not more(quiet(site), began), lambda: more(quiet(site), began))
            if SOAK >= JUDGED_FROM:
                for name, first, last in judge(samples):
                    assert last < 1.05 * first, name
            for one in site.extra:
                one.signal(signal.SIGKILL)
            site.settle()
            site.check()
        finally:
            for one in (*site.extra, *site.all):
                one.signal(signal.SIGKILL)
            for way in ways:
                way.close()
