"""How long a row takes from the append to the master's log until it can be read from the follower's database."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure
from benchmarks.logs import append, insert
from benchmarks.servers import BenchmarkFailed, pair

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
        after = bare.run("disk", folder / "after", SAMPLES // 2)
    return [
        _figure("p50", found, before + after, 50, "< 3 ms"),
        _figure("p99", found, before + after, 99, "< 15 ms"),
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


def _await_row(reader: sqlite3.Connection, number: int, began: float) -> None:
    while reader.execute("SELECT 1 FROM t WHERE id = ?", (number,)).fetchone() is None:
        if time.perf_counter() - began > 10:
            raise BenchmarkFailed(f"row {number} did not appear within 10 s")
        time.sleep(GLANCE)


def _figure(name: str, samples: list[float], pairs: list[float], percent: int, target: str) -> Figure:
    value, yard = (1000 * statistics.quantiles(some, n=100)[percent - 1] for some in (samples, pairs))
    return Figure(
        name=f"append to visible row, {name} of {len(samples)}",
        value=round(value, 3),
        unit="ms",
        yardstick=f"bare fsync + commit, {name}",
        yardstick_value=round(yard, 3),
        ratio=round(value / yard, 3),
        target=target,
        note=f"Rows at random gaps up to {LONGEST_GAP:g} s; looked for every {GLANCE * 1000:g} ms.",
    )
