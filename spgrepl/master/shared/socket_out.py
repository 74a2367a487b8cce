"""Where a connection's bytes leave: never more of them waiting than one piece.

`ITransport.write` takes everything and buffers it, copies what it buffers, and waits for the reactor before the
first byte leaves. An outlet asks first: it takes a piece only while nothing waits, and says when to go on. On a
plain socket it sends at once, straight from the piece that all connections share.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IPullProducer, IPushProducer, IReactorTime
from zope.interface import Attribute, Interface, implementer

from spgrepl.base.steady_clock import steady_clock
from spgrepl.master.shared.limits import MasterLimits

_TCP_INFO_SIZE = 128
_BYTES_ACKED = struct.Struct("<120xQ")
_MAX_WRAPPERS = 4
_MOST_AT_ONCE = 1024

CROWD = 256
"""From so many connections on, the kernel is given little for each of the next ones before it has sent it."""

UNSENT_IN_CROWD = 32 * 1024
"""How many bytes of a connection of a crowd the kernel holds that it has not sent yet."""


class IOutlet(Interface):
    """A way out for bytes, with back-pressure."""

    ready: bool = Attribute("Whether a piece may be sent now.")
    progress: int = Attribute("A number that changes as the peer takes bytes.")

    def send(piece: bytes | memoryview) -> None:
        """Send a piece, or keep it and be not ready until it has left. Only while ready."""

    def send_all(pieces: Sequence[bytes | memoryview]) -> None:
        """Send pieces one after the other, without joining them where that can be. Only while ready."""

    def rest() -> None:
        """Be not ready until the reactor has served the others."""

    def finish() -> None:
        """Let what waits leave, then close the connection."""

    def abort() -> None:
        """Close the connection at once; what waits is lost."""


def outlet_for(transport: Any, reactor: IReactorTime, resume: Callable[[], None]) -> IOutlet:
    """Choose the way out of a transport.

    Args:
        transport: The transport of a connection that has just been made.
        reactor: Its reactor.
        resume: Called when the outlet has become ready again.
    """
    if isinstance(transport, tcp.Connection) and not transport.TLS:
        return SocketOutlet(transport, resume)
    return BufferedOutlet(transport, reactor, resume)


@implementer(IOutlet, IPullProducer)
class SocketOutlet:
    """The way out of a plain TCP or UNIX socket.

    A piece is offered to the kernel at once. What the kernel does not take is kept as a view, without a copy,
    until the socket is writable; the transport's own buffer stays empty.

    Args:
        transport: The socket's transport.
        resume: Called when a kept piece has left.
    """

    def __init__(self, transport: Any, resume: Callable[[], None]) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.getHandle()
        self._resume = resume
        self._kept: list[memoryview] | None = None
        self._waiting = True  # until the transport has been told of us, which calls resumeProducing
        self._finishing = False
        self._taken = 0
        self.ready = True
        transport.registerProducer(self, False)
        self._waiting = False
        # The transport's own would send nothing first, and tell the poller of each piece again.
        transport.doWrite = self._do_write

    @property
    def progress(self) -> int:
        """What the kernel has taken, and of that what the peer has acknowledged, which only TCP tells."""
        return self._taken + acknowledged_bytes(self._transport)

    def send(self, piece: bytes | memoryview) -> None:
        """See `IOutlet`."""
        try:
            taken = self._socket.send(piece)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._broken(piece)
            return
        self._taken += taken
        if taken != len(piece):
            self._keep([memoryview(piece)[taken:]])

    def send_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        """See `IOutlet`."""
        try:
            taken = self._socket.sendmsg(pieces if len(pieces) <= _MOST_AT_ONCE else pieces[:_MOST_AT_ONCE])
        except BlockingIOError:
            taken = 0
        except OSError:
            self._broken(b"".join(pieces))
            return
        self._taken += taken
        rest: list[memoryview] = []
        for piece in pieces:
            if taken < len(piece):
                rest.append(memoryview(piece)[taken:])
            taken = max(0, taken - len(piece))
        if rest:
            self._keep(rest)

    def rest(self) -> None:
        """See `IOutlet`."""
        self._keep([])

    def finish(self) -> None:
        """See `IOutlet`."""
        self._finishing = True
        self.ready = False
        self._let_go()
        self._transport.unregisterProducer()
        if self._kept:
            self._transport.write(b"".join(self._kept))
            self._kept = None
        self._transport.loseConnection()

    def abort(self) -> None:
        """See `IOutlet`."""
        self._finishing = True
        self.ready = False
        self._kept = None
        self._let_go()
        self._transport.abortConnection()

    def _let_go(self) -> None:
        """Let the transport write by itself again."""
        vars(self._transport).pop("doWrite", None)

    def _do_write(self) -> object:
        """The socket is writable (called by the reactor): send what is kept, past the transport."""
        if self._kept is None:
            return type(self._transport).doWrite(self._transport)
        self.resumeProducing()
        if self.ready:
            self._transport.stopWriting()
        return None

    def _broken(self, piece: bytes | memoryview) -> None:
        """The connection is broken. The transport learns it in its own way when it is given the piece."""
        self.ready = False
        self._transport.write(bytes(piece))

    def _keep(self, views: list[memoryview]) -> None:
        self._kept = views
        self._waiting = True
        self.ready = False
        self._transport.startWriting()

    def resumeProducing(self) -> None:
        """The socket is writable (called by the transport, whose own buffer is empty)."""
        if not self._waiting or self._finishing or self._kept is None:
            return
        kept, self._kept = self._kept, None
        self._waiting = False
        self.ready = True
        if kept:
            self.send_all(kept)
        if self.ready:
            self._resume()

    def stopProducing(self) -> None:
        """The connection is gone (called by the transport)."""
        self.ready = False
        self._kept = None
        self._let_go()


@implementer(IOutlet, IPushProducer)
class BufferedOutlet:
    """The way out of any other transport, TLS among them: what it buffers is bounded by its own pausing.

    Args:
        transport: Any `ITransport` that is an `IConsumer` too.
        reactor: Its reactor.
        resume: Called when the transport wants more.
    """

    def __init__(self, transport: Any, reactor: IReactorTime, resume: Callable[[], None]) -> None:
        self._transport = transport
        self._clock = steady_clock(reactor)
        self._resume = resume
        self._paused = False
        self._resting = False
        self._closed = False
        self._resumed = 0
        transport.registerProducer(self, True)

    @property
    def ready(self) -> bool:
        """See `IOutlet`."""
        return not (self._paused or self._resting or self._closed)

    @property
    def progress(self) -> int:
        """What the peer has acknowledged on the socket below, and how often the transport wanted more."""
        return acknowledged_bytes(self._transport) + self._resumed

    def send(self, piece: bytes | memoryview) -> None:
        """See `IOutlet`."""
        self._transport.write(bytes(piece))

    def send_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        """See `IOutlet`."""
        self._transport.writeSequence([bytes(piece) for piece in pieces])

    def rest(self) -> None:
        """See `IOutlet`."""
        self._resting = True
        self._clock.callLater(0, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self.ready:
            self._resume()

    def finish(self) -> None:
        """See `IOutlet`."""
        if not self._closed:
            self._closed = True
            self._transport.unregisterProducer()
        self._transport.loseConnection()

    def abort(self) -> None:
        """See `IOutlet`."""
        self._closed = True
        self._transport.abortConnection()

    def pauseProducing(self) -> None:
        """The transport's buffer is full (called by the transport)."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport wants more (called by the transport)."""
        self._paused = False
        self._resumed += 1
        if self.ready:
            self._resume()

    def stopProducing(self) -> None:
        """The connection is gone (called by the transport)."""
        self._closed = True


