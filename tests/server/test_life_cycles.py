"""Services that are started and stopped in every order: all roles, a primary, and the two beside each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import LocalFilesDamaged, ServiceStopped, SpgReplError, StatementFailed, UsageError
from spgrepl.log.wal_level import WalLevel
from spgrepl.primary import Primary
from spgrepl.primary.service import PrimaryService
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from spgrepl.server.subscription_runner import SubscriptionRunner
from tests import sql as sqlite3
from tests.replica.following.copies import quick_folder

JUNK = b"SPGENV01" * 100


class Place:
    """A folder, and services in it, which are stopped after the test."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = folder
        self.services: list[Any] = []

    def paths(self, name: str) -> DatabasePaths:
        return DatabasePaths.of(self.folder / f"{name}.db")

    def keep(self, service: Any) -> Any:
        self.services.append(service)
        return service

    def server(self, name: str = "listen") -> Any:
        return serverFromString(self.reactor, f"unix:{self.folder}/{name}")

    def client(self) -> Any:
        return clientFromString(self.reactor, f"unix:{self.folder}/listen")

    def primary(self, **more: Any) -> PrimaryService:
        service: PrimaryService = self.keep(PrimaryService(Primary(self.reactor, self.paths("master"), **more)))
        return service

    def master(self, primary: Primary | None = None, **more: Any) -> MasterRole:
        wanted = MasterSettings(self.paths("master"), more.pop("listen", self.server()), **more)
        role: MasterRole = self.keep(MasterRole(self.reactor, wanted, primary))
        return role

    def follower(self, **more: Any) -> FollowerRole:
        role: FollowerRole = self.keep(
            FollowerRole(self.reactor, FollowerSettings(self.paths("follower"), self.client(), **more))
        )
        return role

    def relay(self) -> FollowerRole:
        return self.follower(listen=self.server("relay"))

    def subscriber(self) -> SubscriberRole:
        wanted = SubscriberSettings(self.paths("some"), self.client(), Subscription("s", ("p",)))
        role: SubscriberRole = self.keep(SubscriberRole(self.reactor, wanted))
        return role

    def runner(self) -> SubscriptionRunner:
        """A runner, and the primary that it needs, which is started."""
        service = self.primary()
        service.startService()
        runner: SubscriptionRunner = self.keep(SubscriptionRunner(self.reactor, service.primary))
        return runner

    async def stop(self) -> None:
        for service in reversed(self.services):
            if service.running:
                await service.stopService()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.stop()))


