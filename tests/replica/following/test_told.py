"""What is told of a follower, as it goes through its life."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.replica.following.states import FollowerState
from spgrepl.replica.following.told import FollowerTold
from spgrepl.testing import Cluster, PrimaryNode


class Rig:
    """A primary and a follower in one process, in memory."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.node: PrimaryNode = cluster.primary()
        self.node.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        self.role: Any = cluster.follower()
        self.told: FollowerTold = self.role.follower

    def until(self, state: FollowerState) -> None:
        self.cluster.until(lambda: self.told.state is state)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Cluster(tmp_path) as cluster:
        made = Rig(cluster)
        made.until(FollowerState.STREAMING)
        yield made


def test_one_that_has_everything_stands_where_its_master_does(rig: Rig) -> None:
    position = rig.node.execute("INSERT INTO t VALUES (1)")
    rig.cluster.wait(rig.role.when_applied(position))
    rig.cluster.until(lambda: rig.told.describe().positions.durable == position)
    told = rig.told.describe()
    assert (told.positions.source, told.positions.received, told.positions.applied) == (position,) * 3
    assert (told.state, told.engine, rig.told.engine_name) == ("streaming", "sqlite", "sqlite")
    assert told.history == position.history
    assert (told.bootstrap, told.cold_rows, told.skipped, told.fault.error) == (None, None, 0, None)
    assert told.protocol is not None


def test_what_stands_in_its_files_is_known_without_a_connection(rig: Rig) -> None:
    position = rig.node.execute("INSERT INTO t VALUES (1)")
    rig.cluster.wait(rig.role.when_applied(position))
    rig.cluster.stop(rig.node.master)
    rig.until(FollowerState.WAITING)
    told = rig.told.describe()
    assert (told.positions.received, told.positions.applied) == (None, position)
    assert told.fault.error is not None


def test_a_master_that_says_nothing_at_all_is_silent(rig: Rig) -> None:
    rig.cluster.network.hold()
    rig.until(FollowerState.SILENT)
    assert rig.told.describe().state == "silent"
    rig.cluster.network.hold(held=False)
    rig.until(FollowerState.STREAMING)


def test_one_that_was_stopped_says_so(rig: Rig) -> None:
    rig.cluster.stop(rig.role)
    assert rig.told.state is FollowerState.STOPPED
    assert rig.told.describe().positions.received is None
