"""What subscribers cost: a filter that takes nothing, a subscription that takes everything, and 200 of them.

``python -m benchmarks.subscribers sift LOG`` prints seconds; ``python -m benchmarks.subscribers read PORT START
BYTES COUNT PROTOCOL`` reads so many bytes over each of so many connections.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from benchmarks import bare
from benchmarks.figures import Figure
from benchmarks.logs import append, create_table, inserts
from benchmarks.servers import BenchmarkFailed, Server, free_port, server
from spgrepl.catalogue.definitions import TableFilter
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.master.judged.judged_feed import RecordFeed
from spgrepl.master.judged.pieces import Piece
from spgrepl.wire.frames import HEADER_SIZE
from spgrepl.wire.handshake import FollowerHello, StreamVersion
from spgrepl.wire.subscription import SubscriberHello

RECORDS = 300_000
ROUNDS = 5
CONNECTIONS = 200
FANOUT_RECORDS = 130_000
FANOUT_ROUNDS = 5
PUBLICATION = "bench"
_MIB = 1024 * 1024
_ROOM = ("--max-connections", "4000", "--max-connections-per-address", "4000", "--max-handshakes", "4000")
_OTHER_TABLES = TableFilter(frozenset({"orders", "customers"}))


def measure() -> list[Figure]:
    """Measure everything."""
    return [measure_filter(), measure_counting(), measure_fanout()]


# -- a filter that takes nothing ------------------------------------------------------------------------------


def measure_filter() -> Figure:
    """Cutting, judging and sifting a log of which nothing is forwarded, against a bare parsing loop."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
        log = Path(name) / "log.wal"
        log.write_bytes(create_table() + inserts(RECORDS))
        for _ in range(ROUNDS):
            theirs.append(RECORDS / bare.run("parse", log)[0])
            ours.append(RECORDS / _run("sift", log))
    return _against_bare_loop(
        f"filter without a match over {RECORDS:,} INSERTs",
        ours,
        theirs,
        ">= 4",
        "RecordFeed and Piece.sift in a process of their own, from the file, as a master does it once for all "
        "its subscribers.",
    )


def sift(log: Path) -> float:
    """Seconds that it takes to cut a log into pieces and sift them with a filter that accepts nothing."""
    clock = Clock()
    feed = RecordFeed(clock, _FileLog(log), _at_once)
    began = time.perf_counter()
    position = records = passed = 0
    while True:
        piece = _had(clock, feed.piece(position))
        if piece is None:
            break
        if not isinstance(piece, Piece):
            raise BenchmarkFailed(f"the log is not in the page cache at position {position}")
        found = piece.sift(_OTHER_TABLES)
        passed += found.lead
        records += len(piece.batch)
        position = piece.end
    seconds = time.perf_counter() - began
    if records != RECORDS + 2 or passed != log.stat().st_size:
        raise BenchmarkFailed(f"{records} records were looked at, and {passed} bytes skipped")
    return seconds


@implementer(ILogSource)
class _FileLog:
    """A log file that does not grow."""

    known = True

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self.length = os.fstat(self._handle).st_size

    def fileno(self) -> int:
        """See `ILogSource`."""
        return self._handle

    def add_listener(self, listener: ILogListener) -> None:
        """See `ILogSource`. It has nothing to tell."""

    def remove_listener(self, listener: ILogListener) -> None:
        """See `ILogSource`."""


def _had(clock: Clock, answer: Any) -> Any:
    """What a feed answers, where that is not there at once."""
    if not isinstance(answer, Deferred):
        return answer
    found: list[Any] = []
    answer.addCallback(found.append)
    while not found:
        clock.advance(0.001)
    return found[0]


def _at_once(call: Callable[[], Any]) -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.callback(call())
    return done


# -- a subscription that takes everything ---------------------------------------------------------------------


def measure_counting() -> Figure:
    """Everything forwarded to a subscriber that only counts, over TCP, against a bare parsing loop."""
    records = inserts(RECORDS)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name:
            folder = Path(name)
            log = folder / "bare-input.wal"
            log.write_bytes(create_table() + records)
            theirs.append(RECORDS / bare.run("parse", log)[0])
            ours.append(RECORDS / _subscribe(folder, records))
    return _against_bare_loop(
        f"{RECORDS:,} INSERTs forwarded to a counting subscriber",
        ours,
        theirs,
        ">= 1.5",
        "From the append of all records to the master's log until the subscriber tells that the last one is "
        "applied.",
    )


def _subscribe(folder: Path, records: bytes) -> float:
    """Seconds from the append of records to a master's log until its subscriber has applied them."""
    with publishing(folder) as (_, port, log):
        wants = ("--master", f"tcp:127.0.0.1:{port}", "--name", "bench", "--publication", PUBLICATION)
        copy = ("--db", str(folder / "copy.db"), "--engine", "counting", "--no-copy-data")
        with server(folder, "subscriber", *wants, *copy) as subscriber:
            length = log.stat().st_size
            subscriber.wait_until(
                lambda status: status["state"] == "streaming" and status["positions"]["applied"] == length
            )
            end = length + len(records)
            began = time.perf_counter()
            append(log, records)
            subscriber.wait_applied(end)
            seconds = time.perf_counter() - began
            status = subscriber.status()
            if status is None or status["statements"] != RECORDS or status["positions"]["applied"] != end:
                raise BenchmarkFailed(f"not all records were applied once: {status}")
            return seconds


