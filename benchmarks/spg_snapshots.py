"""An SPG snapshot read, and written into SQLite, beside `executemany` of the same rows by Python's sqlite3."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import memory_of
from spgrepl.cli.parts.snapshot_export import export_spg
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.values.crc32c import crc32c

ROWS = int(os.environ.get("SPGREPL_ROWS", "1000000"))
ROUNDS = 5
MEMORY_LIMIT = 160.0
"""MiB: Python with its modules, SQLite's cache, one block of the file and one batch of rows."""

VERSION = 60
"""With a header for each row, and a checksum at the end."""
_AT_ONCE = 10_000
_COLUMNS = (("id", 1), ("name", 4), ("number", 2), ("share", 3))
_HEAD, _TAIL = struct.Struct("<BiH"), struct.Struct("<qd")
_HEADER = struct.Struct("<QQBQ")
_ENTRY = struct.Struct("<BqIBQ")


def measure() -> list[Figure]:
    """Read and export a snapshot of four columns, each round beside the yardstick."""
    reading: list[float] = []
    exporting: list[float] = []
    yard: list[float] = []
    memory = 0.0
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as folder:
        source = Path(folder) / "snapshot.db"
        with open(source, "wb") as file:
            file.writelines(_sealed(snapshot(ROWS)))
        size = source.stat().st_size
        for number in range(ROUNDS):
            (seconds,) = _run("executemany", source, Path(folder) / f"yard-{number}.db")
            yard.append(ROWS / seconds)
            (seconds,) = _run("read", source)
            reading.append(ROWS / seconds)
            seconds, used = _run("export", source, Path(folder) / f"copy-{number}.db")
            exporting.append(ROWS / seconds)
            memory = max(memory, used)
    theirs = statistics.median(yard)
    note = f"{ROWS:,} rows of four columns, {size / 2**20:,.0f} MiB."
    return [
        _figure("rows of an SPG snapshot, decoded", reading, yard, ">= 0.57", note),
        _figure("rows of an SPG snapshot into SQLite", exporting, yard, ">= 0.5", note + " The whole command."),
        Figure(
            name="memory of that",
            value=round(memory, 1),
            unit="MiB",
            yardstick="limit",
            yardstick_value=MEMORY_LIMIT,
            ratio=round(memory / MEMORY_LIMIT, 3),
            target=f"value <= {MEMORY_LIMIT:g}",
            note=f"The peak of the process. The yardstick makes {theirs:,.0f} rows/s.",
        ),
    ]


def _figure(name: str, ours: list[float], theirs: list[float], target: str, note: str) -> Figure:
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=name,
        value=round(value),
        unit="rows/s",
        yardstick="sqlite3's executemany of the same rows, rows/s",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=target,
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note=note,
    )


# -- the snapshot ---------------------------------------------------------------------------------------------


def row(number: int) -> tuple[int, str, int, float]:
    """The values of a row."""
    return number, f"name of row {number}, and some more text", number * 7, number / 3


def snapshot(rows: int) -> Iterator[bytes]:
    """A catalog with one table, its primary key and the index of that, in parts."""
    yield b"SPGDB001" + bytes([VERSION]) + struct.pack("<I", 1) + _text("t") + struct.pack("<H", len(_COLUMNS))
    for name, tag in _COLUMNS:
        yield _text(name) + bytes([tag, name != "id", 0, 0])
    yield struct.pack("<I", rows)
    for numbers in _parts(rows):
        yield b"".join(map(_dense, numbers))
    yield struct.pack("<H", 1) + _text("t_pkey") + struct.pack("<HBI", 0, 0, rows)
    for numbers in _parts(rows):
        yield b"".join(_ENTRY.pack(0, number, 1, 0, number) for number in numbers)
    # No included columns, predicate or expression; unique, over no further column. No threshold, no foreign key.
    yield b"\0\0\0\0" + b"\1\0\0" + b"\0" + b"\0\0"
    # The primary key, and nothing in the other blocks up to the row headers.
    yield struct.pack("<HBHHB", 1, 1, 1, 0, 0) + b"\0\0" * 9 + b"\0" + b"\0\0" * 2 + bytes(4)
    yield struct.pack("<I", rows)
    for numbers in _parts(rows):
        yield b"".join(_HEADER.pack(1, 0, 1, number + 1) for number in numbers)
    # The next row id, no name of a check, one of a constraint that has none, nothing after the tables.
    yield struct.pack("<Q", rows + 1) + b"\0\0" + b"\1\0\0" + bytes(4 * 9)


def _sealed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """A catalog's parts, and its checksum after them."""
    crc = 0
    for part in parts:
        crc = crc32c(part, crc)
        yield part
    yield struct.pack("<I", crc)


def _dense(number: int) -> bytes:
    first, name, second, third = row(number)
    text = name.encode()
    return _HEAD.pack(0, first, len(text)) + text + _TAIL.pack(second, third)


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode()


def _parts(rows: int) -> Iterator[range]:
    return (range(first, min(rows, first + _AT_ONCE)) for first in range(0, rows, _AT_ONCE))


# -- what is measured, each in a process of its own ---------------------------------------------------------------


def read(source: Path) -> list[float]:
    """Decode all rows; returns seconds."""
    with Snapshot(source) as found:
        began = time.perf_counter()
        count = sum(len(batch) for batch in found.batches(found.catalogue.tables[0]))
        seconds = time.perf_counter() - began
    if count != ROWS:
        raise ValueError(f"{count} rows of {ROWS}")
    return [seconds]


def export(source: Path, target: Path) -> list[float]:
    """Run the command; returns seconds and MiB."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        export_spg(source, None, target, False)
    return [time.perf_counter() - began, memory_of(os.getpid(), "VmHWM")]


def executemany(_: Path, target: Path) -> list[float]:
    """Write the same rows, which are there already, in one transaction that need not survive; returns seconds."""
    seconds = 0.0
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, name TEXT, number INTEGER, share REAL)")
    connection.execute("BEGIN")
    for numbers in _parts(ROWS):
        rows = [*map(row, numbers)]
        began = time.perf_counter()
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    connection.execute("COMMIT")
    return [seconds + time.perf_counter() - began]


_STEPS = {"read": read, "export": export, "executemany": executemany}


def _run(name: str, *paths: Path) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.spg_snapshots", name, *map(str, paths)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(_STEPS[sys.argv[1]](*map(Path, sys.argv[2:]))))
