"""A chain of roles on sockets, in one process and one folder."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest_twisted
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from spgrepl.cli import main
from spgrepl.disk.files import DatabasePaths
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.primary import Position, Primary
from spgrepl.replica.subscribing.service import Subscription
from spgrepl.server.role import Role
from spgrepl.server.roles import FollowerRole, FollowerSettings, MasterRole, MasterSettings
from spgrepl.server.status.client import StatusAddress, ask
from spgrepl.server.subscriber_role import SubscriberRole, SubscriberSettings

ROW = "INSERT INTO t VALUES (NULL, 'a row of some length')"


@attrs.define
class Chain:
    """What runs in one test, in one folder: each role has its name as database, socket and site."""

    folder: Path
    reactor: Any
    roles: list[Role] = attrs.Factory(list)
    primaries: list[Primary] = attrs.Factory(list)

    def paths(self, name: str) -> DatabasePaths:
        return DatabasePaths.of(self.folder / f"{name}.db")

    def at(self, name: str) -> str:
        return f"unix:{self.folder}/{name}"

    def server(self, name: str) -> Any:
        return serverFromString(self.reactor, self.at(name))

    async def primary(self, name: str) -> Primary:
        made = Primary(self.reactor, self.paths(name), wal_level=WalLevel(Level.LOGICAL))
        self.primaries.append(made)
        await made.open()
        return made

    async def master(self, name: str, primary: Primary | None = None) -> MasterRole:
        settings = MasterSettings(self.paths(name), self.server(name), http=self.server(f"{name}.http"))
        return await self.started(MasterRole(self.reactor, settings, primary))  # type: ignore[no-any-return]

    async def follower(self, name: str, of: str, **more: Any) -> FollowerRole:
        settings = FollowerSettings(
            self.paths(name),
            clientFromString(self.reactor, self.at(of)),
            listen=self.server(name),
            http=self.server(f"{name}.http"),
            **more,
        )
        return await self.started(FollowerRole(self.reactor, settings))  # type: ignore[no-any-return]

    async def subscriber(self, name: str, of: str, **more: Any) -> SubscriberRole:
        settings = SubscriberSettings(
            self.paths(name),
            clientFromString(self.reactor, self.at(of)),
            Subscription(name, ("p",), **more),
            http=self.server(f"{name}.http"),
        )
        return await self.started(SubscriberRole(self.reactor, settings))  # type: ignore[no-any-return]

    async def started(self, role: Any) -> Any:
        role.startService()
        self.roles.append(role)
        await role.when_ready()
        return role

    async def pause(self) -> None:
        """Let the reactor go on; for loops that wait for a condition."""
        await deferLater(self.reactor, 0.01)

    async def stop(self, role: Role) -> None:
        self.roles.remove(role)
        await role.stopService()

    async def close(self) -> None:
        for role in reversed(self.roles):
            with contextlib.suppress(Exception):
                await role.stopService()
        for primary in self.primaries:
            await primary.close()

    async def http(self, name: str, path: str) -> tuple[int, dict[str, Any]]:
        """Ask a site."""
        found: Any = await deferToThread(ask, StatusAddress.parse(self.at(f"{name}.http")), path, 30)
        return found  # type: ignore[no-any-return]

    async def command(self, *words: str) -> int:
        """Run a command beside the roles; what it prints is captured by pytest."""
        return await deferToThread(main, list(words))  # type: ignore[no-any-return]


@pytest_twisted.async_yield_fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """Nothing runs yet; all is stopped after the test."""
    from twisted.internet import reactor

    made = Chain(tmp_path, reactor)
    yield made
    await made.close()


async def with_rows(chain: Chain, name: str = "head", rows: int = 3) -> Primary:
    primary = await chain.primary(name)
    await primary.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    await primary.execute("CREATE PUBLICATION p FOR ALL TABLES")
    for _ in range(rows):
        await primary.execute(ROW)
    return primary


async def grown(primary: Primary, role: Any) -> Position:
    """Wait until a copy is there, and then until its own log has grown by a row."""
    await role.when_applied(await primary.execute(ROW), 30)
    position = await primary.execute(ROW)
    await role.when_applied(position, 30)
    return position
