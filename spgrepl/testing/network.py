"""Connections in memory, with the flow control of sockets, and with faults on demand."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.testing.stepping import StepReactor

ROOM = 64 * 1024
"""With so many bytes on their way a transport asks its producer to pause."""

PIECE = 64 * 1024
"""So many bytes arrive at once."""


@attrs.define
class Faults:
    """What happens to the bytes of one direction of a connection.

    Attributes:
        cut_after: The connection is cut when so many bytes have arrived; None for never.
        flip: At which byte, from 0, which bit (0 to 7) is turned over; None for none.
        piece: So many bytes arrive at once, at most.
        held: Whether nothing arrives.
        delay: For how many seconds of the reactor's clock bytes are on their way.
    """

    cut_after: int | None = None
    flip: tuple[int, int] | None = None
    piece: int = PIECE
    held: bool = False
    delay: float = 0.0


class _Pipe:
    """One direction of a connection: what was written and has not arrived."""

    def __init__(self, faults: Faults, reactor: StepReactor) -> None:
        self.faults = faults
        self.reactor = reactor
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.arrived = 0

    def put(self, data: bytes) -> None:
        if data:
            due = self.reactor.seconds() + self.faults.delay
            self.waiting.append((due, data))
            self.size += len(data)
            if self.faults.delay:
                # The clock stops there, and the reactor looks again.
                self.reactor.callLater(self.faults.delay, int)

    @property
    def is_due(self) -> bool:
        """Whether the next bytes have been on their way for long enough."""
        return bool(self.waiting) and self.waiting[0][0] <= self.reactor.seconds()

    def take(self) -> bytes:
        """The next bytes that arrive, as the faults leave them."""
        room = self.faults.piece
        if self.faults.cut_after is not None:
            room = min(room, self.faults.cut_after - self.arrived)
        taken: list[bytes] = []
        while self.is_due and room > 0:
            due, piece = self.waiting.popleft()
            if len(piece) > room:
                self.waiting.appendleft((due, piece[room:]))
                piece = piece[:room]
            taken.append(piece)
            room -= len(piece)
        data = b"".join(taken)
        start, self.arrived, self.size = self.arrived, self.arrived + len(data), self.size - len(data)
        if self.faults.flip is not None:
            place, bit = self.faults.flip
            if start <= place < self.arrived:
                changed = bytearray(data)
                changed[place - start] ^= 1 << bit
                data = bytes(changed)
        return data

    @property
    def is_cut(self) -> bool:
        return self.faults.cut_after is not None and self.arrived >= self.faults.cut_after


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One end of a connection in memory."""

    def __init__(self, connection: MemoryConnection, pipe: _Pipe, host: IAddress, peer: IAddress) -> None:
        self._connection = connection
        self.out = pipe
        self._host, self._peer = host, peer
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False
        self.reading = True
        self.disconnecting = False
        self.disconnected = False
        self.protocol: IProtocol | None = None

    # -- ITransport ---------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """See `ITransport`."""
        if self.disconnected or self.disconnecting:
            return
        self.out.put(bytes(data))
        if self._producer is not None and self._streaming and not self._producer_paused and self.out.size > ROOM:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """See `ITransport`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """See `ITransport`: what was written arrives before."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Close at once; what was written and has not arrived is lost."""
        self._connection.abort(self)

    def getPeer(self) -> IAddress:
        """See `ITransport`."""
        return self._peer

    def getHost(self) -> IAddress:
        """See `ITransport`."""
        return self._host

    # -- IConsumer, IPushProducer ---------------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer`."""
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if self.disconnected:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Hand no more to the protocol."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Hand on again."""
        self.reading = True

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self.loseConnection()

    # -- the connection's calls -----------------------------------------------------------------------------------

    def drained(self) -> None:
        """What was written has arrived."""
        if self._producer is not None and (self._producer_paused or not self._streaming):
            self._producer_paused = False
            self._producer.resumeProducing()

    def lost(self, reason: Exception) -> None:
        """Tell the protocol."""
        if self.disconnected:
            return
        self.disconnected = True
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        assert self.protocol is not None
        self.protocol.connectionLost(Failure(reason))


