"""What runs in a process: a master or a follower, put together from its parts.

Use these services in your own Twisted server, as ``twistd spgrepl`` does (`spgrepl.process.tap`). Nothing here
touches the process: a role that cannot go on says so by its Deferred `finished`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IAddress

from spgrepl.base.measures import Histogram
from spgrepl.base.reading import thread_runner
from spgrepl.base.waiters import PositionWaiters
from spgrepl.catalogue.server_statements import ServerStatements
from spgrepl.catalogue.sources import ICatalogSource, LogCatalogSource, ReadLog, SqliteCatalogSource
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.disk.file_watch import FileGuard, FileWatch
from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import DatabaseLocked, UsageError
from spgrepl.log.file_kinds import require_log
from spgrepl.log.stored_level import StoredLevel
from spgrepl.log.tailer import WalTailer
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.service import MasterService
from spgrepl.master.snapshots.sources import (
    FileSnapshotSource,
    ISnapshotSource,
    LoggedDatabase,
    SqliteSnapshotSource,
)
from spgrepl.primary import Primary
from spgrepl.primary.writing.request_queue import PrimaryLimits
from spgrepl.replica.copy_queries import CopyQueries, QueriedCopy
from spgrepl.replica.following.service import FollowerService
from spgrepl.replica.following.states import Following
from spgrepl.segments.outgoing import SegmentFolder
from spgrepl.server.control_socket import ControlSocket
from spgrepl.server.orders import FollowerOrders, Promotable
from spgrepl.server.role import Role
from spgrepl.server.role_parts import (
    EngineSnapshots,
    OthersNotice,
    Reached,
    copy_position,
    learning_of,
    level_of,
    open_transaction,
    own_histories,
    serving_of,
)
from spgrepl.server.role_settings import FollowerSettings, MasterSettings, make_engine
from spgrepl.sqlite.session import Patience
from spgrepl.text.role_log import speak_for
from spgrepl.watch.status import FollowerStatus, MasterStatus, Nobody, Positions, Upstream
from spgrepl.watch.troubles import complaint_of, described_error


class MasterRole(Role):
    """A master: a log that is followed, a database that snapshots are made of, and those who are served.

    With the engine ``sqlite`` the database is recovered, or made, before anybody is served; its writer's lock is
    let go again at once, so that ``spgrepl exec`` or a `Primary` of another process can write.

    A `Primary` of the same program is handed in. The role then waits until that is open, in whatever order the two
    are started; the WAL level is the primary's, and so is what statements to the control socket can reach.

    Args:
        reactor: The reactor.
        settings: What to serve, and where.
        primary: The primary whose log is served, where this program has it; it is opened and closed by others.

    Raises:
        UsageError: The settings name other files than the primary's, or a WAL level that is not the primary's.
    """

    kind = "master"

    def __init__(self, reactor: Any, settings: MasterSettings, primary: Primary | None = None) -> None:
        paths = settings.paths
        super().__init__(f"the master of {paths.database}", settings.watch.named(paths.database.name))
        if primary is not None and (primary.paths != paths or settings.engine != "sqlite"):
            raise UsageError(
                f"the settings of the master are not for {primary.paths.database}, which its primary writes"
            )
        self._reactor = reactor
        self._settings = settings
        self._primary = primary
        self._recovery: Primary | None = None
        # Of what waits for the database's lock in threads while snapshots are made and publications are read.
        self._patience = Patience()
        self._level = level_of(settings.wal_level, primary)
        self.log = WalTailer(reactor, paths.wal)
        self._waiters = PositionWaiters(reactor, f"the log {paths.wal}")
        self._reached = Reached(self._waiters)
        self._serving = False
        # An archive's files are another program's, which replaces them as it likes.
        watched = (paths.database, paths.wal) if settings.engine == "sqlite" else ()
        self._guard = FileGuard(reactor, FileWatch(*watched))
        self._others = OthersNotice(reactor, paths, self.log)
        snapshots: ISnapshotSource = (
            SqliteSnapshotSource(paths.database, self._patience)
            if settings.engine == "sqlite"
            else FileSnapshotSource(paths.database, paths.manifest)
        )
        self.master = MasterService(
            reactor,
            settings.listen,
            LoggedDatabase(self.log, snapshots),
            serving_of(
                settings,
                SegmentFolder.of(settings.segment_folder or paths.segments, chunk=settings.segment_chunk),
                self._catalog(reactor),
                self._level,
            ),
        )
        self._stored = StoredLevel(reactor, paths.wal_level, self._level)
        own = ServerStatements(self._level, self._stored.set, self._waiters.wait)
        server = own if primary is None else primary.server
        if settings.engine == "sqlite":
            self._compares(reactor, partial(SqliteEnd, paths.database), paths.database)
        site = self._make_site(reactor, server.run)
        self.control = ControlSocket(reactor, paths.control_socket, site)
        self.http = self._make_http(settings.http, site)
        self._have(self.http, self.control, self.master)
        speak_for(self._speaker, self.log, self._guard, self._level)

    def _catalog(self, reactor: Any) -> ICatalogSource:
        paths, in_thread = self._settings.paths, thread_runner(reactor)
        if self._settings.engine == "sqlite":
            return SqliteCatalogSource(paths.database, in_thread, self._patience)
        return LogCatalogSource(
            ReadLog(self.log, paths.database, paths.manifest),
            in_thread,
            learning_of(self._settings, self._level),
        )

    @property
    def address(self) -> IAddress | None:
        """See `Role`."""
        return self.master.address

    @inlineCallbacks
    def _open_role(self) -> Any:
        """Recover the database, or wait for its primary; then serve it."""
        self._waiters.start()
        self._patience.stopped = False
        if self._primary is not None:
            yield self._primary.when_ready()
        else:
            yield self._stored.restore()
            if self._settings.engine == "sqlite":
                found = yield self._recover()
                self._others.start(found)
        if self._settings.engine != "sqlite":
            yield thread_runner(self._reactor)(partial(require_log, self._settings.paths.wal))
        database = self._settings.paths.database if self._settings.engine == "sqlite" else None
        histories = yield own_histories(thread_runner(self._reactor), database, self._primary)
        self._waiters.know(histories)
        self.log.add_listener(self._reached)
        self.log.start()
        if self._primary is not None:
            self._primary.log_grew.add(self.log.look)
        if self.log.known:
            self._waiters.reached(self.log.length)
        self._guard.start()
        self.control.startService()
        self.master.startService()
        yield self.master.listening
        self._serving = True

    @inlineCallbacks
    def _recover(self) -> Any:
        """Bring database and log to agreement, or make them; a writer that is there already has done so.

        Returns:
            A Deferred of what is wrong with the database, though it is served; None where nothing is.
        """
        paths = self._settings.paths
        if not paths.database.exists() and not paths.wal.exists():
            self._log.warn(
                "{database} is not there: an empty database is made, and served. Where another one is meant, stop "
                "this and name that with --db",
                database=paths.database,
            )
        primary = self._recovery = Primary(
            self._reactor,
            paths,
            limits=PrimaryLimits(self._settings.max_record),
            wal_level=self._level,
        )
        speak_for(self._speaker, primary)
        try:
            yield primary.open()
        except DatabaseLocked:
            database = self._settings.paths.database
            self._log.info("{database} has a writer, which keeps it and its log in order", database=database)
            return None
        warning = primary.warning
        yield primary.close()
        return warning

    def _leave(self) -> None:
        self._serving = False
        self._patience.stopped = True
        self._guard.stop()
        self._others.stop()
        self._waiters.stop()
        if self._life.error is not None:
            self.master.give_up(self._life.error)

    def _left(self) -> Deferred[None] | None:
        if self._primary is not None:
            self._primary.log_grew.remove(self.log.look)
        self.log.stop()
        self.log.remove_listener(self._reached)
        recovery, self._recovery = self._recovery, None
        return None if recovery is None else recovery.close()

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`. A master holds what its log holds."""
        return self._waiters.wait(position, timeout)

    def measures(self) -> Mapping[str, Histogram]:
        """See `Role`."""
        return {} if self._primary is None else self._primary.measures

    def _describe(self) -> MasterStatus:
        length = self.log.length if self._serving and self.log.known else None
        told = self.master.describe()
        histories = () if self._waiters.histories is None else self._waiters.histories.known
        fault = described_error(
            self._life.error, self._guard.error, complaint_of("log", self.log.complaint), told.fault
        )
        return MasterStatus(
            name=self._watch.name,
            state="serving" if self._serving else "stopped" if self._life.ending else "starting",
            engine=self._settings.engine,
            positions=Positions(source=length, durable=length, applied=length),
            history=histories[0].id if histories else None,
            histories=tuple({"id": one.id, "offset": one.offset, "stop": one.stop} for one in histories),
            serving=told.serving,
            status_seconds=told.status_seconds,
            warning=self._others.warning if self._primary is None else self._primary.warning,
            open_transactions=open_transaction(self._primary),
            fault=fault,
        )


