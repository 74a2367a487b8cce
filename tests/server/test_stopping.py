"""A stop waits neither for locks of other programs nor for statements that run on and on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from spgrepl.errors import ServiceStopped, SnapshotError, StatementFailed
from spgrepl.sqlite.database_copy import save_database
from spgrepl.sqlite.session import Patience, plain_connection
from tests import sql as sqlite3
from tests.server.test_life_cycles import Place, outcome, place

__all__ = ["place"]

FOR_EVER = "WITH RECURSIVE n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT sum(a) FROM n"
SOON = 20.0
"""Seconds; the lock would be waited for longer."""


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spgrepl.base.worker.GRACE_SECONDS", 0.05)
    monkeypatch.setattr("spgrepl.primary.primary.CLOSING_SECONDS", 0.05)
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 300.0)


@contextmanager
def locked(database: Path, kind: str = "EXCLUSIVE") -> Iterator[None]:
    """Another program has the database for itself, or writes it."""
    with closing(sqlite3.connect(database)) as other:
        if kind == "EXCLUSIVE":
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute(f"BEGIN {kind}")
        yield


async def pause(place: Place, seconds: float = 0.1) -> None:
    """Let a thread come to where it waits."""
    await deferLater(place.reactor, seconds)


@pytest.mark.parametrize("what", ["primary", "master", "follower", "relay", "subscriber"])
@pytest_twisted.ensureDeferred
async def test_while_it_waits_to_open_a_database(place: Place, what: str) -> None:
    name = {"relay": "follower", "subscriber": "some", "primary": "master"}.get(what, what)
    with locked(place.paths(name).database):
        service = getattr(place, what)()
        service.startService()
        await pause(place)
        ready = outcome(service.when_ready())
        assert ready == []
        await service.stopService().addTimeout(SOON, place.reactor)
        assert isinstance(ready[0], ServiceStopped)
    service.startService()
    if what in ("primary", "master"):
        await service.when_ready()


@pytest.mark.parametrize("what", ["follower", "subscriber"])
@pytest_twisted.ensureDeferred
async def test_while_it_waits_to_write_rows(place: Place, what: str) -> None:
    service = place.primary()
    master = place.master(service.primary)
    copy: Any = getattr(place, what)()
    for one in (service, master, copy):
        one.startService()
    primary = service.primary
    await primary.when_ready()
    await primary.execute("SET effective_wal_level = 'logical'")
    await primary.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    position = await primary.execute("CREATE PUBLICATION p FOR TABLE t")
    await copy.when_applied(position, 30)
    position = await primary.execute("INSERT INTO t VALUES (1)")
    await copy.when_applied(position, 30)
    with locked(place.paths("follower" if what == "follower" else "some").database, "IMMEDIATE"):
        position = await primary.execute("INSERT INTO t VALUES (2)")
        while (copy.status()["positions"]["received"] or 0) < position:
            await pause(place, 0.01)
        await pause(place)
        await copy.stopService().addTimeout(SOON, place.reactor)
    copy.startService()
    await copy.when_applied(position, 30)


@pytest_twisted.ensureDeferred
async def test_while_a_primary_waits_to_write(place: Place) -> None:
    service = place.primary()
    service.startService()
    await service.primary.when_ready()
    with locked(place.paths("master").database, "IMMEDIATE"):
        told = outcome(service.primary.execute("CREATE TABLE t (a)"))
        await pause(place)
        await service.stopService().addTimeout(5.0, place.reactor)
    assert len(told) == 1
    service.startService()
    await service.when_ready()
    assert (await service.primary.query("SELECT count(*) FROM sqlite_schema WHERE name = 't'")).rows == [(0,)]


@pytest_twisted.ensureDeferred
async def test_while_a_primary_reads_on_and_on(place: Place) -> None:
    service = place.primary()
    service.startService()
    await service.primary.when_ready()
    told = outcome(service.primary.query(FOR_EVER))
    await pause(place)
    await service.stopService().addTimeout(SOON, place.reactor)
    assert isinstance(told[0], StatementFailed)


def test_a_snapshot_is_not_made_to_its_end(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "some.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    patience = Patience()
    patience.stopped = True
    with pytest.raises(SnapshotError, match="is being stopped"):
        save_database(tmp_path / "some.db", tmp_path / "copy", patience)


def test_a_lock_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    over: list[int] = []

    def given_up() -> bool:
        over.append(1)
        return len(over) > 3

    database = tmp_path / "some.db"
    own = plain_connection(database, Patience(300, given_up))
    with closing(own), locked(database), pytest.raises(apsw.BusyError):
        own.execute("SELECT * FROM sqlite_schema").fetchall()
    assert len(over) == 4
