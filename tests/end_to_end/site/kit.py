"""The processes of a site, started and killed together, and what must hold of their files."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from spgrepl.disk.files import DatabasePaths
from spgrepl.log.reader import Damage, scan_log
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from tests.whole.comparing import dump
from tests.whole.nodes import assert_equal

ROOT = Path(__file__).parents[3]
PATIENCE = 180.0
COPIES = ("relay", "leaf", "other", "subscriber")
NAMES = ("primary", *COPIES)


def until(condition: Callable[[], Any], what: Callable[[], object] = lambda: "") -> Any:
    """Wait until a condition holds, and return what it gave."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what()}"
        time.sleep(0.02)
    return found


@attrs.frozen
class Fault:
    """What is to fail in one process; see `faults.c`.

    Attributes:
        call: 1 for writes, 2 for flushes, 3 for renames.
        number: The how many-th.
        code: With what error number.
        times: How often.
        counted_from: Calls count when this file is there; empty for at once.
    """

    call: int
    number: int
    code: int
    times: int
    counted_from: str = ""


class Starter:
    """Starts processes by `processes.py`."""

    def __init__(self, library: Path | None = None) -> None:
        environment = dict(os.environ) | ({"LD_PRELOAD": str(library)} if library else {})
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.site.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def order(self, **words: Any) -> int:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(words) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def stop(self) -> None:
        for pipe in (self._parent.stdin, self._parent.stdout):
            assert pipe is not None
            pipe.close()
        self._parent.wait()


@contextmanager
def starter(library: Path | None = None) -> Iterator[Starter]:
    """A starter that ends at the end."""
    made = Starter(library)
    try:
        yield made
    finally:
        made.stop()


