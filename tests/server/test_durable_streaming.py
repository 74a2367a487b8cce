"""What is streamed is what was fsynced: with a master in the primary's process, and with one of its own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from spgrepl.errors import EngineFailed
from spgrepl.log.reader import iterate_records
from spgrepl.log.wal_level import WalLevel
from spgrepl.primary import Primary
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role_settings import MasterSettings
from spgrepl.server.roles import MasterRole
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings
from tests.end_to_end.conftest import TWISTD
from tests.server.test_roles import Site, site
from tests.sql import connect

__all__ = ["site"]

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
LOOKS = 0.25
"""Seconds in which a master that looks 20 times a second would have seen the log grow."""


class HeldDisk:
    """A disk that keeps an fsync of one log waiting, and refuses it then; those of other files it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wal: Path) -> None:
        self._patch = monkeypatch
        self._inode = wal.stat().st_ino
        self._fdatasync = os.fdatasync
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        self._patch.setattr(os, "fdatasync", self._refuse)
        return self

    def _refuse(self, handle: int) -> None:
        if os.fstat(handle).st_ino != self._inode:
            self._fdatasync(handle)
            return
        self.reached.set()
        assert self.go_on.wait(60)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._patch.undo()


class OwnProcess:
    """A master in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._http = StatusAddress(path=f"{folder}/http")
        words = [
            "--db",
            f"{folder}/master.db",
            "--listen",
            f"unix:{folder}/listen",
            "--http",
            f"unix:{folder}/http",
        ]
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "spgrepl", "master", *words]
        self._process = subprocess.Popen(
            [*command, "--wal-level", "logical"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def status(self) -> dict[str, Any]:
        try:
            return ask(self._http, "/status")[1]
        except ServerUnreachable:
            return {"state": "starting"}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


async def until(condition: Any) -> None:
    from twisted.internet import reactor

    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


async def let_it_look() -> None:
    from twisted.internet import reactor

    await deferLater(reactor, LOOKS)  # type: ignore[arg-type]


@pytest.fixture(params=["same process", "own process"])
def master(request: pytest.FixtureRequest, site: Site) -> Iterator[Any]:
    """A master that has begun to serve."""
    own = OwnProcess(site.folder) if request.param == "own process" else None
    made = own or site.master(wal_level=WalLevel("logical"))
    pytest_twisted.blockon(Deferred.fromCoroutine(until(lambda: made.status()["state"] == "serving")))
    yield made
    if own is not None:
        own.end()


def subscriber_of(site: Site) -> SubscriberRole:
    wanted = Subscription("s", ("p",))
    return site._started(
        SubscriberRole(site.reactor, SubscriberSettings(site.paths("target"), site.client("listen"), wanted))
    )


def streaming_since(master: Any) -> list[Any]:
    """Since when each of those who are served has its connection."""
    return sorted(peer["since"] for peer in master.status()["peers"] if peer["state"] == "streaming")


def rows(site: Site, name: str) -> list[tuple[Any, ...]]:
    with connect(site.folder / f"{name}.db") as connection:
        return list(connection.execute("SELECT * FROM t ORDER BY id"))


@pytest_twisted.ensureDeferred
async def test_nobody_is_sent_what_the_disk_refuses(
    site: Site, master: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower, one that begins meanwhile, and a subscriber: the next statement has the same length and end."""
    primary = Primary(site.reactor, site.paths("master"))
    wal = site.paths("master").wal
    await primary.open()
    try:
        for sql in (TABLE, "CREATE PUBLICATION p FOR TABLE t"):
            before = await primary.execute(sql)
        follower, subscriber = site.follower(), subscriber_of(site)
        for role in (follower, subscriber):
            await role.when_applied(before, 60)
        # The connections of the initial copy, and of the look at what stands before it, are over then.
        await until(lambda: all(role.status()["state"] == "streaming" for role in (follower, subscriber)))
        await until(lambda: sorted(str(peer["version"]) for peer in master.status()["peers"]) == ["2", "SUB"])
        since = streaming_since(master)
        with HeldDisk(monkeypatch, wal) as disk:
            refused = primary.execute("INSERT INTO t VALUES (1, 'aaaa')")
            await deferToThread(disk.reached.wait, 60)
            assert wal.stat().st_size > before
            await let_it_look()
            assert master.status()["positions"]["source"] == before
            disk.go_on.set()
            with pytest.raises(EngineFailed, match="cannot be written at present"):
                await refused
        after = await primary.execute("INSERT INTO t VALUES (2, 'aaaa')")
        for role in (follower, subscriber):
            await role.when_applied(after, 60)
            assert role.status()["error"] is None
        # Each of them streams over the connection that it had: nothing was taken back.
        assert streaming_since(master) == since
    finally:
        await primary.close()
    assert [rows(site, name) for name in ("master", "follower", "target")] == [[(2, "aaaa")]] * 3
    local = b"".join(batch.data for batch in iterate_records(site.paths("follower").wal))
    assert b"VALUES(1," not in local
    assert b"the log goes on here" in local


