"""What the tests of the master stand on: a real log file, real spool files, and threads that can be held back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import address, defer, task
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.access.policy import Access
from spgrepl.base.histories import History
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.learned import LogCatalogue
from spgrepl.catalogue.sources import ICatalogSource
from spgrepl.errors import ConfigurationError, LogTruncated
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.hub import MasterHub
from spgrepl.master.judged.publisher import Publisher, PublisherSettings
from spgrepl.master.protocol import MasterFactory, MasterProtocol
from spgrepl.master.shared.feed import LogFeed
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.snapshots.snapshot import SnapshotStore
from spgrepl.master.snapshots.sources import ISnapshotSource, LoggedDatabase
from spgrepl.master.snapshots.spool import SpoolFolder
from spgrepl.master.streams.context import MasterContext
from spgrepl.segments.outgoing import SegmentFolder, SegmentRegistry
from spgrepl.wire.handshake import FollowerHello, StreamVersion
from spgrepl.wire.subscription import SubscriberHello

VECTORS = Path(__file__).parents[1] / "vectors"
CLUSTER_ID = 0x0123456789ABCDEF
NOW = 1_700_000_000.25


@implementer(ILogSource)
class FileLog:
    """A log file that says of itself when it grows."""

    known = True

    def __init__(self, path: Path, content: bytes = b"") -> None:
        self.path = path
        self.path.write_bytes(content)
        self.length = len(content)
        self.listeners: list[ILogListener] = []
        self.handle = os.open(path, os.O_RDONLY)

    def fileno(self) -> int:
        if self.handle < 0:
            raise ConfigurationError(f"there is no log {self.path}")
        return self.handle

    def add_listener(self, listener: ILogListener) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: ILogListener) -> None:
        if listener in self.listeners:
            self.listeners.remove(listener)

    def grow(self, data: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(data)
        self.length += len(data)
        for listener in tuple(self.listeners):
            listener.log_grew(self.length)

    def lose(self, words: str = "it was truncated", length: int = 0) -> None:
        os.truncate(self.path, length)
        self.length = length
        for listener in tuple(self.listeners):
            listener.log_lost(LogTruncated(words))

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


class Threads:
    """Runs calls at once, or when it is told to."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None
        self.calls = 0

    def __call__(self, call: Callable[[], Any]) -> defer.Deferred[Any]:
        self.calls += 1
        done: defer.Deferred[Any] = defer.Deferred()

        def run() -> None:
            try:
                result = call()
            except Exception:  # noqa: BLE001 - handed on as the result
                done.errback(Failure())
            else:
                done.callback(result)

        if self.held is None:
            run()
        else:
            self.held.append(run)
        return done

    def hold(self) -> None:
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for run in held:
            run()


@implementer(ISnapshotSource)
class Source:
    """Writes what it is told to, and counts."""

    def __init__(self, content: bytes = b"SNAPSHOT", position: int = 0) -> None:
        self.content = content
        self.position = position
        self.error: Exception | None = None
        self.saved = 0

    def save(self, path: Path) -> int:
        self.saved += 1
        if self.error is not None:
            path.write_bytes(b"a part")
            raise self.error
        path.write_bytes(self.content)
        return self.position


@implementer(ICatalogSource)
class Catalog:
    """Tells the publications that a test gives, at the end of the log or where a test says."""

    def __init__(self, master: Master, publications: Publications | None, boundary: int | None) -> None:
        self.master = master
        self.publications = publications or Publications()
        self.boundary = boundary
        self.error: Exception | None = None
        self.loads = 0
        self.rows_from: int | None = None
        self.histories: tuple[History, ...] = ()
        self.origin: int | None = None
        self.dropped: dict[int, int] = {}

    def close(self) -> None:
        """Nothing is kept."""

    def load(self) -> defer.Deferred[LogCatalogue]:
        self.loads += 1
        if self.error is not None:
            return defer.fail(self.error)
        end = self.master.log.length if self.boundary is None else self.boundary
        return defer.succeed(LogCatalogue(self.publications, end, self.rows_from, self.origin, self.histories))


