"""Ways out: nothing is lost, nothing is sent twice, nothing piles up, on real sockets."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints, protocol, task
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.socket_out import (
    CROWD,
    UNSENT_IN_CROWD,
    BufferedOutlet,
    IOutlet,
    SocketOutlet,
    acknowledged_bytes,
    outlet_for,
    prepare_socket,
    socket_below,
)


class Sender(protocol.Protocol):
    """Sends pieces for as long as its outlet takes them."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.connected_to: defer.Deferred[Sender] = defer.Deferred()
        self.gone: defer.Deferred[None] = defer.Deferred()
        self.pieces: list[bytes] = []
        self.resumed = 0

    def connectionMade(self) -> None:
        self.outlet = outlet_for(self.transport, self.reactor, self.go_on)
        self.connected_to.callback(self)

    def go_on(self) -> None:
        self.resumed += 1
        while self.outlet.ready and self.pieces:
            self.outlet.send(memoryview(self.pieces.pop(0)))

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


class SocketCase(TestCase):
    """A sender in this reactor and a plain blocking socket at the other end."""

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.sender = Sender(reactor)
        return self.listen()

    def endpoint(self) -> Any:
        return endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")

    def connect(self, port: Any) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port.getHost().port))

    @defer.inlineCallbacks
    def listen(self) -> Any:
        factory = protocol.Factory.forProtocol(lambda: self.sender)
        port = yield self.endpoint().listen(factory)
        self.addCleanup(port.stopListening)
        self.peer = self.connect(port)
        self.peer.setblocking(False)
        self.addCleanup(self.close)
        yield self.sender.connected_to

    def close(self) -> Any:
        self.peer.close()
        if not self.sender.gone.called:
            self.sender.transport.abortConnection()
        return self.sender.gone

    def received(self) -> bytes | None:
        """What has come; None when the connection was closed."""
        try:
            return self.peer.recv(1_000_000) or None
        except BlockingIOError:
            return b""

    @defer.inlineCallbacks
    def read(self, size: int) -> Any:
        """Read some bytes, giving the reactor its turns."""
        data = b""
        while len(data) < size:
            piece = self.received()
            assert piece is not None, f"closed after {len(data)} bytes"
            data += piece
            yield task.deferLater(self.reactor, 0)
        return data

    def fill(self) -> bytes:
        """Send until the outlet is not ready; returns what was sent."""
        sent = b""
        number = 0
        while self.sender.outlet.ready:
            piece = hashlib.sha256(b"%d" % number).digest() * 8000
            number += 1
            self.sender.outlet.send(piece)
            sent += piece
            assert len(sent) < 100_000_000
        return sent


