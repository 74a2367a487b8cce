"""Small parts of which `spgrepl.server.roles` puts roles together."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import apsw
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from spgrepl.base.beat import Beat
from spgrepl.base.histories import Histories
from spgrepl.base.reading import RunInThread
from spgrepl.base.waiters import PositionWaiters
from spgrepl.catalogue.sources import ICatalogSource, Learning
from spgrepl.disk.file_watch import WATCH_INTERVAL
from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.errors import EngineFailed, LogTruncated, UsageError
from spgrepl.interfaces.engine import IEngine
from spgrepl.log.source import ILogListener
from spgrepl.log.tailer import WalTailer
from spgrepl.log.transactions.groups import judge_of
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.judged.publisher import PublisherSettings
from spgrepl.master.service import Serving
from spgrepl.master.shared.peers import PeerNames
from spgrepl.master.snapshots.sources import ISnapshotSource
from spgrepl.primary import Primary
from spgrepl.primary.parts.connection import changed_by_others
from spgrepl.primary.writing.left_state import LeftState
from spgrepl.segments.outgoing import SegmentFolder
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.state import read_state
from spgrepl.watch.status import OpenTransactions


class OthersNotice:
    """Tells that another program has written the database of a master, whose primary is another process.

    A primary that has the database open says so beside the log; while none has, the database is compared with how
    the last one has left it (``spgrepl exec`` is a primary for as long as it runs).

    Args:
        reactor: The reactor.
        paths: The database and its log.
        log: Reads what is said beside the log.

    Attributes:
        warning: What was noticed since the start; None while nothing was.
    """

    def __init__(self, reactor: Any, paths: DatabasePaths, log: WalTailer) -> None:
        self._paths = paths
        self._log = log
        self._left = LeftState(paths)
        self._beat = Beat(reactor, self.look, WATCH_INTERVAL)
        self.warning: str | None = None

    def start(self, warning: str | None) -> None:
        """Look from now on, twice a second; `warning` is what was noticed already."""
        self.warning = warning
        self._beat.start()

    def stop(self) -> None:
        """Look no more."""
        self._beat.stop()

    def look(self) -> None:
        """Look now."""
        if self.warning is None:
            try:
                noticed = self._log.foreign or self._left.is_changed()
            except OSError:
                return  # a file that cannot be read is named by those who need it
            if noticed:
                self.warning = changed_by_others(self._paths.database)


def level_of(level: WalLevel | None, primary: Primary | None) -> WalLevel:
    """The WAL level of a master: its primary's, where it has one.

    Raises:
        UsageError: Another level was handed in.
    """
    if primary is None:
        return level or WalLevel()
    if level not in (None, primary.wal_level):
        raise UsageError("a master that has a primary has its WAL level: hand the level to the Primary alone")
    return primary.wal_level


def serving_of(
    settings: MasterSettings | FollowerSettings, segments: SegmentFolder, catalog: ICatalogSource, level: WalLevel
) -> Serving:
    """How a role serves its log.

    Args:
        settings: The role's.
        segments: Where its cold segments are.
        catalog: Knows the publications.
        level: The WAL level.
    """
    publisher = PublisherSettings(
        catalog,
        partial(load_cluster_id, settings.paths),
        level,
        settings.strict_publications,
        settings.max_record,
        settings.transactions,
    )
    return Serving(
        settings.paths.database.parent,
        limits=settings.limits,
        segments=segments,
        publisher=publisher,
        names=PeerNames(settings.peers),
        access=settings.access,
        tls=settings.tls,
    )


def learning_of(settings: MasterSettings | FollowerSettings, level: WalLevel) -> Learning:
    """How a role learns publications from its log, where no database of SQLite holds them."""
    return Learning(
        settings.max_record,
        lambda: level.is_logical,
        settings.paths.learned,
        judge_of(settings.transactions.ambiguous),
    )


def open_transaction(primary: Primary | None) -> OpenTransactions | None:
    """What the status says of a transaction that others wait for, where the primary is in this program."""
    seconds = None if primary is None else primary.open_seconds
    return None if seconds is None else OpenTransactions(1, round(seconds, 3))


def own_histories(in_thread: RunInThread, database: Path | None, primary: Primary | None) -> Deferred[Histories]:
    """Find out whose positions those of a master's log are.

    Args:
        in_thread: Runs the reading.
        database: The database; None where that is another program's.
        primary: The primary whose log it is, where this program has it open.

    Returns:
        A Deferred of what is known. It fails with `EngineFailed` or `LocalFilesDamaged`.
    """
    if primary is not None:
        return succeed(primary.histories)
    if database is None:
        return succeed(Histories())
    return in_thread(partial(_stored_histories, database))


def _stored_histories(database: Path) -> Histories:
    try:
        with contextlib.closing(plain_connection(database, read_only=True)) as connection:
            stored = read_state(connection)
    except apsw.Error as error:
        raise EngineFailed(f"{database} cannot be read: {error}") from error
    return Histories() if stored is None else Histories(stored.served)


def copy_position(connection: apsw.Connection) -> tuple[int, Histories] | None:
    """How far a follower's copy has come; see `spgrepl.replica.copy_queries.StoredPosition`."""
    stored = read_state(connection)
    return None if stored is None else (stored.replay.position, Histories(stored.replay.histories))


def subscription_position(name: str, connection: apsw.Connection) -> tuple[int, Histories] | None:
    """The same of a subscription."""
    stored = read_subscription(connection, name)
    return None if stored is None else (stored.position, Histories(stored.histories))


@implementer(ILogListener)
class Reached:
    """Tells waiters how long a log is."""

    def __init__(self, waiters: PositionWaiters) -> None:
        self._waiters = waiters

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        self._waiters.reached(length)

    def log_lost(self, reason: LogTruncated) -> None:
        """Whoever waits goes on waiting: the log may come back and grow."""
        self._waiters.reached(0)


@implementer(ISnapshotSource)
class EngineSnapshots:
    """The snapshots of a follower's own copy."""

    def __init__(self, engine: IEngine) -> None:
        self._engine = engine

    def save(self, path: Path) -> int:
        """See `ISnapshotSource`."""
        return self._engine.save_snapshot(path)
