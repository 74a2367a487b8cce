"""What a follower and a subscriber do alike: open, connect, end, and again, until they are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.errors import ServiceStopped, WaitTimeout
from spgrepl.replica.service import ReplicaService
from spgrepl.testing import Cluster, PrimaryNode
from spgrepl.testing.assertions import assert_applied


class Rig:
    """A primary, and one kind of copy."""

    def __init__(self, cluster: Cluster, kind: str) -> None:
        self.cluster = cluster
        self.node: PrimaryNode = cluster.primary()
        self.node.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        self.position = self.node.execute("CREATE PUBLICATION p FOR TABLE t")
        self.role: Any = cluster.follower() if kind == "follower" else cluster.subscriber("p")

    def insert(self, number: int) -> int:
        self.position = self.node.execute(f"INSERT INTO t VALUES ({number})")
        return self.position

    def applied(self) -> None:
        assert_applied(self.cluster.reactor, self.role, self.position)

    @property
    def state(self) -> str:
        return str(self.role.status()["state"])


@pytest.fixture(params=["follower", "subscriber"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with Cluster(tmp_path) as cluster:
        made = Rig(cluster, request.param)
        made.insert(1)
        made.applied()
        cluster.until(lambda: made.state == "streaming")
        yield made


def services(role: Any) -> list[ReplicaService]:
    return [one for one in vars(role).values() if isinstance(one, ReplicaService)]


def test_it_streams_and_says_so(rig: Rig) -> None:
    assert services(rig.role)
    assert rig.role.status()["error"] is None


def test_it_stops_and_starts_again_where_it_was(rig: Rig) -> None:
    rig.cluster.stop(rig.role)
    assert rig.state == "stopped"
    rig.insert(2)
    rig.cluster.start(rig.role)
    rig.applied()


def test_a_connection_that_is_cut_is_made_again(rig: Rig) -> None:
    reconnects = rig.role.status()["reconnects"]
    rig.cluster.network.cut()
    rig.insert(2)
    rig.applied()
    assert rig.role.status()["reconnects"] > reconnects


def test_whoever_waits_is_told_in_time_or_at_the_end(rig: Rig) -> None:
    with pytest.raises(WaitTimeout):
        rig.cluster.wait(rig.role.when_applied(rig.position + 1000, timeout=1))
    waiting = rig.role.when_applied(rig.position + 1000)
    told: list[Any] = []
    waiting.addErrback(lambda failure: told.append(failure.type))
    rig.cluster.stop(rig.role)
    assert told == [ServiceStopped]


def test_a_master_that_is_gone_is_waited_for(rig: Rig) -> None:
    rig.cluster.stop(rig.node.master)
    rig.cluster.until(lambda: rig.state == "waiting")
    assert rig.role.status()["error"] is not None
    rig.node.master.startService()
    rig.insert(2)
    rig.applied()
    rig.cluster.until(lambda: rig.role.status()["error"] is None)
