"""What ``twistd spgrepl subscriber`` runs: a subscription, put together from its parts."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.failure import Failure

from spgrepl.errors import ConfigurationError, ServiceStopped, UsageError
from spgrepl.files import DatabasePaths, load_cluster_id
from spgrepl.follower.waiters import MAX_WAITERS
from spgrepl.master.reading import thread_runner
from spgrepl.role import HttpService, Role
from spgrepl.status.resource import build_site
from spgrepl.subscriber.counting_target import CountingTarget
from spgrepl.subscriber.interfaces import ITarget
from spgrepl.subscriber.service import SubscriberService, Subscription
from spgrepl.subscriber.sqlite_target import SqliteTarget

SUBSCRIBER_ENGINES = ("sqlite", "counting")
"""Where a subscriber can put rows, by the names that users type."""


@attrs.frozen
class SubscriberSettings:
    """What a subscriber asks for, and where it puts what it gets.

    Attributes:
        paths: The target database; its cluster id lies beside it, where that of a primary's would.
        master: Where the master listens.
        subscription: What is subscribed to.
        engine: Where rows are put, one of `SUBSCRIBER_ENGINES`.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
    """

    paths: DatabasePaths
    master: IStreamClientEndpoint
    subscription: Subscription
    engine: str = "sqlite"
    http: IStreamServerEndpoint | None = None


def make_target(settings: SubscriberSettings) -> ITarget:
    """The target that settings name."""
    database = settings.paths.database
    if settings.engine == "counting":
        target: ITarget = CountingTarget(database)
        return target
    return SqliteTarget(database, settings.subscription.name)


class SubscriberRole(Role):
    """A subscriber.

    Args:
        reactor: The reactor.
        settings: What to ask for, and where to put it.

    Attributes:
        subscriber: The subscription's service; None until the cluster id is known.
    """

    def __init__(self, reactor: Any, settings: SubscriberSettings) -> None:
        super().__init__()
        self._reactor = reactor
        self._settings = settings
        self._waiting: list[tuple[int, float | None, Deferred[int]]] = []
        self.subscriber: SubscriberService | None = None
        site = build_site(reactor, self.status, self.when_applied)
        self.http = HttpService(settings.http, site) if settings.http is not None else None

    def startService(self) -> None:
        """Look how far the subscription has come, and connect to the master."""
        Service.startService(self)
        self._start().addErrback(self._fail)

    @inlineCallbacks
    def _start(self) -> Any:
        if self.http is not None:
            self.http.setServiceParent(self)  # type: ignore[no-untyped-call]
            yield self.http.listen()
        cluster_id = yield thread_runner(self._reactor)(self._read_cluster_id)
        if not self.running:
            return
        self.subscriber = SubscriberService(
            self._reactor,
            self._settings.master,
            make_target(self._settings),
            self._settings.subscription,
            cluster_id,
            self._settings.paths.database,
        )
        self.subscriber.finished.addErrback(self._fail)
        self.subscriber.setServiceParent(self)  # type: ignore[no-untyped-call]
        waiting, self._waiting = self._waiting, []
        for position, timeout, waiter in waiting:
            self.subscriber.when_applied(position, timeout).chainDeferred(waiter)

    def _read_cluster_id(self) -> int:
        paths = self._settings.paths
        try:
            return load_cluster_id(paths)
        except OSError as error:
            raise ConfigurationError(f"{paths.cluster_id} cannot be read or made: {error}") from error

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`."""
        if self.subscriber is not None:
            return self.subscriber.when_applied(position, timeout)
        if self.finished.called:
            return fail(_stopped())
        if len(self._waiting) >= MAX_WAITERS:
            return fail(UsageError(f"{MAX_WAITERS} already wait for the subscription; wait for fewer at once"))
        waiter: Deferred[int] = Deferred()
        self._waiting.append((position, timeout, waiter))
        return waiter

    def _fail(self, failure: Failure) -> None:
        super()._fail(failure)
        self._dismiss()

    def stopService(self) -> Deferred[None]:
        """Stop the subscription, and tell those who wait for one that has not begun."""
        return super().stopService().addCallback(lambda _: self._dismiss())

    def _dismiss(self) -> None:
        waiting, self._waiting = self._waiting, []
        for _, _, waiter in waiting:
            waiter.errback(_stopped())

    def status(self) -> dict[str, Any]:
        """See `Role`."""
        if self.subscriber is None:
            own: dict[str, Any] = {
                "role": "subscriber",
                "state": "starting" if self._error is None else "stopped",
                "positions": {"source": None, "received": None, "durable": None, "applied": None},
                "lag": {"bytes": None, "seconds": None},
                "error": None,
            }
        else:
            own = self.subscriber.status()
        return {"statements": None, "digest": None, "peers": [], **own, "error": self._error or own["error"]}


def _stopped() -> ServiceStopped:
    return ServiceStopped("the subscriber was stopped before its subscription began")
