"""What the roles of a process have in common: services that start in order, a status, a site, an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from spgrepl.errors import ConfigurationError, ServiceStopped, SpgReplError


class Role(MultiService, ABC):
    """What all roles have: services that start in order, a status, and an end.

    Attributes:
        finished: Fires with None when the role was stopped on demand, or fails with the `SpgReplError` that makes
            it impossible to go on. The role's services are stopped by whoever owns it, in both cases.
    """

    _log = Logger()

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.finished: Deferred[None] = Deferred()
        self._error: str | None = None

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """What ``/status`` shows: plain values, for JSON."""

    @abstractmethod
    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait until this role holds everything up to a position.

        Args:
            position: A position in the master's log, in bytes.
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            A Deferred that fires with the position that has been reached, or fails with `WaitTimeout` or
            `ServiceStopped`.
        """

    def stopService(self) -> Deferred[None]:
        """Stop everything, the last started first."""
        stopping: Deferred[None] = super().stopService()  # type: ignore[no-untyped-call]
        return stopping.addBoth(self._stopped)

    def _stopped(self, result: object) -> object:
        if not self.finished.called:
            self.finished.callback(None)
        return result

    def _fail(self, failure: Failure) -> None:
        """Go on no further, for a reason that the role's owner is told."""
        if not self.running and isinstance(failure.value, ServiceStopped):
            return
        if not isinstance(failure.value, SpgReplError):
            self._log.failure("unexpected error", failure)
            failure = Failure(ServiceStopped(f"unexpected error: {failure.getErrorMessage()}"))
        self._error = str(failure.value)
        if not self.finished.called:
            self.finished.errback(failure)


class HttpService(Service):
    """Serves the site of a role.

    Args:
        endpoint: Where to listen.
        site: What answers there; see `spgrepl.status.resource.build_site`.

    Attributes:
        port: The listening port; None before it listens.
    """

    _log = Logger()

    def __init__(self, endpoint: IStreamServerEndpoint, site: Site) -> None:
        self._endpoint = endpoint
        self._site = site
        self.port: IListeningPort | None = None
        self._listening: Deferred[None] | None = None

    def listen(self) -> Deferred[None]:
        """Begin to listen.

        Returns:
            A Deferred that fires when the port is open, or fails with `ConfigurationError`.
        """
        self._listening = self._endpoint.listen(self._site).addCallbacks(self._opened, self._refused)
        return self._listening

    def _opened(self, port: IListeningPort) -> None:
        self.port = port
        self._log.info("status and waiting are served on {address}", address=port.getHost())

    def _refused(self, failure: Failure) -> None:
        raise ConfigurationError(f"the address of --http cannot be listened on: {failure.getErrorMessage()}")

    @inlineCallbacks
    def stopService(self) -> Any:
        """Close the port."""
        Service.stopService(self)
        if self.port is not None:
            port, self.port = self.port, None
            yield port.stopListening()
