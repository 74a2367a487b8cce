"""Masters and followers put together, in one process, with the real reactor and real files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import DatabasePaths
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
from spgrepl.log.source import ILogListener
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.snapshots.sources import ISnapshotSource
from spgrepl.primary import Primary
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role import Role
from spgrepl.server.role_parts import EngineSnapshots, Reached
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole
from spgrepl.server.status.client import StatusAddress, ask
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from spgrepl.sqlite.comparison import compare_databases
from tests import sql as sqlite3
from tests.log.samples import VECTORS


class Site:
    """Roles in one folder; all are stopped after the test."""

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
    assert verifyObject(ISnapshotSource, EngineSnapshots(None))  # type: ignore[arg-type]
    assert verifyObject(ILogListener, Reached(None))  # type: ignore[arg-type]


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
async def test_a_master_that_makes_its_database_says_so(site: Site) -> None:
    """Its name may have been mistyped: whoever follows would get an empty copy."""
    told: list[str | None] = []

    def observe(event: LogEvent) -> None:
        told.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        for _ in range(2):
            master = site.master()
            await master.master.listening
            await master.stopService()
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
    assert len([line for line in told if line and "is not there: an empty database is made" in line]) == 1


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
    Reached(master._waiters).log_lost(LogTruncated("for a test"))
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


# -- subscribers ----------------------------------------------------------------------------------------------


def subscriber(site: Site, name: str, of: str = "listen", **options: Any) -> SubscriberRole:
    wanted = Subscription("s", options.pop("publications", ("p",)), **options)
    settings = SubscriberSettings(site.paths(name), site.client(of), wanted)
    made: SubscriberRole = site._started(SubscriberRole(site.reactor, settings))
    return made


async def ask_sql(site: Site, address: str, statement: str) -> Any:
    """Hand a statement to a server's socket, in a thread."""
    where = StatusAddress(path=f"{site.folder}/{address}")
    return await deferToThread(execute_at_server, statement, where, None)


@pytest_twisted.ensureDeferred
async def test_the_wal_level_is_set_from_outside_through_the_control_socket_and_http(site: Site) -> None:
    await site.write("CREATE TABLE t (a)", "CREATE PUBLICATION p FOR TABLE t", "INSERT INTO t VALUES (1)")
    master = site.master(http=site.server("http"))
    await master.master.listening
    assert (await ask_sql(site, "master.wal.control", "SHOW effective_wal_level")).rows == [("replica",)]
    await ask_sql(site, "master.wal.control", "SET effective_wal_level = 'logical'")
    assert (await ask_sql(site, "http", "SHOW effective_wal_level")).rows == [("logical",)]
    assert master.status()["publishing"]["wal_level"] == "logical"
    assert await subscriber(site, "some").when_applied(master.log.length, 30) == master.log.length
    assert count(site.folder / "some.db") == 1
    await ask_sql(site, "http", "SET effective_wal_level = 'replica'")
    # Its stream is ended, or refused where it comes only now.
    while not master.status()["refused"].get("wal_level_replica"):
        await deferLater(site.reactor, 0.01)


