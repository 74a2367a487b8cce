"""Followers and subscribers of a stand-in SPG server, whose copies are in a real PostgreSQL."""

from __future__ import annotations

import atexit
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.postgresql.address import ServerAddress
from spgrepl.replica.following import cold_gate
from spgrepl.replica.following.service import FollowerService
from spgrepl.replica.following.states import FollowerState, OnDivergence
from spgrepl.replica.subscribing import copied_segments
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.server import PostgresServer, made_server
from tests.spg_master import kit

pytest.importorskip("psycopg")


class PostgresqlCase(kit.SpgCase):
    """A server for the tests of a class, and an empty database for each."""

    postgres: ClassVar[PostgresServer]
    _making: ClassVar[AbstractContextManager[PostgresServer]]

    @classmethod
    def setUpClass(cls) -> None:
        cls._making = made_server()
        cls.postgres = cls._making.__enter__().start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls._making.__exit__(None, None, None)

    def setUp(self) -> None:
        super().setUp()
        if not hasattr(self, "postgres"):
            # trial knows nothing that is done once for a class.
            self.setUpClass()
            atexit.register(self.tearDownClass)
        self.url = self.postgres.new_database("copy")

    def follow(self, endpoint: Any, kind: type | None = None, **more: Any) -> FollowerService:
        def engine(_: Path) -> PostgresqlEngine:
            return PostgresqlEngine(ServerAddress.parse(self.url))

        return super().follow(endpoint, engine, **more)  # type: ignore[arg-type]

    def pairs(self, table: str, paths: DatabasePaths | None = None) -> list[Any]:
        return self.postgres.query("copy", f"SELECT id, name FROM {table} ORDER BY id")


class FollowerTest(kit.OwnRowsCases, kit.InterruptionCases, PostgresqlCase):
    @defer.inlineCallbacks
    def test_a_label_of_an_enum_that_is_used_at_once(self) -> Any:
        """PostgreSQL takes it only after a COMMIT: where the server committed in between, so does the copy."""
        service = self.follow((yield self.serve()))
        yield self.caught_up(service)
        self.server.split()
        for sql in (
            "CREATE TYPE mood AS ENUM ('sad')",
            "CREATE TABLE moods (id INT PRIMARY KEY, m mood)",
            "ALTER TYPE mood ADD VALUE 'glad'",
            "INSERT INTO moods VALUES (1, 'glad')",
            "ALTER TYPE mood ADD VALUE 'mad' BEFORE 'sad'",
            "UPDATE moods SET m = 'mad'",
            "CREATE INDEX CONCURRENTLY i ON moods (m)",
            "INSERT INTO moods VALUES (2, 'sad')",
        ):
            self.database.log(sql, alone=True)
        self.server.heal()
        yield self.caught_up(service)
        assert self.postgres.query("copy", "SELECT id FROM moods ORDER BY m") == [(1,), (2,)]
        client = self.database.client()
        client.begin()
        for sql in ("ALTER TYPE mood ADD VALUE 'bad'", "INSERT INTO moods VALUES (3, 'bad')"):
            self.database.log(sql, alone=False)
        client.commit()
        yield self.until(lambda: service.status()["error"])
        assert "New enum values must be committed before they can be used" in service.status()["error"]
        assert self.postgres.query("copy", "SELECT count(*) FROM moods") == [(2,)]

    @defer.inlineCallbacks
    def test_rows_in_cold_segments(self) -> Any:
        """They are put in before the log goes on, which changes some of them; then a restart asks for none."""
        client = self.database.client()
        client.insert("a", *range(20))
        client.insert("b", 1, 2)
        self.database.freeze("a", range(10), 3)
        self.database.freeze("a", range(10, 15), 7, compressed=False)
        self.database.freeze("b", [1], 9)
        endpoint = yield self.serve()
        service = self.follow(endpoint)
        yield self.until(lambda: self.server.starts)
        client.execute("UPDATE a SET name = 'changed' WHERE id = 3")
        client.execute("DELETE FROM b WHERE id = 1")
        yield self.caught_up(service)
        self.assert_equal()
        assert self.postgres.query("copy", "SELECT to_regclass('spgrepl.cold')") == [(None,)]
        yield service.stopService()
        client.insert("a", 30)
        yield self.caught_up(self.follow(endpoint))
        self.assert_equal()

    @defer.inlineCallbacks
    def test_segments_that_never_come(self) -> Any:
        """The rows are named, and the log is not applied; where told it goes on without them."""
        self.patch(cold_gate, "PATIENCE", 0.1)
        self.database.client().insert("a", *range(5))
        self.database.freeze("a", [1, 2], 3)
        self.database.freeze("a", [3], 4)
        del self.database.segments[4]
        endpoint = yield self.serve()
        service = self.follow(endpoint)
        yield self.until(lambda: self.server.starts)
        self.database.client().insert("a", 6)
        named = "1 row of a: key 3 (segment 4)"
        yield self.until(lambda: named in str(service.status()["error"]))
        yield self.until(lambda: len(self.server.starts) > 3 and len(self.pairs("a")) == 4)
        yield service.stopService()
        assert [key for key, _ in self.pairs("a")] == [0, 1, 2, 4]
        again = self.follow(endpoint, without_cold_rows=True)
        yield self.caught_up(again)
        assert [key for key, _ in self.pairs("a")] == [0, 1, 2, 4, 6]
        left_out = {"a": {"rows": 1, "first_key": 3}}
        assert again.status()["cold_rows_left_out"] == left_out
        yield again.stopService()
        third = self.follow(endpoint)
        yield self.caught_up(third)
        assert third.status()["cold_rows_left_out"] == left_out

    @defer.inlineCallbacks
    def test_a_checkpoint(self) -> Any:
        """The log begins again: a fresh snapshot replaces the copy, and tables that the log has made."""
        endpoint = yield self.serve()
        service = self.follow(endpoint, on_divergence=OnDivergence.RESNAPSHOT)
        yield self.caught_up(service)
        self.database.create("late")
        self.database.client().insert("late", *range(50))
        yield self.caught_up(service)
        self.assert_equal()
        self.database.checkpoint()
        self.server.split()
        self.server.heal()
        self.database.client().insert("a", 1)
        yield self.until(lambda: self.server.starts.count(0) == 2 and service.state is FollowerState.STREAMING)
        yield self.caught_up(service)
        self.assert_equal()


