"""CHECKPOINT, and transactions that stand between each other, along a chain: A, B behind it, and C behind B."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.log.wal_level import WalLevel
from spgrepl.replica.following import history
from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.role_settings import MasterSettings
from spgrepl.server.roles import MasterRole
from tests.spg_master import kit
from tests.spg_master.test_chain import ChainCase

RESNAPSHOT = {"on_divergence": OnDivergence.RESNAPSHOT}


class ArchiveFollowerTest(kit.SpgCase):
    @defer.inlineCallbacks
    def test_ends_that_differ_are_kept_as_they_are(self) -> Any:
        """An archive applies nothing: what the log cannot tell is no fault of it."""
        service = self.follow((yield self.serve()), ArchiveEngine)
        yield self.caught_up(service)
        one, two = self.database.client(), self.database.client()
        one.begin()
        two.begin()
        one.insert("a", 1)
        two.insert("b", 1)
        one.commit()
        two.rollback()
        self.database.client().insert("a", 5)
        yield self.caught_up(service)
        assert self.database.wal.read_bytes().endswith(self.paths.wal.read_bytes())
        assert service.status()["error"] is None


class CheckpointChainTest(ChainCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(history, "PATIENCE", 0.3)

    @defer.inlineCallbacks
    def checkpoint(self) -> Any:
        """At A; afterwards other rows are written, more than there were."""
        client = self.database.client()
        self.database.checkpoint()
        client.execute("DELETE FROM a WHERE id = 1")
        client.insert("a", *range(50, 90))
        yield self.has("a", *self.database.ids("a"))
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 200)
        client.insert("a", 100)
        slow.commit()
        yield self.has("a", *self.database.ids("a"))

    @defer.inlineCallbacks
    def begun(self, **more: Any) -> Any:
        self.database.publish("p", "FOR TABLE a")
        self.database.client().insert("a", 1)
        _, endpoint = yield self.middle(**more)
        self.subscribe(endpoint, "p", **RESNAPSHOT)
        yield self.has("a", 1)
        self.database.client().insert("a", 2)
        yield self.has("a", 1, 2)

    @defer.inlineCallbacks
    def test_b_in_sqlite(self) -> Any:
        yield self.begun(**RESNAPSHOT)
        yield self.checkpoint()

    @defer.inlineCallbacks
    def test_b_an_archive(self) -> Any:
        yield self.begun(engine="archive", **RESNAPSHOT)
        yield self.checkpoint()

    @defer.inlineCallbacks
    def test_b_over_the_files_of_a(self) -> Any:
        """A master with the engine archive beside the server, which writes the snapshot, then cuts the log."""
        self.database.publish("p", "FOR TABLE a")
        self.database.client().insert("a", 1)
        self.database.checkpoint()
        snapshot = self.folder / "spg.db"
        snapshot.write_bytes(self.database.snapshot())
        settings = MasterSettings(
            DatabasePaths.of(snapshot), self.local(), engine="archive", wal_level=WalLevel("logical")
        )
        endpoint = yield self.started(MasterRole(self.reactor, settings))
        self.subscribe(endpoint, "p", **RESNAPSHOT)
        yield self.has("a", 1)
        self.database.client().insert("a", 2)
        yield self.has("a", 1, 2)
        snapshot.write_bytes(self.database.snapshot())
        yield self.checkpoint()


class FreshSnapshotTest(ChainCase):
    @defer.inlineCallbacks
    def test_c_stands_at_position_0(self) -> Any:
        """B takes a fresh snapshot, and its own log begins again: nothing at position 0 shows that to C."""
        self.database.publish("p", "FOR TABLE a")
        _, endpoint = yield self.middle(transactions=TransactionChoices(OnAmbiguity.RESNAPSHOT))
        self.subscribe(endpoint, "p", **RESNAPSHOT)
        yield self.has("a")
        one, two = self.database.client(), self.database.client()
        one.begin()
        two.begin()
        one.insert("a", 1)
        two.insert("a", 2)
        one.commit()
        two.rollback()
        self.database.client().insert("a", 4)
        yield self.has("a", 1, 4)
        self.database.client().insert("a", 5)
        yield self.has("a", 1, 4, 5)