def outcome(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


# -- stopped and started again ----------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_all_roles_go_on_after_a_restart(place: Place) -> None:
    service = place.primary()
    primary = service.primary
    primary.wal_level.set("logical")
    roles = [place.master(primary), place.relay(), place.subscriber()]
    for one in roles:
        one.startService()
    service.startService()
    await primary.when_ready()
    await primary.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    await primary.execute("CREATE PUBLICATION p FOR TABLE t")
    for number in range(2):
        for one in roles:
            await one.when_ready()
        position = await primary.execute("INSERT INTO t VALUES (?)", (number,))
        for one in roles:
            await one.when_applied(position, 30)
        for one in (*reversed(roles), service):
            finished = outcome(one.finished)
            await one.stopService()
            assert finished == [None]
        assert [one.status()["state"] for one in roles] == ["stopped"] * 3
        assert [one.address for one in roles] == [None] * 3
        with pytest.raises(ServiceStopped):
            await roles[1].when_applied(10**9)
        for one in (service, *roles):
            one.startService()
        await primary.when_ready()


@pytest.mark.parametrize("what", ["primary", "master", "follower", "relay", "subscriber", "runner"])
@pytest_twisted.ensureDeferred
async def test_a_start_while_it_stops_comes_after_that(place: Place, what: str) -> None:
    service = getattr(place, what)()
    service.startService()
    first = service.stopService()
    service.startService()
    second = service.stopService()
    service.startService()
    await first
    await second
    await service.when_ready()
    await place.stop()
    for name in ("master", "follower"):
        lock = LockFile(place.paths(name).writer_lock, "a test")
        lock.acquire()
        lock.release()


@pytest_twisted.ensureDeferred
async def test_the_ports_can_be_read_and_are_listened_on_again(place: Place) -> None:
    any_port = TCP4ServerEndpoint(place.reactor, 0, interface="127.0.0.1")
    role = place.master(listen=any_port, http=TCP4ServerEndpoint(place.reactor, 0, interface="127.0.0.1"))
    role.startService()
    await role.when_ready()
    assert role.address.host == role.http_address.host == "127.0.0.1"
    assert role.address.port != role.http_address.port != 0
    port = role.address.port
    await role.stopService()
    again = place.master(listen=TCP4ServerEndpoint(place.reactor, port, interface="127.0.0.1"))
    again.startService()
    stopped = again.stopService()
    again.startService()
    await stopped
    await again.when_ready()
    assert again.address.port == port


@pytest_twisted.ensureDeferred
async def test_the_ports_are_open_while_the_process_is_privileged(place: Place) -> None:
    role = place.master(http=place.server("http"))
    role.privilegedStartService()
    assert role.address is not None
    assert role.http_address is not None
    follower = place.follower()
    follower.startService()
    while not role.status()["peers"]:
        await deferLater(place.reactor, 0.01)
    # Who came before the role was started is answered when it is.
    role.startService()
    await role.when_ready()
    assert await role.master.listening is role.master.port
    await follower.when_applied(0, 30)


# -- failures -----------------------------------------------------------------------------------------------------


def errors_in_log() -> tuple[list[LogEvent], Callable[[], None]]:
    events: list[LogEvent] = []

    def note(event: LogEvent) -> None:
        if event["log_level"].name == "error":
            events.append(event)

    globalLogPublisher.addObserver(note)
    return events, lambda: globalLogPublisher.removeObserver(note)


@pytest.mark.parametrize("what", ["master", "follower", "relay", "subscriber"])
@pytest_twisted.ensureDeferred
async def test_a_failure_that_nobody_waits_for_is_logged_and_shown_until_the_stop(place: Place, what: str) -> None:
    name = {"relay": "follower", "subscriber": "some"}.get(what, what)
    place.paths(name).database.write_bytes(JUNK)
    role = getattr(place, what)()
    events, done = errors_in_log()
    role.startService()
    while role.status()["state"] != "stopped":
        turn: Deferred[None] = Deferred()
        place.reactor.callLater(0.005, turn.callback, None)
        await turn
    done()
    assert [event["what"] for event in events] == [
        f"the {'follower' if what == 'relay' else what} in {place.paths(name).database}".replace(
            "the master in", "the master of"
        )
    ]
    assert isinstance(events[0]["error"], LocalFilesDamaged)
    for one in (role.when_ready(), role.finished):
        with pytest.raises(LocalFilesDamaged):
            await one
    assert role.status()["error"] == str(events[0]["error"])


@pytest_twisted.ensureDeferred
async def test_whoever_waits_for_the_port_is_told_why_it_does_not_open(place: Place) -> None:
    place.paths("master").database.write_bytes(JUNK)
    role = place.master(http=place.server("http"))
    early = outcome(role.master.listening)
    role.startService()
    with pytest.raises(LocalFilesDamaged):
        await role.when_ready()
    with pytest.raises(LocalFilesDamaged):
        await role.master.listening
    assert isinstance(early[0], LocalFilesDamaged)
    # The site stays, to tell why.
    assert role.http_address is not None
    assert role.address is None
    place.paths("master").database.unlink()
    role.startService()
    await role.when_ready()
    assert role.status()["error"] is None
    await role.stopService()
    assert role.http_address is None
    assert (await outcome_of(role.finished)) is None


async def outcome_of(deferred: Deferred[Any]) -> Any:
    try:
        return await deferred
    except SpgReplError as error:
        return error


# -- a primary and its master -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(["primary", "master", "follower"]))[::2])
@pytest_twisted.ensureDeferred
async def test_the_order_of_starting_does_not_matter(place: Place, order: tuple[str, ...]) -> None:
    service = place.primary()
    role, follower = place.master(service.primary), place.follower()
    application = place.keep(MultiService())
    for name in order:
        {"primary": service, "master": role, "follower": follower}[name].setServiceParent(application)
    application.startService()
    await role.when_ready()
    position = await service.primary.execute("CREATE TABLE t (a)")
    await follower.when_applied(position, 30)
    await application.stopService()
    assert role.status()["state"] == "stopped"


@pytest_twisted.ensureDeferred
async def test_a_master_fails_with_its_primary(place: Place) -> None:
    place.paths("master").database.write_bytes(JUNK)
    service = place.primary()
    role = place.master(service.primary)
    role.startService()
    service.startService()
    failed = [await outcome_of(one.when_ready()) for one in (role, service)]
    assert [type(error) for error in failed] == [LocalFilesDamaged] * 2


@pytest_twisted.ensureDeferred
async def test_the_wal_level_and_the_statements_are_the_primarys(place: Place) -> None:
    service = place.primary()
    primary = service.primary
    role = place.master(primary)
    for one in (role, service):
        one.startService()
    await role.when_ready()
    runner = place.keep(SubscriptionRunner(place.reactor, primary))
    runner.startService()
    await runner.when_ready()

    def at_server(sql: str) -> Any:
        return deferToThread(execute_at_server, sql, None, place.paths("master"))

    await at_server("SET effective_wal_level = 'logical'")
    assert primary.wal_level.is_logical
    assert role.status()["publishing"]["wal_level"] == "logical"
    await primary.execute("SET effective_wal_level = 'replica'")
    assert (await at_server("SHOW effective_wal_level")).rows == [("replica",)]
    with pytest.raises(StatementFailed, match="no subscription 'nobody' runs here"):
        await at_server("ALTER SUBSCRIPTION nobody SKIP (position = 7, crc = '0badf00d')")
    assert role.status()["warning"] is None
    with closing(sqlite3.connect(place.paths("master").database)) as other:
        other.execute("CREATE TABLE slipped_in (a)")
    await primary.execute("CREATE TABLE t (a)")
    assert "another program has changed" in role.status()["warning"]


@pytest.mark.parametrize("what", ["primary", "master", "relay"])
@pytest_twisted.ensureDeferred
async def test_a_level_that_was_set_holds_after_a_restart(place: Place, what: str) -> None:
    name = "follower" if what == "relay" else "master"

    async def start(**more: Any) -> Any:
        service = getattr(place, what)(**more)
        server = place.master(service.primary) if what == "primary" else service
        for one in {id(one): one for one in (service, server)}.values():
            one.startService()
        await server.when_ready()
        return server

    async def at_server(sql: str) -> Any:
        return (await deferToThread(execute_at_server, sql, None, place.paths(name))).rows

    await start()
    await at_server("SET effective_wal_level = 'logical'")
    await place.stop()
    await start()
    assert await at_server("SHOW effective_wal_level") == [("logical",)]
    await place.stop()
    if what != "relay":
        await start(wal_level=WalLevel("replica"))
        assert await at_server("SHOW effective_wal_level") == [("replica",)]
    await place.stop()
    place.paths(name).wal_level.write_bytes(b"my diary")
    with pytest.raises(LocalFilesDamaged, match="is not a WAL level"):
        await start()


def test_settings_for_another_database_are_refused(place: Place) -> None:
    primary = Primary(place.reactor, place.paths("other"))
    with pytest.raises(UsageError, match="are not for"):
        place.master(primary)
    with pytest.raises(UsageError, match="hand the level to the Primary"):
        MasterRole(
            place.reactor,
            MasterSettings(primary.paths, place.server(), wal_level=WalLevel("logical")),
            primary,
        )


# -- any order ----------------------------------------------------------------------------------------------------

STEPS = st.lists(st.sampled_from(["start", "stop", "wait", "turn", "break", "repair"]), min_size=1, max_size=8)


@settings(max_examples=40)
@given(what=st.sampled_from(["primary", "master", "follower", "relay", "subscriber", "runner"]), steps=STEPS)
def test_any_order(what: str, steps: list[str]) -> Deferred[None]:
    """Whatever came before: started on good files it becomes ready, on junk it fails, and stopped it lets go."""
    # pytest-twisted waits for it.
    return Deferred.fromCoroutine(any_order(what, steps))


async def any_order(what: str, steps: list[str]) -> None:
    with quick_folder() as folder:
        place = Place(folder)
        try:
            await take_steps(place, what, steps)
        finally:
            await place.stop()


async def take_steps(place: Place, what: str, steps: list[str]) -> None:
    name = {"relay": "follower", "subscriber": "some", "primary": "master", "runner": "master"}.get(what, what)
    database = place.paths(name).database
    away = place.folder / "away"
    service = getattr(place, what)()
    for step in steps:
        if step == "start":
            service.startService()
        elif step == "stop":
            service.stopService()
        elif step == "wait" and service.running:
            await outcome_of(service.when_ready())
        elif step == "turn":
            turn: Deferred[None] = Deferred()
            place.reactor.callLater(0, turn.callback, None)
            await turn
        elif step in ("break", "repair") and what != "runner":
            await service.stopService()
            if step == "break" and not away.exists():
                if database.exists():
                    database.rename(away)
                else:
                    away.mkdir()
                database.write_bytes(JUNK)
            elif step == "repair" and away.exists():
                repair(database, away)
    await service.stopService()
    service.startService()
    broken = away.exists()
    assert isinstance(await outcome_of(service.when_ready()), LocalFilesDamaged) == broken
    finished = service.finished
    await service.stopService()
    assert isinstance(await outcome_of(finished), LocalFilesDamaged) == broken
    if broken:
        repair(database, away)
    await place.stop()
    lock = LockFile(place.paths(name).writer_lock, "a test")
    lock.acquire()
    lock.release()


def repair(database: Path, away: Path) -> None:
    database.unlink()
    if away.is_dir():
        away.rmdir()
    else:
        away.rename(database)
