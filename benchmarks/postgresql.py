"""A real PostgreSQL as the engine of a follower: catch-up, bootstrap, and how soon a row is seen."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.latency import GLANCE, LONGEST_GAP
from benchmarks.logs import append, insert, inserts
from benchmarks.servers import BenchmarkFailed, pair
from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from tests.postgresql.server import PostgresServer, find_programs

RECORDS = 200_000
ROUNDS = 3
SAMPLES = 200
ROWS = 500_000
CREATE = "CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, amount bigint)"


@contextlib.contextmanager
def _server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own that flushes what it commits."""
    programs = find_programs()
    if programs is None:
        raise BenchmarkFailed("PostgreSQL is not installed")
    server = PostgresServer(programs, fsync="on", full_page_writes="on", shared_buffers="256MB")
    try:
        yield server.make().start()
    finally:
        server.remove()


def measure() -> list[Figure]:
    """All three."""
    with _server() as server:
        return [_catch_up(server), _bootstrap(server), *_latency(server)]


# -- catch-up -------------------------------------------------------------------------------------------------


def _catch_up(server: PostgresServer) -> Figure:
    records = inserts(RECORDS)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(RECORDS / _psql(server))
        ours.append(RECORDS / _follow(server, records))
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=f"catch-up of {RECORDS:,} one-row records into PostgreSQL",
        value=round(value),
        unit="records/s",
        yardstick="psql -1 -q -f of the same statements",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=">= 1.5",
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note="From the append of all records to the master's log until the follower tells that the last one is "
        "applied; the follower also fsyncs its own log. Both over a local socket.",
    )


def _psql(server: PostgresServer) -> float:
    server.new_database("yardstick")
    server.query("yardstick", CREATE)
    script = server.folder / "rows.sql"
    lines = (f"INSERT INTO t(id,name,amount)VALUES({n},'name of row {n}',{n * 7});" for n in range(1, RECORDS + 1))
    script.write_text("\n".join(lines) + "\n")
    program = shutil.which("psql")
    if program is None:
        raise BenchmarkFailed("psql is not installed")
    began = time.perf_counter()
    subprocess.run([program, "-1", "-q", "-f", str(script), server.url("yardstick")], check=True)
    return time.perf_counter() - began


def _follow(server: PostgresServer, records: bytes) -> float:
    url = server.new_database("copy")
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name, pair(Path(name), url) as (follower, log):
        end = log.stat().st_size + len(records)
        began = time.perf_counter()
        append(log, records)
        follower.wait_applied(end)
        seconds = time.perf_counter() - began
    if server.query("copy", "SELECT count(*), sum(amount) FROM t") != [
        (RECORDS, 7 * RECORDS * (RECORDS + 1) // 2)
    ]:
        raise BenchmarkFailed("not all records were applied once")
    return seconds


# -- bootstrap ------------------------------------------------------------------------------------------------


def _bootstrap(server: PostgresServer) -> Figure:
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        snapshot = Path(name) / "snapshot.db"
        _make_snapshot(snapshot)
        for _ in range(ROUNDS):
            ours.append(ROWS / _install(server, snapshot))
            theirs.append(ROWS / _copy_from(server))
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=f"bootstrap of {ROWS:,} rows into PostgreSQL",
        value=round(value),
        unit="rows/s",
        yardstick="COPY … FROM of the same rows from a file, and ADD PRIMARY KEY",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=">= 0.6",
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note="A snapshot of a SQLite database that is here, read, put into a table that is made, with its primary "
        "key, until it is committed. The yardstick's file was written by the server itself.",
    )


def _make_snapshot(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount INTEGER, r REAL, note TEXT)"
        )
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
            (
                (n, f"name of row {n}", n * 7, n / 8, None if n % 3 else f"a note\twith {n}")
                for n in range(1, ROWS + 1)
            ),
        )


def _install(server: PostgresServer, snapshot: Path) -> float:
    received = snapshot.with_name("received")
    shutil.copy(snapshot, received)
    engine = PostgresqlEngine(ServerAddress.parse(server.new_database("copy")))
    engine.open()
    began = time.perf_counter()
    engine.check_snapshot(received)
    engine.install_snapshot(received, ReplayState(1, 1))
    seconds = time.perf_counter() - began
    engine.close()
    server.query("copy", f"COPY t TO '{server.folder}/rows.copy'")
    return seconds


def _copy_from(server: PostgresServer) -> float:
    server.new_database("yardstick")
    server.query(
        "yardstick", "CREATE TABLE t (id bigint NOT NULL, name text NOT NULL, amount bigint, r float8, note text)"
    )
    with server.connect("yardstick") as connection:
        began = time.perf_counter()
        connection.execute("BEGIN")
        connection.execute(f"COPY t FROM '{server.folder}/rows.copy'")
        connection.execute("ALTER TABLE t ADD PRIMARY KEY (id)")
        connection.execute("COMMIT")
        return time.perf_counter() - began


# -- latency --------------------------------------------------------------------------------------------------


def _latency(server: PostgresServer) -> list[Figure]:
    url = server.new_database("copy")
    server.new_database("yardstick")
    server.query("yardstick", CREATE)
    with server.connect("yardstick") as bare:
        theirs = [_commit_one(bare, number) for number in range(SAMPLES)]
    with (
        tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name,
        pair(Path(name), url) as (_, log),
        server.connect("copy") as reader,
    ):
        ours = list(_seen(reader, log))
    quantiles = ((50, "< 5 ms"), (99, "< 30 ms"))
    return [_latency_figure(ours, theirs, percent, target) for percent, target in quantiles]


def _commit_one(connection: Any, number: int) -> float:
    began = time.perf_counter()
    connection.execute("INSERT INTO t VALUES (%s, 'x', 1)", (number,), prepare=True)
    return time.perf_counter() - began


def _seen(reader: Any, log: Path) -> Iterator[float]:
    gaps = random.Random(1)
    for number in range(1, SAMPLES + 1):
        time.sleep(gaps.uniform(0, LONGEST_GAP))
        record = insert(number)
        began = time.perf_counter()
        append(log, record)
        while reader.execute("SELECT 1 FROM t WHERE id = %s", (number,), prepare=True).fetchone() is None:
            time.sleep(GLANCE)
            if time.perf_counter() - began > 10:
                raise BenchmarkFailed(f"row {number} was not seen within 10 s")
        yield time.perf_counter() - began


def _latency_figure(ours: list[float], theirs: list[float], percent: int, target: str) -> Figure:
    value, yard = (sorted(one)[len(one) * percent // 100 - 1] * 1000 for one in (ours, theirs))
    return Figure(
        name=f"append to visible in PostgreSQL, p{percent} of {SAMPLES}",
        value=round(value, 2),
        unit="ms",
        yardstick="an INSERT that is committed at once, by psycopg",
        yardstick_value=round(yard, 2),
        ratio=round(value / yard, 2),
        target=target,
        samples=[round(sample * 1000, 2) for sample in ours],
        yardstick_samples=[round(sample * 1000, 2) for sample in theirs],
        note="Rows that are appended at random gaps to the master's log, until another session sees them.",
    )
