"""``python -m simulation.idle``: a master and thousands of followers that have everything, on a clock in memory.

Real sockets end at what one machine has of them; here are none. What is counted is the master's own part: the
processor time of a second in which nothing happens but STATUS, that of an append which all of them get, memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from spgrepl.access.policy import Access
from spgrepl.log.format.records import encode_v2
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.master.hub import MasterHub
from spgrepl.master.protocol import MasterFactory
from spgrepl.master.shared.feed import LogFeed
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.snapshots.snapshot import SnapshotStore
from spgrepl.master.snapshots.sources import FileSnapshotSource, LoggedDatabase
from spgrepl.master.snapshots.spool import SpoolFolder
from spgrepl.master.streams.context import MasterContext
from spgrepl.wire.handshake import FollowerHello, StreamVersion

RECORD = encode_v2(b"INSERT INTO notes(id,text)VALUES(1,'a row of some length')")
_STEP = 0.05


@implementer(ILogSource)
class _Log:
    """A log that says of itself when it grows."""

    known = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w+b", buffering=0)
        self._listeners: list[ILogListener] = []
        self.length = 0

    def fileno(self) -> int:
        return self._file.fileno()

    def add_listener(self, listener: ILogListener) -> None:
        self._listeners.append(listener)

    def remove_listener(self, listener: ILogListener) -> None:
        self._listeners.remove(listener)

    def grow(self, data: bytes) -> None:
        self._file.write(data)
        self.length += len(data)
        for listener in tuple(self._listeners):
            listener.log_grew(self.length)

    def close(self) -> None:
        self._file.close()


class _Transport(StringTransport):
    """A way out that counts what leaves, and keeps nothing."""

    def __init__(self, number: int) -> None:
        address = IPv4Address("TCP", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 4711)
        super().__init__(peerAddress=address)
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def writeSequence(self, data: Sequence[bytes]) -> None:  # type: ignore[override]
        self.taken += sum(map(len, data))


@attrs.frozen
class Idle:
    """What was counted.

    Attributes:
        connections: How many followers there were.
        status_seconds: Processor time of a second in which nothing is written.
        append_seconds: Processor time of one append, until all have it.
        interval: How long a follower waits for a STATUS, in seconds.
        memory: Bytes of memory a connection.
    """

    connections: int
    status_seconds: float
    append_seconds: float
    interval: float
    memory: int


def count(connections: int, seconds: float = 20.0) -> Idle:
    """Serve followers that have everything for some seconds on the clock.

    Args:
        connections: How many there are.
        seconds: For how long.

    Raises:
        AssertionError: One of them was ended, or did not get what was appended.
    """
    with tempfile.TemporaryDirectory() as name:
        return _count(Path(name), connections, seconds)


def _count(folder: Path, connections: int, seconds: float) -> Idle:
    clock, log = Clock(), _Log(folder / "main.wal")
    log.grow(RECORD * 20)
    limits = MasterLimits(connections=connections + 1, of_one_address=connections + 1)
    database = LoggedDatabase(log, FileSnapshotSource(folder / "main.db", folder / "manifest"))
    context = MasterContext(
        clock,
        log,
        LogFeed(log, _at_once, limits.cache_bytes),
        SnapshotStore(clock, _at_once, database, SpoolFolder(folder), limits),
        limits,
        access=Access(insecure=True),
    )
    hub = MasterHub(context)
    hub.start()
    factory = MasterFactory(context)
    before = _memory()
    peers = [_follow(factory, log.length, number) for number in range(connections)]
    memory = max(0, _memory() - before) // max(1, connections)
    _pass(clock, 2.0)
    began = time.process_time()
    _pass(clock, seconds)
    status = (time.process_time() - began) / seconds
    interval = hub.status_seconds
    had = [transport.taken for transport in peers]
    began = time.process_time()
    log.grow(RECORD)
    for _ in range(200):
        clock.advance(0)
        if all(now.taken >= then + len(RECORD) for now, then in zip(peers, had, strict=True)):
            break
    append = time.process_time() - began
    assert all(now.taken >= then + len(RECORD) for now, then in zip(peers, had, strict=True))
    assert len(context.connections) == connections
    hub.stop()
    log.close()
    return Idle(connections, status, append, interval, memory)


def _follow(factory: MasterFactory, position: int, number: int) -> _Transport:
    transport = _Transport(number)
    protocol = factory.buildProtocol(transport.getPeer())
    assert protocol is not None
    protocol.makeConnection(transport)
    protocol.dataReceived(FollowerHello(StreamVersion.V2, position).encode())
    return transport


def _at_once(call: Callable[[], Any]) -> Deferred[Any]:
    return maybeDeferred(call)


def _pass(clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds / _STEP)):
        clock.advance(_STEP)


def _memory() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def main() -> int:
    """Count, for each number of followers that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m simulation.idle", description=__doc__)
    parser.add_argument("connections", nargs="*", type=int, default=[100, 1000, 3000, 10_000], metavar="N")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="on the clock (default 20)")
    arguments = parser.parse_args()
    print("followers   of a core for STATUS   one each     an append to all   a connection")
    for number in arguments.connections:
        # In a process of its own: memory that another count has left would be used again.
        with get_context("spawn").Pool(1) as pool:
            found = pool.apply(count, (number, arguments.seconds))
        print(
            f"{number:9,}   {found.status_seconds:20.2%}   {found.interval:6.2f} s   "
            f"{found.append_seconds * 1e3:13.1f} ms   {found.memory / 1024:8.1f} KiB",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
