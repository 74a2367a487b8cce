"""A site that strangers cannot fill: connections, their time, the size of requests, names that it answers to."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from spgrepl.access.descriptors import is_in_reserve
from spgrepl.base.steady_clock import steady_clock
from spgrepl.text.shown import shown
from spgrepl.watch.http_headers import header_values
from spgrepl.watch.settings import HttpGuard

LONGEST_BODY = 65536
"""The most bytes that the body of a request may have; what is beyond is thrown away, and the request refused."""

REQUEST_SECONDS = 60.0
"""How long a connection may be without a whole request, since it was made or since the last answer."""

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)

_NAMED = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?")


class GuardedConnection(ProtocolWrapper):
    """A connection of a site: it has to ask something, whole, in time.

    Attributes:
        busy: How many of its requests are being answered.
    """

    busy = 0
    _timer: IDelayedCall | None = None
    _gone = False

    def makeConnection(self, transport: Any) -> None:
        """A client is there."""
        site: GuardedSite = self.factory
        site.began(self)
        self._wait()
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        if is_in_reserve(transport):
            site.refused["no_descriptors"] += 1
            self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._gone = True
        self._stop()
        self.factory.ended(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def asked(self) -> None:
        """A whole request has come."""
        self.busy += 1
        self._stop()

    def answered(self) -> None:
        """A request is answered."""
        self.busy -= 1
        if not self.busy and not self._gone:
            self._wait()

    def _wait(self) -> None:
        self._stop()
        self._timer = self.factory.clock.callLater(REQUEST_SECONDS, self._expired)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _expired(self) -> None:
        self._timer = None
        self.factory.refused["too_slow"] += 1
        self.abortConnection()


class GuardedRequest(Request):
    """A request that keeps no more of its body than a statement needs, and nothing of it on disk."""

    received = 0

    def gotLength(self, length: int | None) -> None:
        """Be ready for a body of a length that the client states."""
        super().gotLength(0)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body."""
        self.received += len(data)
        if self.received <= LONGEST_BODY:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Take a request; where it names the whole address, as for a proxy, that says for whom it is."""
        found = _ABSOLUTE.fullmatch(path)
        if found is not None:
            self.requestHeaders.setRawHeaders(b"host", [found[1]])
            path = found[2] if found[2].startswith(b"/") else b"/" + found[2]
        super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def process(self) -> None:
        """Answer, where the request is for this server by name."""
        connection: Any = self.channel.transport
        if isinstance(connection, GuardedConnection):
            connection.asked()
            self.notifyFinish().addBoth(lambda _: connection.answered())
        site: Any = self.channel.site  # type: ignore[attr-defined]
        refusal = site.judge_host(self)
        if refusal is None:
            super().process()  # type: ignore[no-untyped-call]
            return
        site.refused["host"] += 1
        self.setResponseCode(421)
        self.setHeader(b"content-type", b"application/json; charset=utf-8")  # type: ignore[no-untyped-call]
        self.write(json.dumps({"error": refusal}).encode() + b"\n")  # type: ignore[no-untyped-call]
        self.finish()  # type: ignore[no-untyped-call]


class GuardedSite(Site):
    """A site that does not log each request: a monitor asks every few seconds.

    Args:
        root: What answers.
        reactor: The reactor, or a clock.
        guard: What is allowed.

    Attributes:
        guard: What is allowed.
        refused: How many connections and requests were refused, by reason.
    """

    noisy = False
    displayTracebacks = False  # noqa: N815 - twisted.web's name
    requestFactory = GuardedRequest  # noqa: N815

    def __init__(self, root: Resource, reactor: IReactorTime, guard: HttpGuard) -> None:
        self.clock = steady_clock(reactor)
        super().__init__(root, reactor=self.clock, timeout=REQUEST_SECONDS)  # type: ignore[no-untyped-call]
        self.guard = guard
        self.refused = dict.fromkeys(("connection_limit", "too_slow", "host", "no_descriptors", "no_token"), 0)
        self._connections: dict[GuardedConnection, None] = {}
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in guard.names)}

    def log(self, request: object) -> None:
        """Log nothing."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection; the oldest that asks nothing is ended where there are too many."""
        if len(self._connections) >= self.guard.connections:
            self.refused["connection_limit"] += 1
            idle = next((one for one in self._connections if not one.busy), None)
            if idle is None:
                return None
            del self._connections[idle]
            idle.abortConnection()
        channel: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        return GuardedConnection(self, channel)  # type: ignore[arg-type]

    def registerProtocol(self, protocol: GuardedConnection) -> None:
        """See `twisted.protocols.policies.WrappingFactory`."""

    def unregisterProtocol(self, protocol: GuardedConnection) -> None:
        """See `twisted.protocols.policies.WrappingFactory`."""

    def began(self, connection: GuardedConnection) -> None:
        """A connection is there."""
        self._connections[connection] = None

    def ended(self, connection: GuardedConnection) -> None:
        """A connection is gone."""
        self._connections.pop(connection, None)

    def http_status(self) -> dict[str, object]:
        """What the status says of the site: ``connections``, and what was ``refused``, by reason."""
        return {
            "connections": len(self._connections),
            "refused": {reason: count for reason, count in self.refused.items() if count},
        }

    def judge_host(self, request: Request) -> str | None:
        """Say why a request is not for this server; None where it is.

        A page of another site may have a name that it gives this machine's address for a moment; its requests then
        carry that name. Addresses cannot be given away like that.
        """
        named = header_values(request.requestHeaders, "host")
        if isinstance(request.getHost(), UNIXAddress) or not named:
            return None
        found = _NAMED.fullmatch(named[0].strip())
        name = (found[1] if found else "").lower().strip("[]").rstrip(".")
        if len(named) == 1 and (name in self._names or _is_address(name)):
            return None
        return (
            f"this server is not {shown(named[0])!r}: ask by its address, as localhost, or by a name that it is "
            f"started with (--http-name)"
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