# -- the socket below -----------------------------------------------------------------------------------------


def socket_below(transport: Any) -> socket.socket | None:
    """The TCP socket that a transport ends in, through TLS and other wrappers; None where there is none."""
    for _ in range(_MAX_WRAPPERS):
        if isinstance(transport, tcp.Connection):
            handle = getattr(transport, "socket", None)
            is_tcp = isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6)
            return handle if is_tcp else None
        transport = getattr(transport, "transport", None)
    return None


def acknowledged_bytes(transport: Any) -> int:
    """How many bytes the peer's kernel has acknowledged; 0 for what is no TCP socket."""
    handle = socket_below(transport)
    if handle is None:
        return 0
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return 0
    return int(_BYTES_ACKED.unpack(info)[0]) if len(info) == _TCP_INFO_SIZE else 0


def prepare_socket(transport: Any, limits: MasterLimits, others: int = 0) -> None:
    """Have the kernel send without delay, and find out by itself that a peer is gone.

    By itself it takes up to 4 MiB for each connection. For thousands of them these are gigabytes, each page of
    which is new to the processor when it is written and when it is read: little at a time is faster for all of
    them. One that is served alone is faster with much.

    Args:
        transport: The transport of a connection that has just been made.
        limits: When a peer counts as gone.
        others: How many connections there are beside it.
    """
    handle = socket_below(transport)
    if handle is None:
        return
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits.keepalive_idle)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits.keepalive_interval)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, limits.keepalive_count)
    # Later than this side judges a reader that takes nothing, who then is named and counted as one.
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.stalled * 1500))
    if others >= CROWD:
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_CROWD)
