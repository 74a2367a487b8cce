"""Strangers at a port of a master, and what those who are served notice of them.

In the suite with small numbers; ``SPGREPL_STRANGERS=1000000`` sends so many hellos in memory, makes a hundredth of
that many connections, and prints what was measured (`pytest -s`).
"""

from __future__ import annotations

import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.catalogue.definitions import Publications
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.watch.status import to_json
from spgrepl.wire.handshake import MAGIC_V1, MAGIC_V2, FollowerHello, StreamVersion
from spgrepl.wire.subscription import MAGIC_SUBSCRIBER, SubscriberHello
from tests.master.kit import Master

HELLOS = int(os.environ.get("SPGREPL_STRANGERS", "2000"))
CONNECTIONS = max(100, HELLOS // 100)
FOLLOWERS = 5
PART = 50_000
CLOSED = Failure(ConnectionDone())


def hello(chance: random.Random) -> bytes:
    """What a stranger says: nonsense, hellos, and hellos with damage."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 60))
    if kind == 1:
        return chance.choice((MAGIC_V1, MAGIC_V2, MAGIC_SUBSCRIBER)) + chance.randbytes(chance.randrange(40))
    if kind == 2:
        return FollowerHello(
            chance.choice(list(StreamVersion)), chance.getrandbits(chance.randrange(1, 65))
        ).encode()
    names = tuple(chance.choice(("p", "ä\n", "", "x" * 300)) for _ in range(chance.randrange(30)))
    whole = bytearray(SubscriberHello(chance.getrandbits(12), names, chance.getrandbits(64)).encode())
    if kind < 6:
        whole[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
    if kind == 6:
        return bytes(whole[: chance.randrange(len(whole))])
    return bytes(whole)


@pytest.mark.parametrize("part", range(max(1, HELLOS // PART)))
def test_random_hellos_do_no_harm(tmp_path: Path, part: int) -> None:
    """Whatever is said, cut anywhere: each is served or refused, and nothing is left of it."""
    chance, count = random.Random(12 + part), min(HELLOS, PART)
    master = Master(tmp_path, b"", MasterLimits(of_one_address=50), publications=Publications())
    address = IPv4Address("TCP", "192.0.2.1", 4000)
    try:
        for _ in range(count):
            transport = StringTransport(peerAddress=address)
            protocol = master.factory.buildProtocol(address)
            assert protocol is not None
            protocol.makeConnection(transport)
            said = hello(chance)
            cut = chance.randrange(len(said) + 1)
            for piece in (said[:cut], said[cut:]):
                if piece and not transport.disconnecting:
                    protocol.dataReceived(piece)
            protocol.connectionLost(CLOSED)
        status = to_json(master.hub.describe())
        assert (status["connections"], status["handshakes"], status["accepted"]) == (0, 0, count)
        assert "fault" not in status["dropped"]
        assert set(status["refused"]) <= {"bad_hello", "start_beyond_end", "no_snapshot", "start_inside_record"}
        assert status["refused"]["bad_hello"] > count // 10
    finally:
        master.close()


# -- a real port ------------------------------------------------------------------------------------------------

SERVER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from spgrepl import DatabasePaths, MasterLimits, MasterRole, MasterSettings, server_endpoint
settings = MasterSettings(
    DatabasePaths.of(Path(sys.argv[1]) / "data.db"), server_endpoint(reactor, "127.0.0.1:0"), engine="archive",
    limits=MasterLimits(status_interval=0.01),
)
role = MasterRole(reactor, settings)
role.startService()
role.when_ready().addCallback(lambda _: print(role.address.port, flush=True))
reactor.run()
"""


class Followers:
    """Connections that are served; each measures how long after its time a STATUS comes."""

    def __init__(self, port: int) -> None:
        self._gaps: list[float] = []
        self._measuring = self._running = True
        self.cut = 0
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(FOLLOWERS)]
        self._threads = [threading.Thread(target=self._read, args=(one,)) for one in self._sockets]
        for one in self._threads:
            one.start()

    def _read(self, one: socket.socket) -> None:
        one.sendall(FollowerHello(StreamVersion.V2, 1).encode())
        last = time.monotonic()
        while self._running:
            try:
                data = one.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.cut += self._running
                return
            now = time.monotonic()
            if self._measuring:
                self._gaps.append(now - last)
            last = now

    def p99(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> float:
        """The 99th percentile of the times between two STATUS frames, while something is done."""
        self._gaps.clear()
        end = time.monotonic() + seconds
        meanwhile()
        time.sleep(max(0.0, end - time.monotonic()))
        return statistics.quantiles(self._gaps, n=100)[98]

    def close(self) -> None:
        self._running = False
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "data.db").write_bytes(os.urandom(2_000_000))
    (tmp_path / "data.wal").write_bytes(struct.pack("<I", 9) + b"SELECT 12")
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    yield int(server.stdout.readline())
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    server.stdout.close()


def connect(port: int, number: int) -> socket.socket:
    """Connect from one of 200 addresses of this machine."""
    one = socket.socket()
    one.settimeout(10)
    one.bind((f"127.0.1.{number % 200 + 1}", 0))
    with suppress(OSError):
        one.connect(("127.0.0.1", port))
    return one


def scan(port: int) -> None:
    for number in range(CONNECTIONS // 10):
        connect(port, number).close()


def random_connections(port: int) -> None:
    chance = random.Random(13)
    for number in range(CONNECTIONS):
        with connect(port, number) as one, suppress(OSError):
            one.sendall(hello(chance))


def many_connections(port: int) -> None:
    held = [connect(port, number) for number in range(max(300, CONNECTIONS * 3 // 10))]
    for one in held:
        one.close()


def half_hellos(port: int) -> None:
    held = [connect(port, number) for number in range(max(150, min(900, CONNECTIONS)))]
    for one in held:
        with suppress(OSError):
            one.sendall(MAGIC_SUBSCRIBER + b"\0" * 8 + b"\x40\0" + b"\x01\0x" * 20)
    for one in held:
        one.close()


def snapshots(port: int) -> None:
    held = [connect(port, number) for number in range(max(20, min(200, CONNECTIONS)))]
    for one in held:
        with suppress(OSError):
            one.sendall(FollowerHello(StreamVersion.V2, 0).encode())
    end = time.monotonic() + 1
    for one in held:
        with suppress(OSError):
            one.settimeout(max(0.01, end - time.monotonic()))
            one.recv(4096)
        one.close()


@pytest.fixture
def strangers() -> Iterator[Pool]:
    """A process of their own, so that what they do does not hold up who measures. It has imported everything."""
    with get_context("spawn").Pool(1) as pool:
        pool.apply(hello, (random.Random(1),))
        yield pool


def test_those_who_are_served_notice_little(port: int, strangers: Pool) -> None:
    """None of them is cut; in the campaign the times between two STATUS stay below three times those of quiet."""
    followers = Followers(port)
    try:
        quiet = followers.p99(1 if HELLOS < 100_000 else 10)
        for attack in (scan, random_connections, many_connections, half_hellos, snapshots):
            loud = followers.p99(0.5, lambda attack=attack: strangers.apply(attack, (port,)))  # type: ignore[misc]
            print(f"{attack.__name__}: p99 {loud * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms")
            assert followers.cut == 0
            assert loud < (3 * quiet if HELLOS >= 100_000 else 1.0), attack.__name__
    finally:
        followers.close()