@contextlib.contextmanager
def publishing(folder: Path) -> Iterator[tuple[Server, int, Path]]:
    """A master whose log holds a table and a publication of it; yields it, its port and its log."""
    port, database = free_port(), folder / "master.db"
    made = ("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount INTEGER)",)
    published = (f"CREATE PUBLICATION {PUBLICATION} FOR TABLE t",)
    command = [sys.executable, "-m", "spgrepl", "exec", "--db", str(database), *made, *published]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    listens = ("--listen", f"tcp:{port}:interface=127.0.0.1", *_ROOM)
    with server(folder, "master", *listens, "--db", str(database), "--wal-level", "logical") as master:
        master.wait_until(lambda status: status["state"] == "serving")
        yield master, port, folder / "master.wal"


# -- many of them ---------------------------------------------------------------------------------------------


def measure_fanout() -> Figure:
    """The processor time of a master that sends a log to 200 subscribers, and the same log to 200 followers."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as name, publishing(Path(name)) as serving:
        master, port, log = serving
        start, records = log.stat().st_size, inserts(FANOUT_RECORDS)
        append(log, records)
        master.wait_until(lambda status: status["positions"]["durable"] == start + len(records))
        framed = len(records) + FANOUT_RECORDS * HEADER_SIZE
        for _ in range(FANOUT_ROUNDS):
            theirs.append(_cpu_to_send(master, port, start, len(records), "v2"))
            ours.append(_cpu_to_send(master, port, start, framed, "sub"))
    value, yard = statistics.median(ours), statistics.median(theirs)
    size = len(records) / _MIB
    return Figure(
        name=f"{size:.0f} MiB to {CONNECTIONS} subscribers, master",
        value=round(value, 3),
        unit="s of CPU",
        yardstick="the same bytes to as many V2 followers",
        yardstick_value=round(yard, 3),
        ratio=round(value / yard, 3),
        target="<= 1.2",
        samples=[round(sample, 3) for sample in ours],
        yardstick_samples=[round(sample, 3) for sample in theirs],
        note=f"User and system time of one master; {FANOUT_RECORDS:,} INSERTs of one published table. A frame for "
        f"each record makes {(framed / len(records) - 1) * 100:.0f} % more bytes.",
    )


def _cpu_to_send(master: Server, port: int, start: int, expected: int, protocol: str) -> float:
    """Seconds of processor time that it takes a master to send so much to all connections."""
    before = master.cpu_seconds()
    _run("read", port, start, expected, CONNECTIONS, protocol)
    return master.cpu_seconds() - before


def read(port: int, start: int, expected: int, connections: int, protocol: str) -> float:
    """Read so many bytes of a log over each of some connections; returns the seconds."""
    hello = FollowerHello(StreamVersion.V2, start).encode()
    if protocol == "sub":
        hello = SubscriberHello(start, (PUBLICATION,), cluster_id=1).encode()
    waste = bytearray(_MIB)
    began = time.perf_counter()
    with contextlib.ExitStack() as opened, select.epoll() as poller:
        missing: dict[int, tuple[socket.socket, int]] = {}
        connected = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)
        ]
        for connection in connected:
            connection.sendall(hello)
            connection.setblocking(False)
            poller.register(connection.fileno(), select.EPOLLIN)
            missing[connection.fileno()] = (connection, expected)
        while missing:
            for handle, _ in poller.poll():
                connection, left = missing[handle]
                count = connection.recv_into(waste, _MIB)
                if not count:
                    raise BenchmarkFailed(f"the master closed a connection {left} bytes early")
                missing[handle] = (connection, left - count)
                if left <= count:
                    poller.unregister(handle)
                    del missing[handle]
    return time.perf_counter() - began


# -- running --------------------------------------------------------------------------------------------------


def _against_bare_loop(name: str, ours: list[float], theirs: list[float], target: str, note: str) -> Figure:
    value, yard = statistics.median(ours), statistics.median(theirs)
    return Figure(
        name=name,
        value=round(value),
        unit="records/s",
        yardstick="bare parsing loop: CRC checked, SQL decoded",
        yardstick_value=round(yard),
        ratio=round(value / yard, 3),
        target=target,
        samples=[round(sample) for sample in ours],
        yardstick_samples=[round(sample) for sample in theirs],
        note=note,
    )


def _run(*words: str | Path | int) -> float:
    """Run a part of this file in a process of its own; returns the seconds that it prints."""
    command = [sys.executable, "-m", "benchmarks.subscribers", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def _main(name: str, *words: str) -> None:
    if name == "sift":
        print(sift(Path(words[0])))
    elif name == "read":
        port, start, expected, connections = map(int, words[:4])
        print(read(port, start, expected, connections, words[4]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
