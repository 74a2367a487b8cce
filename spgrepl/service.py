"""What runs in a process: a master or a follower, put together from its parts.

Use these services in your own Twisted server, as ``twistd spgrepl`` does (`spgrepl.tap`). Nothing here touches the
process: a role that cannot go on says so by its Deferred `finished`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from spgrepl.control_socket import ControlSocket
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.interfaces import IEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import DatabaseLocked, LogTruncated
from spgrepl.files import DatabasePaths, load_cluster_id
from spgrepl.follower.replay import SkipRequest
from spgrepl.follower.service import FollowerService
from spgrepl.follower.states import OnDivergence
from spgrepl.follower.waiters import PositionWaiters
from spgrepl.master.limits import MasterLimits
from spgrepl.master.publisher import PublisherSettings
from spgrepl.master.reading import thread_runner
from spgrepl.master.segments import SegmentFolder
from spgrepl.master.service import MasterService
from spgrepl.master.sources import FileSnapshotSource, ISnapshotSource, SqliteSnapshotSource
from spgrepl.primary import Primary
from spgrepl.publications.sources import ICatalogSource, LogCatalogSource, SqliteCatalogSource
from spgrepl.role import HttpService, Role
from spgrepl.server_statements import ServerStatements
from spgrepl.status.resource import build_site
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal.source import ILogListener
from spgrepl.wal.tailer import WalTailer
from spgrepl.wal_level import WalLevel
from spgrepl.wire.frames import DEFAULT_MAX_FRAME
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

FOLLOWER_ENGINES = {"sqlite": SqliteEngine, "archive": ArchiveEngine, "counting": CountingEngine}
"""Where a follower can apply a log, by the names that users type."""

MASTER_ENGINES = ("sqlite", "archive")
"""What a master can serve, by the names that users type."""


@attrs.frozen
class MasterSettings:
    """What a master serves, and where.

    Attributes:
        paths: The database and its log.
        listen: Where followers connect.
        engine: ``sqlite`` for a database that `spgrepl.Primary` writes, ``archive`` for a log and snapshot that
            another program keeps.
        limits: What peers are allowed.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
        max_record: The most bytes of SQL or payload that a record may have.
        segment_folder: Where the cold segments are; None for the folder beside the database.
        segment_chunk: At how many bytes they are cut, 16 MiB at most.
        wal_level: Whether subscribers are served too; hand in a `Primary`'s own, and SET effective_wal_level works
            there.
        strict_publications: Whether to turn subscribers away who ask for an unknown publication.
    """

    paths: DatabasePaths
    listen: IStreamServerEndpoint
    engine: str = "sqlite"
    limits: MasterLimits = attrs.field(factory=MasterLimits)
    http: IStreamServerEndpoint | None = None
    max_record: int = DEFAULT_MAX_RECORD
    segment_folder: Path | None = None
    segment_chunk: int = DEFAULT_CHUNK
    wal_level: WalLevel = attrs.field(factory=WalLevel)
    strict_publications: bool = False


@attrs.frozen
class FollowerSettings:
    """Whose copy a follower keeps, and how.

    Attributes:
        paths: The copy and its own log.
        master: Where the master listens.
        engine: Where the log is applied, one of `FOLLOWER_ENGINES`.
        listen: Where followers of this follower connect; None for nowhere.
        limits: What those followers are allowed.
        http: Where ``/status`` and ``/wait`` are answered; None for nowhere.
        on_divergence: What to do when the master's history is another one.
        skip: A record to pass over, once.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.
        segment_chunk: At how many bytes cold segments are cut for those followers, 16 MiB at most.
        wal_level: Whether subscribers are served too.
        strict_publications: Whether to turn subscribers away who ask for an unknown publication.
    """

    paths: DatabasePaths
    master: IStreamClientEndpoint
    engine: str = "sqlite"
    listen: IStreamServerEndpoint | None = None
    limits: MasterLimits = attrs.field(factory=MasterLimits)
    http: IStreamServerEndpoint | None = None
    on_divergence: OnDivergence = OnDivergence.STOP
    skip: SkipRequest | None = None
    max_record: int = DEFAULT_MAX_RECORD
    max_frame: int = DEFAULT_MAX_FRAME
    segment_chunk: int = DEFAULT_CHUNK
    wal_level: WalLevel = attrs.field(factory=WalLevel)
    strict_publications: bool = False


@implementer(ILogListener)
class _Reached:
    """Tells waiters how long a log is."""

    def __init__(self, waiters: PositionWaiters) -> None:
        self._waiters = waiters

    def log_grew(self, length: int) -> None:
        self._waiters.reached(length)

    def log_lost(self, reason: LogTruncated) -> None:
        """Whoever waits goes on waiting: the log may come back and grow."""
        self._waiters.reached(0)


class MasterRole(Role):
    """A master: a log that is followed, a database that snapshots are made of, and those who are served.

    With the engine ``sqlite`` the database is recovered, or made, before anybody is served; its writer's lock is
    let go again at once, so that ``spgrepl exec`` or a `Primary` of another process can write.

    Args:
        reactor: The reactor.
        settings: What to serve, and where.
    """

    def __init__(self, reactor: Any, settings: MasterSettings) -> None:
        super().__init__()
        self._reactor = reactor
        self._settings = settings
        paths = settings.paths
        self.log = WalTailer(reactor, paths.wal)
        self._waiters = PositionWaiters(reactor, f"the log {paths.wal}")
        self._serving = False
        snapshots: ISnapshotSource = (
            SqliteSnapshotSource(paths.database)
            if settings.engine == "sqlite"
            else FileSnapshotSource(paths.database, paths.manifest)
        )
        self.master = MasterService(
            reactor,
            settings.listen,
            self.log,
            snapshots,
            limits=settings.limits,
            spool_folder=paths.database.parent,
            segments=SegmentFolder.of(settings.segment_folder or paths.segments, chunk=settings.segment_chunk),
            publisher=PublisherSettings(
                self._catalog(reactor),
                partial(load_cluster_id, paths),
                settings.wal_level,
                settings.strict_publications,
                settings.max_record,
            ),
        )
        site = build_site(
            reactor, self.status, self.when_applied, ServerStatements(settings.wal_level, self._waiters.wait).run
        )
        self.control = ControlSocket(reactor, paths.control_socket, site)
        self.http = HttpService(settings.http, site) if settings.http is not None else None

    def _catalog(self, reactor: Any) -> ICatalogSource:
        paths, in_thread = self._settings.paths, thread_runner(reactor)
        if self._settings.engine == "sqlite":
            return SqliteCatalogSource(paths.database, in_thread)
        return LogCatalogSource(
            self.log,
            paths.database,
            paths.manifest,
            in_thread,
            self._settings.max_record,
            lambda: self._settings.wal_level.is_logical,
        )

    def startService(self) -> None:
        """Recover the database, then serve it."""
        Service.startService(self)
        self._start().addErrback(self._fail)

    @inlineCallbacks
    def _start(self) -> Any:
        if self.http is not None:
            self.http.setServiceParent(self)  # type: ignore[no-untyped-call]
            yield self.http.listen()
        if self._settings.engine == "sqlite":
            yield self._recover()
        if not self.running:
            return
        self.log.add_listener(_Reached(self._waiters))
        self.log.start()
        self._waiters.reached(self.log.length)
        self.control.setServiceParent(self)  # type: ignore[no-untyped-call]
        self.master.setServiceParent(self)  # type: ignore[no-untyped-call]
        yield self.master.listening
        self._serving = True

    @inlineCallbacks
    def _recover(self) -> Any:
        """Bring database and log to agreement, or make them; a writer that is there already has done so."""
        primary = Primary(self._reactor, self._settings.paths, max_record=self._settings.max_record)
        try:
            yield primary.open()
        except DatabaseLocked:
            database = self._settings.paths.database
            self._log.info("{database} has a writer, which keeps it and its log in order", database=database)
            return
        yield primary.close()

    def stopService(self) -> Deferred[None]:
        """Let everybody go."""
        self._serving = False
        self.log.stop()
        self._waiters.stop()
        return super().stopService()

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`. A master holds what its log holds."""
        return self._waiters.wait(position, timeout)

    def status(self) -> dict[str, Any]:
        """See `Role`."""
        length = self.log.length if self._serving else None
        serving = self.master.status()
        starting = self.running and self._error is None
        state = "serving" if self._serving else "starting" if starting else "stopped"
        return {
            "role": "master",
            "state": state,
            "engine": self._settings.engine,
            "positions": {"source": length, "received": None, "durable": length, "applied": length},
            "lag": {"bytes": None, "seconds": None},
            "statements": None,
            "digest": None,
            **serving,
            "error": self._error or serving["error"],
        }


