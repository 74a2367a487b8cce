"""One connection of a master: hello, stream, end. `HELLO → SNAPSHOT → STREAMING → CLOSING → CLOSED`."""

from __future__ import annotations

from operator import methodcaller

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.access.client import Client
from spgrepl.access.failures import describe_tls_failure
from spgrepl.access.interfaces import ICertificateListener
from spgrepl.errors import HandshakeError, LogTruncated, PeerTimeout, SpgReplError
from spgrepl.master.judged.publisher import level_is_replica
from spgrepl.master.shared.admission import judge_hello, origin_of
from spgrepl.master.shared.connections import IConnection
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.socket_out import IOutlet, outlet_for, prepare_socket
from spgrepl.master.shared.states import ConnectionState
from spgrepl.master.streams.base import Stream
from spgrepl.master.streams.context import MasterContext
from spgrepl.master.streams.logical import SubscriberStream
from spgrepl.master.streams.physical import FollowerStream
from spgrepl.text.quantities import in_seconds
from spgrepl.text.shown import shown
from spgrepl.watch.status import ConnectedPeer
from spgrepl.wire.handshake import FollowerHello, HelloParser, StreamVersion
from spgrepl.wire.subscription import SubscriberHello


@implementer(IConnection, ICertificateListener)
class MasterProtocol(Protocol):
    """Reads the hello, hands over to a stream, and sees to the deadlines.

    What a follower sends after its hello is skipped: the protocol has no use for it.

    Args:
        context: What all connections share.
        address: The peer's address as it is logged.
        origin: What it has in common with others from the same place; see `Admission`.
    """

    _outlet: IOutlet

    def __init__(self, context: MasterContext, address: str, origin: str | None = None) -> None:
        self.address = address
        self._context = context
        self._origin = origin
        self._hello = HelloParser()
        self._waiting: FollowerHello | SubscriberHello | None = None
        self._stream: Stream | None = None
        self._ending: ConnectionState | None = None
        self._since = 0.0
        self._moved = 0.0
        self._progress = 0
        self._connected_at = context.wall_clock()
        self._untrusted: str | None = None
        self._client: Client | None = None

    @property
    def state(self) -> ConnectionState:
        """What the connection is doing."""
        if self._ending is not None:
            return self._ending
        if self._stream is not None:
            return self._stream.state
        return ConnectionState.HELLO if self._waiting is None else ConnectionState.STARTING

    @property
    def _told_as(self) -> str:
        """The peer as the log names it: by its configured name, where it has one, and its address."""
        name = self._context.names.name_of(self.address)
        return f"{name} ({self.address})" if name else self.address

    @property
    def _position(self) -> int | None:
        """Up to where it was sent the log; None where it was sent nothing of it."""
        return None if self._stream is None else self._stream.position

    def _place(self) -> str:
        """The same for a line of the log, which says nothing of what is not known."""
        return "" if self._position is None else f", position {self._position}"

    @property
    def at_rest(self) -> bool:
        """See `IConnection`. Who has said no whole hello yet waits for nothing either."""
        return self._stream is None or self._ending is not None or self._stream.at_rest

    # -- called by the transport ----------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """A peer is connected."""
        self._since = self._moved = self._context.clock.seconds()
        prepare_socket(self.transport, self._context.limits, len(self._context.connections))
        self._outlet = outlet_for(self.transport, self._context.clock, self._go_on_guarded)
        self._context.connections.add(self)
        self._context.admission.began(self, self._origin, self.transport)

    def _go_on_guarded(self) -> None:
        self._context.connections.guarded(self, methodcaller("go_on"))

    def certificate_refused(self, reason: str) -> None:
        """See `ICertificateListener`."""
        self._untrusted = reason

    def dataReceived(self, data: bytes) -> None:
        """A peer has sent something: its hello, or something to skip."""
        if self.state is ConnectionState.HELLO:
            # A fault of this side is not to be taken for something that the peer did.
            self._context.connections.guarded(self, lambda _: self._read_hello(data))

    def _read_hello(self, data: bytes) -> None:
        transport: object = self.transport
        if isinstance(transport, ProtocolWrapper):
            # A proxy before us has said by now whom it speaks for.
            self.address = format_address(transport.getPeer())
        try:
            found = self._hello.feed(data)
        except HandshakeError as error:
            self.close(Cause.BAD_HELLO, error)
            return
        if found is not None:
            self._waiting, _ = found
            self._context.admission.greeted(self)
            self._since = self._context.clock.seconds()
            self._client = Client.of(self.transport)
            refused = judge_hello(found[0], self._context.access.rights_of(self._client), self._client)
            if refused is None:
                self._answer()
            else:
                self.close(*refused)

    def _answer(self) -> None:
        """Answer the hello, as soon as it is known what is served.

        Before that any answer could be wrong: a follower that is told of a log of length 0 takes its own copy for
        one of a different history.
        """
        if self._waiting is None or not self._context.ready:
            return
        hello, self._waiting = self._waiting, None
        self._moved = self._context.clock.seconds()
        self._stream = self._open_stream(hello)
        self._stream.peer = self._told_as
        self._stream.begin()
        if self._ending is None:
            # Who is turned away at once, and comes again, has one line for all of it.
            self._context.lines.info(
                "{peer} asks for {version} from position {position}",
                peer=self._told_as,
                version=self._stream.version if self._stream.logical else f"V{self._stream.version}",
                position=hello.start,
            )

    def _open_stream(self, hello: FollowerHello | SubscriberHello) -> Stream:
        if isinstance(hello, SubscriberHello):
            return SubscriberStream(self._context, self._outlet, self.close, hello)
        framed = hello.version is StreamVersion.V2
        return FollowerStream(self._context, self._outlet, self.close, hello, framed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        tls = describe_tls_failure(reason)
        if self._ending is None and tls is not None and self.state is ConnectionState.HELLO:
            self._context.causes.count(Cause.TLS_FAILED)
            self._context.lines.repeated(
                "no connection by TLS with {peer}: {reason}{again}",
                peer=self._told_as,
                reason=self._untrusted or tls,
            )
        elif self._ending is None:
            self._context.causes.count(Cause.PEER_CLOSED)
            self._context.lines.info(
                "{peer} has gone{place}: {reason}",
                peer=self._told_as,
                position=self._position,
                place=self._place(),
                reason=_how_it_went(reason),
            )
        self._ending = ConnectionState.CLOSED
        self._context.connections.remove(self)
        self._context.admission.gone(self, self._origin)
        if self._stream is not None:
            self._stream.end()

    # -- called by the master ----------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Send what there is to send."""
        if self._ending is not None:
            return
        if self._stream is None:
            self._answer()
        else:
            self._stream.resume()

    def tick(self, status: bytes) -> None:
        """Send a STATUS frame where it is due."""
        if self._stream is not None and self._ending is None:
            self._stream.tick(status)

    def log_lost(self, reason: LogTruncated) -> None:
        """End a stream whose log is lost; a V2 follower is told the length of the log that there is now."""
        if self._stream is None or self._ending is not None:
            return
        last = self._stream.farewell()
        if last and self._outlet.ready:
            self._outlet.send(last)
        self.close(Cause.LOG_LOST, reason)

    def level_lowered(self) -> None:
        """End a subscriber's stream: the WAL level is `replica` from now on."""
        if self._stream is not None and self._stream.logical:
            self.close(Cause.WAL_LEVEL_REPLICA, level_is_replica())

    def close(self, cause: Cause, error: SpgReplError) -> None:
        """End the connection after what was sent so far, and say why in the log.

        Args:
            cause: What it counts as.
            error: The reason in words.
        """
        if self._end(cause, error):
            self._outlet.finish()

    def abort(self, cause: Cause, error: SpgReplError) -> None:
        """End the connection at once: the peer takes nothing more."""
        if self._end(cause, error):
            self._outlet.abort()

    def hang_up(self) -> None:
        """Wait no longer for a peer that is slow to take what was sent to it before the end."""
        self._outlet.abort()

    def _end(self, cause: Cause, error: SpgReplError) -> bool:
        if self._ending is not None:
            return False
        self._context.causes.count(cause)
        self._ending = ConnectionState.CLOSING
        self._since = self._context.clock.seconds()
        if self._stream is not None:
            self._stream.end()
        self._context.admission.greeted(self)
        self._context.lines.repeated(
            "closing the connection of {peer}{place} ({kind}): {reason}{again}",
            peer=self._told_as,
            position=self._position,
            place=self._place(),
            kind=cause.value,
            reason=str(error),
        )
        return True

    def check_deadlines(self, now: float) -> None:
        """End the connection where its peer takes too long.

        Args:
            now: The reactor's time.
        """
        limits = self._context.limits
        state = self.state
        if state is ConnectionState.CLOSING:
            if now - self._since >= limits.farewell:
                self._outlet.abort()
        elif state is ConnectionState.HELLO:
            if now - self._since >= limits.handshake:
                self.abort(
                    Cause.HANDSHAKE_TIMEOUT,
                    PeerTimeout(f"no whole hello came within {in_seconds(limits.handshake)}"),
                )
        elif state is ConnectionState.STARTING:
            if now - self._since >= limits.not_ready:
                self.abort(
                    Cause.NOT_READY,
                    PeerTimeout(
                        f"this server does not know its log after "
                        f"{in_seconds(limits.not_ready)}: it is still starting, "
                        f"has no copy yet, or its log is missing"
                    ),
                )
        elif self._outlet.ready:
            self._moved = now
        else:
            self._check_progress(now, limits.stalled)

    def _check_progress(self, now: float, patience: float) -> None:
        progress = self._outlet.progress
        if progress != self._progress:
            self._progress, self._moved = progress, now
        elif now - self._moved >= patience:
            self.abort(
                Cause.STALLED,
                PeerTimeout(f"bytes have waited for {in_seconds(patience)} and the peer took none of them"),
            )

    def _stalled(self, now: float) -> float:
        """For how long bytes have waited of which the peer takes none; as of the last sweep of the deadlines."""
        return 0.0 if self._outlet.ready or self._ending is not None else max(0.0, now - self._moved)

    def describe(self) -> ConnectedPeer:
        """What the status says of this connection."""
        stream, client = self._stream, self._client
        now = self._context.clock.seconds()
        peer = ConnectedPeer(
            name=self._context.names.seen(self.address, now),
            address=self.address,
            certificate=shown(client.names[0]) if client is not None and client.names else None,
            state=self.state.value,
            since=self._connected_at,
            subscriber=None if stream is None else stream.subscriber,
        )
        if stream is None:
            return peer
        position = stream.position
        return attrs.evolve(
            peer,
            version=stream.version,
            start=stream.start,
            position=position,
            lag_bytes=None if position is None else max(0, self._context.feed.length - position),
            segments=stream.segments,
            stalled_seconds=round(self._stalled(now), 3),
        )


class MasterFactory(Factory):
    """Accepts connections, as many as the limits allow.

    Args:
        context: What all connections share.
    """

    noisy = False
    protocol = MasterProtocol

    def __init__(self, context: MasterContext) -> None:
        self._context = context

    def buildProtocol(self, addr: IAddress | None) -> MasterProtocol | None:
        """Serve a connection, or refuse it: None closes it at once."""
        address, origin = format_address(addr), origin_of(addr)
        refused = self._context.admission.judge(origin)
        if refused is not None:
            cause, error = refused
            self._context.causes.count(cause)
            self._context.lines.repeated(
                "refusing a connection of {peer} ({kind}): {reason}{again}",
                peer=address,
                kind=cause.value,
                reason=str(error),
            )
            return None
        return MasterProtocol(self._context, address, origin)


def format_address(address: object) -> str:
    """An address as people write it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is not None:
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    name = getattr(address, "name", None)
    if name:
        return "unix:" + (name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))
    return "a local process"


def _how_it_went(reason: Failure) -> str:
    """Why a connection that the peer has ended is gone; Twisted's own words for a plain end sound like a fault."""
    error = reason.value
    if isinstance(error, ConnectionDone) and not error.args:
        return "it closed the connection"
    if isinstance(error, ConnectionLost) and not error.args:
        return "the connection was cut"
    return reason.getErrorMessage()
