"""A copy that stands at position 0 of a log that has grown since."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer

from spgrepl.disk.files import DatabasePaths
from spgrepl.log.wal_level import WalLevel
from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.role_settings import MasterSettings
from spgrepl.server.roles import MasterRole
from tests.spg_master.test_chain import ChainCase


class ArchiveAtZeroTest(ChainCase):
    """A master over the files of a server: without a manifest, its snapshot stands where the log begins."""

    @defer.inlineCallbacks
    def master(self) -> Any:
        """The server's snapshot, and then its log from 0 on."""
        self.database.checkpoint()
        (self.folder / "spg.db").write_bytes(self.database.snapshot())
        paths = DatabasePaths.of(self.folder / "spg.db")
        settings = MasterSettings(paths, self.local(), engine="archive", wal_level=WalLevel("logical"))
        role = MasterRole(self.reactor, settings)
        return role, (yield self.started(role))

    @defer.inlineCallbacks
    def test_the_first_record_is_published(self) -> Any:
        self.database.client().insert("a", 1)
        self.database.publish("p", "FOR TABLE a")
        _, endpoint = yield self.master()
        self.database.client().insert("a", 2, 3)
        self.database.client().insert("b", 4)
        self.subscribe(endpoint, "p")
        yield self.has("a", 1, 2, 3)
        self.database.client().insert("a", 5)
        yield self.has("a", 1, 2, 3, 5)

    @defer.inlineCallbacks
    def test_the_first_record_begins_a_transaction(self) -> Any:
        self.database.publish("p")
        _, endpoint = yield self.master()
        client = self.database.client()
        client.begin()
        client.insert("a", 1)
        self.subscribe(endpoint, "p")
        yield self.has("a")
        client.insert("a", 2)
        client.commit()
        yield self.has("a", 1, 2)


class CheckpointTest(ChainCase):
    @defer.inlineCallbacks
    def test_nobody_writes_after_it(self) -> Any:
        """The fresh copy stands at position 0 of an empty log, and goes on with what comes."""
        client = self.database.client()
        self.database.publish("p")
        client.insert("a", 1)
        self.subscribe((yield self.serve()), "p", on_divergence=OnDivergence.RESNAPSHOT)
        yield self.has("a", 1)
        client.insert("a", 2)
        yield self.has("a", 1, 2)
        self.database.checkpoint()
        yield self.until(lambda: self.server.starts.count(0) > 2)
        client.insert("a", 3)
        yield self.has("a", 1, 2, 3)
