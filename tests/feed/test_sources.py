"""The feeds of a follower, of a subscription into a database, and of one that a primary runs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from spgrepl import (
    AppliedRows,
    ChangeFeed,
    DatabasePaths,
    FeedStart,
    FollowerRole,
    FollowerSettings,
    Level,
    LogTruncated,
    MasterRole,
    MasterSettings,
    Primary,
    SubscriberService,
    SubscriberSide,
    Subscription,
    SubscriptionRunner,
    WalLevel,
)
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from tests.feed.test_change_feed import Taker

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


class SourceTests(TestCase):
    """A primary with a master, over a UNIX socket."""

    timeout = 60

    def setUp(self) -> Any:
        """Start the master."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.paths = DatabasePaths.of(self.folder / "primary.db")
        # A socket's name may have 107 bytes, and trial's folders have long ones.
        short = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, short)
        self.socket_path = short / "s"
        self.socket = f"unix:{self.socket_path}"
        self.addCleanup(deferLater, reactor, 0, lambda: None)
        return self._start()

    @inlineCallbacks
    def _start(self) -> Any:
        level = WalLevel(Level.LOGICAL)
        self.primary = yield self._primary(self.paths, level)
        yield self.primary.execute(TABLE)
        yield self.primary.execute("CREATE PUBLICATION p FOR TABLE t")
        listen = serverFromString(reactor, self.socket)
        self._living(MasterRole(reactor, MasterSettings(self.paths, listen, wal_level=level)))

    @inlineCallbacks
    def _primary(self, paths: DatabasePaths, level: WalLevel | None = None) -> Any:
        made = Primary(reactor, paths, wal_level=level)
        self.addCleanup(made.close)
        yield made.open()
        return made

    def _living(self, service: Any) -> Any:
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def _feed(self, source: Any, start: Any = FeedStart.BEGINNING) -> Taker:
        taker = Taker()
        self.feed = self._living(ChangeFeed(reactor, source, taker, start))
        return taker

    @inlineCallbacks
    def _write(self, *numbers: int) -> Any:
        for number in numbers:
            self.position = yield self.primary.execute("INSERT INTO t VALUES (?, 'x')", (number,))

    @inlineCallbacks
    def _rows(self, taker: Taker, *numbers: int) -> Any:
        while taker.numbers() != list(numbers):
            assert len(taker.numbers()) <= len(numbers), taker.numbers()
            yield taker.wait(len(taker.taken) + 1)

    @inlineCallbacks
    def test_a_follower(self) -> Any:
        """Its feed has the positions of its master's log, and nothing that it has not applied."""
        yield self._write(1)
        client = clientFromString(reactor, self.socket)
        paths = DatabasePaths.of(self.folder / "copy.db")
        settings = FollowerSettings(paths, client)
        follower = FollowerRole(reactor, settings)
        taker = self._feed(follower)  # before it is known what there is
        self._living(follower)
        yield follower.when_applied(self.primary.position)
        yield self._write(2, 3)
        yield self._rows(taker, 2, 3)
        assert taker.taken[-1].position.position == self.position
        assert taker.taken[-1].changes[0].key == ("id",)
        yield self.feed.stopService()
        yield follower.stopService()
        yield self._write(4)
        self.feed.startService()
        follower.startService()
        yield self._rows(taker, 2, 3, 4)

    @inlineCallbacks
    def test_a_subscription(self) -> Any:
        """Its feed has what was applied as one, and goes on after a stop of both."""
        yield self._write(1)
        database = self.folder / "target.db"
        target = AppliedRows(reactor, SqliteTarget(database, "s"), self.folder / "applied", database)
        service = SubscriberService(
            reactor,
            clientFromString(reactor, self.socket),
            target,
            Subscription("s", ("p",)),
            SubscriberSide(7, database),
        )
        taker = self._feed(target)
        self._living(service)
        yield service.when_applied(self.primary.position)
        yield self._write(2)
        yield self._rows(taker, 2)
        yield self.feed.stopService()
        yield self._write(3)
        yield service.when_applied(self.position)
        self.feed.startService()
        yield self._rows(taker, 2, 3)

    @inlineCallbacks
    def test_a_subscription_that_a_primary_runs(self) -> Any:
        """It stands in that primary's log, with its origin."""
        other = yield self._primary(DatabasePaths.of(self.folder / "other.db"))
        yield other.execute(TABLE)
        self._living(SubscriptionRunner(reactor, other))
        taker = self._feed(other, FeedStart.END)
        yield other.execute(f"CREATE SUBSCRIPTION s CONNECTION 'host={self.socket_path}' PUBLICATION p")
        while (yield other.query("SELECT count(*) FROM sqlite_master WHERE name = 'spgrepl_subscriber'")).rows != [
            (1,)
        ]:
            yield deferLater(reactor, 0.02)
        yield self._write(1)
        yield self._rows(taker, 1)
        assert taker.taken[-1].origin == load_cluster_id(self.paths)
        yield other.execute("INSERT INTO t VALUES (5, 'y')")
        yield self._rows(taker, 1, 5)
        assert taker.taken[-1].origin is None

    @inlineCallbacks
    def test_a_log_that_begins_again_ends_the_feed(self) -> Any:
        """As that of a follower does which takes a fresh snapshot."""
        client = clientFromString(reactor, self.socket)
        follower = self._living(
            FollowerRole(reactor, FollowerSettings(DatabasePaths.of(self.folder / "c.db"), client))
        )
        yield follower.when_applied(self.primary.position)
        self._feed(follower)
        ended = self.assertFailure(self.feed.when_stopped(), LogTruncated)
        follower.follower.log.restart()
        yield ended
