"""How fast a follower that is behind catches up: real master, real TCP, real follower, each its own process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure
from benchmarks.logs import append, create_table, inserts
from benchmarks.servers import BenchmarkFailed, pair

RECORDS = 300_000
ROUNDS = 5


def measure_sqlite() -> list[Figure]:
    """Catch-up into SQLite, against a bare loop of Python's sqlite3 with the same statements and durability."""
    return [
        _measure(
            engine="sqlite",
            yardstick=f"bare sqlite3 loop, transactions of {bare.BATCH:,}",
            bare_seconds=lambda log, folder: bare.run("sqlite", log, folder)[0],
            target=">= 2.5",
            note="The log holds rows as a primary writes them, one record each, and says so at its beginning. "
            "From the append of all records to the master's log until the follower tells that the last one "
            "is applied. Both with journal_mode WAL and synchronous FULL; a follower also fsyncs its own log.",
        )
    ]


def measure_counting() -> list[Figure]:
    """Catch-up into the engine that only counts, against a bare parsing loop."""
    return [
        _measure(
            engine="counting",
            yardstick="bare parsing loop: CRC checked, SQL decoded",
            bare_seconds=lambda log, _: bare.run("parse", log)[0],
            target=">= 1.5",
            note="As catch-up into SQLite.",
        )
    ]


def _measure(
    engine: str, yardstick: str, bare_seconds: Callable[[Path, Path], float], target: str, note: str
) -> Figure:
    records = inserts(RECORDS)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
            folder = Path(name)
            log = folder / "bare-input.wal"
            log.write_bytes(create_table() + records)
            theirs.append(RECORDS / bare_seconds(log, folder))
            ours.append(RECORDS / _follow(folder, engine, records))
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=f"catch-up of {RECORDS:,} INSERTs into {engine}",
        value=round(value),
        unit="records/s",
        yardstick=yardstick,
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=target,
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note=note,
    )


def _follow(folder: Path, engine: str, records: bytes) -> float:
    """Seconds from the append of records to a master's log until its follower has applied them."""
    with pair(folder, engine) as (follower, log):
        end = log.stat().st_size + len(records)
        began = time.perf_counter()
        append(log, records)
        follower.wait_applied(end)
        seconds = time.perf_counter() - began
        status = follower.status()
        # Two more than the rows: the log begins by saying that it holds rows, and by making the table.
        if status is None or status["statements"] != RECORDS + 2 or status["positions"]["applied"] != end:
            raise BenchmarkFailed(f"not all records were applied once: {status}")
        return seconds
