"""The kit: whole nodes in memory, and what a test can do to them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import EngineFailed
from spgrepl.interfaces.engine import IEngine
from spgrepl.interfaces.target import ITarget
from spgrepl.replica.following.service import FollowerService
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.server.roles import FollowerRole
from spgrepl.server.subscriber_role import SubscriberRole
from spgrepl.testing import (
    Cluster,
    FailingEngine,
    FailingTarget,
    NotInTime,
    StepReactor,
    assert_applied,
    assert_equal_databases,
)

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


def test_a_follower_and_a_subscriber(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    primary.execute("CREATE PUBLICATION p FOR TABLE t")
    primary.execute("INSERT INTO t VALUES (1, 'x')")
    copy, subscriber = cluster.follower(), cluster.subscriber("p")
    position = primary.execute("INSERT INTO t VALUES (?, ?)", (2, "y"))
    for replica in (copy, subscriber):
        assert_applied(cluster.reactor, replica, position)
    assert_equal_databases(primary.paths.database, cluster.paths("follower").database)
    assert_equal_databases(primary.paths.database, cluster.paths("subscriber").database, ["t"])


def test_a_chain_whose_middle_restarts(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    middle = cluster.follower("middle")
    last = cluster.follower("last", of="middle")
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    assert_applied(cluster.reactor, middle, position)
    cluster.stop(middle)
    primary.execute("INSERT INTO t VALUES (2, 'y')")
    cluster.follower("middle")
    cluster.until(lambda: count(cluster, "last") == 2)
    assert last.status()["error"] is None
    assert_equal_databases(primary.paths.database, cluster.paths("last").database)


def count(cluster: Cluster, name: str) -> int:
    with closing(apsw.Connection(str(cluster.paths(name).database))) as connection:
        return int(connection.execute("SELECT count(*) FROM t").get)


@pytest.mark.parametrize("after", [0, 1, 12, 30, 500, 5_000, 20_000])
def test_a_connection_that_is_cut_anywhere(cluster: Cluster, after: int) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    cluster.network.to_client.cut_after = after
    copy = cluster.follower()
    cluster.until(lambda: cluster.network.made)
    cluster.network.to_client.cut_after = None
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    assert_applied(cluster.reactor, copy, position)
    assert_equal_databases(primary.paths.database, cluster.paths("follower").database)


def test_a_bit_that_is_turned_over_in_the_snapshot(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    primary.execute("INSERT INTO t VALUES (1, ?)", ("x" * 2000,))
    cluster.network.to_client.flip = (6000, 3)
    copy = cluster.follower()
    cluster.until(lambda: cluster.network.made)
    cluster.network.to_client.flip = None
    assert_applied(cluster.reactor, copy, primary.primary.position)
    assert cluster.network.made > 1
    assert_equal_databases(primary.paths.database, cluster.paths("follower").database)


def test_bytes_that_trickle(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    cluster.network.to_client.piece = cluster.network.to_server.piece = 7
    copy = cluster.follower()
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'x')"))


def test_bytes_that_are_on_their_way_for_a_while(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    cluster.network.to_client.delay = 1.5
    copy = cluster.follower()
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    assert_applied(cluster.reactor, copy, position)
    sent = cluster.reactor.seconds()
    position = primary.execute("INSERT INTO t VALUES (2, 'x')")
    cluster.pass_time(1.4)
    assert count(cluster, "follower") == 1
    assert_applied(cluster.reactor, copy, position)
    assert 1.5 <= cluster.reactor.seconds() - sent < 2
    # With a connection that is cut meanwhile, nothing is left on the way.
    primary.execute("INSERT INTO t VALUES (3, 'x')")
    cluster.network.cut()
    cluster.network.to_client.delay = 0
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (4, 'x')"))
    assert_equal_databases(primary.paths.database, cluster.paths("follower").database)


def test_a_network_that_stands_still(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    copy = cluster.follower()
    assert_applied(cluster.reactor, copy, primary.primary.position)
    cluster.network.hold()
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(AssertionError, match=rf"position {position} was not applied: .* its status is"):
        assert_applied(cluster.reactor, copy, position, seconds=2)
    cluster.network.hold(held=False)
    assert_applied(cluster.reactor, copy, position)


def test_a_master_that_nobody_reaches(cluster: Cluster) -> None:
    primary = cluster.primary()
    cluster.network.unreachable.add("primary")
    copy = cluster.follower()
    cluster.until(lambda: "cannot be reached" in (copy.status()["error"] or ""))
    cluster.network.unreachable.clear()
    assert_applied(cluster.reactor, copy, primary.primary.position)


@pytest.mark.parametrize("kind", ["follower", "subscriber"])
def test_a_stop_by_who_waited_for_what_is_there_already(cluster: Cluster, kind: str) -> None:
    """It is told while the copy is being opened: nothing may go on after that."""
    primary = cluster.primary()
    primary.execute(TABLE)
    primary.execute("CREATE PUBLICATION p FOR TABLE t")

    def start() -> FollowerRole | SubscriberRole:
        return cluster.follower() if kind == "follower" else cluster.subscriber("p")

    first = start()
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    assert_applied(cluster.reactor, first, position)
    cluster.stop(first)
    cluster.pass_time(1)
    made = cluster.network.made
    second = start()
    stopped: list[object] = []
    waiting = second.when_applied(position)
    waiting.addCallback(lambda _: second.stopService()).addBoth(stopped.append)
    cluster.until(lambda: stopped)
    cluster.pass_time(40)
    assert cluster.network.made == made
    assert second.status()["state"] == "stopped"


def test_an_engine_that_fails(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    paths = cluster.paths("copy")
    engine = FailingEngine(SqliteEngine(paths.database))
    verifyObject(IEngine, engine)
    service = FollowerService(cluster.reactor, cluster.network.client("primary"), engine, paths)
    service.startService()
    cluster.wait(service.when_applied(primary.primary.position))
    engine.faults.fail("commit")
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    cluster.until(lambda: "commit fails, as the test wants it" in (service.status()["error"] or ""))
    cluster.wait(service.when_applied(position))
    cluster.wait(service.stopService())
    assert_equal_databases(primary.paths.database, paths.database)


def test_a_target_that_fails(cluster: Cluster) -> None:
    primary = cluster.primary()
    primary.execute(TABLE)
    primary.execute("CREATE PUBLICATION p FOR TABLE t")
    database = cluster.folder / "target.db"
    target = FailingTarget(SqliteTarget(database, "s"))
    verifyObject(ITarget, target)
    service = SubscriberService(
        cluster.reactor,
        cluster.network.client("primary"),
        target,
        Subscription("s", ("p",)),
        SubscriberSide(7, database),
    )
    service.startService()
    cluster.wait(service.when_applied(primary.primary.position))
    target.faults.fail("execute", error=EngineFailed("the disk is full"))
    position = primary.execute("INSERT INTO t VALUES (1, 'x')")
    cluster.until(lambda: "the disk is full" in (service.status()["error"] or ""))
    cluster.wait(service.when_applied(position))
    cluster.wait(service.stopService())
    assert_equal_databases(primary.paths.database, database, ["t"])


def test_what_differs_is_named(cluster: Cluster, tmp_path: Path) -> None:
    for name, value in (("one", 1), ("two", 2)):
        with closing(apsw.Connection(str(tmp_path / name))) as connection:
            connection.execute(f"{TABLE}; INSERT INTO t VALUES (7, {value})")
    with pytest.raises(AssertionError, match=r"differ:\n.*t.*7"):
        assert_equal_databases(tmp_path / "one", tmp_path / "two")


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    """As many steps, and the same bytes in every file."""

    def course(folder: Path) -> tuple[int, int]:
        folder.mkdir()
        with Cluster(folder) as cluster:
            primary = cluster.primary()
            primary.execute(TABLE)
            copy = cluster.follower()
            for number in range(5):
                assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (?, 1)", (number,)))
            return cluster.reactor.steps, round(cluster.reactor.seconds() * 1000)

    assert course(tmp_path / "a") == course(tmp_path / "b")


def test_the_order_may_be_chosen(tmp_path: Path) -> None:
    choices = random.Random(7)
    with Cluster(tmp_path, StepReactor(choices.randrange)) as cluster:
        primary = cluster.primary()
        primary.execute(TABLE)
        copies = [cluster.follower(name) for name in ("one", "two")]
        position = primary.execute("INSERT INTO t VALUES (1, 'x')")
        for copy in copies:
            assert_applied(cluster.reactor, copy, position)


def test_the_fixture_of_pytest(spgrepl_cluster: Cluster) -> None:
    assert spgrepl_cluster.primary().query("SELECT 1") == [(1,)]
    assert spgrepl_cluster.paths("primary").database.exists()


def test_without_a_folder_the_files_are_in_memory_and_gone_in_the_end() -> None:
    with Cluster() as cluster:
        cluster.primary()
        folder = cluster.folder
        assert (folder / "primary.db").exists()
        if os.access("/dev/shm", os.W_OK):
            assert folder.parent == Path("/dev/shm")
    assert not folder.exists()


def test_a_wait_that_is_too_long(cluster: Cluster) -> None:
    with pytest.raises(NotInTime, match="what is waited for has not come about within 3 s"):
        cluster.wait(Deferred(), seconds=3)
    assert cluster.reactor.seconds() == pytest.approx(3, abs=0.1)


class TrialTests(TestCase):
    """The same in trial's TestCase."""

    def test_a_follower(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        with Cluster(folder) as cluster:
            primary = cluster.primary()
            copy = cluster.follower()
            assert_applied(cluster.reactor, copy, primary.execute(TABLE))
