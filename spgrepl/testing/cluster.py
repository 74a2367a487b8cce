"""A primary with followers and subscribers in one process, without threads, sockets and a clock on the wall."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList

from spgrepl.base.results import Position
from spgrepl.disk.files import DatabasePaths
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.primary.primary import Primary
from spgrepl.primary.service import PrimaryService
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.server.role import Role
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from spgrepl.testing.network import MemoryNetwork
from spgrepl.testing.stepping import StepReactor

_MEMORY = "/dev/shm"  # noqa: S108 # nosec B108 - a folder is made there, with a name of its own

_T = TypeVar("_T")
_AnyService = TypeVar("_AnyService", PrimaryService, MasterRole, FollowerRole, SubscriberRole)


@attrs.frozen
class PrimaryNode:
    """A primary that runs, and the master that serves it.

    Attributes:
        primary: The primary.
        service: Opens and closes it.
        master: The master.
        paths: Its files.
    """

    cluster: Cluster
    primary: Primary
    service: PrimaryService
    master: MasterRole
    paths: DatabasePaths

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> Position:
        """Run one statement; returns the position after it, with the rows that it returns as its ``results``."""
        return self.cluster.wait(self.primary.execute(sql, parameters))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read rows."""
        return self.cluster.wait(self.primary.query(sql, parameters)).rows


class Cluster:
    """Nodes of one test. Use it as a context manager, or call `close` in the end.

    ::

        with Cluster(tmp_path) as cluster:
            primary = cluster.primary()
            copy = cluster.follower()
            position = primary.execute("CREATE TABLE t (a)")
            cluster.wait(copy.when_applied(position))

    Args:
        folder: Where the nodes have their files; it must exist. None for one in memory, where the system has such
            (Linux: ``/dev/shm``), which `close` removes: on a disk most of a test's time goes into flushes.
        reactor: A reactor that others use too; None for one of its own.

    Attributes:
        folder: Where the nodes have their files.
        reactor: The reactor: time goes by, and anything happens, only when a method of it or of this is called.
        network: The connections.
    """

    def __init__(self, folder: Path | None = None, reactor: StepReactor | None = None) -> None:
        self._own: TemporaryDirectory[str] | None = None
        if folder is None:
            self._own = _folder_in_memory()
            folder = Path(self._own.name)
        self.folder = folder
        self.reactor = reactor or StepReactor()
        self.network = MemoryNetwork(self.reactor)
        self._services: list[PrimaryService | Role] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- nodes --------------------------------------------------------------------------------------------------

    def paths(self, name: str) -> DatabasePaths:
        """The files of a node."""
        return DatabasePaths.of(self.folder / f"{name}.db")

    def primary(self, name: str = "primary", **settings: Any) -> PrimaryNode:
        """Start a primary with a master, which followers and subscribers reach by the primary's name.

        Args:
            name: The node.
            settings: Further settings, see `MasterSettings`.
        """
        paths = self.paths(name)
        primary = Primary(self.reactor, paths, wal_level=WalLevel(Level.LOGICAL))
        service = PrimaryService(primary)
        master = MasterRole(
            self.reactor, MasterSettings(paths, self.network.server(name), **settings), primary=primary
        )
        self.start(service)
        self.start(master)
        self.wait(master.when_ready())
        return PrimaryNode(self, primary, service, master, paths)

    def follower(
        self, name: str = "follower", of: str = "primary", listen: bool = True, **settings: Any
    ) -> FollowerRole:
        """Start a follower.

        Args:
            name: The node; its own followers reach it by this name.
            of: The node that it follows.
            listen: Whether it has followers itself.
            settings: Further settings, see `FollowerSettings`.
        """
        server = self.network.server(name) if listen else None
        return self.start(
            FollowerRole(
                self.reactor,
                FollowerSettings(self.paths(name), self.network.client(of, name), listen=server, **settings),
            )
        )

    def subscriber(
        self, *publications: str, name: str = "subscriber", of: str = "primary", **subscription: Any
    ) -> SubscriberRole:
        """Start a subscriber.

        Args:
            publications: What it asks for.
            name: The node, and the subscription.
            of: The node that it subscribes to.
            subscription: Further settings, see `Subscription`.
        """
        return self.start(
            SubscriberRole(
                self.reactor,
                SubscriberSettings(
                    self.paths(name),
                    self.network.client(of, name),
                    Subscription(name, publications, **subscription),
                ),
            )
        )

    def start(self, service: _AnyService) -> _AnyService:
        """Start a service of this cluster's reactor, which is stopped by `close`."""
        self._services.append(service)
        service.startService()
        return service

    # -- time ---------------------------------------------------------------------------------------------------

    def wait(self, deferred: Deferred[_T], seconds: float = 60.0) -> _T:
        """See `StepReactor.wait`."""
        return self.reactor.wait(deferred, seconds)

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """See `StepReactor.until`."""
        self.reactor.until(condition, seconds)

    def pass_time(self, seconds: float) -> None:
        """See `StepReactor.pass_time`."""
        self.reactor.pass_time(seconds)

    # -- the end ------------------------------------------------------------------------------------------------

    def stop(self, service: PrimaryService | Role) -> None:
        """Stop one of the services."""
        if service in self._services:
            self._services.remove(service)
        self.wait(_stopped(service))

    def close(self) -> None:
        """Stop everything, what was started last first."""
        for service in reversed(self._services):
            self.wait(_stopped(service))
        self._services.clear()
        self.reactor.settle()
        if self._own is not None:
            self._own.cleanup()


def _folder_in_memory() -> TemporaryDirectory[str]:
    """A folder of its own, in memory where there is room for files there."""
    return TemporaryDirectory(prefix="spgrepl-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)


def _stopped(service: PrimaryService | Role) -> Deferred[Any]:
    stopping: Any = service.stopService()
    return DeferredList([stopping], consumeErrors=True) if isinstance(stopping, Deferred) else DeferredList([])
