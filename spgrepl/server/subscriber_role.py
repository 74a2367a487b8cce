"""What ``twistd spgrepl subscriber`` runs: a subscription, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from spgrepl.base.measures import Histogram
from spgrepl.comparing.ends import SqliteEnd, Wanted
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.interfaces.target import ITarget
from spgrepl.postgresql.address import ServerAddress, names_server, shown_engine
from spgrepl.replica.copy_queries import CopyQueries, QueriedCopy
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, Subscription
from spgrepl.server.role import Role
from spgrepl.server.role_parts import subscription_position
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.watch.settings import WatchSettings
from spgrepl.watch.status import SubscriberStatus, Upstream
from spgrepl.watch.troubles import described_error

SUBSCRIBER_ENGINES = ("sqlite", "counting")
"""Where a subscriber can put rows, by the names that users type; a server is named by a ``postgresql://`` URI."""


@attrs.frozen
class SubscriberSettings:
    """What a subscriber asks for, and where it puts what it gets.

    Attributes:
        paths: The target database; its cluster id lies beside it, where that of a primary's would. Where a server
            is the target: beside it a snapshot is gathered, and the file itself is not made.
        master: Where the master listens.
        subscription: What is subscribed to.
        engine: Where rows are put: one of `SUBSCRIBER_ENGINES`, or the ``postgresql://`` URI of a server, or its
            keywords and values for libpq. What of that is secret is shown nowhere.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
        without_cold_rows: Whether to do without rows of an SPG snapshot whose cold segments never come.
        fire_triggers: Whether the target's own triggers fire when rows arrive.
        accept_changed_tables: Whether copied tables that were changed since are taken as they are.
        nondeterministic: What to do about values in an SPG server's log that every replica computes for itself.
        watch: How it is watched.
        master_name: What the master is called in the status; its address as it was typed, or another name.
    """

    paths: DatabasePaths
    master: IStreamClientEndpoint
    subscription: Subscription
    engine: str = attrs.field(default="sqlite", repr=shown_engine)
    http: IStreamServerEndpoint | None = None
    without_cold_rows: bool = False
    fire_triggers: bool = False
    accept_changed_tables: bool = False
    nondeterministic: Nondeterministic = Nondeterministic.STOP
    watch: WatchSettings = attrs.field(factory=WatchSettings)
    master_name: str = ""


def make_target(settings: SubscriberSettings) -> ITarget:
    """The target that settings name."""
    database = settings.paths.database
    if settings.engine == "counting":
        target: ITarget = CountingTarget(database)
        return target
    options = TargetOptions(
        without_cold_rows=settings.without_cold_rows,
        fire_triggers=settings.fire_triggers,
        accept_changed_tables=settings.accept_changed_tables,
        statement_seconds=settings.subscription.limits.statement_seconds,
        nondeterministic=settings.nondeterministic,
    )
    if names_server(settings.engine):
        return PostgresqlTarget(ServerAddress.parse(settings.engine), settings.subscription.name, options)
    return SqliteTarget(database, settings.subscription.name, options)


class SubscriberRole(QueriedCopy, Role):
    """A subscriber.

    Args:
        reactor: The reactor.
        settings: What to ask for, and where to put it.

    Attributes:
        subscriber: The subscription's service.
        queries: Reads the target beside what is being applied.
    """

    kind = "subscriber"

    def __init__(self, reactor: Any, settings: SubscriberSettings) -> None:
        target = make_target(settings)
        remote = target if isinstance(target, PostgresqlTarget) else None
        where = settings.paths.database if remote is None else remote.address
        super().__init__(f"the subscriber in {where}", settings.watch.named(settings.subscription.name))
        self._settings = settings
        self.subscriber = SubscriberService(
            reactor,
            settings.master,
            target,
            settings.subscription,
            SubscriberSide(
                self._read_cluster_id if remote is None else remote.cluster_id, settings.paths.database
            ),
        )
        rows = settings.paths.database if isinstance(target, SqliteTarget) else None
        stored = partial(subscription_position, settings.subscription.name)
        self.queries = CopyQueries(reactor, rows, f"the subscriber in {where}", stored, self.when_applied)
        wanted = Wanted(settings.subscription.name)
        if rows is not None:
            self._compares(reactor, partial(SqliteEnd, rows, wanted), rows)
        elif remote is not None:
            self._compares(reactor, partial(ServerEnd, remote.address, wanted), remote.address)
        site = self._make_site(reactor)
        self.http = self._make_http(settings.http, site)
        self.subscriber.reports.call("subscriber", self._watch.name, settings.master_name)
        self._have(self.http, self.subscriber)

    @inlineCallbacks
    def _open_role(self) -> Any:
        """Look how far the subscription has come, and connect to the master."""
        self.queries.start()
        self.subscriber.startService()
        self.subscriber.finished.addErrback(self._ended)
        yield self.subscriber.when_ready()

    def _left(self) -> Deferred[Any] | None:
        return self.queries.stop()

    def _read_cluster_id(self) -> int:
        return load_cluster_id(self._settings.paths)

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`."""
        return self.subscriber.when_applied(position, timeout)

    def measures(self) -> Mapping[str, Histogram]:
        """See `Role`."""
        return self.subscriber.measures

    def _describe(self) -> SubscriberStatus:
        own = self.subscriber.describe()
        return attrs.evolve(
            own,
            upstream=Upstream(self._settings.master_name),
            fault=described_error(self._life.error, own.fault),
        )
