"""A test case with a stand-in SPG server, and followers and subscribers of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints

from spgrepl.disk.files import DatabasePaths
from spgrepl.replica.following import cold_gate
from spgrepl.replica.following.service import FollowerService
from spgrepl.replica.following.states import FollowerState
from tests import sql
from tests.replica.following.test_service import FollowerCase
from tests.spg_master.database import SpgDatabase
from tests.spg_master.wire import SpgServer


class SpgCase(FollowerCase):
    """A stand-in server with the tables ``a`` and ``b``, empty; it begins to serve with `serve`."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(cold_gate, "EVERY", 0.01)
        self.database = self.make_database()
        self.server = SpgServer(self.reactor, self.database)

    def make_database(self, **more: Any) -> SpgDatabase:
        """A database; the first statements are in its log already."""
        database = SpgDatabase(self.folder, **more)
        self.addCleanup(database.close)
        database.create("a", "b")
        return database

    @defer.inlineCallbacks
    def serve(self) -> Any:
        """Begin to serve; fires with the endpoint."""
        endpoint = endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = yield endpoint.listen(self.server)
        self.addCleanup(self.server.split)
        self.addCleanup(port.stopListening)
        return self.client(port.getHost().port)

    @defer.inlineCallbacks
    def begin(self, **more: Any) -> Any:
        """Serve, and follow until the copy has all that is there; fires with the follower."""
        service = self.follow((yield self.serve()), **more)
        yield self.caught_up(service)
        return service

    def caught_up(self, service: FollowerService) -> Any:
        """Wait until the follower has applied the server's log, as it is now."""
        return self.applied(service, self.database.position)

    def applied(self, service: FollowerService, position: int) -> Any:
        """Wait until the follower's status says that a position is applied."""
        return self.until(lambda: (service.status()["positions"]["applied"] or -1) >= position)

    def pairs(self, table: str, paths: DatabasePaths | None = None) -> list[Any]:
        """The rows of a copy, by key."""
        path: Path = (paths or self.paths).database
        with contextlib.closing(sql.connect(path)) as connection:
            return connection.execute(f"SELECT id, name FROM {table} ORDER BY id").fetchall()

    def assert_equal(self, paths: DatabasePaths | None = None) -> None:
        """The copy has the server's rows, all of them and no others."""
        for table in self.database.tables:
            assert self.pairs(table, paths) == self.database.rows(table), table


class OwnRowsCases(SpgCase):
    """What holds of a copy that begins with a snapshot that is younger than its position."""

    @defer.inlineCallbacks
    def test_a_snapshot_that_holds_what_comes_after_its_position(self) -> Any:
        """The position was read before the snapshot: rows that meet themselves are counted, and no fault."""
        self.server.snapshot_position = self.database.position
        self.database.create("late")
        client = self.database.client()
        client.insert("a", 1)
        client.begin()
        client.insert("a", 2)
        client.insert("b", 2)
        client.commit()
        self.database.execute("UPDATE a SET name = 'changed' WHERE id = 2")
        client.insert("b", 3)
        client.execute("DELETE FROM b WHERE id = 3")
        service = yield self.begin()
        self.assert_equal()
        # CREATE TABLE late, and three rows; row 3 of b came and went again.
        assert service.status()["transactions"]["in_snapshot"] == 4
        client.insert("late", 1)
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()


class InterruptionCases(SpgCase):
    """What holds of a follower whose connection, or that itself, is interrupted."""

    @defer.inlineCallbacks
    def test_a_netsplit_heals(self) -> Any:
        """10 rows, split, 15 more: exactly 25, without another snapshot."""
        service = yield self.begin()
        self.database.client().insert("a", *range(10))
        yield service.when_applied(self.database.position, 30)
        self.server.split()
        self.database.client().insert("a", *range(100, 115))
        yield self.until(lambda: service.state is not FollowerState.STREAMING)
        self.server.heal()
        yield service.when_applied(self.database.position, 30)
        assert len(self.pairs("a")) == 25
        self.assert_equal()
        assert self.server.starts.count(0) == 1

    @defer.inlineCallbacks
    def test_a_restart(self) -> Any:
        self.database.client().insert("a", 1)
        service = yield self.begin()
        yield service.stopService()
        self.database.client().insert("a", 2, 3)
        service.startService()
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
        assert self.server.starts.count(0) == 1
