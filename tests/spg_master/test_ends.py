"""A subscription to a server that is dropped, and a copy of a server that is promoted."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.failover.promotion import promote_copy
from spgrepl.log.wal_level import WalLevel
from spgrepl.primary.primary import Primary
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.subscription_runner import SubscriptionRunner
from tests import sql
from tests.spg_master.test_chain import ChainCase


class DroppedTest(ChainCase):
    @defer.inlineCallbacks
    def test_a_subscription_of_a_primary(self) -> Any:
        """CREATE and DROP SUBSCRIPTION, the server's restart between; filters keep what is not wanted away."""
        self.database.publish("only", "FOR TABLE a")
        self.database.publish("but", "FOR ALL TABLES EXCEPT b")
        client = self.database.client()
        client.insert("a", 1)
        client.insert("b", 1)
        endpoint = yield self.serve()
        primary = Primary(self.reactor, self.target)
        yield primary.open()
        self.addCleanup(primary.close)
        for table in ("a", "b"):
            yield primary.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, name TEXT)")
        runner = SubscriptionRunner(self.reactor, primary)
        runner.startService()
        self.addCleanup(self.stop, runner)
        port = endpoint._port
        for publication in ("only", "but"):
            create = f"CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port={port}' PUBLICATION {publication}"
            yield primary.execute(create)
            yield self.until(lambda: "SUB" in {one.kind for one in self.server.connections})
            first = len(self.rows_of("SELECT id FROM a")) + 10
            client.insert("a", first)
            client.insert("b", first)
            yield self.until(lambda key=first: key in self.rows_of("SELECT id FROM a"))
            self.server.split()
            client.insert("a", first + 100)
            client.insert("b", first + 100)
            self.server.heal()
            yield self.until(lambda key=first + 100: key in self.rows_of("SELECT id FROM a"))
            yield primary.execute("DROP SUBSCRIPTION s")
            yield self.until(lambda: "SUB" not in {one.kind for one in self.server.connections})
            kept = self.rows_of("SELECT id FROM a")
            client.insert("a", first + 200)
            assert self.rows_of("SELECT id FROM a") == kept
            assert self.rows_of("SELECT id FROM b") == []


class PromotedTest(ChainCase):
    @defer.inlineCallbacks
    def test_a_copy_of_a_server(self) -> Any:
        """It takes writes of its own, and its follower goes on with its log, without a snapshot."""
        self.database.client().insert("a", 1)
        role, endpoint = yield self.middle()
        third = DatabasePaths.of(self.folder / "c.db")
        lower = FollowerRole(self.reactor, FollowerSettings(third, endpoint))
        lower.finished.addBoth(self.ended.append)
        lower.startService()
        self.addCleanup(self.stop, lower)
        self.database.execute("INSERT INTO a (id, name) VALUES (2, 'x')")
        yield lower.follower.when_applied(self.database.position - role.follower.log.base, 30)
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 3)
        yield role.stopService()
        yield lower.stopService()
        base = lower.follower.log.base
        promoted = promote_copy(self.paths)
        assert promoted.position.history
        primary = Primary(self.reactor, self.paths)
        yield primary.open()
        self.addCleanup(primary.close)
        position = yield primary.execute("INSERT INTO a VALUES (?, ?)", (4, "own"))
        assert [key for key, _ in self.pairs("a")] == [1, 2, 4]
        with contextlib.closing(sql.connect(self.paths.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        master = MasterRole(self.reactor, MasterSettings(self.paths, self.local()))
        port = yield self.started(master)
        again = FollowerRole(self.reactor, FollowerSettings(third, port))
        again.finished.addBoth(self.ended.append)
        again.startService()
        self.addCleanup(self.stop, again)
        yield again.follower.when_applied(position, 30)
        assert self.pairs("a", third) == self.pairs("a")
        assert again.follower.log.base == base

    @defer.inlineCallbacks
    def test_subscribers_of_a_promoted_copy(self) -> Any:
        """Publications are those of the server's snapshot: who subscribed before goes on, others begin."""
        self.database.publish("p", "FOR TABLE a")
        self.database.client().insert("a", 1)
        role, endpoint = yield self.middle()
        before = self.subscribe(endpoint, "p")
        yield self.has("a", 1)
        self.database.client().insert("a", 2)
        self.database.client().insert("b", 2)
        yield self.has("a", 1, 2)
        yield before.stopService()
        self.database.client().insert("a", 3)
        yield self.caught_up(role.follower)
        yield role.stopService()
        promote_copy(self.paths)
        primary = Primary(self.reactor, self.paths)
        yield primary.open()
        self.addCleanup(primary.close)
        yield primary.execute("INSERT INTO a VALUES (4, 'own')")
        yield primary.execute("INSERT INTO b VALUES (4, 'own')")
        master = MasterRole(self.reactor, MasterSettings(self.paths, self.local(), wal_level=WalLevel("logical")))
        port = yield self.started(master)
        self.subscribe(port, "p")
        yield self.has("a", 1, 2, 3, 4)
        self.target = DatabasePaths.of(self.folder / "new.db")
        self.subscribe(port, "p", name="new")
        yield self.has("a", 1, 2, 3, 4)
        yield primary.execute("DELETE FROM a WHERE id = 2")
        yield self.has("a", 1, 3, 4)
        assert "b" not in self.rows_of("SELECT name FROM sqlite_master")