class SocketOutletTests(SocketCase):
    def test_chosen_for_plain_sockets(self) -> None:
        assert isinstance(self.sender.outlet, SocketOutlet)
        assert verifyObject(IPullProducer, self.sender.outlet)
        assert verifyObject(IOutlet, self.sender.outlet)

    @defer.inlineCallbacks
    def test_sends_at_once(self) -> Any:
        self.sender.outlet.send(b"now")
        assert self.sender.outlet.ready
        assert (yield self.read(3)) == b"now"
        assert self.sender.resumed == 0

    @defer.inlineCallbacks
    def test_full_socket(self) -> Any:
        sent = self.fill()
        assert not self.sender.transport.dataBuffer
        assert not self.sender.transport._tempDataBuffer
        extra = [bytes([n]) * 70_000 for n in range(100)]
        self.sender.pieces = list(extra)
        got = yield self.read(len(sent) + 7_000_000)
        assert got == sent + b"".join(extra)
        assert self.sender.resumed > 0

    @defer.inlineCallbacks
    def test_nothing_goes_through_the_transport(self) -> Any:
        """It would send nothing first, and tell the poller twice of each piece."""
        written: list[bytes] = []
        self.sender.transport.writeSomeData = lambda data: written.append(data) or 0
        sent = self.fill()
        assert self.sender.transport in self.reactor.getWriters()
        assert (yield self.read(len(sent))) == sent
        while not self.sender.outlet.ready:
            yield task.deferLater(self.reactor, 0)
        assert self.sender.transport not in self.reactor.getWriters()
        assert written == []
        del self.sender.transport.writeSomeData
        self.sender.outlet.finish()
        yield self.sender.gone
        assert "doWrite" not in vars(self.sender.transport)

    @defer.inlineCallbacks
    def test_pieces_together(self) -> Any:
        """None is copied; more than the kernel takes at once, in number or in bytes, are sent in order."""
        for count, size in ((3, 10), (2500, 3), (9, 3_000_000), (2000, 10_000)):
            pieces = [(b"%d," % number) * (size // 5 + 1) for number in range(count)]
            self.sender.outlet.send_all(pieces)
            assert not self.sender.transport.dataBuffer
            whole = b"".join(pieces)
            assert (yield self.read(len(whole))) == whole
            while not self.sender.outlet.ready:
                yield task.deferLater(self.reactor, 0)
        assert self.sender.outlet.progress >= sum((3 * 10, 2500 * 3, 9 * 3_000_000, 2000 * 10_000))

    @defer.inlineCallbacks
    def test_pieces_that_wait_when_it_ends(self) -> Any:
        pieces = [hashlib.sha256(b"%d" % number).digest() * 8000 for number in range(100)]
        self.sender.outlet.send_all(pieces)
        assert not self.sender.outlet.ready
        self.sender.outlet.finish()
        assert (yield self.read(25_600_000)) == b"".join(pieces)

    @defer.inlineCallbacks
    def test_pieces_together_into_a_broken_connection(self) -> Any:
        self.sender.transport.getHandle().shutdown(socket.SHUT_WR)
        self.sender.outlet.send_all([b"into", b"the void"])
        assert not self.sender.outlet.ready
        yield self.sender.gone

    @defer.inlineCallbacks
    def test_socket_that_takes_nothing_at_all(self) -> Any:
        handle = self.sender.transport.getHandle()
        before = 0
        while True:
            try:
                before += handle.send(bytes(100_000))
            except BlockingIOError:
                break
        self.sender.outlet.send(b"the end")
        assert not self.sender.outlet.ready
        got = yield self.read(before + 7)
        assert got[before:] == b"the end"

    @defer.inlineCallbacks
    def test_broken_connection(self) -> Any:
        self.sender.transport.getHandle().shutdown(socket.SHUT_WR)
        self.sender.outlet.send(b"into the void")
        assert not self.sender.outlet.ready
        yield self.sender.gone

    @defer.inlineCallbacks
    def test_rest_gives_a_turn(self) -> Any:
        self.sender.outlet.rest()
        assert not self.sender.outlet.ready
        self.sender.pieces = [b"later"]
        assert (yield self.read(5)) == b"later"

    @defer.inlineCallbacks
    def test_finish_lets_the_last_bytes_leave(self) -> Any:
        sent = self.fill()
        self.sender.outlet.finish()
        assert not self.sender.outlet.ready
        assert (yield self.read(len(sent))) == sent
        yield self.sender.gone
        assert self.received() is None

    @defer.inlineCallbacks
    def test_finish_while_resting(self) -> Any:
        self.sender.outlet.send(b"last")
        self.sender.outlet.rest()
        self.sender.outlet.finish()
        yield self.sender.gone
        assert self.received() == b"last"
        assert self.received() is None
        assert self.sender.resumed == 0

    @defer.inlineCallbacks
    def test_abort_loses_what_waits(self) -> Any:
        self.fill()
        self.sender.outlet.abort()
        yield self.sender.gone
        assert not self.sender.outlet.ready

    @defer.inlineCallbacks
    def test_peer_that_resets(self) -> Any:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()
        self.sender.outlet.send(b"into the void")
        if self.sender.outlet.ready:
            self.sender.outlet.send(b"again")
        yield self.sender.gone
        assert not self.sender.outlet.ready

    @defer.inlineCallbacks
    def test_progress(self) -> Any:
        before = self.sender.outlet.progress
        self.sender.outlet.send(b"12345")
        yield self.read(5)
        # The kernel takes five bytes, and the peer's acknowledges them.
        while self.sender.outlet.progress != before + 10:
            yield task.deferLater(self.reactor, 0.001)

    def test_options(self) -> None:
        prepare_socket(self.sender.transport, MasterLimits(keepalive_idle=31, stalled=12.5))
        handle = self.sender.transport.getHandle()

        def option(name: str, level: int = socket.IPPROTO_TCP) -> int:
            return handle.getsockopt(level, getattr(socket, name))

        assert option("TCP_NODELAY") == option("SO_KEEPALIVE", socket.SOL_SOCKET) == 1
        assert (option("TCP_KEEPIDLE"), option("TCP_KEEPINTVL"), option("TCP_KEEPCNT")) == (31, 10, 3)
        # After the time in which a stalled reader is judged, who would else end without a name.
        assert option("TCP_USER_TIMEOUT") == 12500 + 6250

    def test_the_kernel_holds_little_of_what_it_has_not_sent_for_one_of_a_crowd(self) -> None:
        handle = self.sender.transport.getHandle()

        def unsent() -> int:
            return handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

        quiet = unsent()
        prepare_socket(self.sender.transport, MasterLimits(), CROWD - 1)
        assert unsent() == quiet
        prepare_socket(self.sender.transport, MasterLimits(), CROWD)
        assert unsent() == UNSENT_IN_CROWD

    def test_socket_below_wrappers(self) -> None:
        class Wrapper:
            transport = self.sender.transport

        assert socket_below(Wrapper()) is self.sender.transport.socket


class UnixOutletTests(SocketCase):
    def endpoint(self) -> Any:
        self.path = Path(self.mktemp())
        return endpoints.UNIXServerEndpoint(self.reactor, str(self.path))

    def connect(self, port: Any) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(self.path))
        return peer

    @defer.inlineCallbacks
    def test_full_socket(self) -> Any:
        prepare_socket(self.sender.transport, MasterLimits())
        assert isinstance(self.sender.outlet, SocketOutlet)
        assert self.sender.outlet.progress == 0
        sent = self.fill()
        filled = self.sender.outlet.progress
        self.sender.pieces = [b"x" * 500_000]
        assert (yield self.read(len(sent) + 500_000)) == sent + b"x" * 500_000
        # A UNIX socket acknowledges nothing: a slow reader must not be taken for a stalled one all the same.
        assert self.sender.outlet.progress > filled


class BufferedOutletTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = task.Clock()
        self.transport = StringTransport()
        self.resumed = 0
        outlet = outlet_for(self.transport, self.clock, self.resume)
        assert isinstance(outlet, BufferedOutlet)
        self.outlet = outlet

    def resume(self) -> None:
        self.resumed += 1

    def test_interface(self) -> None:
        assert verifyObject(IPushProducer, self.outlet)
        assert verifyObject(IOutlet, self.outlet)
        assert self.transport.streaming is True

    def test_pause_and_resume(self) -> None:
        assert self.outlet.ready
        before = self.outlet.progress
        self.outlet.pauseProducing()
        assert not self.outlet.ready
        assert self.outlet.progress == before
        self.outlet.resumeProducing()
        assert self.outlet.ready
        assert self.outlet.progress != before
        assert self.resumed == 1

    def test_views_become_bytes(self) -> None:
        self.outlet.send(memoryview(b"abc")[1:])
        assert self.transport.value() == b"bc"

    def test_pieces_together(self) -> None:
        self.outlet.send_all([b"a", memoryview(b"xbc")[1:], b""])
        assert self.transport.value() == b"abc"

    def test_rest(self) -> None:
        self.outlet.rest()
        assert not self.outlet.ready
        self.clock.advance(0)
        assert self.outlet.ready
        assert self.resumed == 1

    def test_rest_while_paused(self) -> None:
        self.outlet.rest()
        self.outlet.pauseProducing()
        self.clock.advance(0)
        assert self.resumed == 0
        self.outlet.resumeProducing()
        assert self.resumed == 1

    def test_end(self) -> None:
        self.outlet.rest()
        self.outlet.finish()
        self.outlet.finish()
        self.clock.advance(0)
        assert (self.outlet.ready, self.resumed) == (False, 0)
        assert self.transport.disconnecting
        assert self.transport.producer is None
        self.outlet.abort()
        self.outlet.stopProducing()
        assert self.transport.disconnected

    def test_no_socket_below(self) -> None:
        prepare_socket(self.transport, MasterLimits())
        assert socket_below(self.transport) is None
        assert acknowledged_bytes(self.transport) == 0
