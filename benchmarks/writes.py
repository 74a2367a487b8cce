"""What a primary's writes cost: single ones with many in flight, a script, one statement that changes many rows.

``python -m benchmarks.writes primary FOLDER COUNT`` prints the seconds that the first takes and how large its
groups were: the reactor belongs to a process of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import apsw

from benchmarks.figures import Figure
from spgrepl.disk.files import DatabasePaths
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter

SINGLE = 50_000
IN_FLIGHT = 64
SCRIPT = 1_000_000
TRANSACTION = 5_000
UPDATED = 300_000
ROUNDS = 3

FLOORS: dict[str, Callable[[apsw.PreUpdate], object]] = {
    "APSW's hook alone, which does nothing": callable,
    "APSW's hook that only reads a row's number and its new values": attrgetter("rowid", "update"),
}
"""What a hook costs in any case, written in C: without anything, and with what has to be known of a row."""

_UPDATE = "UPDATE t SET n = n + 1"
_TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INT)"


def _insert(number: int) -> str:
    return f"INSERT INTO t VALUES ({number}, 'name of row {number}', {number % 7})"


def measure() -> list[Figure]:
    """Each round beside its yardstick."""
    return [_single(), _script(), *_update()]


def _figure(name: str, count: int, ours: list[float], theirs: list[float], target: str, **more: Any) -> Figure:
    value, yard = (count / statistics.median(samples) for samples in (ours, theirs))
    return Figure(
        name=name,
        value=round(value),
        unit="rows/s",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=target,
        samples=[round(count / sample) for sample in ours],
        yardstick_samples=[round(count / sample) for sample in theirs],
        **more,
    )


def _rounds(measure_one: Callable[[Path], tuple[float, ...]]) -> list[list[float]]:
    """What each round measures, by what was measured."""
    found = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as folder:
            found.append(measure_one(Path(folder)))
    return [list(samples) for samples in zip(*found, strict=True)]


def bare_database(folder: Path, synchronous: str = "FULL") -> apsw.Connection:
    """A plain database with the table, one fsync a commit."""
    connection = apsw.Connection(str(folder / "bare.db"))
    connection.execute(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}").fetchall()
    connection.execute(_TABLE)
    return connection


# -- single writes --------------------------------------------------------------------------------------------


def single_round(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of a primary and of a bare loop with groups of the same size."""
    command = [sys.executable, "-m", "benchmarks.writes", "primary", str(folder), str(count)]
    seconds, group = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    connection = bare_database(folder)
    began = time.perf_counter()
    for start in range(0, count, int(group)):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(start, min(count, start + int(group))):
            connection.execute(_insert(number), can_cache=False)
        connection.execute("COMMIT")
    taken = time.perf_counter() - began
    connection.close()
    return float(seconds), taken


def _single() -> Figure:
    ours, theirs = _rounds(lambda folder: single_round(folder, SINGLE))
    return _figure(
        f"single INSERTs through a Primary, {IN_FLIGHT} in flight",
        SINGLE,
        ours,
        theirs,
        ">= 0.8",
        yardstick="bare APSW loop, groups of the same size",
        note=f"{SINGLE:,} rows, one fsync a group on both sides.",
    )


def _serve(folder: Path, count: int) -> None:
    """Write through a primary, and print how long it took."""
    from twisted.internet import defer, reactor

    from spgrepl.primary import Primary

    numbers = iter(range(count))
    syncs: list[int] = []

    @defer.inlineCallbacks
    def caller(primary: Primary) -> Iterator[Any]:
        for number in numbers:
            yield primary.execute(_insert(number))

    @defer.inlineCallbacks
    def run() -> Iterator[Any]:
        primary = Primary(reactor, DatabasePaths.of(folder / "primary.db"))
        yield primary.open()
        yield primary.execute(_TABLE)
        sync = os.fdatasync
        os.fdatasync = lambda handle: (syncs.append(handle), sync(handle))[1]
        began = time.perf_counter()
        yield defer.gatherResults([caller(primary) for _ in range(IN_FLIGHT)])
        print(time.perf_counter() - began, max(1, round(count / len(syncs))))
        yield primary.close()

    runner: Any = reactor
    runner.callWhenRunning(lambda: run().addBoth(lambda _: runner.stop()))
    runner.run()