class SubscriberTest(PostgresqlCase):
    def subscribe(
        self, endpoint: Any, on_divergence: OnDivergence = OnDivergence.STOP, **more: Any
    ) -> SubscriberRole:
        paths = DatabasePaths.of(self.folder / "subscriber.db")
        subscription = Subscription("s", ("p",), on_divergence=on_divergence)
        settings = SubscriberSettings(paths, endpoint, subscription, self.url, **more)
        role = SubscriberRole(self.reactor, settings)
        role.finished.addBoth(self.ended.append)
        role.startService()
        self.addCleanup(self.stop, role)
        return role

    def has(self, table: str, *keys: int) -> Any:
        """Wait until the table is there with these keys, and no others."""
        there = "SELECT to_regclass(%s)::text"
        return self.until(
            lambda: (
                self.postgres.query("copy", there, table) == [(table,)]
                and [key for key, _ in self.pairs(table)] == list(keys)
            )
        )

    @defer.inlineCallbacks
    def test_segments_that_never_come(self) -> Any:
        """Where told it goes on without their rows, and goes on saying so."""
        self.patch(copied_segments, "PATIENCE", 0.1)
        self.database.publish("p", "FOR TABLE a")
        self.database.client().insert("a", 1, 2, 3)
        self.database.freeze("a", [1, 3], 4)
        self.database.segments.clear()
        endpoint = yield self.serve()
        role = self.subscribe(endpoint, without_cold_rows=True)
        yield self.has("a", 2)
        left_out = {"a": {"rows": 2, "first_key": 1}}
        yield self.until(lambda: role.status().get("cold_rows_left_out") == left_out)
        self.database.client().insert("a", 4)
        yield self.has("a", 2, 4)
        yield role.stopService()
        again = self.subscribe(endpoint)
        yield self.until(lambda: again.status().get("cold_rows_left_out") == left_out)

    @defer.inlineCallbacks
    def test_initial_copy_and_what_follows(self) -> Any:
        self.database.publish("p", "FOR TABLE a")
        client = self.database.client()
        client.insert("a", 1)
        client.insert("b", 1)
        role = self.subscribe((yield self.serve()))
        yield self.has("a", 1)
        client.insert("b", 2)
        client.insert("a", 2)
        yield self.has("a", 1, 2)
        self.server.split()
        client.insert("a", 3)
        self.database.log("UPDATE a SET name = E'it\\'s' WHERE id = 2", alone=True)
        self.server.heal()
        yield self.has("a", 1, 2, 3)
        yield self.until(lambda: self.pairs("a")[1] == (2, "it's"))
        assert self.postgres.query("copy", "SELECT to_regclass('b')") == [(None,)]
        assert role.subscriber.status()["error"] is None

    @defer.inlineCallbacks
    def test_a_checkpoint(self) -> Any:
        """The rows are copied again where told; until then the old ones can be read."""
        self.database.publish("p", "FOR TABLE a")
        self.database.client().insert("a", 1)
        role = self.subscribe((yield self.serve()), on_divergence=OnDivergence.RESNAPSHOT)
        yield self.has("a", 1)
        self.database.client().insert("a", *range(2, 40))
        yield self.has("a", *range(1, 40))
        self.server.split()
        self.database.checkpoint()
        self.database.execute("DELETE FROM a WHERE id > 1")
        self.database.client().insert("a", *range(50, 90))
        self.server.heal()
        yield self.has("a", 1, *range(50, 90))
        self.database.client().insert("a", 99)
        yield self.has("a", 1, *range(50, 90), 99)
        assert role.subscriber.running

    @defer.inlineCallbacks
    def test_values_of_its_own_where_told(self) -> Any:
        self.database.publish("p", "FOR TABLE a")
        endpoint = yield self.serve()
        role = self.subscribe(endpoint)
        yield self.has("a")
        insert = "INSERT INTO a (id, name) VALUES (1, now()::text)"
        self.database.log(insert, alone=True)
        yield self.until(lambda: "now() has another value" in str(role.subscriber.status()["error"]))
        yield role.stopService()
        again = self.subscribe(endpoint, nondeterministic=Nondeterministic.APPROXIMATE)
        yield self.has("a", 1)
        assert self.pairs("a") == [(1, "2023-11-14 22:13:20+00")]
        assert again.subscriber.status()["spg"]["approximated"] == {"a": {"now()": 1}}
