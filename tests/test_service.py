"""Masters and followers put together, in one process, with the real reactor and real files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    HistoryDiverged,
    LocalFilesDamaged,
    LogTruncated,
    ServiceStopped,
    SpgReplError,
    WaitTimeout,
)
from spgrepl.files import DatabasePaths, LockFile
from spgrepl.master.sources import ISnapshotSource
from spgrepl.primary import Primary
from spgrepl.service import (
    FollowerRole,
    FollowerSettings,
    MasterRole,
    MasterSettings,
    Role,
    _EngineSnapshots,
    _Reached,
)
from spgrepl.status.client import StatusAddress, ask
from spgrepl.wal.source import ILogListener


class Site:
    """Roles in one folder; all are stopped behind the test."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = folder
        self.roles: list[Role] = []

    def paths(self, name: str) -> DatabasePaths:
        return DatabasePaths.of(self.folder / f"{name}.db")

    def server(self, name: str) -> Any:
        return serverFromString(self.reactor, f"unix:{self.folder}/{name}")

    def client(self, name: str) -> Any:
        return clientFromString(self.reactor, f"unix:{self.folder}/{name}")

    def master(self, **settings: Any) -> MasterRole:
        role = MasterRole(self.reactor, MasterSettings(self.paths("master"), self.server("listen"), **settings))
        return self._started(role)

    def follower(self, of: str = "listen", **settings: Any) -> FollowerRole:
        role = FollowerRole(self.reactor, FollowerSettings(self.paths("follower"), self.client(of), **settings))
        return self._started(role)

    def _started(self, role: Any) -> Any:
        self.roles.append(role)
        role.startService()
        return role

    async def write(self, *statements: str) -> int:
        primary = Primary(self.reactor, self.paths("master"))
        await primary.open()
        position = primary.position
        for statement in statements:
            position = await primary.execute(statement)
        await primary.close()
        return position

    async def stop(self) -> None:
        for role in reversed(self.roles):
            if role.running:
                await role.stopService()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.stop()))


async def end_of(role: Role) -> SpgReplError | None:
    """Wait until a role has ended, and return the error that ended it."""
    from twisted.internet import reactor

    ended: Deferred[Failure | None] = Deferred()
    role.finished.addBoth(ended.callback)
    ended.addTimeout(60, reactor)  # type: ignore[arg-type]
    try:
        await ended
    except SpgReplError as error:
        return error
    return None


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
        return number


