"""A follower of a server: its rows, its segments, netsplits, restarts, and CHECKPOINT at the worst moments."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer

from spgrepl.errors import HistoryDiverged
from spgrepl.replica.following.states import FollowerState, OnDivergence
from tests.spg_master import kit

RESNAPSHOT = {"on_divergence": OnDivergence.RESNAPSHOT}


class FollowingTest(kit.InterruptionCases):
    def insert(self, *keys: int) -> None:
        self.database.client().insert("a", *keys)

    @defer.inlineCallbacks
    def test_bootstrap(self) -> Any:
        """Rows that were there before, in the snapshot and in the log, and those that come."""
        self.insert(1, 2, 3)
        self.database.publish("p", "FOR TABLE a")
        service = yield self.begin()
        self.assert_equal()
        self.database.execute("UPDATE a SET name = 'changed' WHERE id = 2")
        self.database.execute("DELETE FROM a WHERE id = 3")
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
        assert self.rows("SELECT name FROM spgrepl_publications") == ["p"]

    @defer.inlineCallbacks
    def test_splits_in_mid_record(self) -> Any:
        """The connection is cut a hundred times while the log comes in small pieces."""
        self.server.slice = 7
        service = yield self.begin()
        for key in range(0, 100, 2):
            self.insert(key)
            self.server.split()
            self.server.heal()
            self.insert(key + 1)
        yield service.when_applied(self.database.position, 60)
        assert len(self.pairs("a")) == 100
        self.assert_equal()

    @defer.inlineCallbacks
    def test_segments(self) -> Any:
        """All keys are reachable, files equal the server's, and a restart does not write them again."""
        self.insert(*range(40))
        self.database.freeze("a", range(10, 20), 3)
        self.database.freeze("a", range(20, 30), 4, compressed=False)
        service = yield self.begin()
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        self.assert_equal()
        files = {path.name: path for path in self.paths.segments.iterdir()}
        assert {name: path.read_bytes() for name, path in files.items()} == {
            f"seg_{number}.spg": content for number, content in self.database.segments.items()
        }
        before = {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in files.items()}
        yield service.stopService()
        self.insert(100)
        service.startService()
        yield service.when_applied(self.database.position, 30)
        yield self.until(lambda: service.status()["segments"]["same"] == 2)
        assert {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in files.items()} == before
        self.assert_equal()

    # -- CHECKPOINT: the log is set to length 0 ------------------------------------------------------------------

    @defer.inlineCallbacks
    def test_a_checkpoint_in_mid_record(self) -> Any:
        """A record is half received when the log shrinks under the stream."""
        self.insert(1)
        service = yield self.begin(**RESNAPSHOT)
        self.database.append(b"\x40\x00\x00\x80")
        yield self.until(lambda: service.status()["positions"]["received"] == self.database.position)
        self.database.checkpoint()
        self.insert(2)
        yield self.until(lambda: self.server.starts.count(0) == 2)
        yield self.until(lambda: len(self.pairs("a")) == 2)
        self.assert_equal()
        self.insert(3)
        yield self.until(lambda: len(self.pairs("a")) == 3)

    @defer.inlineCallbacks
    def test_a_checkpoint_stops_a_follower_that_was_not_told_otherwise(self) -> Any:
        self.insert(1)
        yield self.begin()
        self.database.checkpoint()
        yield self.until(lambda: self.ended)
        assert self.ended[0].check(HistoryDiverged)
        self.assert_equal()

    @defer.inlineCallbacks
    def test_a_checkpoint_while_the_connection_is_down(self) -> Any:
        """Other records of the same length take the place of those that were applied."""
        self.insert(*range(1, 10))
        service = yield self.begin(**RESNAPSHOT)
        self.server.split()
        yield self.until(lambda: service.state is not FollowerState.STREAMING)
        length = self.database.position
        self.database.checkpoint()
        key = 10
        while self.database.position < length + 100:
            self.insert(key)
            key += 1
        self.server.heal()
        yield self.until(lambda: self.server.starts.count(0) == 2)
        yield self.until(lambda: self.pairs("a") == self.database.rows("a"))

    @defer.inlineCallbacks
    def test_a_checkpoint_in_mid_segment(self) -> Any:
        self.insert(*range(40))
        self.database.freeze("a", range(10, 30), 3, compressed=False)
        self.server.chunk = 20
        service = self.follow((yield self.serve()), **RESNAPSHOT)
        yield self.until(
            lambda: service.status()["segments"]["current"] or service.status()["segments"]["received"]
        )
        self.database.checkpoint()
        self.insert(100)
        self.server.split()
        self.server.heal()
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        yield self.until(lambda: self.pairs("a") == self.database.rows("a"))
        self.insert(101)
        yield self.until(lambda: self.pairs("a") == self.database.rows("a"))

    @defer.inlineCallbacks
    def test_a_checkpoint_in_mid_snapshot(self) -> Any:
        """The rest of the snapshot never comes: the next connection begins again."""
        self.insert(*range(40))
        self.server.hold = 200
        service = self.follow((yield self.serve()), **RESNAPSHOT)
        yield self.until(lambda: (service.status()["bootstrap"] or {}).get("received") == 200)
        self.database.checkpoint()
        self.insert(100)
        self.server.hold = None
        self.server.split()
        self.server.heal()
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        self.assert_equal()
        self.insert(101)
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()


class OldServerTest(kit.SpgCase):
    """A server that writes v1 records, as all did once."""

    def make_database(self, **more: Any) -> Any:
        return super().make_database(old=True)

    @defer.inlineCallbacks
    def test_rows_and_transactions(self) -> Any:
        service = yield self.begin()
        client = self.database.client()
        client.insert("a", 1)
        client.begin()
        client.insert("a", 2)
        yield service.when_applied(service.status()["positions"]["applied"], 30)
        client.insert("b", 1)
        client.commit()
        client.begin()
        client.insert("b", 2)
        client.rollback()
        client.insert("a", 3)
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