@implementer(ISnapshotSource)
class _EngineSnapshots:
    """The snapshots of a follower's own copy."""

    def __init__(self, engine: IEngine) -> None:
        self._engine = engine

    def save(self, path: Path) -> int:
        """See `ISnapshotSource`."""
        return self._engine.save_snapshot(path)


class FollowerRole(Role):
    """A follower, and with `FollowerSettings.listen` a master of its own log.

    Args:
        reactor: The reactor.
        settings: Whose copy to keep, and how.
    """

    def __init__(self, reactor: Any, settings: FollowerSettings) -> None:
        super().__init__()
        self._settings = settings
        paths = settings.paths
        engine = FOLLOWER_ENGINES[settings.engine](paths.database)
        self.follower = FollowerService(
            reactor,
            settings.master,
            engine,
            paths,
            on_divergence=settings.on_divergence,
            skip=settings.skip,
            max_record=settings.max_record,
            max_frame=settings.max_frame,
        )
        self.master: MasterService | None = None
        if settings.listen is not None:
            self.master = MasterService(
                reactor,
                settings.listen,
                self.follower.log,
                _EngineSnapshots(engine),
                limits=settings.limits,
                spool_folder=paths.database.parent,
                # By name it might serve a file that is in place and not registered yet.
                segments=SegmentFolder.of(paths.segments, by_name=False, chunk=settings.segment_chunk),
                publisher=PublisherSettings(
                    self._catalog(reactor),
                    partial(load_cluster_id, paths),
                    settings.wal_level,
                    settings.strict_publications,
                    settings.max_record,
                ),
            )
        site = build_site(
            reactor,
            self.status,
            self.when_applied,
            ServerStatements(settings.wal_level, self.follower.when_applied).run,
        )
        self.control = ControlSocket(reactor, paths.control_socket, site) if self.master is not None else None
        self.http = HttpService(settings.http, site) if settings.http is not None else None

    def _catalog(self, reactor: Any) -> ICatalogSource:
        paths, in_thread = self._settings.paths, thread_runner(reactor)
        if self._settings.engine == "sqlite":
            return SqliteCatalogSource(paths.database, in_thread)
        return LogCatalogSource(
            self.follower.log,
            paths.database,
            None,
            in_thread,
            self._settings.max_record,
            lambda: self._settings.wal_level.is_logical,
        )

    def startService(self) -> None:
        """Open the copy, connect to the master, and serve whoever follows."""
        Service.startService(self)
        self.follower.finished.addErrback(self._fail)
        self._start().addErrback(self._fail)

    @inlineCallbacks
    def _start(self) -> Any:
        if self.http is not None:
            self.http.setServiceParent(self)  # type: ignore[no-untyped-call]
            yield self.http.listen()
        if not self.running:
            return
        self.follower.setServiceParent(self)  # type: ignore[no-untyped-call]
        if self.master is not None and self.control is not None:
            self.control.setServiceParent(self)  # type: ignore[no-untyped-call]
            self.master.setServiceParent(self)  # type: ignore[no-untyped-call]
            yield self.master.listening

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`."""
        return self.follower.when_applied(position, timeout)

    def status(self) -> dict[str, Any]:
        """See `Role`."""
        own = self.follower.status()
        serving: dict[str, Any] = {"peers": [], "error": None} if self.master is None else self.master.status()
        error = self._error or own["error"] or serving["error"]
        return {"statements": None, "digest": None, **serving, **own, "error": error}
