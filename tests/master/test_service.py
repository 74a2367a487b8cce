"""The service on real sockets: recorded exchanges, a log that others write, starting and stopping."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any
from zlib import crc32

from twisted.application.service import IService, MultiService
from twisted.internet import defer, endpoints, protocol, task
from twisted.protocols import policies
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from spgrepl.errors import ConfigurationError, ServiceStopped
from spgrepl.log.tailer import WalTailer
from spgrepl.master.service import MasterService, Serving
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.snapshots.sources import FileSnapshotSource, LoggedDatabase
from spgrepl.segments.manifest import Manifest, write_manifest
from tests.master.kit import VECTORS, frames, u64, wal_of


class Reader(protocol.Protocol):
    """Gathers what comes, and tells when it is enough."""

    def __init__(self) -> None:
        self.data = b""
        self.closed: defer.Deferred[None] = defer.Deferred()
        self._waiting: tuple[Any, defer.Deferred[bytes]] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._look()

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)

    def until(self, enough: Any) -> defer.Deferred[bytes]:
        """Wait until what has come satisfies a condition."""
        waiting: defer.Deferred[bytes] = defer.Deferred()
        self._waiting = (enough, waiting)
        self._look()
        return waiting

    def _look(self) -> None:
        if self._waiting is not None and self._waiting[0](self.data):
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(self.data)


def whole_frames(data: bytes) -> bytes:
    """The part of a V2 stream that ends with a whole frame."""
    at = 0
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "little")
        if end > len(data):
            break
        at = end
    return data[:at]


class ServiceCase(TestCase):
    limits = MasterLimits()

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        # The last thing to happen must not come from a thread: at a test's end trial turns the reactor by hand,
        # which calls again what a thread has called and is not finished with.
        self.addCleanup(lambda: task.deferLater(reactor, 0))
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.wal = self.folder / "db.wal"
        self.database = self.folder / "db"
        self.manifest = self.folder / "manifest.v10"
        self.wal.write_bytes((VECTORS / "mixed.wal").read_bytes())
        self.database.write_bytes((VECTORS / "snapshot.bin").read_bytes())
        write_manifest(self.manifest, Manifest(crc32(self.database.read_bytes()), (), 622))
        self.tailer = WalTailer(reactor, self.wal)
        self.tailer.start()
        self.addCleanup(self.tailer.stop)
        self.service = self.make(endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        self.service.startService()
        self.addCleanup(self.stop)
        return self.service.listening

    def make(self, endpoint: Any) -> MasterService:
        return MasterService(
            self.reactor,
            endpoint,
            LoggedDatabase(self.tailer, FileSnapshotSource(self.database, self.manifest)),
            Serving(self.folder / "spool", self.limits),
        )

    def stop(self) -> Any:
        return self.service.stopService() if self.service.running else None

    def client(self) -> Any:
        port = self.service.port
        assert port is not None
        return endpoints.TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port)

    @defer.inlineCallbacks
    def connect(self, hello: bytes) -> Any:
        reader = yield endpoints.connectProtocol(self.client(), Reader())
        self.addCleanup(lambda: reader.closed)
        self.addCleanup(reader.transport.loseConnection)
        reader.transport.write(hello)
        return reader


class VectorTests(ServiceCase):
    @defer.inlineCallbacks
    def test_v1(self) -> Any:
        for name in ("v1_bootstrap", "v1_resume"):
            vector = json.loads((VECTORS / f"{name}.json").read_text())
            reply = bytes.fromhex(vector["reply"])
            reader = yield self.connect(bytes.fromhex(vector["hello"]))
            got = yield reader.until(lambda data, reply=reply: len(data) >= len(reply))
            assert got == reply

    @defer.inlineCallbacks
    def test_v2(self) -> Any:
        for name in ("v2_bootstrap", "v2_resume"):
            vector = json.loads((VECTORS / f"{name}.json").read_text())
            head = bytes.fromhex(vector["reply_head"])
            recorded = [bytes.fromhex(one["hex"]) for one in vector["frames_without_status"] if one["type"] == 0]
            reader = yield self.connect(bytes.fromhex(vector["hello"]))
            size = len(head) + sum(5 + len(one) for one in recorded) + 3 * 21
            got = yield reader.until(lambda data, size=size: len(data) >= size)
            assert got[: len(head)] == head
            found = frames(whole_frames(got[len(head) :]))
            assert [payload for kind, payload in found if kind != 1] == recorded
            assert sum(kind == 1 for kind, _ in found) >= 3

    @defer.inlineCallbacks
    def test_bad_magic(self) -> Any:
        vector = json.loads((VECTORS / "bad_magic.json").read_text())
        reader = yield self.connect(bytes.fromhex(vector["hello"]))
        yield reader.closed
        assert reader.data == b""
        assert self.service.status()["refused"] == {"bad_hello": 1}


class LiveLogTests(ServiceCase):
    @defer.inlineCallbacks
    def test_growth_arrives(self) -> Any:
        framed = yield self.connect(b"SPGREPL\x02" + u64(622))
        raw = yield self.connect(b"SPGREPL\x01" + u64(622))
        for n in range(20):
            with open(self.wal, "ab") as file:
                file.write(b"record %d;" % n)
            expected = self.wal.read_bytes()[622:]
            yield raw.until(lambda data, expected=expected: data == u64(0) + expected)
            yield framed.until(lambda data, expected=expected: wal_of(whole_frames(data[8:])) == expected)

    @defer.inlineCallbacks
    def test_truncation_closes_all(self) -> Any:
        framed = yield self.connect(b"SPGREPL\x02" + u64(622))
        raw = yield self.connect(b"SPGREPL\x01" + u64(622))
        yield framed.until(lambda data: len(data) >= 29)
        yield raw.until(lambda data: len(data) >= 8)
        os.truncate(self.wal, 0)
        yield framed.closed
        yield raw.closed
        kind, payload = frames(whole_frames(framed.data[8:]))[-1]
        assert (kind, payload[:8]) == (1, u64(0)), "the last word is the length of the log that there is now"
        assert self.service.status()["dropped"] == {"log_lost": 2}
        late = yield self.connect(b"SPGREPL\x02" + u64(622))
        yield late.closed
        assert self.service.status()["refused"] == {"start_beyond_end": 1}

    @defer.inlineCallbacks
    def test_long_log_through_a_slow_reader(self) -> Any:
        """Many mebibytes, byte for byte, through a connection that is paused again and again."""
        block = os.urandom(100_003)
        with open(self.wal, "ab") as file:
            file.writelines(block for _ in range(50))
        self.tailer.look()
        expected = self.wal.read_bytes()[5:]
        reader = yield self.connect(b"SPGREPL\x01" + u64(5))
        while len(reader.data) < 8 + len(expected):
            reader.transport.pauseProducing()
            yield task.deferLater(self.reactor, 0.01)
            size = len(reader.data) + 1
            reader.transport.resumeProducing()
            yield reader.until(lambda data, size=size: len(data) >= size)
        assert reader.data == u64(0) + expected

    @defer.inlineCallbacks
    def test_snapshot_is_served_at_the_baseline(self) -> Any:
        reader = yield self.connect(b"SPGREPL\x02" + u64(0))
        content = self.database.read_bytes()
        yield reader.until(lambda data: len(data) >= 16 + len(content))
        assert reader.data.startswith(u64(len(content)) + content + u64(622))
        assert list((self.folder / "spool").glob("*/snapshot*")) == []

    @defer.inlineCallbacks
    def test_no_snapshot(self) -> Any:
        self.database.unlink()
        reader = yield self.connect(b"SPGREPL\x02" + u64(0))
        yield reader.closed
        assert reader.data == b""
        assert self.service.status()["refused"] == {"no_snapshot": 1}


class LimitTests(ServiceCase):
    limits = MasterLimits(connections=2, handshake=0.2, stalled=0.5)

    @defer.inlineCallbacks
    def test_connections(self) -> Any:
        first = yield self.connect(b"SPGREPL\x02" + u64(622))
        second = yield self.connect(b"SPGREPL\x02" + u64(622))
        for reader in (first, second):
            yield reader.until(lambda data: len(data) > 8)
        third = yield self.connect(b"SPGREPL\x02" + u64(622))
        yield third.closed
        assert self.service.status()["refused"] == {"connection_limit": 1}
        assert self.service.status()["connections"] == 2

    @defer.inlineCallbacks
    def test_silence_instead_of_a_hello(self) -> Any:
        reader = yield self.connect(b"SPG")
        yield reader.closed
        assert self.service.status()["refused"] == {"handshake_timeout": 1}

    @defer.inlineCallbacks
    def test_stalled_reader(self) -> Any:
        with open(self.wal, "ab") as file:
            file.writelines(bytes(1_000_000) for _ in range(60))
        self.tailer.look()
        port = self.service.port
        assert port is not None
        peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(peer.close)
        peer.sendall(b"SPGREPL\x02" + u64(1))
        while self.service.status()["dropped"] != {"stalled": 1}:
            yield task.deferLater(self.reactor, 0.05)


class LifeTests(ServiceCase):
    def test_interface(self) -> None:
        assert verifyObject(IService, self.service)

    @defer.inlineCallbacks
    def test_status(self) -> Any:
        yield self.connect(b"SPGREPL\x02" + u64(622))
        while not self.service.status()["peers"]:
            yield task.deferLater(self.reactor, 0.01)
        found = json.loads(json.dumps(self.service.status()))
        port = self.service.port
        assert port is not None
        assert found["listening"] == f"127.0.0.1:{port.getHost().port}"
        assert found["error"] is None
        assert found["wal"] == {"path": str(self.wal), "length": 622}
        assert found["peers"][0]["address"].startswith("127.0.0.1:")

    @defer.inlineCallbacks
    def test_stop_closes_connections_and_starts_again(self) -> Any:
        reader = yield self.connect(b"SPGREPL\x02" + u64(622))
        yield reader.until(lambda data: len(data) > 8)
        yield self.service.stopService()
        yield reader.closed
        assert self.service.port is None
        assert self.service.status()["connections"] == 0
        assert self.service.status()["listening"] is None
        self.service.startService()
        yield self.service.listening
        again = yield self.connect(b"SPGREPL\x02" + u64(622))
        yield again.until(lambda data: len(data) > 8)

    @defer.inlineCallbacks
    def test_stop_does_not_wait_for_a_stalled_reader(self) -> Any:
        with open(self.wal, "ab") as file:
            file.writelines(bytes(1_000_000) for _ in range(60))
        self.tailer.look()
        reader = yield self.connect(b"SPGREPL\x02" + u64(1))
        yield reader.until(lambda data: len(data) > 8)
        reader.transport.pauseProducing()
        yield self.service.stopService()
        reader.transport.abortConnection()

    @defer.inlineCallbacks
    def test_port_that_is_taken(self) -> Any:
        port = self.service.port
        assert port is not None
        second = self.make(endpoints.TCP4ServerEndpoint(self.reactor, port.getHost().port, interface="127.0.0.1"))
        early = second.listening
        second.privilegedStartService()
        second.startService()
        for listening in (early, second.listening):
            error = yield self.assertFailure(listening, ConfigurationError)
            assert "cannot listen for followers" in str(error)
        assert "cannot listen" in second.status()["error"]
        yield second.stopService()

    @defer.inlineCallbacks
    def test_stopped_by_the_one_who_is_told_that_it_listens(self) -> Any:
        """A parent starts its child in two steps; a stop in between must not be followed by a start."""
        parent = MultiService()
        parent.startService()
        service = self.make(endpoints.UNIXServerEndpoint(self.reactor, self.mktemp()))
        stopped = service.listening.addCallback(lambda _: parent.stopService())
        service.setServiceParent(parent)
        yield stopped
        assert not service.running
        # Trial fails the test where a loop of the service still runs.

    @defer.inlineCallbacks
    def test_stopped_before_it_listens(self) -> Any:
        class Slow:
            def listen(self, factory: object) -> defer.Deferred[object]:
                return defer.Deferred()

        service = self.make(Slow())
        service.startService()
        listening = service.listening
        yield service.stopService()
        yield self.assertFailure(listening, ServiceStopped)
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_unix_socket(self) -> Any:
        path = self.folder / "socket"
        service = self.make(endpoints.UNIXServerEndpoint(self.reactor, str(path)))
        service.startService()
        yield service.listening
        reader = yield endpoints.connectProtocol(endpoints.UNIXClientEndpoint(self.reactor, str(path)), Reader())
        reader.transport.write(b"SPGREPL\x01" + u64(159))
        yield reader.until(lambda data: len(data) == 8 + 622 - 159)
        assert service.status()["listening"] == f"unix:{path}"
        assert service.status()["peers"][0]["address"]
        yield service.stopService()
        yield reader.closed

    @defer.inlineCallbacks
    def test_wrapped_transport(self) -> Any:
        """Any stream endpoint will do, TLS among them; what is known of plain sockets only is not used then."""

        class Wrapping:
            def __init__(self, inner: Any) -> None:
                self.inner = inner

            def listen(self, factory: protocol.Factory) -> Any:
                return self.inner.listen(policies.WrappingFactory(factory))

        service = self.make(Wrapping(endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")))
        with open(self.wal, "ab") as file:
            file.write(os.urandom(3_000_000))
        self.tailer.look()
        service.startService()
        port = yield service.listening
        reader = yield endpoints.connectProtocol(
            endpoints.TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port), Reader()
        )
        reader.transport.write(b"SPGREPL\x02" + u64(1))
        expected = self.wal.read_bytes()[1:]
        yield reader.until(lambda data: len(data) > len(expected) and wal_of(whole_frames(data[8:])) == expected)
        yield service.stopService()
        yield reader.closed