class FollowerRole(QueriedCopy, Promotable):
    """A follower, and with `FollowerSettings.listen` a master of its own log.

    Args:
        reactor: The reactor.
        settings: Whose copy to keep, and how.

    Attributes:
        queries: Reads the copy beside what is being applied.
    """

    def __init__(self, reactor: Any, settings: FollowerSettings) -> None:
        paths = settings.paths
        super().__init__(reactor, f"the follower in {paths.database}", settings)
        self._level = settings.wal_level or WalLevel()
        self._stored = StoredLevel(reactor, paths.wal_level, self._level)
        engine = make_engine(settings)
        self.follower = FollowerService(
            reactor,
            settings.master,
            engine,
            paths,
            Following(
                on_divergence=settings.on_divergence,
                without_cold_rows=settings.without_cold_rows,
                transactions=settings.transactions,
                skip=settings.skip,
                max_record=settings.max_record,
                max_frame=settings.max_frame,
                limits=settings.replica,
            ),
        )
        self.master: MasterService | None = None
        if settings.listen is not None:
            self.master = MasterService(
                reactor,
                settings.listen,
                LoggedDatabase(self.follower.log, EngineSnapshots(engine)),
                serving_of(
                    settings,
                    # By name it might serve a file that is in place and not registered yet.
                    SegmentFolder.of(paths.segments, by_name=False, chunk=settings.segment_chunk),
                    self._catalog(reactor),
                    self._level,
                ),
            )
        rows = paths.database if engine.name == "sqlite" else None
        self.queries = CopyQueries(
            reactor, rows, f"the copy in {paths.database}", copy_position, self.when_applied
        )
        statements = ServerStatements(self._level, self._stored.set, self.follower.when_applied)
        orders = FollowerOrders(statements.run, self.promote, self.follower.skip)
        if rows is not None:
            self._compares(reactor, partial(SqliteEnd, rows), rows)
        elif isinstance(engine, PostgresqlEngine):
            self._compares(reactor, partial(ServerEnd, engine.address), engine.address)
        site = self._make_site(reactor, orders.run)
        self.control = ControlSocket(reactor, paths.control_socket, site)
        self.http = self._make_http(settings.http, site)
        self.follower.reports.call("follower", self._watch.name, settings.master_name)
        self._have(self.http, self.follower, self.control, self.master)
        speak_for(self._speaker, self._level)

    def _catalog(self, reactor: Any) -> ICatalogSource:
        paths, in_thread = self._settings.paths, thread_runner(reactor)
        if self.follower.engine_name == "sqlite":
            return SqliteCatalogSource(paths.database, in_thread)
        return LogCatalogSource(
            ReadLog(self.follower.log, paths.database, None),
            in_thread,
            learning_of(self._settings, self._level),
        )

    @property
    def address(self) -> IAddress | None:
        """See `Role`."""
        return None if self.master is None else self.master.address

    @inlineCallbacks
    def _open_role(self) -> Any:
        """Open the copy, connect to the master, and serve whoever follows."""
        self.queries.start()
        self.follower.startService()
        self.follower.finished.addErrback(self._ended)
        if self.master is not None:
            yield self._stored.restore()
        self.control.startService()
        if self.master is not None:
            self.master.startService()
            yield self.master.listening
        yield self.follower.when_ready()

    def _leave(self) -> None:
        if self.master is not None and self._life.error is not None:
            self.master.give_up(self._life.error)

    def _left(self) -> Deferred[Any] | None:
        return self.queries.stop()

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """See `Role`."""
        return self.follower.when_applied(position, timeout)

    def measures(self) -> Mapping[str, Histogram]:
        """See `Role`."""
        return self.follower.measures

    def _describe(self) -> FollowerStatus:
        own, told = self.follower.describe(), None if self.master is None else self.master.describe()
        return attrs.evolve(
            own,
            name=self._watch.name,
            serving=Nobody() if told is None else told.serving,
            upstream=Upstream(self._settings.master_name),
            fault=described_error(self._life.error, own.fault, None if told is None else told.fault),
        )