def test_the_seams_are_kept() -> None:
    assert verifyObject(ISnapshotSource, _EngineSnapshots(None))  # type: ignore[arg-type]
    assert verifyObject(ILogListener, _Reached(None))  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_a_copy_is_made_and_both_stop_on_demand(site: Site) -> None:
    master, follower = site.master(), site.follower()
    assert (master.status()["state"], master.status()["positions"]["applied"]) == ("starting", None)
    await master.master.listening
    position = await site.write("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    assert await master.when_applied(position, 30) >= position
    assert await follower.when_applied(position, 30) >= position
    assert count(site.paths("follower").database) == 1
    assert master.status()["state"] == "serving"
    for role in (follower, master):
        await role.stopService()
        assert role.status()["state"] == "stopped"
        assert await end_of(role) is None


@pytest_twisted.ensureDeferred
async def test_a_database_that_has_a_writer_is_left_to_it(site: Site) -> None:
    primary = Primary(site.reactor, site.paths("master"))
    await primary.open()
    try:
        master, follower = site.master(), site.follower()
        await master.master.listening
        position = await primary.execute("CREATE TABLE t (a)")
        assert await follower.when_applied(position, 30) == position
    finally:
        await primary.close()


@pytest_twisted.ensureDeferred
async def test_a_master_lets_go_of_the_writers_lock(site: Site) -> None:
    master = site.master()
    await master.master.listening
    lock = LockFile(site.paths("master").writer_lock, "a test")
    lock.acquire()
    lock.release()


@pytest_twisted.ensureDeferred
async def test_a_damaged_database_ends_a_master(site: Site) -> None:
    site.paths("master").database.write_bytes(b"SPGENV01" * 100)
    master = site.master()
    error = await end_of(master)
    assert isinstance(error, LocalFilesDamaged)
    assert master.status()["error"] == str(error)
    assert master.status()["state"] == "stopped"


@pytest.mark.parametrize("role", ["master", "follower"])
@pytest.mark.parametrize("what", ["http", "listen"])
@pytest_twisted.ensureDeferred
async def test_an_address_that_cannot_be_listened_on_ends_a_role(
    site: Site, role: str, what: str, logged_failures: Any
) -> None:
    (site.folder / "taken").mkdir()
    taken = serverFromString(site.reactor, f"unix:{site.folder}/taken/none/socket")
    if role == "follower":
        ended: Role = site.follower(**{what: taken})
    elif what == "http":
        ended = site.master(http=taken)
    else:
        ended = site._started(MasterRole(site.reactor, MasterSettings(site.paths("master"), taken)))
    error = await end_of(ended)
    assert isinstance(error, ConfigurationError)
    assert f"--{what}" in str(error)
    assert ended.status()["error"] == str(error)


@pytest_twisted.ensureDeferred
async def test_another_history_ends_a_follower(site: Site) -> None:
    master = site.master()
    await master.master.listening
    follower = site.follower()
    await follower.when_applied(0, 30)
    position = await site.write("CREATE TABLE t (a)", *["INSERT INTO t VALUES (1)"] * 30)
    await follower.when_applied(position, 30)
    await follower.stopService()
    await master.stopService()
    for path in (site.paths("master").database, site.paths("master").wal):
        path.unlink()
    await site.write("CREATE TABLE t (a)", *["INSERT INTO t VALUES (2)"] * 50)
    site.master()
    again = site.follower()
    error = await end_of(again)
    assert isinstance(error, HistoryDiverged)
    assert error.exit_code == 76
    assert again.status()["error"] == str(error)
    assert count(site.paths("follower").database) == 30


@pytest_twisted.ensureDeferred
async def test_files_that_another_follower_uses_end_a_follower(site: Site) -> None:
    master = site.master()
    await master.master.listening
    first = site.follower()
    await first.when_applied(0, 30)
    error = await end_of(site.follower())
    assert isinstance(error, DatabaseLocked)


@pytest_twisted.ensureDeferred
async def test_http_answers_for_both(site: Site) -> None:
    master = site.master(http=site.server("master.http"))
    follower = site.follower(http=site.server("follower.http"))
    await master.master.listening
    position = await site.write("CREATE TABLE t (a)")
    await follower.when_applied(position, 30)
    for role, name in ((master, "master"), (follower, "follower")):
        address = StatusAddress(path=f"{site.folder}/{name}.http")
        code, status = await deferToThread(ask, address, "/status")
        assert (code, status["role"]) == (200, name)
        code, answer = await deferToThread(ask, address, f"/wait?position={position}&timeout=30")
        assert (code, answer) == (200, {"applied": position})
        code, answer = await deferToThread(ask, address, f"/wait?position={position + 1}&timeout=0.01")
        assert code == 504
        await role.stopService()
        assert role.http is not None
        assert role.http.port is None


@pytest_twisted.ensureDeferred
async def test_whoever_waits_is_told_of_the_end(site: Site) -> None:
    master, follower = site.master(), site.follower()
    await master.master.listening
    for role in (master, follower):
        waiting = role.when_applied(10**9)
        await role.stopService()
        with pytest.raises(ServiceStopped):
            await waiting


@pytest_twisted.ensureDeferred
async def test_a_master_whose_log_is_lost_holds_nothing(site: Site) -> None:
    master = site.master()
    await master.master.listening
    position = await site.write("CREATE TABLE t (a)")
    await master.when_applied(position, 30)
    _Reached(master._waiters).log_lost(LogTruncated("for a test"))
    with pytest.raises(WaitTimeout):
        await master.when_applied(position, 0.01)


@pytest.mark.parametrize("what", ["master", "follower"])
@pytest_twisted.ensureDeferred
async def test_a_role_may_be_stopped_while_it_starts(site: Site, what: str) -> None:
    role = getattr(site, what)(http=site.server("http"))
    await role.stopService()
    assert await end_of(role) is None
    assert role.status()["state"] == "stopped"


@pytest_twisted.ensureDeferred
async def test_what_nobody_foresaw_ends_a_role_with_a_message(site: Site, logged_failures: Any) -> None:
    class Broken:
        def listen(self, _: object) -> Any:
            raise RuntimeError("a bug")

    error = await end_of(site.follower(http=Broken()))
    assert isinstance(error, ServiceStopped)
    assert "a bug" in str(error)
    assert len(logged_failures.flush(RuntimeError)) == 1


@pytest_twisted.ensureDeferred
async def test_a_cascade_serves_the_copy_of_a_copy(site: Site) -> None:
    master = site.master()
    await master.master.listening
    middle = site.follower(listen=site.server("middle"))
    position = await site.write("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    await middle.when_applied(position, 30)
    last = site._started(FollowerRole(site.reactor, FollowerSettings(site.paths("last"), site.client("middle"))))
    await last.when_applied(0, 30)
    assert count(site.paths("last").database) == 1
    assert len(middle.status()["peers"]) == 1
