"""Roles, services and a primary in any order: started, stopped, cut off, failing, the master gone and back.

Each example is a course of such events on whole nodes in memory. However it goes, in the end every node starts,
the copies come to hold what the primary holds, and nothing is left behind that the reactor would call.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred

from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import EngineFailed
from spgrepl.testing import Cluster, FailingEngine, PrimaryNode, assert_applied, assert_equal_databases
from tests.server.status.schema import check_status

EXAMPLES = int(os.environ.get("SPGREPL_ORDERS", "25"))
NODES = ("primary", "master", "follower", "relay", "subscriber")
nodes = st.sampled_from(NODES)


class Orders(RuleBasedStateMachine):
    """A primary with its master, a follower with a follower of its own, and a subscriber."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spgrepl-orders-"))
        self.cluster = Cluster(self.folder)
        self.told: list[list[Any]] = []
        self.rows = 0

    @initialize()
    def set_up(self) -> None:
        cluster = self.cluster
        self.node: PrimaryNode = cluster.primary()
        self.node.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        self.node.execute("CREATE PUBLICATION p FOR TABLE t")
        paths = cluster.paths("follower")
        self.engine = FailingEngine(SqliteEngine(paths.database))
        self.services: dict[str, Any] = {
            "primary": self.node.service,
            "master": self.node.master,
            "follower": cluster.follower(engine=self.engine),
            "relay": cluster.follower("relay", of="follower"),
            "subscriber": cluster.subscriber("p"),
        }

    def hear(self, deferred: Deferred[Any]) -> None:
        """Whoever waits is told once, of a result or an error."""
        told: list[Any] = []
        self.told.append(told)
        deferred.addBoth(told.append)

    # -- what may happen ----------------------------------------------------------------------------------------

    @rule(name=nodes)
    def start(self, name: str) -> None:
        self.services[name].startService()

    @rule(name=nodes)
    def stop(self, name: str) -> None:
        stopped = self.services[name].stopService()
        if stopped is not None:
            self.hear(stopped)

    @rule(name=nodes)
    def wait(self, name: str) -> None:
        self.hear(self.services[name].when_ready())
        self.hear(self.services[name].finished)

    @rule(name=st.sampled_from(("primary", "follower", None)))
    def cut(self, name: str | None) -> None:
        self.cluster.network.cut(name)

    @rule(name=st.sampled_from(("primary", "follower")), gone=st.booleans())
    def leave(self, name: str, gone: bool) -> None:
        unreachable = self.cluster.network.unreachable
        (unreachable.add if gone else unreachable.discard)(name)

    @rule(name=st.sampled_from(("primary", "follower")), held=st.booleans())
    def hold(self, name: str, held: bool) -> None:
        self.cluster.network.hold(name, held)

    @rule(method=st.sampled_from(("begin", "execute", "commit")), after=st.integers(0, 2))
    def fail(self, method: str, after: int) -> None:
        self.engine.faults.fail(method, after, EngineFailed("the disk is full, as a test ordered"))

    @rule(count=st.integers(1, 3))
    def write(self, count: int) -> None:
        for _ in range(count):
            self.rows += 1
            self.hear(self.node.primary.execute("INSERT INTO t VALUES (?, ?)", (self.rows, "x" * self.rows)))

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.3, 2.0, 20.0)))
    def pass_time(self, seconds: float) -> None:
        self.cluster.pass_time(seconds)

    @invariant()
    def each_status_is_as_its_schema_says(self) -> None:
        for name in ("master", "follower", "relay", "subscriber"):
            if name in getattr(self, "services", {}):
                check_status(self.services[name].status())

    # -- the end --------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "services"):
                self.come_to_rest()
            self.cluster.close()
            # Whoever waited before a start is told after that, at the latest.
            assert all(len(told) == 1 for told in self.told), self.told
            assert self.cluster.reactor.getDelayedCalls() == []
        finally:
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        cluster, network = self.cluster, self.cluster.network
        network.unreachable.clear()
        network.hold(None, False)
        self.each(lambda service: service.stopService())
        self.engine.faults.__init__()  # type: ignore[misc]
        self.each(lambda service: service.startService())
        for service in self.services.values():
            cluster.wait(service.when_ready())
        position = self.node.execute("INSERT INTO t VALUES (0, 'the last')")
        for name in ("follower", "relay", "subscriber"):
            assert_applied(cluster.reactor, self.services[name], position)
        for name in ("follower", "relay"):
            assert_equal_databases(self.node.paths.database, cluster.paths(name).database)
        assert_equal_databases(self.node.paths.database, cluster.paths("subscriber").database, ["t"])

    def each(self, call: Callable[[Any], Any]) -> None:
        for service in self.services.values():
            done = call(service)
            if isinstance(done, Deferred):
                self.cluster.wait(done)


class TestOrders(Orders.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
