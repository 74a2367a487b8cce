"""Where one listens and connects, as it is typed."""

from __future__ import annotations

import contextlib
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from spgrepl.access import endpoints
from spgrepl.errors import ConfigurationError, UsageError


@pytest.fixture
def reactor() -> MemoryReactorClock:
    return MemoryReactorClock()


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("127.0.0.1:7433", TCP4ServerEndpoint, ("127.0.0.1", 7433)),
        ("tcp:7433:interface=127.0.0.1", TCP4ServerEndpoint, ("127.0.0.1", 7433)),
        ("tcp:7433", TCP4ServerEndpoint, ("", 7433)),
        ("[::1]:7433", TCP6ServerEndpoint, ("::1", 7433)),
    ],
)
def test_endpoints_to_listen_on(
    reactor: MemoryReactorClock, text: str, kind: type, where: tuple[str, int]
) -> None:
    endpoint = endpoints.server_endpoint(reactor, text)
    assert isinstance(endpoint, kind)
    assert (endpoint._interface, endpoint._port) == where  # type: ignore[attr-defined]


def test_a_socket_file_to_listen_on(reactor: MemoryReactorClock) -> None:
    assert isinstance(endpoints.server_endpoint(reactor, "unix:/run/spgrepl"), UNIXServerEndpoint)


@pytest.mark.parametrize(
    ("text", "backlog"),
    [
        ("127.0.0.1:7433", 1024),
        ("[::1]:7433", 1024),
        ("tcp:7433", 1024),
        ("tcp:7433:backlog=7", 7),
        ("unix:/run/spgrepl:mode=660", 1024),
        ("unix:/run/spgrepl:backlog=7", 7),
    ],
)
def test_many_may_wait_to_be_accepted(reactor: MemoryReactorClock, text: str, backlog: int) -> None:
    """With Twisted's own 50, a flood of strangers keeps those away who belong there."""
    endpoint = endpoints.server_endpoint(reactor, text)
    assert endpoint._backlog == backlog  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "7433x", "localhost", "tcp", "tcp:many", "unix", "localhost:70000"])
def test_what_is_no_endpoint_to_listen_on(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint to listen on|names port 70000"):
        endpoints.server_endpoint(reactor, text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("db.example.org:7433", ("db.example.org", 7433)),
        ("127.0.0.1:7433", ("127.0.0.1", 7433)),
        ("[2001:db8::1]:7433", ("2001:db8::1", 7433)),
        ("tcp:db.example.org:7433", ("db.example.org", 7433)),
    ],
)
def test_endpoints_to_connect_to(reactor: MemoryReactorClock, text: str, where: tuple[str, int]) -> None:
    endpoint = endpoints.client_endpoint(reactor, text)
    assert (
        (endpoint._hostText, endpoint._port) == where
        if isinstance(endpoint, HostnameEndpoint)
        else (
            endpoint._host,  # type: ignore[attr-defined]
            endpoint._port,  # type: ignore[attr-defined]
        )
        == where
    )


def test_a_socket_file_to_connect_to(reactor: MemoryReactorClock) -> None:
    assert isinstance(endpoints.client_endpoint(reactor, "unix:/run/spgrepl"), UNIXClientEndpoint)


@pytest.mark.parametrize("text", ["", "7433", "localhost", "tcp", "tcp:7433", "unix", "localhost:70000"])
def test_what_is_no_endpoint_to_connect_to(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"endpoint to connect to|names port 70000"):
        endpoints.client_endpoint(reactor, text)


@pytest.mark.parametrize("text", ["ssl:0:privateKey=/no/key.pem", "ssl:0"])
def test_a_tls_endpoint_that_cannot_be_is_named(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match=r"^'ssl:0[^']*' cannot be used: \S+.pem cannot be read: No such file"):
        endpoints.server_endpoint(reactor, text)


def test_a_plugin_for_endpoints_may_raise_anything(
    reactor: MemoryReactorClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(endpoints, "serverFromString", broken)
    with pytest.raises(
        UsageError, match=r"'odd:1:2' is not an endpoint to listen on \(no luck\); write HOST:PORT"
    ):
        endpoints.server_endpoint(reactor, "odd:1:2")


# -- sockets of systemd -------------------------------------------------------------------------------------------


def refused(waiting: Deferred[Any]) -> str:
    found: list[Failure] = []
    waiting.addErrback(found.append)
    (failure,) = found
    assert failure.check(ConfigurationError)
    return str(failure.value)


@pytest.mark.parametrize("text", ["systemd:domain=INET:index=0", "systemd:INET:name=followers"])
def test_a_socket_of_systemd_need_not_be_there_yet(reactor: MemoryReactorClock, text: str) -> None:
    """A configuration can be checked anywhere; whoever listens without such a socket is told."""
    endpoint = endpoints.server_endpoint(reactor, text)
    assert verifyObject(IStreamServerEndpoint, endpoint)
    assert f"systemd has handed over no socket for '{text}'" in refused(endpoint.listen(Factory()))


@pytest.mark.parametrize(
    "text",
    [
        "systemd:",
        "systemd:domain=INET",
        "systemd:domain=INET:index=x",
        "systemd:domain=X25:index=0",
        "systemd:domain=INET:index=0:name=a",
        "systemd:domain=INET:index=0:backlog=5",
    ],
)
def test_what_names_no_socket_of_systemd(reactor: MemoryReactorClock, text: str) -> None:
    with pytest.raises(UsageError, match="expected systemd:domain=INET:index=0"):
        endpoints.server_endpoint(reactor, text)


class Greeter(Protocol):
    """Says when it is connected."""

    def __init__(self, came: Deferred[None]) -> None:
        self._came = came

    def connectionMade(self) -> None:
        self._came.callback(None)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_a_socket_that_was_handed_over_is_listened_on_again(tmp_path: Path, family: int) -> None:
    """Who calls in between is served later. The file and the mode of a UNIX socket stay those of its maker."""
    from twisted.internet import reactor

    path = tmp_path / "socket"
    with socket.socket(family) as made, contextlib.ExitStack() as callers:
        made.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(path))
        if family == socket.AF_UNIX:
            path.chmod(0o600)
        made.listen()
        for _ in range(3):
            caller = callers.enter_context(socket.socket(family))
            caller.connect(made.getsockname())
            came: Deferred[None] = Deferred()
            factory = Factory.forProtocol(partial(Greeter, came))  # type: ignore[arg-type]
            factory.noisy = False
            port: Any = await endpoints.adopt(reactor, made.fileno(), family, factory)
            await came
            await port.stopListening()
            assert family == socket.AF_INET or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_descriptor_that_was_closed_meanwhile(reactor: MemoryReactorClock) -> None:
    with socket.socket() as made:
        number = made.fileno()
    assert "which systemd has handed over, is closed" in refused(
        endpoints.adopt(reactor, number, socket.AF_INET, Factory())
    )
