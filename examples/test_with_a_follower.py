"""Testing your own code against a real master and follower, in one process: for pytest-twisted.

pytest examples/test_with_a_follower.py
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest_twisted
from twisted.internet.endpoints import clientFromString, serverFromString

from spgrepl import DatabasePaths, FollowerRole, FollowerSettings, MasterRole, MasterSettings, Primary


@attrs.frozen
class Pair:
    """A primary whose log is served, and a follower of it."""

    primary: Primary
    follower: FollowerRole
    copy: Path


@pytest_twisted.async_yield_fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A primary, a master on a UNIX socket, and a follower; all are stopped after the test."""
    from twisted.internet import reactor

    source, copy = DatabasePaths.of(tmp_path / "source.db"), DatabasePaths.of(tmp_path / "copy.db")
    socket = f"unix:{tmp_path}/socket"
    primary = Primary(reactor, source)
    await primary.open()
    master = MasterRole(reactor, MasterSettings(source, serverFromString(reactor, socket)), primary)
    follower = FollowerRole(reactor, FollowerSettings(copy, clientFromString(reactor, socket)))
    for role in (master, follower):
        role.startService()
    yield Pair(primary, follower, copy.database)
    for role in (follower, master):
        await role.stopService()
    await primary.close()


@pytest_twisted.ensureDeferred
async def test_a_row_reaches_the_copy(pair: Pair) -> None:
    """What is written at the primary can be read from the copy, once its position is applied."""
    await pair.primary.execute("CREATE TABLE parts (name TEXT PRIMARY KEY, pieces INTEGER NOT NULL)")
    position = await pair.primary.transaction(
        ["INSERT INTO parts VALUES (?, ?)", "UPDATE parts SET pieces = pieces - ? WHERE name = ?"],
        [("bolt", 12), (1, "bolt")],
    )
    assert await pair.follower.when_applied(position, timeout=30) >= position
    with closing(sqlite3.connect(pair.copy)) as connection:
        assert connection.execute("SELECT name, pieces FROM parts").fetchall() == [("bolt", 11)]
