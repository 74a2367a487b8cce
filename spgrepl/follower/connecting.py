"""What stands between Twisted and a follower: its connections, its endpoint, its failures."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.errors import ServiceStopped, SpgReplError


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


def named_error(failure: Failure, log: Logger) -> SpgReplError:
    """The error of a failure; one that nobody foresaw is logged whole, and named by a `ServiceStopped`."""
    if isinstance(failure.value, SpgReplError):
        return failure.value
    log.failure("unexpected error in a follower", failure)
    return ServiceStopped(f"unexpected error: {failure.getErrorMessage()}")
