"""What stands between Twisted and a follower: its connections, its endpoint, its failures."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.steady_clock import steady_clock

CONNECT_SECONDS = 150.0
"""How long one attempt to connect may take: longer than a kernel tries by itself."""


@implementer(IProtocolFactory)
class LinkFactory:
    """Makes the connections of one follower, one at a time.

    Args:
        build: Makes the protocol of the next connection.
    """

    def __init__(self, build: Callable[[], IProtocol]) -> None:
        self._build = build

    def doStart(self) -> None:
        """Nothing has to be made ready."""

    def doStop(self) -> None:
        """Nothing has to be put away."""

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """Make the protocol of a connection that is there."""
        return self._build()


@implementer(IStreamClientEndpoint)
class NotingEndpoint:
    """An endpoint that tells of its failures, which `ClientService` keeps to itself.

    Args:
        endpoint: Who connects.
        failed: Told of each failure.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, failed: Callable[[Failure], None]) -> None:
        self._endpoint = endpoint
        self._failed = failed

    def __repr__(self) -> str:
        # ClientService names its endpoint in the log.
        return "the master"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        return self._endpoint.connect(protocolFactory).addErrback(self._note)

    def _note(self, failure: Failure) -> Failure:
        self._failed(failure)
        return failure


@implementer(IStreamClientEndpoint)
class TimedEndpoint:
    """An endpoint whose attempts end, whatever is done to the clock that Twisted's own deadlines go by.

    Args:
        endpoint: Who connects.
        clock: The reactor, or a clock.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime) -> None:
        self._endpoint = endpoint
        self._clock = steady_clock(clock)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        return self._endpoint.connect(protocolFactory).addTimeout(CONNECT_SECONDS, self._clock)


@implementer(IStreamClientEndpoint)
class ReadyEndpoint:
    """An endpoint that connects once something else has been done.

    Args:
        endpoint: Who connects.
        ready: Does it, and fires then; where it fails, so does connecting.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, ready: Callable[[], Deferred[None]]) -> None:
        self._endpoint = endpoint
        self._ready = ready

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        return self._ready().addCallback(lambda _: self._endpoint.connect(protocolFactory))


class _QuietClient(ClientService):
    """A client service that logs nothing of its own for each attempt: its owner counts them."""

    _log = Logger(observer=LogPublisher())  # which has no observers


def repeated_client(
    endpoint: IStreamClientEndpoint,
    build: Callable[[], IProtocol],
    failed: Callable[[Failure], None],
    delay: Callable[[int], float],
    clock: IReactorTime,
) -> ClientService:
    """A service that keeps one connection to a master, again and again.

    Args:
        endpoint: Who connects.
        build: Makes the protocol of the next connection.
        failed: Told of each attempt that has failed.
        delay: Says how many seconds to wait before the next attempt.
        clock: The clock that the pauses go by.
    """
    return _QuietClient(NotingEndpoint(endpoint, failed), LinkFactory(build), delay, clock)
