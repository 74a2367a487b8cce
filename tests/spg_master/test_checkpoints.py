"""CHECKPOINT of a server whose log then grows again, up to the length that it had, under a stream that goes on."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, task

from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.subscriber_role import SubscriberRole
from spgrepl.wire.frames import encode_status
from tests.spg_master import kit
from tests.spg_master.test_chain import ChainCase

RESNAPSHOT = {"on_divergence": OnDivergence.RESNAPSHOT}


class GrownAgain(kit.SpgCase):
    """What happens to the log between two looks of the server at it."""

    def grow_again(self) -> None:
        """CHECKPOINT; then other records of the same lengths take the place of those that there were."""
        length = self.database.position
        self.database.checkpoint()
        self.database.client().insert("a", *range(20, 28))
        assert self.database.position == length

    @defer.inlineCallbacks
    def grow_again_seen(self) -> Any:
        """The same; one STATUS falls into the moment in which the log is empty."""
        connections = list(self.server.connections)
        for connection in connections:
            connection._call.cancel()
            connection._send(encode_status(0, 1_700_000_000_000_000))
        # A subscriber goes by the last STATUS of those that it reads at once.
        yield task.deferLater(self.reactor, 0.1)
        self.grow_again()
        for connection in connections:
            connection._turn()


class FollowerTest(GrownAgain):
    def make_database(self, **more: Any) -> Any:
        database = super().make_database(**more)
        database.checkpoint()
        return database

    @defer.inlineCallbacks
    def test_one_status_has_seen_it(self) -> Any:
        """That the log was shorter for a moment is enough to ask again, and to compare."""
        client = self.database.client()
        client.insert("a", 10)
        service = yield self.begin(**RESNAPSHOT)
        client.insert("a", *range(11, 18))
        yield self.caught_up(service)
        before = len(self.server.starts)
        yield self.grow_again_seen()
        yield self.until(lambda: self.server.starts.count(0) == 2)
        yield self.until(lambda: self.pairs("a") == self.database.rows("a"))
        assert len(self.server.starts) >= before + 2

    @defer.inlineCallbacks
    def test_no_status_has_seen_it(self) -> Any:
        """Nothing on the wire says so: the next connection compares."""
        client = self.database.client()
        client.insert("a", 10)
        service = yield self.begin(**RESNAPSHOT)
        client.insert("a", *range(11, 18))
        yield self.caught_up(service)
        self.grow_again()
        self.server.split()
        self.server.heal()
        yield self.until(lambda: self.server.starts.count(0) == 2)
        yield self.until(lambda: self.pairs("a") == self.database.rows("a"))


class SubscriberTest(ChainCase, GrownAgain):
    @defer.inlineCallbacks
    def test_one_status_has_seen_it(self) -> Any:
        self.database.publish("p")
        self.database.checkpoint()
        self.database.client().insert("a", 10)
        role: SubscriberRole = self.subscribe((yield self.serve()), "p", **RESNAPSHOT)
        yield self.has("a", 10)
        self.database.client().insert("a", *range(11, 18))
        yield self.has("a", *range(10, 18))
        yield self.until(lambda: role.status()["positions"]["applied"] == self.database.position)
        yield self.grow_again_seen()
        yield self.has("a", *self.database.ids("a"))
