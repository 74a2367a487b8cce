"""What the roles of a process have in common: services that start in order, a status, a site, an end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import attrs
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.python.failure import Failure
from twisted.web.server import Site

from spgrepl.access.descriptors import accept_few
from spgrepl.base.failures import named_error
from spgrepl.base.living_service import LivingService
from spgrepl.base.measures import Histogram
from spgrepl.base.observers import OneShot
from spgrepl.comparing.ends import ComparedEnd
from spgrepl.errors import ConfigurationError, ServiceStopped
from spgrepl.master.protocol import format_address
from spgrepl.server.comparing.sessions import Comparisons
from spgrepl.server.status.guarded_site import GuardedSite
from spgrepl.server.status.resource import SqlSource, build_site
from spgrepl.text.log_words import SqlInLogs
from spgrepl.text.role_log import RoleLogger, Speaker, began, ended, speak_for, speaking
from spgrepl.watch.metrics import Watched
from spgrepl.watch.problems import with_problems
from spgrepl.watch.settings import WatchSettings
from spgrepl.watch.site import SiteWatch
from spgrepl.watch.status import RoleStatus, to_json


class HttpService(Service):
    """Serves the site of a role.

    Args:
        endpoint: Where to listen.
        site: What answers there; see `spgrepl.server.status.resource.build_site`.
        watch: What the site shows of its roles, begun and ended with it; None for nothing.

    Attributes:
        port: The listening port; None while it does not listen.
    """

    _log = RoleLogger()

    def __init__(self, endpoint: IStreamServerEndpoint, site: Site, watch: SiteWatch | None = None) -> None:
        self._watch = watch
        self._endpoint = endpoint
        self._site = site
        self.port: IListeningPort | None = None
        self._trying: Deferred[Any] | None = None
        self._outcome: OneShot[None] = OneShot()

    @property
    def address(self) -> IAddress | None:
        """Where the site is served, with the port that the system chose for port 0; None while nowhere."""
        return None if self.port is None else self.port.getHost()

    def privilegedStartService(self) -> None:
        """Listen, while the process may still use ports below 1024."""
        Service.privilegedStartService(self)
        self._listen()

    def startService(self) -> None:
        """Listen; `listen` tells what became of it."""
        Service.startService(self)
        self._listen()

    def listen(self) -> Deferred[None]:
        """Listen, and wait for that.

        Returns:
            A Deferred that fires when the port is open. It fails with `ConfigurationError` where it cannot be
            opened, and with `ServiceStopped` where the service is stopped before.
        """
        self._listen()
        return self._outcome.wait()

    def _listen(self) -> None:
        if self.port is None and self._trying is None:
            self._outcome = OneShot()
            self._trying = maybeDeferred(self._endpoint.listen, self._site)
            self._trying.addCallbacks(self._opened, self._refused)

    def _opened(self, port: IListeningPort) -> None:
        self._trying = None
        self.port = port
        accept_few(port)
        if self._watch is not None:
            self._watch.start()
        self._log.info("status and waiting are served on {address}", address=format_address(port.getHost()))
        self._outcome.fire(None)

    def _refused(self, failure: Failure) -> None:
        self._trying = None
        if failure.check(CancelledError):
            failure = Failure(ServiceStopped("the site was stopped before it listened"))
        elif failure.check(CannotListenError, OSError):
            said = failure.getErrorMessage()
            failure = Failure(ConfigurationError(f"the address of --http cannot be listened on: {said}"))
        self._outcome.fire(failure)

    @inlineCallbacks
    def stopService(self) -> Any:
        """Close the port."""
        Service.stopService(self)
        if self._trying is not None:
            self._trying.cancel()
        if self._watch is not None:
            self._watch.stop()
        if self.port is not None:
            port, self.port = self.port, None
            yield port.stopListening()


class Role(LivingService, MultiService):
    """What all roles have: services that start in order, a status, and an end.

    A role may be started and stopped as often as one likes. When it cannot go on it closes everything but its
    site, which tells why until the role is stopped.

    Args:
        name: The role, for logs and errors.
        watch: How it is watched, with a short name for the status and for metrics.

    Attributes:
        kind: What it is: ``master``, ``follower`` or ``subscriber``.
        http: Serves its site; None for nowhere.
    """

    kind: ClassVar[str]
    _log = RoleLogger()

    def __init__(self, name: str, watch: WatchSettings | None = None) -> None:
        MultiService.__init__(self)
        self._watch = watch or WatchSettings(name)
        if self._watch.log_sql:
            SqlInLogs.allowed = True
        LivingService.__init__(self, name)
        self._speaker = Speaker(self.kind, self._watch.name)
        self.http: HttpService | None = None
        self._site: Site | None = None
        self._comparisons: Comparisons | None = None

    def _have(self, *services: Service | None) -> None:
        """Take services that belong to the role, whose `_open_role` starts them."""
        for service in services:
            if service is not None:
                service.setServiceParent(self)
        speak_for(self._speaker, *services)

    # -- what each role does in its own way -----------------------------------------------------------------------

    @abstractmethod
    def _describe(self) -> RoleStatus:
        """What ``/status`` shows of this role."""

    def measures(self) -> Mapping[str, Histogram]:
        """What took how long, and how big it was: ``batch_bytes``, ``apply_seconds``, ``fsync_seconds``."""
        return {}

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

    @abstractmethod
    def _open_role(self) -> Deferred[Any]:
        """Open everything, and start the services; fires when the role is ready."""

    def _leave(self) -> None:
        """The services are about to be stopped."""

    def _left(self) -> Deferred[Any] | None:
        """The services are stopped: close the rest."""
        return None

    # -- what is told of it ---------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``/status`` shows: plain values, for JSON, with the problems that are found in them."""
        return with_problems(to_json(attrs.evolve(self._describe(), http=self._site_status())))

    def _site_status(self) -> dict[str, object] | None:
        return self._site.http_status() if isinstance(self._site, GuardedSite) else None

    def _compares(self, reactor: Any, open_end: Callable[[], ComparedEnd], name: object) -> None:
        """Have the site answer comparisons of a database; called before it is made."""
        self._comparisons = Comparisons(reactor, open_end, name)

    def _make_site(self, reactor: Any, sql: SqlSource | None = None) -> Site:
        watched = Watched(self.status, self.measures)
        self._site_watch = SiteWatch(reactor, (watched,), self._watch.ready_lag)
        self._site = build_site(
            reactor,
            self.status,
            self.when_applied,
            sql,
            watch=self._site_watch,
            guard=self._watch.guard,
            compare=None if self._comparisons is None else self._comparisons.run,
        )
        return self._site

    def _make_http(self, endpoint: IStreamServerEndpoint | None, site: Site) -> HttpService | None:
        return None if endpoint is None else HttpService(endpoint, site, self._site_watch)

    # -- the life of a role ---------------------------------------------------------------------------------------

    def speaking(self) -> AbstractContextManager[None]:
        """Have lines that are logged inside a block say that they are about this role, when it has ended, too."""
        return speaking(self._speaker)

    @property
    def address(self) -> IAddress | None:
        """Where connections are accepted, with the port that the system chose for port 0; None while nowhere."""
        return None

    @property
    def http_address(self) -> IAddress | None:
        """Where the site is served, with the port that the system chose for port 0; None while nowhere."""
        return None if self.http is None else self.http.address

    def _ended(self, failure: Failure) -> None:
        """A part of the role cannot go on, and so the role cannot."""
        self._fail_with(named_error(failure, self._log))

    @inlineCallbacks
    def _open(self) -> Any:
        if self.http is not None:
            self.http.startService()
            yield self.http.listen()
        yield self._open_role()
        for service in self:
            if not service.running:
                # Somebody has added it to the role.
                service.startService()

    @inlineCallbacks
    def _close_all(self) -> Any:
        """Stop everything but the site, the last started first."""
        self._leave()
        if self._comparisons is not None:
            self._comparisons.close()
        services = [service for service in reversed(list(self)) if service is not self.http]
        stopped = yield DeferredList(
            [maybeDeferred(service.stopService) for service in services], consumeErrors=True
        )
        for done, result in stopped:
            if not done:
                self._log.failure("a service was not stopped cleanly", result)
        yield maybeDeferred(self._left)

    def startService(self) -> None:
        """Open everything; see `LivingService`."""
        began(self, self._speaker)
        with speaking(self._speaker):
            LivingService.startService(self)

    def stopService(self) -> Deferred[None]:
        """Stop everything, the last started first."""
        with speaking(self._speaker):
            stopping = LivingService.stopService(self)
        return stopping.addCallback(self._close_site).addCallback(self._silent)

    def _silent(self, result: Any) -> Any:
        if not self.running:
            ended(self)
        return result

    def _close_site(self, _: None) -> Any:
        # Who stopped it may have started it again meanwhile.
        return None if self.http is None or self.running else self.http.stopService()
