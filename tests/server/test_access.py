"""Who may connect to roles in one's own program, over real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from spgrepl.access.endpoints import client_endpoint, server_endpoint
from spgrepl.access.policy import Access
from spgrepl.access.rights import AccessTable
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError
from spgrepl.server.role_settings import FollowerSettings, MasterSettings
from spgrepl.server.roles import FollowerRole, MasterRole


def make(folder: Path, listen: str, **more: Any) -> MasterRole:
    from twisted.internet import reactor

    settings = MasterSettings(DatabasePaths.of(folder / "main.db"), server_endpoint(reactor, listen), **more)
    role = MasterRole(reactor, settings)
    role.startService()
    return role


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("listen", ["tcp:0", "tcp:0:interface=0.0.0.0", "tcp6:0"])
async def test_a_port_that_other_machines_reach_is_closed_again(tmp_path: Path, listen: str) -> None:
    """The endpoint is a program's own: only the port tells, and nobody was served at it."""
    role = make(tmp_path, listen)
    with pytest.raises(ConfigurationError, match="cannot listen for followers: other machines can connect to"):
        await role.when_ready()
    assert role.address is None
    assert role.status()["listening"] is None
    await role.stopService()


@pytest_twisted.ensureDeferred
async def test_who_says_so_listens_for_everybody(tmp_path: Path) -> None:
    role = make(tmp_path, "tcp:0", access=Access(insecure=True))
    await role.when_ready()
    with socket.create_connection(("127.0.0.1", role.address.port)):  # type: ignore[union-attr]
        pass
    await role.stopService()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own", [True, False])
async def test_the_user_of_a_unix_socket(tmp_path: Path, own: bool) -> None:
    from twisted.internet import reactor

    user = os.getuid() if own else os.getuid() + 1
    table = AccessTable.read({"client": [{"user": user, "may": "physical"}]})
    master = make(tmp_path, f"unix:{tmp_path}/listen", access=Access(table=table))
    await master.when_ready()
    paths = DatabasePaths.of(tmp_path / "copy.db")
    follower = FollowerRole(reactor, FollowerSettings(paths, client_endpoint(reactor, f"unix:{tmp_path}/listen")))
    follower.startService()

    async def until(condition: Any) -> None:
        from twisted.internet.task import deferLater

        for _ in range(1000):
            if condition():
                return
            await deferLater(reactor, 0.02, lambda: None)  # type: ignore[arg-type]
        raise AssertionError((master.status(), follower.status()))

    if own:
        await until(lambda: follower.status()["state"] == "streaming")
    else:
        await until(lambda: master.status()["refused"].get("not_allowed", 0) > 0)
        assert follower.status()["positions"]["applied"] is None
    await follower.stopService()
    await master.stopService()