@pytest_twisted.ensureDeferred
async def test_a_follower_serves_subscribers_of_the_publications_that_it_learned(site: Site) -> None:
    master = site.master()
    await master.master.listening
    await site.write("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    follower = site.follower(listen=site.server("second"), wal_level=WalLevel("logical"))
    position = await site.write(
        "CREATE TABLE u (a)",
        "CREATE PUBLICATION p FOR TABLE t",
        "INSERT INTO u VALUES (1)",
        "INSERT INTO t VALUES (2)",
    )
    await follower.when_applied(position, 30)
    some = subscriber(site, "some", "second")
    position = await site.write("INSERT INTO t VALUES (3)")
    await follower.when_applied(position, 30)
    local = follower.follower.log.length
    await some.when_applied(local, 30)
    assert count(site.folder / "some.db") == 3
    assert compare_databases(site.folder / "master.db", site.folder / "some.db", ["t"]).equal
    assert not compare_databases(site.folder / "master.db", site.folder / "some.db").equal


@pytest.mark.parametrize("content", [b"Dear diary,\n", b"SQLite format 3\0", b"\x89PNG\r\n\x1a\n" * 9])
@pytest_twisted.ensureDeferred
async def test_an_archive_master_does_not_take_another_file_for_a_log(site: Site, content: bytes) -> None:
    wal = site.paths("master").wal
    wal.write_bytes(content)
    master = site.master(engine="archive")
    with pytest.raises(ConfigurationError, match=f"{wal} is not a log: it looks like .*--wal"):
        await master.when_ready()
    assert wal.read_bytes() == content


@pytest_twisted.ensureDeferred
async def test_a_master_tells_what_others_wrote_while_nobody_had_the_database(site: Site) -> None:
    await site.write("CREATE TABLE t (a)")
    with closing(sqlite3.connect(site.paths("master").database)) as other:
        other.execute("INSERT INTO t VALUES (7)")
    master = site.master()
    await master.when_ready()
    assert "another program has changed" in master.status()["warning"]


async def warned(site: Site, master: MasterRole) -> str:
    """Wait until a master warns of something."""
    while (warning := master.status()["warning"]) is None:
        await deferLater(site.reactor, 0.02)
    return str(warning)


def write_as_another(site: Site) -> None:
    with closing(sqlite3.connect(site.paths("master").database)) as other:
        other.execute("INSERT INTO t VALUES (7)")


@pytest_twisted.ensureDeferred
async def test_a_master_tells_what_others_write_while_no_primary_has_the_database(site: Site) -> None:
    """`spgrepl exec` is a primary for a moment: what it writes is nothing to tell of."""
    await site.write("CREATE TABLE t (a)")
    master = site.master()
    await master.when_ready()
    for number in range(30):
        await site.write(f"INSERT INTO t VALUES ({number})")
        master._others.look()
    assert master.status()["warning"] is None
    write_as_another(site)
    assert "another program has changed" in await warned(site, master)
    (problem,) = master.status()["problems"]
    assert problem["kind"] == "warning"


@pytest_twisted.ensureDeferred
async def test_a_master_tells_what_others_write_while_a_primary_elsewhere_has_the_database(site: Site) -> None:
    """Whether that one is asked for anything or not."""
    primary = Primary(site.reactor, site.paths("master"))
    await primary.open()
    try:
        await primary.execute("CREATE TABLE t (a)")
        master = site.master()
        await master.when_ready()
        await primary.execute("INSERT INTO t VALUES (1)")
        assert (primary.warning, master.status()["warning"]) == (None, None)
        write_as_another(site)
        assert "another program has changed" in await warned(site, master)
        assert "another program has changed" in str(primary.warning)
    finally:
        await primary.close()


@pytest_twisted.ensureDeferred
async def test_a_master_keeps_the_warning_when_the_next_primary_has_none(site: Site) -> None:
    await site.write("CREATE TABLE t (a)")
    master = site.master()
    await master.when_ready()
    write_as_another(site)
    await site.write("INSERT INTO t VALUES (1)")
    await warned(site, master)
    await site.write("INSERT INTO t VALUES (2)")
    assert await warned(site, master)


@pytest_twisted.ensureDeferred
async def test_an_archive_master_serves_subscribers_by_the_publications_in_its_log(site: Site) -> None:
    paths = site.paths("master")
    paths.database.write_bytes((VECTORS / "snapshot.bin").read_bytes())
    paths.wal.write_bytes((VECTORS / "mixed.wal").read_bytes())
    master = site.master(engine="archive", wal_level=WalLevel("logical"))
    await master.master.listening
    with closing(sqlite3.connect(site.folder / "some.db")) as connection:
        for table in ("t1 (id, name)", "t2 (id)", '"Quoted" (a)'):
            connection.execute(f"CREATE TABLE {table}")
    some = subscriber(site, "some", publications=("p_all",), start=48, copy_data=False)
    await some.when_applied(622, 30)
    with closing(sqlite3.connect(site.folder / "some.db")) as connection:
        assert connection.execute("SELECT * FROM t1 ORDER BY id").fetchall() == [
            (1, "one"),
            (2, "deux"),
            (3, "three"),
            (4, "four"),
        ]
        assert connection.execute("SELECT * FROM t2").fetchall() == [(11,), (12,)]
