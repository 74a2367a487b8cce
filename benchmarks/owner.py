"""What it costs to say whose a record is: a plain INSERT, beside what it costs to read one at all."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure
from benchmarks.logs import create_table, inserts
from benchmarks.servers import BenchmarkFailed
from spgrepl.catalogue.owners.owner import OwnerJudge
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import encode_statement

RECORDS = 300_000
ROUNDS = 9
TABLES = 8
PIECE = 1 << 20
"""Bytes of the log that are cut into one batch."""


def measure() -> list[Figure]:
    """Judge plain INSERTs in batches, each round beside a bare parsing loop over records of one table."""
    records = inserts(RECORDS)
    logs = {"of one table": _batches(records), f"of {TABLES} tables in turn": _batches(_inserts_in_turn())}
    ours: dict[str, list[float]] = {name: [] for name in logs}
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as folder:
        log = Path(folder) / "bare-input.wal"
        log.write_bytes(create_table() + records)
        for _ in range(ROUNDS):
            theirs.append(1e9 * bare.run("parse", log)[0] / RECORDS)
            for name, batches in logs.items():
                ours[name].append(1e9 * _judge(batches) / RECORDS)
    return [_figure(name, samples, theirs) for name, samples in ours.items()]


def _figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=f"the owner of a plain INSERT, {name}",
        value=round(value),
        unit="ns",
        yardstick="bare parsing loop, ns a record",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target="< 500 ns",
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note=f"{RECORDS:,} records in batches of 1 MiB, by a judge that is new each round.",
    )


def _inserts_in_turn() -> bytes:
    forms = [b"INSERT INTO table_%d VALUES " % number + b"(%d, 'name of row %d', %d)" for number in range(TABLES)]
    return b"".join(
        encode_statement(forms[number % TABLES] % (number, number, number * 7)) for number in range(RECORDS)
    )


def _batches(records: bytes) -> list[RecordBatch]:
    parser = RecordParser()
    found = []
    for start in range(0, len(records), PIECE):
        parser.feed(records[start : start + PIECE])
        batch = parser.next_batch()
        assert batch is not None
        found.append(batch)
    return found


def _judge(batches: list[RecordBatch]) -> float:
    """Seconds that it takes to judge all records."""
    judge = OwnerJudge()
    began = time.perf_counter()
    found = [judge.owners(batch) for batch in batches]
    seconds = time.perf_counter() - began
    if sum(map(len, found)) != RECORDS or {len(one.tables) for owners in found for one in owners} != {1}:
        raise BenchmarkFailed("not every record was found to be of one table")
    return seconds
