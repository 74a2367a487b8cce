"""Cold segments: how fast a big one arrives, what memory that takes, and what the log waits beside them."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from benchmarks import latency
from benchmarks.figures import Figure
from benchmarks.servers import BenchmarkFailed, Server, free_port, pair, server
from spgrepl.segments.manifest import read_manifest

MEBIBYTES = 1024
ROUNDS = 5
MEMORY_LIMIT = 64.0
SHARE = 5_000_000
"""Bytes of a segment that appears every tenth of a second: 50 MB/s."""

EXTRA_LIMIT = 100.0


def measure() -> list[Figure]:
    """A segment of 1 GiB over TCP, each round beside a `cp` and `sync` of the same file."""
    ours: list[float] = []
    theirs: list[float] = []
    memory: dict[str, float] = {"master": 0.0, "follower": 0.0}
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        source = Path(name) / "big"
        digest = _make_segment(source)
        for number in range(ROUNDS):
            theirs.append(MEBIBYTES / _copy(source, Path(name) / "copied"))
            folder = Path(name) / str(number)
            folder.mkdir()
            ours.append(MEBIBYTES / _transfer(folder, source, digest, memory))
            shutil.rmtree(folder)
    value, yard = statistics.median(ours), statistics.median(theirs)
    rate = Figure(
        name=f"a segment of {MEBIBYTES} MiB to a follower",
        value=round(value),
        unit="MiB/s",
        yardstick="cp + sync of the same file",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=">= 0.5",
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note="From its first byte in the follower's folder until it is checked, durable and registered; the "
        "SHA-256 is equal. Both read from the page cache.",
    )
    return [rate, *(_memory_figure(role, more) for role, more in memory.items())]


def _memory_figure(role: str, more: float) -> Figure:
    return Figure(
        name=f"memory for a segment of {MEBIBYTES} MiB, {role}",
        value=round(more, 1),
        unit="MiB more",
        yardstick="limit",
        yardstick_value=MEMORY_LIMIT,
        ratio=round(more / MEMORY_LIMIT, 3),
        target="<= 1",
        note="The highest resident memory of all rounds, less the resident memory before.",
    )


def _make_segment(path: Path) -> str:
    """Write a sound segment; returns its SHA-256."""
    crc = 0
    with open(path, "wb") as file:
        file.write(b"SPGSEG\x01\x00")
        for _ in range(MEBIBYTES):
            block = os.urandom(1 << 20)
            crc = crc32(block, crc)
            file.write(block)
        file.write(crc.to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())
    return _digest(path)


def _digest(path: Path) -> str:
    found = sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _copy(source: Path, target: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["cp", source, target], check=True)
    subprocess.run(["sync", target], check=True)
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def _transfer(folder: Path, source: Path, digest: str, memory: dict[str, float]) -> float:
    """Seconds that a segment takes; notes the memory that it took."""
    with _pair(folder) as (master, follower):
        before = {"master": master.memory("VmRSS"), "follower": follower.memory("VmRSS")}
        served, arriving = folder / "served", folder / "copy.spg" / "segments"
        os.link(source, served / "seg_7.spg")
        _wait(lambda: arriving.is_dir() and any(arriving.iterdir()))
        began = time.perf_counter()
        # Not by its status: to answer that takes time from what is measured.
        _wait(lambda: _is_registered(folder / "copy.spg" / "manifest.v10"))
        seconds = time.perf_counter() - began
        for role, one in (("master", master), ("follower", follower)):
            memory[role] = max(memory[role], one.memory("VmHWM") - before[role])
        if _digest(arriving / "seg_7.spg") != digest:
            raise BenchmarkFailed("the segment differs")
        return seconds


@contextlib.contextmanager
def _pair(folder: Path) -> Iterator[tuple[Server, Server]]:
    """A master that serves a folder of segments, and its follower, which streams."""
    port, served = free_port(), folder / "served"
    served.mkdir()
    serves = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--db", str(folder / "master.db"))
    follows = ("--master", f"tcp:127.0.0.1:{port}", "--db", str(folder / "copy.db"))
    with server(folder, "master", *serves, "--segment-dir", str(served)) as master:
        master.wait_until(lambda status: status["state"] == "serving")
        with server(folder, "follower", *follows) as follower:
            follower.wait_until(lambda status: status["state"] == "streaming")
            yield master, follower


def _is_registered(manifest: Path) -> bool:
    found = read_manifest(manifest)
    return found is not None and len(found.segments) == 1


def _wait(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not condition():
        if time.monotonic() > ends:
            raise BenchmarkFailed("no segment arrived within 120 s")
        time.sleep(0.005)


def measure_latency() -> list[Figure]:
    """What a row waits longer while segments come at 50 MB/s."""
    alone, beside = _latencies(0), _latencies(SHARE)
    quiet, loaded = (1000 * statistics.quantiles(some, n=100)[98] for some in (alone, beside))
    extra = max(0.0, loaded - quiet)
    return [
        Figure(
            name=f"extra delay of a row beside 50 MB/s of segments, p99 of {len(beside)}",
            value=round(extra, 1),
            unit="ms",
            yardstick="limit",
            yardstick_value=EXTRA_LIMIT,
            ratio=round(extra / EXTRA_LIMIT, 3),
            target="<= 1",
            samples=[round(loaded, 1)],
            yardstick_samples=[round(quiet, 1)],
            note="The p99 from append to visible row with segments (first sample) less the one without (second).",
        )
    ]


def _latencies(share: int) -> list[float]:
    """Seconds from append to visible row, while a segment of `share` bytes appears every tenth of a second."""
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        folder, over = Path(name), threading.Event()
        content = os.urandom(share)
        arriving = folder / "master.spg" / "segments"
        with pair(folder, "sqlite") as (follower, log):
            writer = threading.Thread(target=_appear, args=(arriving, content, over))
            writer.start()
            try:
                samples = latency.samples(folder / "copy.db", log)
            finally:
                over.set()
                writer.join()
            count = len(list(arriving.glob("seg_*.spg")))
            follower.wait_until(lambda status: status["segments"]["registered"] == count)
        return samples


def _appear(folder: Path, content: bytes, over: threading.Event) -> None:
    if not content:
        return
    folder.mkdir(parents=True)
    number = 0
    while not over.wait(0.1):
        number += 1
        temporary = folder / "temporary"
        temporary.write_bytes(content)
        temporary.rename(folder / f"seg_{number}.spg")
