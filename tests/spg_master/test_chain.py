"""Subscribers of a server, and three nodes: the server A, over V2 its follower B, over SUB its subscriber C."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from twisted.internet import defer, endpoints

from spgrepl.catalogue import sources
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import PromotionRefused
from spgrepl.failover.promotion import promote_copy
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.log.wal_level import WalLevel
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from tests import sql
from tests.spg_master.kit import SpgCase


class ChainCase(SpgCase):
    def setUp(self) -> None:
        super().setUp()
        self.target = DatabasePaths.of(self.folder / "c.db")

    def local(self) -> Any:
        return endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")

    @defer.inlineCallbacks
    def started(self, role: Any) -> Any:
        """Start a role; fires with the endpoint of its port."""
        role.finished.addBoth(self.ended.append)
        role.startService()
        self.addCleanup(self.stop, role)
        port = yield role.master.listening
        return self.client(port.getHost().port)

    @defer.inlineCallbacks
    def middle(self, **more: Any) -> Any:
        """B: fires with its role and its endpoint."""
        settings = FollowerSettings(
            self.paths, (yield self.serve()), listen=self.local(), wal_level=WalLevel("logical"), **more
        )
        role = FollowerRole(self.reactor, settings)
        endpoint = yield self.started(role)
        yield self.caught_up(role.follower)
        return role, endpoint

    def subscribe(self, endpoint: Any, *publications: str, name: str = "s", **more: Any) -> SubscriberRole:
        """C."""
        settings = SubscriberSettings(self.target, endpoint, Subscription(name, publications, **more))
        role = SubscriberRole(self.reactor, settings)
        role.finished.addBoth(self.ended.append)
        role.startService()
        self.addCleanup(self.stop, role)
        return role

    def has(self, table: str, *keys: int) -> Any:
        """Wait until C's table has these keys, and no others."""

        def looks() -> bool:
            if not self.target.database.exists():
                return False
            tables = self.rows_of("SELECT name FROM sqlite_master WHERE type = 'table'")
            return table in tables and self.rows_of(f"SELECT id FROM {table} ORDER BY id") == list(keys)

        return self.until(looks)

    def rows_of(self, sql: str) -> list[Any]:
        paths, self.paths = self.paths, self.target
        try:
            return self.rows(sql)
        finally:
            self.paths = paths


class ChainTest(ChainCase):
    @defer.inlineCallbacks
    def test_three_nodes(self) -> Any:
        """Publications are learned from the stream; rows go on through a restart of the one in the middle."""
        self.database.client().insert("a", 1)
        self.database.publish("p", "FOR TABLE a")
        role, endpoint = yield self.middle()
        subscriber = self.subscribe(endpoint, "p")
        yield self.has("a", 1)
        client = self.database.client()
        client.insert("a", 2)
        client.insert("b", 2)
        yield self.has("a", 1, 2)
        yield role.stopService()
        client.insert("a", 3)
        yield subscriber.stopService()
        second = FollowerRole(self.reactor, role._settings)
        again = yield self.started(second)
        self.subscribe(again, "p")
        client.insert("a", 4)
        yield self.has("a", 1, 2, 3, 4)
        assert "b" not in self.rows_of("SELECT name FROM sqlite_master")

    @defer.inlineCallbacks
    def test_transactions_that_stand_between_each_other(self) -> Any:
        """C gets them in the log's order when all have ended; until then the status says what holds it up."""
        self.database.publish("p")
        role, endpoint = yield self.middle()
        self.subscribe(endpoint, "p")
        yield self.has("a")
        one, two = self.database.client(), self.database.client()
        begin = self.database.position
        one.begin()
        one.insert("a", 1)
        self.database.execute("INSERT INTO a (id, name) VALUES (9, 'alone')")
        two.begin()
        two.insert("a", 2)
        two.commit()
        yield self.caught_up(role.follower)
        assert [key for key, _ in self.pairs("a")] == [9]
        peer = yield self.until(lambda: next((one for one in role.status()["peers"] if one.get("held_up")), None))
        held = peer["held_up"]
        assert (held["position"], held["transactions"], held["held"]) == (begin - role.follower.log.base, 1, 2)
        assert held["bytes"] == self.database.position - begin
        assert held["seconds"] >= 0
        one.commit()
        yield self.has("a", 1, 2, 9)
        # Those that are rolled back never reach it.
        for client in (one, two):
            client.begin()
            client.insert("b", 1)
        for client in (one, two):
            client.rollback()
        client.insert("b", 3)
        yield self.has("b", 3)

    @defer.inlineCallbacks
    def test_a_client_that_died_holds_nothing_up_for_ever(self) -> Any:
        self.database.publish("p")
        _, endpoint = yield self.middle(transactions=TransactionChoices(drop_after=0.2))
        self.subscribe(endpoint, "p")
        yield self.has("a")
        dying = self.database.client()
        dying.copy("a", range(10), cut=5)
        self.database.execute("INSERT INTO a (id, name) VALUES (100, 'x')")
        yield self.has("a", 100)
        later = self.database.client()
        later.begin()
        later.insert("a", 101)
        later.commit()
        yield self.has("a", 100, 101)

    @defer.inlineCallbacks
    def test_filters(self) -> Any:
        """FOR TABLE, and all tables but one."""
        self.database.publish("only", "FOR TABLE a")
        self.database.publish("but", "FOR ALL TABLES EXCEPT a")
        _, endpoint = yield self.middle()
        self.subscribe(endpoint, "only")
        yield self.has("a")
        first, self.target = self.target, DatabasePaths.of(self.folder / "d.db")
        self.subscribe(endpoint, "but")
        yield self.has("b")
        client = self.database.client()
        client.insert("a", 1)
        client.insert("b", 2)
        yield self.has("b", 2)
        self.target = first
        yield self.has("a", 1)


