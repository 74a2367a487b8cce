"""How fast a master sends, what idle connections cost it, and how much memory a big snapshot takes.

Master, yardstick and reader are processes of their own. The yardstick is a bare epoll loop over non-blocking
sockets that sends the same bytes from its memory in 64 KiB pieces; both are read by the same reader, which does
nothing but receive. They take turns, and the medians of their rounds are compared.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.servers import memory_of
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.records import encode_statement
from spgrepl.sqlite.state import ROLE_PRIMARY, ensure_table, write_state
from spgrepl.wire.handshake import FollowerHello, StreamVersion

MIB = 1024 * 1024
PIECE = 64 * 1024
MANY = 3000
ROUNDS = 7
TARGET_THROUGHPUT = 0.7
TARGET_IDLE = 0.05
TARGET_MEMORY = 64.0


def measure() -> list[dict[str, Any]]:
    """Run everything.

    Returns:
        One dict for each figure, with the attributes of `benchmarks.figures.Figure`.
    """
    with tempfile.TemporaryDirectory(prefix="spgrepl-bench-") as folder:
        return [
            _throughput(Path(folder), 1, 1024),
            _throughput(Path(folder), 200, 8),
            _idle(Path(folder), 200),
            _idle(Path(folder), MANY, 0.12),
            _snapshot_memory(Path(folder), 1024),
        ]


# -- the figures ----------------------------------------------------------------------------------------------


def _throughput(folder: Path, connections: int, mebibytes: int) -> dict[str, Any]:
    """Send a log to some connections at once, by turns from the yardstick and from the master."""
    log = _make_log(folder / f"{mebibytes}.wal", mebibytes * MIB)
    rates: dict[str, list[float]] = {"bare": [], "master": []}
    with _process("bare", log) as bare, _process("master", log) as master:
        for _ in range(ROUNDS):
            for name, port in (("bare", bare.port), ("master", master.port)):
                rates[name].append(connections * log.stat().st_size / _read_all(port, connections, log) / MIB)
    ours, theirs = statistics.median(rates["master"]), statistics.median(rates["bare"])
    return {
        "name": f"V2 log to {connections} connection{'s' if connections > 1 else ''}",
        "value": round(ours, 1),
        "unit": "MiB/s",
        "yardstick": "bare socket loop, 64 KiB pieces",
        "yardstick_value": round(theirs, 1),
        "ratio": round(ours / theirs, 3),
        "target": f">= {TARGET_THROUGHPUT}",
        "samples": [round(rate, 1) for rate in rates["master"]],
        "yardstick_samples": [round(rate, 1) for rate in rates["bare"]],
    }


def _idle(folder: Path, connections: int, most: float = TARGET_IDLE, seconds: float = 5.0) -> dict[str, Any]:
    """The processor time that V2 connections take which get nothing but STATUS."""
    log = _make_log(folder / "idle.wal", MIB)
    with _process("master", log) as master, _process("sink", log, str(master.port), str(connections)):
        share = _busy_share(master, seconds)
    with _process("ticker", log) as ticker, _process("sink", log, str(ticker.port), str(connections)):
        bare = _busy_share(ticker, seconds)
    return {
        "name": f"{connections:,} idle V2 connections",
        "value": round(share * 100, 2),
        "unit": "% of a core",
        "yardstick": "bare loop sending as many bytes as often",
        "yardstick_value": round(bare * 100, 2),
        "ratio": round(share / bare, 3),
        "target": f"< {most * 100:g} % of a core",
    }


def _busy_share(process: _Child, seconds: float) -> float:
    """How much of a core a process uses."""
    time.sleep(1.0)
    before, began = _cpu_seconds(process.pid), time.perf_counter()
    time.sleep(seconds)
    return (_cpu_seconds(process.pid) - before) / (time.perf_counter() - began)


def _snapshot_memory(folder: Path, mebibytes: int) -> dict[str, Any]:
    """What a snapshot adds to the master's memory, at its highest."""
    database = folder / "big.db"
    _make_database(database, mebibytes)
    log = folder / "big.wal"
    log.write_bytes(b"")
    with _process("master", log, str(database)) as master:
        _read_some(master.port, start=1)
        before = memory_of(master.pid, "VmRSS")
        received = _read_snapshot(master.port)
        more = memory_of(master.pid, "VmHWM") - before
    assert received >= database.stat().st_size, "the snapshot was not sent whole"
    return {
        "name": f"memory for a snapshot of {mebibytes} MiB, master",
        "value": round(more, 1),
        "unit": "MiB more",
        "yardstick": "limit",
        "yardstick_value": TARGET_MEMORY,
        "ratio": round(more / TARGET_MEMORY, 3),
        "target": f"< {TARGET_MEMORY:g} MiB more",
    }


# -- what is sent ---------------------------------------------------------------------------------------------


def _make_log(path: Path, size: int) -> Path:
    """A log of INSERT records, a little over `size` bytes long."""
    sql = b"INSERT INTO t VALUES (%d, 'row number %d of the benchmark')"
    block = b"".join(encode_statement(sql % (n, n)) for n in range(10_000))
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(block)
    return path


