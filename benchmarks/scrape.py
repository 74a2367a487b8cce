"""What it costs a master to be scraped, with 200 followers that have everything."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import Server, free_port, server
from spgrepl.wire.handshake import FollowerHello, StreamVersion

FOLLOWERS = 200
SCRAPES = 200
ROUNDS = 5
TARGET = 1.0


def measure() -> list[Figure]:
    """Scrape a real master's ``/metrics`` many times in a row, and see what processor time one takes.

    Each follower has an address of its own, so that each has its own series.
    """
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as folder:
        port, database, site = free_port(), Path(folder) / "a.db", Path(folder) / "master.http"
        words = ("--listen", f"127.0.0.1:{port}", "--db", str(database))
        command = [sys.executable, "-m", "spgrepl", "exec", "--db", str(database), "CREATE TABLE t (a)"]
        position = int(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1])
        with server(Path(folder), "master", *words) as master:
            master.wait_until(lambda status: status["state"] == "serving")
            with _followers(port, position):
                _wait_for_all(master)
                length = len(_scrape(site))
                samples = [_share(master, site) for _ in range(ROUNDS)]
    share = statistics.median(samples)
    return [
        Figure(
            f"one scrape of /metrics a second, {FOLLOWERS} followers",
            round(share, 2),
            "% of a core",
            "limit",
            TARGET,
            round(share / TARGET, 3),
            f"value < {TARGET:g}",
            [round(one, 2) for one in samples],
            note=f"{length} bytes each; what idle followers cost meanwhile is taken off",
        )
    ]


def _wait_for_all(master: Server) -> None:
    master.wait_until(lambda status: sum(peer["state"] == "streaming" for peer in status["peers"]) == FOLLOWERS)


def _share(master: Server, site: Path) -> float:
    """The processor time of one scrape, as a share of a second in per cent."""
    began, before = time.perf_counter(), master.cpu_seconds()
    time.sleep(2.0)
    idle = (master.cpu_seconds() - before) / (time.perf_counter() - began)
    began, before = time.perf_counter(), master.cpu_seconds()
    for _ in range(SCRAPES):
        _scrape(site)
    spent = master.cpu_seconds() - before - idle * (time.perf_counter() - began)
    return spent / SCRAPES * 100


def _scrape(site: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(site))
        connection.sendall(
            b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n"
            b"Accept: application/openmetrics-text; version=1.0.0\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 200 " in answer[:20], answer[:200]
    return answer


@contextlib.contextmanager
def _followers(port: int, position: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for number in range(FOLLOWERS):
            source = (f"127.0.{1 + number // 200}.{1 + number % 200}", 0)
            made = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30, source))
            made.sendall(FollowerHello(StreamVersion.V2, position).encode())
            made.recv(8, socket.MSG_WAITALL)  # as many at once as a master lets say their hello
        yield