# -- a script -------------------------------------------------------------------------------------------------


def script_round(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of ``spgrepl exec -f`` and of a bare loop over the lines of the same file."""
    script = folder / "script.sql"
    with script.open("w") as file:
        for start in range(0, count, TRANSACTION):
            file.write("BEGIN;\n")
            file.writelines(f"{_insert(number)};\n" for number in range(start, min(count, start + TRANSACTION)))
            file.write("COMMIT;\n")
    command = [sys.executable, "-m", "spgrepl", "exec", "--db", str(folder / "primary.db")]
    subprocess.run([*command, _TABLE], check=True, capture_output=True)
    began = time.perf_counter()
    subprocess.run([*command, "-f", str(script)], check=True, capture_output=True)
    ours = time.perf_counter() - began
    connection = bare_database(folder)
    began = time.perf_counter()
    with script.open() as file:
        for line in file:
            connection.execute(line, can_cache=False)
    taken = time.perf_counter() - began
    connection.close()
    return ours, taken


def _script() -> Figure:
    ours, theirs = _rounds(lambda folder: script_round(folder, SCRIPT))
    return _figure(
        f"spgrepl exec -f, transactions of {TRANSACTION:,} one-row INSERTs",
        SCRIPT,
        ours,
        theirs,
        ">= 0.4",
        yardstick="bare APSW loop over the same file",
        note=f"{SCRIPT:,} rows; the process's start is counted.",
    )


# -- one statement --------------------------------------------------------------------------------------------


def bare_update(
    folder: Path, fill: str, size: int, hook: Callable[[apsw.PreUpdate], object] | None = None
) -> float:
    """Seconds of a bare UPDATE with so many bytes written, without a hook or with one.

    Args:
        folder: The folder of the database; made where it is missing.
        fill: Fills the table.
        size: How many bytes.
        hook: What APSW calls for each row.
    """
    folder.mkdir(exist_ok=True)
    connection = bare_database(folder)
    connection.execute(fill)
    connection.preupdate_hook(hook)
    began = time.perf_counter()
    connection.execute(_UPDATE)
    (folder / "log").write_bytes(bytes(size))
    taken = time.perf_counter() - began
    connection.close()
    return taken


def update_round(folder: Path, count: int) -> tuple[float, float, float, float]:
    """Seconds of an UPDATE through a writer, of a bare one, and of the two `FLOORS`.

    The last three write as many bytes as the log got.
    """
    writer = DatabaseWriter(DatabasePaths.of(folder / "primary.db"))
    writer.open()
    fill = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"INSERT INTO t SELECT i, 'name of row ' || i, i % 7 FROM n"
    )
    writer.run([Request((_TABLE,)), Request((fill,))])
    before = writer.position
    began = time.perf_counter()
    (answer,) = writer.run([Request((_UPDATE,))])
    ours = time.perf_counter() - began
    assert isinstance(answer, Written)
    writer.close()
    size = answer.position - before
    taken = bare_update(folder, fill, size)
    floors = [
        bare_update(folder / f"floor {number}", fill, size, hook) for number, hook in enumerate(FLOORS.values())
    ]
    return ours, taken, floors[0], floors[1]


def _update() -> list[Figure]:
    rounds = _rounds(lambda folder: update_round(folder, UPDATED))
    ours, theirs, *floors = rounds
    yardstick = "bare UPDATE, and as many bytes written"
    note = f"{UPDATED:,} rows, one column."
    found = [_figure("one UPDATE of many rows", UPDATED, ours, theirs, ">= 0.4", yardstick=yardstick, note=note)]
    for name, samples in zip(FLOORS, floors, strict=True):
        what = f"{note} What nothing that stands on the hook can be faster than: it writes nothing down."
        found.append(_figure(f"floor: {name}", UPDATED, samples, theirs, "> 0", yardstick=yardstick, note=what))
    return found


if __name__ == "__main__":
    _serve(Path(sys.argv[2]), int(sys.argv[3]))
