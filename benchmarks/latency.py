"""How long a row takes from the append to the master's log until it can be read from the follower's database.

Once appended by another program, whose log counts as it grows, and once by a primary, which fsyncs it before it is
sent.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure
from benchmarks.logs import append, insert
from benchmarks.servers import BenchmarkFailed, pair
from spgrepl.disk.files import DatabasePaths
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.writing.writer import DatabaseWriter

SAMPLES = 200
LONGEST_GAP = 0.1
GLANCE = 0.0002
"""Seconds between two looks for the row: shorter would take a core away from those who are measured."""


def measure() -> list[Figure]:
    """The median and the 99th percentile, against a bare fsync and commit on the same disk."""
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        folder = Path(name)
        before = bare.run("disk", folder, SAMPLES // 2)
        (folder / "after").mkdir()
        with pair(folder, "sqlite") as (_, log):
            found = samples(folder / "copy.db", log)
            of_primary = primary_samples(folder / "copy.db", folder / "master.db")
        after = bare.run("disk", folder / "after", SAMPLES // 2)
    return [
        _figure("append", "p50", found, before + after, 50, "< 3 ms"),
        _figure("append", "p99", found, before + after, 99, "< 15 ms"),
        _figure("a primary's append", "p50", of_primary, before + after, 50, "< 3 ms"),
        _figure("a primary's append", "p99", of_primary, before + after, 99, "< 15 ms"),
    ]


def samples(copy: Path, log: Path) -> list[float]:
    """Seconds from an append until the row is seen, for rows at random gaps."""
    gaps = random.Random(1)
    seconds = []
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as reader:
        for number in range(1, SAMPLES + 1):
            time.sleep(gaps.uniform(0, LONGEST_GAP))
            record = insert(number)
            began = time.perf_counter()
            append(log, record)
            _await_row(reader, number, began)
            seconds.append(time.perf_counter() - began)
    return seconds


def primary_samples(copy: Path, database: Path) -> list[float]:
    """Seconds from the moment at which a primary has appended a row until it is seen, for rows at random gaps."""
    gaps = random.Random(2)
    seconds = []
    appended: list[float] = []
    sync = os.fdatasync

    def noted(handle: int) -> None:
        appended.append(time.perf_counter())
        sync(handle)

    writer = DatabaseWriter(DatabasePaths.of(database))
    writer.open()
    os.fdatasync = noted
    try:
        with (
            ThreadPoolExecutor(1) as thread,
            contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as reader,
        ):
            for number in range(SAMPLES + 1, 2 * SAMPLES + 1):
                time.sleep(gaps.uniform(0, LONGEST_GAP))
                sql = f"INSERT INTO t VALUES ({number}, 'name of row {number}', {number * 7})"
                writing = thread.submit(writer.run, [Request((sql,))])
                _await_row(reader, number, time.perf_counter())
                seconds.append(time.perf_counter() - appended[-1])
                writing.result()
    finally:
        os.fdatasync = sync
        writer.close()
    return seconds


def _await_row(reader: sqlite3.Connection, number: int, began: float) -> None:
    while reader.execute("SELECT 1 FROM t WHERE id = ?", (number,)).fetchone() is None:
        if time.perf_counter() - began > 10:
            raise BenchmarkFailed(f"row {number} did not appear within 10 s")
        time.sleep(GLANCE)


def _figure(what: str, name: str, samples: list[float], pairs: list[float], percent: int, target: str) -> Figure:
    value, yard = (1000 * statistics.quantiles(some, n=100)[percent - 1] for some in (samples, pairs))
    return Figure(
        name=f"{what} to visible row, {name} of {len(samples)}",
        value=round(value, 3),
        unit="ms",
        yardstick=f"bare fsync + commit, {name}",
        yardstick_value=round(yard, 3),
        ratio=round(value / yard, 3),
        target=target,
        note=f"Rows at random gaps up to {LONGEST_GAP:g} s; looked for every {GLANCE * 1000:g} ms.",
    )