class OpenTransactionsTest(ChainCase):
    """B gives copies of its own away while transactions of A are open."""

    @defer.inlineCallbacks
    def opened(self) -> Any:
        """A transaction is open at A, and rows went by it; fires with B, its endpoint, and the open client."""
        self.database.publish("p")
        role, endpoint = yield self.middle()
        self.database.client().insert("b", 100)
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 1)
        for key in range(10, 20):
            self.database.execute(f"INSERT INTO a (id, name) VALUES ({key}, 'alone')")
        self.database.execute("UPDATE a SET name = name || '!' WHERE id = 12")
        slow.insert("b", 1)
        yield self.caught_up(role.follower)
        assert [key for key, _ in self.pairs("a")] == list(range(10, 20))
        return role, endpoint, slow

    @defer.inlineCallbacks
    def third(self, endpoint: Any, name: str = "c.db", **more: Any) -> Any:
        """C, a follower of B; fires when it has what B has."""
        settings = FollowerSettings(
            DatabasePaths.of(self.folder / name),
            endpoint,
            listen=self.local(),
            wal_level=WalLevel("logical"),
            **more,
        )
        role = FollowerRole(self.reactor, settings)
        port = yield self.started(role)
        return role, port

    def same(self, name: str = "c.db") -> None:
        for table in ("a", "b"):
            assert self.pairs(table, DatabasePaths.of(self.folder / name)) == self.database.rows(table)

    @defer.inlineCallbacks
    def test_a_follower_of_a_follower(self) -> Any:
        """C has what was applied, once, and the open transaction when it is committed; restarts change nothing."""
        middle, endpoint, slow = yield self.opened()
        role, _ = yield self.third(endpoint)
        base = middle.follower.log.base
        yield self.applied(role.follower, self.database.position - base)
        copy = DatabasePaths.of(self.folder / "c.db")
        assert self.pairs("a", copy) == self.pairs("a")
        yield role.stopService()
        again, port = yield self.third(endpoint)
        self.database.execute("INSERT INTO a (id, name) VALUES (30, 'late')")
        slow.insert("a", 2)
        yield self.applied(again.follower, self.database.position - base)
        assert self.pairs("a", copy) == self.pairs("a")
        # A copy of a copy.
        last, _ = yield self.third(port, "d.db")
        slow.commit()
        self.database.execute("UPDATE a SET name = name || '!' WHERE id = 13")
        yield again.follower.when_applied(self.database.position - base, 30)
        self.same()
        yield last.follower.when_applied(self.database.position - base - again.follower.log.base, 30)
        self.same("d.db")

    @defer.inlineCallbacks
    def test_it_is_rolled_back(self) -> Any:
        middle, endpoint, slow = yield self.opened()
        role, _ = yield self.third(endpoint)
        slow.rollback()
        self.database.execute("INSERT INTO b (id, name) VALUES (7, 'x')")
        yield role.follower.when_applied(self.database.position - middle.follower.log.base, 30)
        self.same()

    @defer.inlineCallbacks
    def test_a_log_that_is_cut_before_what_the_copy_holds(self) -> Any:
        """C is stopped again and again on its way from the open transaction's BEGIN to where B stood."""
        middle, endpoint, slow = yield self.opened()
        base = middle.follower.log.base
        role, _ = yield self.third(endpoint)
        yield self.until(lambda: role.follower.log.base > 0)
        copy = DatabasePaths.of(self.folder / "c.db")
        for _ in range(3):
            yield role.stopService()
            self.judge_promotion(copy)
            role, _ = yield self.third(endpoint)
        slow.commit()
        yield role.follower.when_applied(self.database.position - base, 30)
        assert self.pairs("a", copy) == self.database.rows("a")

    def judge_promotion(self, copy: DatabasePaths) -> None:
        """A copy whose rows go beyond what it has read is not promoted."""
        with contextlib.closing(sql.connect(copy.database)) as connection:
            position, notes = connection.execute("SELECT position, transactions FROM spgrepl_replay").fetchone()
        ahead = json.loads(notes).get("alone_to", 0)
        if ahead > position:
            with pytest.raises(PromotionRefused, match=f"holds rows up to position {ahead}"):
                promote_copy(copy)

    @defer.inlineCallbacks
    def test_a_subscriber_of_a_follower(self) -> Any:
        """Its initial copy has what was applied; what is open comes when it has ended, and nothing twice."""
        _, endpoint, slow = yield self.opened()
        subscriber = self.subscribe(endpoint, "p")
        yield self.has("a", *range(10, 20))
        self.database.execute("INSERT INTO a (id, name) VALUES (30, 'late')")
        yield subscriber.stopService()
        self.subscribe(endpoint, "p")
        slow.insert("a", 2)
        slow.commit()
        yield self.has("a", 1, 2, *range(10, 20), 30)
        assert self.rows_of("SELECT id FROM b ORDER BY id") == [1, 100]
        assert self.rows_of("SELECT name FROM a WHERE id = 12") == ["alone!"]
        self.database.execute("DELETE FROM a WHERE id < 20")
        yield self.has("a", 30)


