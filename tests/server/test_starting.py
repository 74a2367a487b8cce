"""A relay that restarts: its followers wait for it, and keep their copies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest_twisted
from twisted.internet.task import deferLater

from spgrepl.replica.following.states import OnDivergence
from spgrepl.server.role_settings import FollowerSettings
from spgrepl.server.roles import FollowerRole
from tests import sql as sqlite3
from tests.server.test_roles import Site, count, site

__all__ = ["site"]


async def until(site: Site, condition: Callable[[], object], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await deferLater(site.reactor, 0.02, lambda: None)
    raise AssertionError("it did not come about")


def follower(site: Site, name: str, of: str, **settings: Any) -> FollowerRole:
    made = FollowerRole(site.reactor, FollowerSettings(site.paths(name), site.client(of), **settings))
    started: FollowerRole = site._started(made)
    return started


@pytest_twisted.ensureDeferred
async def test_a_relay_whose_copy_is_held_by_another_program_keeps_its_followers_waiting(site: Site) -> None:
    master = site.master()
    await master.master.listening
    middle = site.follower(listen=site.server("middle"))
    position = await site.write("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    await middle.when_applied(position, 30)
    last = follower(site, "last", "middle", on_divergence=OnDivergence.RESNAPSHOT)
    await last.when_applied(0, 30)
    position = await site.write("INSERT INTO t VALUES (2)")
    await middle.when_applied(position, 30)
    await until(site, lambda: count(site.paths("last").database) == 2)
    base = last.status()["base"]
    await middle.stopService()
    with closing(sqlite3.connect(site.paths("follower").database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        relay = site.follower(listen=site.server("middle"))
        await until(site, lambda: [peer["state"] for peer in relay.status()["peers"]] == ["starting"])
        assert relay.status()["positions"]["applied"] is None
        waiting = relay.when_applied(0, 30)
        other.execute("COMMIT")
    await waiting
    await until(site, lambda: last.status()["state"] == "streaming")
    status = last.status()
    assert (status["base"], status["protocol"], status["error"]) == (base, "V2", None)
    position = await site.write("INSERT INTO t VALUES (3)")
    await until(site, lambda: count(site.paths("last").database) == 3)


@pytest_twisted.ensureDeferred
async def test_a_relay_without_a_copy_answers_nobody(site: Site) -> None:
    relay = site.follower(of="nobody", listen=site.server("middle"))
    last = follower(site, "last", "middle")
    await until(site, lambda: [peer["state"] for peer in relay.status()["peers"]] == ["starting"])
    assert last.status()["positions"]["received"] is None
    await relay.stopService()
    assert not last.finished.called