class MemoryConnection:
    """A connection between two protocols.

    Attributes:
        name: The server's name.
        client_name: The client's.
        to_server: What happens to the bytes that the client sends.
        to_client: What happens to those of the server.
    """

    def __init__(self, network: MemoryNetwork, name: str, client_name: str, port: int) -> None:
        here, there = IPv4Address("TCP", "127.0.0.1", port), IPv4Address("TCP", "127.0.0.1", 1)
        self.name, self.client_name = name, client_name
        self.to_server, self.to_client = attrs.evolve(network.to_server), attrs.evolve(network.to_client)
        self.client = MemoryTransport(self, _Pipe(self.to_server, network.reactor), here, there)
        self.server = MemoryTransport(self, _Pipe(self.to_client, network.reactor), there, here)
        self._ends = ((self.client, self.server), (self.server, self.client))
        self._closing: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether both ends know that it is closed."""
        return self.client.disconnected and self.server.disconnected

    def abort(self, end: MemoryTransport) -> None:
        """One end closes at once; both are told in a later step."""
        for sender, _ in self._ends:
            sender.out.waiting.clear()
            sender.out.size = 0
        self._closing = error.ConnectionAborted()
        end.disconnecting = True

    def cut(self) -> None:
        """The network fails: both ends are told in a later step, what is on its way is lost."""
        if self._closing is None:
            self.abort(self.client)
            self._closing = error.ConnectionLost("cut")

    def ready(self) -> bool:
        """See `Source`."""
        return not self.ended and (self._closing is not None or any(map(self._moves, self._ends)))

    def _moves(self, ends: tuple[MemoryTransport, MemoryTransport]) -> bool:
        sender, receiver = ends
        pipe = sender.out
        faults = pipe.faults
        if faults.held:
            return False
        if pipe.size:
            return (receiver.reading and pipe.is_due) or pipe.is_cut
        return sender.disconnecting or (faults.cut_after is not None and pipe.is_cut)

    def step(self) -> None:
        """See `Source`."""
        if self._closing is not None:
            for _, end in self._ends:
                end.lost(self._closing)
            return
        moving = next(ends for ends in self._ends if self._moves(ends))
        sender, receiver = moving
        if sender.out.size and not sender.out.is_cut:
            data = sender.out.take()
            assert receiver.protocol is not None
            receiver.protocol.dataReceived(data)
            if not sender.out.size:
                sender.drained()
        elif sender.out.is_cut:
            self._closing = error.ConnectionLost("cut")
        else:
            self._closing = error.ConnectionDone()


@implementer(IListeningPort)
class _Port:
    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network, self._name = network, name

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> Deferred[None]:
        """Take no more connections; those that are there stay."""
        factory = self._network.listening.pop(self._name, None)
        if factory is not None:
            factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """A loopback address."""
        return IPv4Address("TCP", "127.0.0.1", 1)


@implementer(IStreamServerEndpoint)
@attrs.frozen
class _Server:
    network: MemoryNetwork
    name: str

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """See `IStreamServerEndpoint`."""
        self.network.listening[self.name] = protocolFactory
        protocolFactory.doStart()
        return succeed(_Port(self.network, self.name))


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Client:
    network: MemoryNetwork
    name: str
    client_name: str

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """See `IStreamClientEndpoint`."""
        return self.network.connect(self.name, protocolFactory, self.client_name)


class MemoryNetwork:
    """Servers and clients that know each other by name, in one process.

    Args:
        reactor: Lets bytes arrive.

    Attributes:
        reactor: The same.
        to_server: The faults of connections that are made from now on, for what clients send.
        to_client: And for what servers send.
        connections: The connections that are open, the oldest first.
        unreachable: The names of servers that nobody reaches.
        listening: The factories of the servers that listen, by name.
    """

    def __init__(self, reactor: StepReactor) -> None:
        self.reactor = reactor
        self.to_server, self.to_client = Faults(), Faults()
        self.connections: list[MemoryConnection] = []
        self.unreachable: set[str] = set()
        self.listening: dict[str, IProtocolFactory] = {}
        self.made = 0
        self._turn = 0
        reactor.add_source(self)

    def server(self, name: str) -> IStreamServerEndpoint:
        """An endpoint to listen on."""
        endpoint: IStreamServerEndpoint = _Server(self, name)
        return endpoint

    def client(self, name: str, client_name: str = "") -> IStreamClientEndpoint:
        """An endpoint that connects to a server of a name, as somebody of a name."""
        endpoint: IStreamClientEndpoint = _Client(self, name, client_name)
        return endpoint

    def connect(self, name: str, factory: IProtocolFactory, client_name: str = "") -> Deferred[IProtocol]:
        """Make a connection; it fails with `ConnectionRefusedError` where nobody listens."""
        listening = self.listening.get(name)
        if listening is None or name in self.unreachable:
            return fail(error.ConnectionRefusedError())
        self.made += 1
        connection = MemoryConnection(self, name, client_name, 1024 + self.made % 60_000)
        server = listening.buildProtocol(connection.server.getPeer())
        if server is None:
            return fail(error.ConnectionRefusedError())
        client = factory.buildProtocol(connection.client.getPeer())
        if client is None:
            return fail(error.ConnectionRefusedError())
        self.connections.append(connection)
        for end, protocol in ((connection.server, server), (connection.client, client)):
            end.protocol = protocol
        server.makeConnection(connection.server)
        client.makeConnection(connection.client)
        return succeed(client)

    def cut(self, name: str | None = None) -> None:
        """Cut the connections to a server; to all of them without a name."""
        for connection in self.to(name):
            connection.cut()

    def hold(self, name: str | None = None, held: bool = True) -> None:
        """Let nothing arrive any more on the connections to a server, or everything again."""
        for connection in self.to(name):
            connection.to_server.held = connection.to_client.held = held

    def to(self, name: str | None = None) -> list[MemoryConnection]:
        """The open connections to a server; all of them without a name."""
        return [one for one in self.connections if not one.ended and name in (None, one.name)]

    def ready(self) -> bool:
        """See `Source`."""
        self.connections = [one for one in self.connections if not one.ended]
        return any(connection.ready() for connection in self.connections)

    def step(self) -> None:
        """See `Source`: one connection after the other has its turn."""
        ready = [connection for connection in self.connections if connection.ready()]
        self._turn += 1
        ready[self._turn % len(ready)].step()