class SubscriberTest(ChainCase):
    """Subscribers of the server itself."""

    @defer.inlineCallbacks
    def test_initial_copy_filters_and_a_restart_of_the_publisher(self) -> Any:
        client = self.database.client()
        client.insert("a", 1)
        client.insert("b", 1)
        self.database.publish("p", "FOR TABLE a")
        self.subscribe((yield self.serve()), "p")
        yield self.has("a", 1)
        client.insert("b", 2)
        client.insert("a", 2)
        yield self.has("a", 1, 2)
        self.server.split()
        client.insert("a", 3)
        self.server.heal()
        yield self.has("a", 1, 2, 3)

    @defer.inlineCallbacks
    def test_a_subscription_that_is_dropped(self) -> Any:
        """Its rows stay; another of its name begins with a copy of its own."""
        self.database.publish("p")
        endpoint = yield self.serve()
        role = self.subscribe(endpoint, "p", copy_data=False)
        yield self.until(lambda: "SUB" in {one.kind for one in self.server.connections})
        yield role.stopService()
        self.database.client().insert("a", 1)
        self.target = DatabasePaths.of(self.folder / "again.db")
        self.subscribe(endpoint, "p")
        yield self.has("a", 1)


class ArchiveMasterTest(ChainCase):
    """A master of ours over the files of a server, which another program writes."""

    @defer.inlineCallbacks
    def master(self, **more: Any) -> Any:
        (self.folder / "spg.db").write_bytes(b"SPGDB001 as good as any: nothing is copied")
        paths = DatabasePaths.of(self.folder / "spg.db")
        settings = MasterSettings(paths, self.local(), engine="archive", wal_level=WalLevel("logical"), **more)
        role = MasterRole(self.reactor, settings)
        return role, (yield self.started(role))

    def make_target(self) -> None:
        with contextlib.closing(sql.connect(self.target.database)) as connection:
            connection.execute("CREATE TABLE a (id INT PRIMARY KEY, name TEXT)")

    @defer.inlineCallbacks
    def test_ends_that_differ_close_a_subscription_with_a_reason(self) -> Any:
        self.database.publish("p")
        self.make_target()
        role, endpoint = yield self.master()
        self.subscribe(endpoint, "p", copy_data=False)
        yield self.until(lambda: any(one["position"] for one in role.status()["peers"]))
        self.database.client().insert("a", 1)
        yield self.has("a", 1)
        one, two = self.database.client(), self.database.client()
        one.begin()
        two.begin()
        one.insert("a", 2)
        two.insert("a", 3)
        one.commit()
        two.rollback()
        self.database.client().insert("a", 4)
        yield self.until(lambda: role.status()["dropped"])
        yield self.has("a", 1)

    @defer.inlineCallbacks
    def test_a_restart_reads_what_is_new(self) -> Any:
        """Publications and what is open are known without reading the log from its beginning."""
        self.database.publish("p", "FOR TABLE a")
        self.make_target()
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 1)
        role, endpoint = yield self.master()
        first = self.subscribe(endpoint, "p", copy_data=False)
        # It has stored where it begins, and not only been told.
        yield self.until(lambda: first.status()["positions"]["applied"])
        yield first.stopService()
        yield role.stopService()
        yield self.until((self.folder / "spg.wal.learned").exists)
        second = MasterRole(self.reactor, role._settings)
        began = []
        learn = sources.learn

        def noted(handle: int, known: Any, *more: Any) -> Any:
            began.append(known.end)
            return learn(handle, known, *more)

        self.patch(sources, "learn", noted)
        position = self.database.position
        again = yield self.started(second)
        slow.insert("a", 2)
        slow.commit()
        self.subscribe(again, "p", copy_data=False)
        yield self.has("a", 1, 2)
        assert min(began) == position

    @defer.inlineCallbacks
    def test_ends_that_differ_are_merged_where_told(self) -> Any:
        self.database.publish("p")
        self.make_target()
        role, endpoint = yield self.master(transactions=TransactionChoices(OnAmbiguity.MERGE))
        self.subscribe(endpoint, "p", copy_data=False)
        one, two = self.database.client(), self.database.client()
        yield self.until(lambda: any(one["position"] for one in role.status()["peers"]))
        one.begin()
        two.begin()
        one.insert("a", 2)
        two.insert("a", 3)
        one.commit()
        two.rollback()
        self.database.client().insert("a", 4)
        yield self.has("a", 2, 3, 4)