class Master:
    """A master without a socket."""

    def __init__(
        self,
        folder: Path,
        wal: bytes = b"",
        limits: MasterLimits | None = None,
        segments: SegmentFolder | None = None,
        publications: Publications | None = None,
        strict: bool = False,
        boundary: int | None = None,
        access: Access | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = task.Clock()
        self.threads = Threads()
        self.log = FileLog(folder / "db.wal", wal)
        self.source = Source()
        self.limits = limits or MasterLimits(of_one_address=1000)
        self.spool = SpoolFolder(folder / "spool")
        self.feed = LogFeed(self.log, self.threads, self.limits.cache_bytes)
        self.store = SnapshotStore(
            self.clock, self.threads, LoggedDatabase(self.log, self.source), self.spool, self.limits
        )
        self.registry = None if segments is None else SegmentRegistry(self.clock, self.threads, segments)
        self.catalog = Catalog(self, publications, boundary)
        self.level = WalLevel("replica" if publications is None else "logical")
        self.publisher = Publisher(
            self.clock,
            self.log,
            self.threads,
            PublisherSettings(self.catalog, lambda: CLUSTER_ID, self.level, strict),
        )
        self.context = MasterContext(
            self.clock,
            self.log,
            self.feed,
            self.store,
            self.limits,
            wall_clock=lambda: NOW,
            segments=self.registry,
            publisher=self.publisher,
            access=access or Access(insecure=True),
        )
        self.hub = MasterHub(self.context)
        self.factory = MasterFactory(self.context)
        self.peers: list[Peer] = []
        self.hub.start()

    def connect(self) -> Peer:
        peer = Peer(self)
        self.peers.append(peer)
        return peer

    def follow(self, start: int, version: int = 2) -> Peer:
        peer = self.connect()
        peer.send(FollowerHello(StreamVersion(version), start).encode())
        return peer

    def subscribe(self, start: int, *publications: str, cluster_id: int = 0x4D) -> Peer:
        peer = self.connect()
        peer.send(SubscriberHello(start, publications, cluster_id).encode())
        return peer

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    def close(self) -> None:
        if self.threads.held is not None:
            self.threads.release()
        for peer in self.peers:
            peer.lose()
        self.hub.stop()
        self.store.close()
        self.feed.reset()
        self.log.close()


class Peer:
    """The other end of a connection in memory."""

    def __init__(self, master: Master) -> None:
        self.transport = StringTransport(peerAddress=address.IPv4Address("TCP", "10.1.2.3", 4711))
        protocol = master.factory.buildProtocol(self.transport.getPeer())
        self.refused = protocol is None
        self.lost = False
        if protocol is not None:
            self.protocol: MasterProtocol = protocol
            protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def take(self) -> bytes:
        """What has come since the last time."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    @property
    def closing(self) -> bool:
        return bool(self.transport.disconnecting)

    @property
    def aborted(self) -> bool:
        return bool(self.transport.disconnected)

    def pause(self) -> None:
        self.transport.producer.pauseProducing()

    def resume(self) -> None:
        self.transport.producer.resumeProducing()

    def lose(self) -> None:
        """The connection is gone, as the transport would say after a close or because of the peer."""
        if not self.lost and not self.refused:
            self.lost = True
            from twisted.internet.error import ConnectionDone

            self.protocol.connectionLost(Failure(ConnectionDone()))


def status(length: int) -> bytes:
    """A STATUS frame at the kit's time of day."""
    return b"\x01\x10\0\0\0" + length.to_bytes(8, "little") + int(NOW * 1_000_000).to_bytes(8, "little")


def frame(data: bytes) -> bytes:
    """A WAL frame."""
    return b"\x00" + len(data).to_bytes(4, "little") + data


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Cut a V2 stream into types and payloads."""
    found = []
    while data:
        size = int.from_bytes(data[1:5], "little")
        assert len(data) >= 5 + size
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def wal_of(data: bytes) -> bytes:
    """The log that a V2 stream carries."""
    return b"".join(payload for kind, payload in frames(data) if kind == 0)