def _make_database(path: Path, mebibytes: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE t (data BLOB)")
        connection.execute("BEGIN")
        ensure_table(connection)
        write_state(connection, ROLE_PRIMARY, ReplayState(0, 0))
        for _ in range(mebibytes):
            connection.execute("INSERT INTO t VALUES (zeroblob(1048576))")
        connection.execute("COMMIT")


# -- the reader -----------------------------------------------------------------------------------------------


def _hello(start: int) -> bytes:
    return FollowerHello(StreamVersion.V2, start).encode()


def _connect(port: int, start: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(_hello(start))
    return connection


def _read_all(port: int, connections: int, log: Path) -> float:
    """Read the log once over each connection, in a process of its own; returns the seconds."""
    done = subprocess.run(
        [sys.executable, __file__, "read", str(log), str(port), str(connections)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def _serve_read(log: Path, port: int, connections: int) -> None:
    expected = log.stat().st_size - 1 + 8
    waste = bytearray(MIB)
    poller = select.epoll()
    missing: dict[int, tuple[socket.socket, int]] = {}
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    began = time.perf_counter()
    for connection in opened:
        connection.setblocking(False)
        connection.send(_hello(1))
        poller.register(connection.fileno(), select.EPOLLIN)
        missing[connection.fileno()] = (connection, expected)
    while missing:
        for handle, _ in poller.poll():
            connection, left = missing[handle]
            left -= connection.recv_into(waste, MIB)
            if left <= 0:
                poller.unregister(handle)
                del missing[handle]
            else:
                missing[handle] = (connection, left)
    print(time.perf_counter() - began)


def _serve_sink(log: Path, port: int, connections: int) -> None:
    """Hold connections at the end of the log, and read what comes."""
    poller = select.epoll()
    opened = [_connect(port, log.stat().st_size) for _ in range(connections)]
    by_handle = {connection.fileno(): connection for connection in opened}
    for handle in by_handle:
        poller.register(handle, select.EPOLLIN)
    print(port, flush=True)
    waste = bytearray(MIB)
    while True:
        for handle, _ in poller.poll():
            by_handle[handle].recv_into(waste, MIB)


def _read_some(port: int, start: int) -> None:
    """One exchange, so that all code that is needed has been loaded."""
    with _connect(port, start) as connection:
        connection.recv(100)


def _read_snapshot(port: int) -> int:
    with _connect(port, 0) as connection:
        length = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "little")
        waste = bytearray(MIB)
        left = length + 8
        while left:
            left -= connection.recv_into(waste, min(MIB, left))
    return length


# -- processes ------------------------------------------------------------------------------------------------


class _Child:
    """A running process of this file.

    Attributes:
        pid: Its process id.
        port: The port that it printed.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.pid = process.pid
        self.port = int(process.stdout.readline())


@contextlib.contextmanager
def _process(role: str, *arguments: Path | str) -> Iterator[_Child]:
    command = [sys.executable, __file__, role, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Child(process)
        finally:
            process.terminate()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve_bare(log: Path) -> None:
    """The yardstick: nothing but sockets, epoll and the bytes."""
    content = memoryview(log.read_bytes())[1:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    print(listener.getsockname()[1], flush=True)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    sending: dict[int, tuple[socket.socket, int]] = {}
    while True:
        for handle, events in poller.poll():
            if handle == listener.fileno():
                connection, _ = listener.accept()
                connection.recv(16)
                connection.send(bytes(8))
                connection.setblocking(False)
                sending[connection.fileno()] = (connection, 0)
                poller.register(connection.fileno(), select.EPOLLOUT)
                continue
            connection, at = sending[handle]
            try:
                if events & (select.EPOLLHUP | select.EPOLLERR):
                    raise ConnectionResetError
                at += connection.send(content[at : at + PIECE])
                if at == len(content):
                    raise ConnectionResetError
            except ConnectionError:
                poller.unregister(handle)
                del sending[handle]
            else:
                sending[handle] = (connection, at)


def _serve_ticker() -> None:
    """The yardstick of idle connections: 21 bytes to each of them, 20 times a second."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(0.05)
    opened: list[socket.socket] = []
    while True:
        with contextlib.suppress(TimeoutError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened.append(connection)
        for connection in opened:
            connection.send(bytes(21))


def _serve_master(log: Path, database: Path | None = None) -> None:
    """A master without the command line around it."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import TCP4ServerEndpoint

    from spgrepl.log.tailer import WalTailer
    from spgrepl.master.service import MasterService, Serving
    from spgrepl.master.shared.limits import MasterLimits
    from spgrepl.master.snapshots.sources import LoggedDatabase, SqliteSnapshotSource

    runner: Any = reactor
    tailer = WalTailer(runner, log)
    tailer.start()
    service = MasterService(
        runner,
        TCP4ServerEndpoint(runner, 0, interface="127.0.0.1", backlog=1000),
        LoggedDatabase(tailer, SqliteSnapshotSource(database or log)),
        Serving(log.parent, MasterLimits(connections=2 * MANY, of_one_address=2 * MANY, handshakes=2 * MANY)),
    )
    service.listening.addCallback(lambda port: print(port.getHost().port, flush=True))
    service.startService()
    runner.addSystemEventTrigger("before", "shutdown", service.stopService)
    runner.run()


def _main(role: str, *arguments: str) -> None:
    if role == "bare":
        _serve_bare(Path(arguments[0]))
    elif role == "ticker":
        _serve_ticker()
    elif role == "master":
        _serve_master(*map(Path, arguments))
    elif role == "read":
        _serve_read(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    elif role == "sink":
        _serve_sink(Path(arguments[0]), int(arguments[1]), int(arguments[2]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _main(*sys.argv[1:])
    else:
        for figure in measure():
            print(figure)
