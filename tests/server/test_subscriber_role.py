"""A subscriber as a role: put together from its settings; it has a status and waiters from the first moment on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThread

from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import ConfigurationError, LocalFilesDamaged, ReplicationLoop, ServiceStopped, SpgReplError
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.status.client import StatusAddress, ask
from spgrepl.server.subscriber_role import SUBSCRIBER_ENGINES, SubscriberRole, SubscriberSettings, make_target

WANTED = Subscription("s", ("p", "q"))


class Unreachable:
    """A master that is not there, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.asked += 1
        refused: Deferred[Any] = Deferred()
        refused.errback(error.ConnectionRefusedError())
        return refused


class Rig:
    """A role in a folder."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = folder
        self.paths = DatabasePaths.of(folder / "some.db")
        self.master = Unreachable()
        self.role: SubscriberRole | None = None

    def make(self, **more: Any) -> SubscriberRole:
        settings = SubscriberSettings(self.paths, self.master, WANTED, **more)  # type: ignore[arg-type]
        self.role = SubscriberRole(self.reactor, settings)
        return self.role

    def start(self, **more: Any) -> SubscriberRole:
        role = self.make(**more)
        role.startService()
        return role

    async def until(self, condition: Any) -> None:
        while not condition():
            turn: Deferred[None] = Deferred()
            self.reactor.callLater(0.005, turn.callback, None)
            await turn


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    if made.role is not None and made.role.running:
        pytest_twisted.blockon(made.role.stopService())


async def end_of(role: SubscriberRole, reactor: Any) -> SpgReplError | None:
    try:
        await role.finished.addTimeout(60, reactor)
    except SpgReplError as ended:
        return ended
    return None


def test_the_engines_are_those_that_users_can_name(rig: Rig) -> None:
    kinds = {}
    for engine in SUBSCRIBER_ENGINES:
        target = make_target(SubscriberSettings(rig.paths, rig.master, WANTED, engine))  # type: ignore[arg-type]
        kinds[engine] = type(target)
        assert target.kind == engine
    assert kinds == {"sqlite": SqliteTarget, "counting": CountingTarget}


@pytest_twisted.ensureDeferred
async def test_the_status_is_whole_from_the_first_moment(rig: Rig) -> None:
    role = rig.make()
    early = role.status()
    assert (early["role"], early["state"], early["error"]) == ("subscriber", "stopped", None)
    role.startService()
    await rig.until(lambda: rig.master.asked)
    late = role.status()
    assert set(early) <= set(late)
    assert late["engine"] == "sqlite"
    assert late["publications"] == ["p", "q"]
    assert "cannot be reached" in late["error"]
    json.dumps([early, late])
    # Nothing was made but the lock and the cluster id: where nothing has begun there is nothing to keep.
    assert sorted(path.name for path in rig.folder.iterdir()) == ["some.db.s.lock", "some.wal.cluster_id"]


@pytest_twisted.ensureDeferred
async def test_whoever_waits_before_the_start_waits_for_the_subscription(rig: Rig) -> None:
    role = rig.make()
    waiting = role.when_applied(7)
    role.startService()
    await rig.until(lambda: rig.master.asked)
    await role.stopService()
    with pytest.raises(ServiceStopped):
        await waiting
    assert await end_of(role, rig.reactor) is None


@pytest_twisted.ensureDeferred
async def test_whoever_waits_for_what_never_starts_is_told(rig: Rig) -> None:
    rig.paths.cluster_id.mkdir()
    role = rig.make()
    waiting = role.when_applied(7)
    role.startService()
    assert isinstance(await end_of(role, rig.reactor), ConfigurationError)
    late = role.when_applied(8)
    await role.stopService()
    for one in (waiting, late):
        assert one.called
        with pytest.raises(ServiceStopped):
            await one


@pytest_twisted.ensureDeferred
async def test_a_role_that_is_stopped_at_once(rig: Rig) -> None:
    role = rig.start()
    await role.stopService()
    assert await end_of(role, rig.reactor) is None
    assert rig.master.asked == 0
    assert role.status()["state"] == "stopped"


@pytest_twisted.ensureDeferred
async def test_a_cluster_id_that_cannot_be_read_ends_it(rig: Rig) -> None:
    rig.paths.cluster_id.mkdir()
    role = rig.start()
    ended = await end_of(role, rig.reactor)
    assert isinstance(ended, ConfigurationError)
    assert "cluster_id cannot be read or made" in str(ended)
    assert (role.status()["state"], role.status()["error"]) == ("stopped", str(ended))


@pytest_twisted.ensureDeferred
async def test_a_cluster_id_that_is_damaged_ends_it(rig: Rig) -> None:
    rig.paths.cluster_id.write_bytes(b"short")
    ended = await end_of(rig.start(), rig.reactor)
    assert isinstance(ended, LocalFilesDamaged)
    assert rig.master.asked == 0


@pytest_twisted.ensureDeferred
async def test_the_id_is_that_of_the_database_so_that_a_loop_is_seen(rig: Rig) -> None:
    """A subscriber whose --db is the master's own finds the master's cluster id beside it."""
    known = load_cluster_id(rig.paths)
    role = rig.start()
    await rig.until(lambda: rig.master.asked)
    assert role.subscriber.origins.own == known


@pytest_twisted.ensureDeferred
async def test_an_error_that_ends_the_subscription_ends_the_role(rig: Rig) -> None:
    rig.paths.database.write_bytes(b"no database" * 100)
    role = rig.start()
    ended = await end_of(role, rig.reactor)
    assert isinstance(ended, LocalFilesDamaged)
    assert ended.exit_code
    assert (role.status()["state"], role.status()["error"]) == ("stopped", str(ended))
    assert ReplicationLoop.exit_code != ended.exit_code


@pytest_twisted.ensureDeferred
async def test_status_and_waiting_are_served(rig: Rig) -> None:
    role = rig.start(http=serverFromString(rig.reactor, f"unix:{rig.folder}/http"))
    await rig.until(lambda: rig.master.asked)
    code, status = await deferToThread(ask, StatusAddress(path=f"{rig.folder}/http"), "/status")
    assert (code, status["role"], status["name"]) == (200, "subscriber", "s")
    await role.stopService()
    assert not (rig.folder / "http").exists()


@pytest_twisted.ensureDeferred
async def test_an_address_that_cannot_be_listened_on_ends_it(rig: Rig) -> None:
    role = rig.start(http=serverFromString(rig.reactor, f"unix:{rig.folder}/none/http"))
    ended = await end_of(role, rig.reactor)
    assert isinstance(ended, ConfigurationError)
    assert "--http" in str(ended)
    assert rig.master.asked == 0