WRITER = """
    import os, sys, threading
    from spgrepl.disk.files import DatabasePaths
    from spgrepl.primary.parts.requests import Request
    from spgrepl.primary.writing.writer import DatabaseWriter

    writer = DatabaseWriter(DatabasePaths.of(sys.argv[1]))
    writer.open()
    print(writer.run([Request((sys.argv[2],))])[0].position, flush=True)
    def hold(handle):
        print("written", flush=True)
        threading.Event().wait()
    os.fdatasync = hold
    writer.run([Request((sys.argv[3],))])
"""


@pytest_twisted.ensureDeferred
async def test_a_primary_that_is_killed_between_write_and_fsync(site: Site) -> None:
    """What it wrote counts once the next writer has made it durable."""
    paths = site.paths("master")
    master = site.master()
    await until(lambda: master.status()["state"] == "serving")
    words = [TABLE, "INSERT INTO t VALUES (1, 'aaaa')"]
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(paths.database), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before = int(await deferToThread(process.stdout.readline))
        follower = site.follower()
        await follower.when_applied(before, 60)
        assert await deferToThread(process.stdout.readline) == "written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert paths.wal.stat().st_size > before
    await let_it_look()
    assert master.status()["positions"]["source"] == follower.status()["positions"]["received"] == before
    after = await site.write("INSERT INTO t VALUES (2, 'bbbb')")
    await follower.when_applied(after, 60)
    assert rows(site, "master") == rows(site, "follower") == [(1, "aaaa"), (2, "bbbb")]


@pytest_twisted.ensureDeferred
async def test_the_master_of_a_primary_is_told_by_it(site: Site, logged_failures: Any) -> None:
    """Without a look at the file, and though another listener fails."""
    primary = Primary(site.reactor, site.paths("master"))

    def fail() -> None:
        raise ZeroDivisionError

    primary.log_grew.add(fail)
    await primary.open()
    master = MasterRole(site.reactor, MasterSettings(site.paths("master"), site.server("listen")), primary)
    site._started(master)
    await master.when_ready()
    master.log._loop.stop()
    master.log._close_notifier()
    position = await primary.execute(TABLE)
    assert await master.when_applied(position, 60) == position
    await master.stopService()
    assert primary.log_grew._listeners == (fail,)
    await primary.close()
    assert logged_failures.flush(ZeroDivisionError)


@pytest_twisted.ensureDeferred
async def test_a_durable_length_that_cannot_be_told_is_in_the_status(site: Site) -> None:
    """A file of somebody else has its name: the primary warns, the master names it, and nothing new is sent."""
    primary = Primary(site.reactor, site.paths("master"))
    await primary.open()
    before = await primary.execute(TABLE)
    settings = MasterSettings(site.paths("master"), site.server("listen"))
    master = site._started(MasterRole(site.reactor, settings, primary))
    await master.when_ready()
    durable = site.paths("master").durable
    durable.unlink()
    durable.write_bytes(b"a diary")
    after = await primary.execute("INSERT INTO t VALUES (1, 1)")
    await until(lambda: "does not say how much" in (master.status()["error"] or ""))
    status = master.status()
    assert status["positions"]["source"] == before
    assert "is not sent on before it can" in status["warning"]
    durable.unlink()
    await primary.execute("INSERT INTO t VALUES (2, 2)")
    await master.when_applied(after, 60)
    status = master.status()
    assert (status["error"], status["warning"]) == (None, None)
    await primary.close()