class Process:
    """One process of the site.

    Attributes:
        name: Its name, which is that of its folder.
        database: Its database.
        ended: Its exit status, where it was seen to have ended.
    """

    def __init__(self, starter: Starter, folder: Path, name: str, *words: str) -> None:
        self._starter = starter
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
        self.database = self.folder / "data.db"
        self._output = folder / f"{name}.output"
        self.hits = folder / f"{name}.hits"
        self._http = folder / f"{name}.http"
        self._words = words
        self.pid = 0
        self.ended: int | None = None

    @property
    def http(self) -> str:
        """Where its status is."""
        return f"unix:{self._http}"

    def start(self, *more: str, fault: Fault | None = None) -> None:
        """Start it, and leave it to itself."""
        self.ended = None
        armed = None
        if fault is not None:
            armed = [str(self.folder), *attrs.astuple(fault)]
            armed.insert(-1, str(self.hits))
        words = [*self._words, *more]
        self.pid = self._starter.order(words=words, output=str(self._output), fault=armed)

    def look(self) -> bool:
        """Whether it runs."""
        if self.pid and self.ended is None:
            status = self._starter.order(look=self.pid)
            if status >= 0:
                self.ended = os.waitstatus_to_exitcode(status)
        return bool(self.pid) and self.ended is None

    def signal(self, kind: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self.look():
            with suppress(ProcessLookupError):
                os.kill(self.pid, kind)

    def wait(self) -> int:
        """Wait for its end."""
        if self.ended is None:
            self.ended = os.waitstatus_to_exitcode(self._starter.order(reap=self.pid))
        return self.ended

    def output(self) -> str:
        """What it has printed, in all its lives."""
        return self._output.read_text("utf-8", "replace") if self._output.exists() else ""

    def status(self) -> dict[str, Any]:
        """Its status; nothing where it does not answer."""
        try:
            code, status = ask(StatusAddress(path=str(self._http)), "/status")
        except (ServerUnreachable, OSError):
            return {}
        return status if code == 200 else {}

    def applied(self) -> int:
        """How far it says that it is."""
        return (self.status().get("positions") or {}).get("applied") or 0


@attrs.frozen
class Notes:
    """What became of the primary's requests."""

    acknowledged: frozenset[int]
    refused: frozenset[int]
    unknown: frozenset[int]
    position: int


class Site:
    """All processes."""

    def __init__(self, starter: Starter, folder: Path, pause: float = 0.0, way: str = "socket") -> None:
        """Args say who starts, where, how long a writer pauses, and how the sockets end that copies connect to."""
        self.folder = folder
        self._pause = pause
        self._notes = folder / "notes"

        def address(name: str) -> str:
            return f"unix:{folder}/{name}.socket"

        def copy(kind: str, name: str, of: str, *more: str) -> Process:
            database, http = folder / name / "data.db", folder / f"{name}.http"
            files = ("--db", str(database), "--http", f"unix:{http}")
            return Process(starter, folder, name, kind, "--master", f"unix:{folder}/{of}.{way}", *files, *more)

        database = str(folder / "primary" / "data.db")
        http = f"unix:{folder}/primary.http"
        words = ("primary", database, address("primary"), http, str(self._notes))
        self.primary = Process(starter, folder, "primary", *words)
        self.relay = copy("follower", "relay", "primary", "--listen", address("relay"), "--wal-level", "logical")
        self.leaf = copy("follower", "leaf", "relay")
        self.other = copy("follower", "other", "primary")
        self.subscriber = copy("subscriber", "subscriber", "relay", "--name", "s", "--publication", "p")
        self.extra = (
            copy("follower", "third", "relay"),
            copy("subscriber", "fourth", "primary", "--name", "f", "--publication", "p"),
        )
        self.copies = (self.relay, self.leaf, self.other, self.subscriber)
        self.all = (self.primary, *self.copies)

    def __getitem__(self, name: str) -> Process:
        return next(one for one in self.all if one.name == name)

    def start(self, faults: dict[str, Fault] | None = None) -> None:
        """Start all at once; where nothing was ever written, the copies after the first row.

        A subscriber that copies before its tables are there never gets them.
        """
        begun = bool(self.notes().acknowledged)
        for one in self.all:
            more = (str(self.last_number() + 1), str(self._pause)) if one is self.primary else ()
            one.start(*more, fault=(faults or {}).get(one.name))
            if one is self.primary and not begun:
                until(lambda: self.notes().acknowledged, lambda: self.primary.output()[-2000:])

    def kill(self) -> None:
        """SIGKILL to all at once, those that stand still too."""
        for one in self.all:
            one.signal(signal.SIGKILL)
        for one in self.all:
            one.wait()

    def stop(self) -> None:
        """Ask all to end, the copies first."""
        for one in reversed(self.all):
            one.signal(signal.SIGTERM)
        for one in self.all:
            one.wait()

    # -- notes --------------------------------------------------------------------------------------------------

    def _lines(self) -> list[list[str]]:
        text = self._notes.read_text() if self._notes.exists() else ""
        return [line.split(" ", 2) for line in text.splitlines()]

    def last_number(self) -> int:
        """The highest id that was used, with room for those that are under way."""
        return max((abs(int(words[1])) for words in self._lines()), default=0) + 20

    def notes(self) -> Notes:
        """What became of all requests."""
        found: dict[str, set[int]] = {"ack": set(), "refused": set(), "unknown": set(), "trouble": set()}
        position = 0
        for words in self._lines():
            found[words[0]].add(int(words[1]))
            if words[0] == "ack":
                position = max(position, int(words[2]))
        return Notes(*(frozenset(found[kind]) for kind in ("ack", "refused", "unknown")), position)

    # -- what must hold -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the primary write no more, and wait until all copies hold what it holds.

        A primary's process that is started again writes; so it is stopped first, and serves without writing then.
        """
        self.primary.signal(signal.SIGTERM)
        self.primary.wait()
        serve = ("master", "--listen", f"unix:{self.folder}/primary.socket", "--db", str(self.primary.database))
        writing, self.primary._words = self.primary._words, (*serve, "--http", self.primary.http)
        try:
            self.primary.start()
            length = (self.primary.database.parent / "data.wal").stat().st_size
            for one in self.copies:
                # A relay counts as its log does: what it was given by its master is told by its own status.
                until(lambda one=one: self._has(one, length), lambda one=one: (one.status(), one.output()[-3000:]))
            self.stop()
        finally:
            self.primary._words = writing

    def _has(self, one: Process, length: int) -> bool:
        assert one.look(), f"{one.name} has ended with {one.ended}: {one.output()[-3000:]}"
        if one in (self.relay, self.other):
            return one.applied() >= length
        relayed = (self.relay.database.parent / "data.wal").stat().st_size
        return self.relay.applied() >= length and one.applied() >= relayed

    def check(self) -> None:
        """See that the files of the site, which stands still, hold what they must."""
        notes = self.notes()
        paths = DatabasePaths.of(self.primary.database)
        report = scan_log(paths.wal)
        assert (report.damage, report.open_transaction) == (Damage.NONE, None)
        assert paths.wal.stat().st_size >= notes.position
        there = ids(self.primary.database)
        assert notes.acknowledged <= there, sorted(notes.acknowledged - there)[:20]
        assert not notes.refused & there, sorted(notes.refused & there)[:20]
        expected = dump(self.primary.database)
        for one in (self.relay, self.leaf, self.other):
            assert_equal(dump(one.database), expected)
        published = ["entries"]
        assert_equal(dump(self.subscriber.database, published), dump(self.primary.database, published))


def ids(database: Path) -> set[int]:
    """The ids of all rows of a database that no process writes; of a transaction all are there or none."""
    with closing(sqlite3.connect(database)) as connection:
        found = {number for (number,) in connection.execute("SELECT id FROM entries")}
        others = {number for (number,) in connection.execute("SELECT id FROM others")}
    assert others == {number for number in found if number % 3 == 0}
    return found


def not_refused_anywhere(site: Site) -> None:
    """While it runs: what the primary has refused is in no copy, which is ahead of nothing."""
    refused = site.notes().refused
    for one in site.copies:
        if one.database.exists():
            with closing(sqlite3.connect(f"file:{one.database}?mode=ro", uri=True, timeout=30)) as connection:
                tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entries'")
                if tables.fetchone() == (1,):
                    rows = connection.execute("SELECT id FROM entries")
                    assert not refused & {number for (number,) in rows}, one.name
