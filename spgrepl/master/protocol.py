"""One connection of a master: hello, stream, end. `HELLO → SNAPSHOT → STREAMING → CLOSING → CLOSED`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import ConnectionRefused, HandshakeError, LogTruncated, PeerTimeout, SpgReplError
from spgrepl.master.causes import Cause
from spgrepl.master.outlet import Outlet, outlet_for, prepare_socket
from spgrepl.master.publisher import level_is_replica
from spgrepl.master.states import ConnectionState
from spgrepl.master.stream import Stream, open_stream
from spgrepl.wire.handshake import HelloParser

if TYPE_CHECKING:
    from spgrepl.master.hub import MasterHub


class MasterProtocol(Protocol):
    """Reads the hello, hands over to a stream, and sees to the deadlines.

    What a follower sends after its hello is passed over: the protocol has no use for it.

    Args:
        hub: What all connections share.
        address: The peer's address as it is logged.
    """

    _log = Logger()
    _outlet: Outlet

    def __init__(self, hub: MasterHub, address: str) -> None:
        self.address = address
        self._hub = hub
        self._hello = HelloParser()
        self._stream: Stream | None = None
        self._ending: ConnectionState | None = None
        self._since = 0.0
        self._moved = 0.0
        self._progress = 0
        self._connected_at = hub.wall_clock()

    @property
    def state(self) -> ConnectionState:
        """What the connection is doing."""
        if self._ending is not None:
            return self._ending
        return ConnectionState.HELLO if self._stream is None else self._stream.state

    # -- called by the transport ----------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """A peer is connected."""
        self._since = self._moved = self._hub.clock.seconds()
        prepare_socket(self.transport, self._hub.limits)
        self._outlet = outlet_for(self.transport, self._hub.clock, self.go_on)
        self._hub.add(self)

    def dataReceived(self, data: bytes) -> None:
        """A peer has sent something: its hello, or something to pass over."""
        if self.state is not ConnectionState.HELLO:
            return
        try:
            found = self._hello.feed(data)
        except HandshakeError as error:
            self.close(Cause.BAD_HELLO, error)
            return
        if found is not None:
            hello, _ = found
            self._stream = open_stream(self._hub, self._outlet, self.close, hello)
            self._log.info(
                "{address} asks for {version} from position {start}",
                address=self.address,
                version=self._stream.version if self._stream.logical else f"V{self._stream.version}",
                start=hello.start,
            )
            self._stream.begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if self._ending is None:
            self._hub.causes.count(Cause.PEER_CLOSED)
            self._log.info("{address} has gone: {reason}", address=self.address, reason=reason.getErrorMessage())
        self._ending = ConnectionState.CLOSED
        if self._stream is not None:
            self._stream.end()
        self._hub.remove(self)

    # -- called by the hub ----------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Send what there is to send."""
        if self._stream is not None and self._ending is None:
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
        self._hub.causes.count(cause)
        self._ending = ConnectionState.CLOSING
        self._since = self._hub.clock.seconds()
        if self._stream is not None:
            self._stream.end()
        self._log.warn(
            "closing the connection of {address} ({cause}): {error}",
            address=self.address,
            cause=cause.value,
            error=str(error),
        )
        return True

    def check_deadlines(self, now: float) -> None:
        """End the connection where its peer takes too long.

        Args:
            now: The reactor's time.
        """
        limits = self._hub.limits
        state = self.state
        if state is ConnectionState.CLOSING:
            if now - self._since >= limits.farewell:
                self._outlet.abort()
        elif state is ConnectionState.HELLO:
            if now - self._since >= limits.handshake:
                self.abort(
                    Cause.HANDSHAKE_TIMEOUT,
                    PeerTimeout(f"no whole hello came within {limits.handshake:g} s"),
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
                PeerTimeout(f"bytes have waited for {patience:g} s and the peer took none of them"),
            )

    def status(self) -> dict[str, Any]:
        """What the status says of this connection."""
        stream = self._stream
        position = None if stream is None else stream.position
        return {
            "address": self.address,
            "version": None if stream is None else stream.version,
            "state": self.state.value,
            "start": None if stream is None else stream.start,
            "position": position,
            "lag_bytes": None if position is None else max(0, self._hub.feed.length - position),
            "segments": None if stream is None else stream.segments,
            "since": self._connected_at,
            **({} if stream is None else stream.details),
        }


class MasterFactory(Factory):
    """Accepts connections, as many as the limits allow.

    Args:
        hub: What all connections share.
    """

    noisy = False
    protocol = MasterProtocol
    _log = Logger()

    def __init__(self, hub: MasterHub) -> None:
        self._hub = hub

    def buildProtocol(self, addr: IAddress | None) -> MasterProtocol | None:
        """Serve a connection, or refuse it: None closes it at once."""
        address = format_address(addr)
        limit = self._hub.limits.connections
        if self._hub.connection_count >= limit:
            error = ConnectionRefused(f"{limit} connections are served already, which is the limit")
            self._log.warn("refusing a connection of {address}: {error}", address=address, error=str(error))
            self._hub.causes.count(Cause.CONNECTION_LIMIT)
            return None
        return MasterProtocol(self._hub, address)


def format_address(address: object) -> str:
    """An address as people write it."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is not None:
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    name = getattr(address, "name", None)
    if name:
        return "unix:" + (name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))
    return "a local process"
