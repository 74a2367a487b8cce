"""A subscription without threads and sockets: its service whole, against a master in memory, step by step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, error
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import parse_catalog_change
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.replica import service as service_module
from spgrepl.replica.retry import RetryPlan
from spgrepl.replica.subscribing import service as subscribing_module
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, Subscription
from tests import sql as sqlite3
from tests.master.kit import Master, Peer, Threads
from tests.replica.subscribing.targets import make_snapshot

OURS = 0x4D


def published(*statements: str) -> Publications:
    """The publications that some CREATE PUBLICATION statements make."""
    found = Publications()
    for statement in statements:
        change = parse_catalog_change(statement)
        assert change is not None
        found = found.after(change)
    return found


class NowWorker(Threads):
    """A worker that runs calls at once, or when it is told to."""

    busy_seconds = 0.0

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.running = False

    def start(self) -> None:
        self.running = True

    def call(self, function: Callable[..., Any], *args: Any) -> defer.Deferred[Any]:
        return self(lambda: function(*args))

    def end(self, function: Callable[[], Any], _interrupt: Callable[[], object]) -> defer.Deferred[Any]:
        return self.call(function)

    def work(self) -> None:
        """Do what was held back, in order; what it leads to is held back."""
        held, self.held = self.held or [], []
        for run in held:
            run()

    def release(self) -> None:
        """Do what was held back, in order; what that leads to is done at once."""
        while self.held:
            self.held.pop(0)()
        self.held = None

    def stop(self) -> None:
        self.running = False


class WireTransport(StringTransport):
    """A subscriber's end of a connection in memory."""

    def __init__(self, wire: Connection) -> None:
        super().__init__()
        self.wire = wire

    def write(self, data: bytes) -> None:
        if not self.wire.ended:
            self.wire.peer.send(data)

    def abortConnection(self) -> None:
        self.wire.cut()

    def loseConnection(self) -> None:
        self.wire.cut()


class Connection:
    """A connection between a subscriber and a master in memory.

    Args:
        protocol: The subscriber's end.
        peer: The master's end.
        room: With so many bytes on their way the master's end takes no more.
    """

    def __init__(self, protocol: Any, peer: Peer, room: int) -> None:
        self.protocol = protocol
        self.peer = peer
        self.ended = False
        self.waiting = b""
        self._room = room
        self._full = False
        self._write = peer.transport.write
        peer.transport.write = self._written
        self.transport = WireTransport(self)
        protocol.makeConnection(self.transport)

    def _written(self, data: bytes) -> None:
        self._write(data)
        if not self._full and len(self.peer.transport.value()) >= self._room:
            self._full = True
            self.peer.pause()

    @property
    def paused(self) -> bool:
        return self.transport.producerState == "paused"

    def deliver(self, size: int = 10**9) -> int:
        """Let bytes of the master's arrive, as many as that; returns how many there were."""
        if self.ended:
            return 0
        self.waiting += self.peer.take()
        if self.paused:
            return 0
        if self._full:
            self._full = False
            self.peer.resume()
        piece, self.waiting = self.waiting[:size], self.waiting[size:]
        if piece:
            self.protocol.dataReceived(piece)
        elif self.peer.closing or self.peer.aborted:
            self.cut()
        return len(piece)

    def cut(self) -> None:
        """End it, as both sides see it."""
        if not self.ended:
            self.ended = True
            self.peer.lose()
            self.protocol.connectionLost(Failure(error.ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Wire:
    """Connects to a master in memory, or fails to."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.connections: list[Connection] = []
        self.reachable = True
        self.room = 10**9

    def connect(self, factory: Any) -> defer.Deferred[Any]:
        if not self.reachable:
            return defer.fail(error.ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        self.connections.append(Connection(protocol, self.master.connect(), self.room))
        return defer.succeed(protocol)

    @property
    def last(self) -> Connection:
        return self.connections[-1]


class Rig:
    """A master with a snapshot, a log and publications, and a subscription to it."""

    def __init__(
        self,
        folder: Path,
        tables: tuple[str, ...] = ("CREATE TABLE t (a INTEGER PRIMARY KEY)",),
        publications: tuple[str, ...] = ("CREATE PUBLICATION p FOR TABLE t",),
        log: bytes = b"",
        **more: Any,
    ) -> None:
        self.folder = folder
        self.master = Master(folder / "master", log, publications=published(*publications), **more)
        # As threads do: what they bring comes in a later turn.
        self.master.threads.hold()
        self.clock = self.master.clock
        self.database = folder / "target.db"
        self.wire = Wire(self.master)
        self.tables = tables
        self.publications = publications
        self.services: list[SubscriberService] = []
        self.ended: list[Any] = []
        self.worker = NowWorker()
        # Its clock has no threads: what the subscription has read in one waits with what the master has.
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(subscribing_module, "thread_runner", lambda _: self.master.threads)
        self.save(*tables)

    def save(self, *statements: str) -> None:
        """What the master's snapshots hold from now on, and that they stand at the log's end."""
        path = make_snapshot(self.folder / "snapshot", *statements, control=self.publications)
        self.master.source.content = path.read_bytes()
        self.master.source.position = self.master.log.length

    def start(
        self, *publications: str, target: ITarget | None = None, cluster_id: int = OURS, **more: Any
    ) -> SubscriberService:
        """Start the subscription, as a new process would."""
        self.worker = NowWorker()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service_module, "EngineWorker", lambda *_: self.worker)
            service = SubscriberService(
                self.clock,
                self.wire,
                target or SqliteTarget(self.database, "s"),
                Subscription("s", publications or ("p",), **more),
                SubscriberSide(cluster_id, self.database),
            )
        service._retries = RetryPlan(self.clock, lambda _low, high: high)
        service.finished.addBoth(self.ended.append)
        self.services.append(service)
        service.startService()
        return service

    @property
    def service(self) -> SubscriberService:
        return self.services[-1]

    def stop(self) -> None:
        """Stop the subscription that runs, if one does."""
        if self.services and self.service.running:
            self.service.stopService()
            self.worker.release()

    def turn(self, seconds: float = 0.05, size: int = 10**9) -> int:
        """Let some time pass, and what was sent arrive, in pieces of a size."""
        threads = self.master.threads
        if threads.held is not None:
            held, threads.held = threads.held, []
            for run in held:
                run()
        self.clock.advance(seconds)
        return sum(connection.deliver(size) for connection in list(self.wire.connections))

    def settle(self, seconds: float = 0.3, size: int = 10**9) -> None:
        """Let time pass until nothing but STATUS frames comes any more."""
        for _ in range(max(1, round(seconds / 0.05))):
            while self.turn(0.001, size):
                pass
            self.turn(0.05, size)

    def grow(self, *records: bytes) -> None:
        self.master.log.grow(b"".join(records))

    # -- what came of it --------------------------------------------------------------------------------------

    @property
    def stored(self) -> SubscriptionState | None:
        """The state as the next process finds it."""
        return SqliteTarget(self.database, "s").open()

    def rows(self, table: str = "t") -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()

    @property
    def numbers(self) -> list[object]:
        return [row[0] for row in self.rows()]

    @property
    def status(self) -> dict[str, Any]:
        return self.service.status()

    def close(self) -> None:
        self.stop()
        self.master.close()
        self._patch.undo()


@contextlib.contextmanager
def running(folder: Path, **more: Any) -> Iterator[Rig]:
    """A rig that is put away in the end."""
    rig = Rig(folder, **more)
    try:
        yield rig
    finally:
        rig.close()
