"""What strangers can take of a site, and by what names it answers."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.server.status.guarded_site import REQUEST_SECONDS
from spgrepl.server.status.resource import build_site
from spgrepl.watch.settings import HttpGuard

ASK = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Transport(StringTransport):
    """A transport that is gone when it is aborted."""

    protocol: Any = None

    def abortConnection(self) -> None:
        if self.disconnected:
            return
        super().abortConnection()
        self.disconnected = True
        self.protocol.connectionLost(Failure(ConnectionAbortedError()))

    def loseConnection(self) -> None:
        self.abortConnection()


class Site:
    """A site on a clock."""

    def __init__(self, **guard: Any) -> None:
        self.clock = Clock()
        self.site = build_site(self.clock, lambda: {"role": "master"}, lambda *_: None, guard=HttpGuard(**guard))  # type: ignore[arg-type,return-value]

    def connect(self, host: object = None) -> tuple[Any, Transport]:
        transport = Transport(hostAddress=host or IPv4Address("TCP", "127.0.0.1", 8433))
        protocol = self.site.buildProtocol(None)
        if protocol is not None:
            transport.protocol = protocol
            protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, host: str | bytes | None, own: object = None) -> bytes:
        protocol, transport = self.connect(own)
        value = host.encode() if isinstance(host, str) else host
        named = b"" if value is None else b"Host: %s\r\n" % value
        protocol.dataReceived(b"GET /status HTTP/1.1\r\n%s\r\n" % named)
        answer: bytes = transport.value()
        return answer.split(b" ", 2)[1]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8433",
        "127.0.0.1",
        "[::1]:8433",
        "192.0.2.7:1",
        "db.example.org",
        "DB.example.org:80",
        None,
    ],
)
def test_the_names_of_a_server(host: str | None) -> None:
    assert Site(names=("db.example.org",)).ask(host) == b"200"
    assert Site().ask(socket.gethostname()) == b"200"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:84",
        "",
        "a b",
        "ümlaut",
        b"\xff",
        b"localhost\xff",
    ],
)
def test_what_was_given_this_address_by_somebody_else(host: str | bytes) -> None:
    site = Site()
    assert site.ask(host) == b"421"
    assert site.site.http_status()["refused"] == {"host": 1}
    assert site.ask(host, UNIXAddress(b"/run/a")) == b"200", "no browser comes over a UNIX socket"


@pytest.mark.parametrize(
    ("target", "host", "code"),
    [
        ("http://127.0.0.1:8433/status", "127.0.0.1:8433", b"200"),
        ("HTTP://localhost/status?a=b", "localhost", b"200"),
        ("https://localhost/nothing", "localhost", b"404"),
        ("http://localhost", "localhost", b"404"),
        ("http://localhost?a", "localhost", b"404"),
        ("http://evil.example/status", "localhost", b"421"),
        ("http://localhost/status", "evil.example", b"200"),
    ],
)
def test_a_request_may_name_the_whole_address(target: str, host: str, code: bytes) -> None:
    """As RFC 9112 has it: then the address says for whom it is, and not the header Host."""
    protocol, transport = Site().connect()
    protocol.dataReceived(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert transport.value().split(b" ", 2)[1] == code


def test_a_request_has_to_come_in_time() -> None:
    """However it dribbles: what counts is when it is whole."""
    site = Site()
    protocol, transport = site.connect()
    for at in range(len(ASK) - 1):
        site.clock.advance(REQUEST_SECONDS / 20)
        if transport.disconnected:
            break
        protocol.dataReceived(ASK[at : at + 1])
    assert transport.disconnected
    assert site.site.http_status() == {"connections": 0, "refused": {"too_slow": 1}}


def test_an_answer_makes_room_for_the_next_request() -> None:
    site = Site()
    protocol, transport = site.connect()
    for _ in range(3):
        site.clock.advance(REQUEST_SECONDS - 1)
        protocol.dataReceived(ASK)
    assert transport.value().count(b"200 OK") == 3
    site.clock.advance(REQUEST_SECONDS)
    assert transport.disconnected


def test_the_oldest_that_asks_nothing_makes_room() -> None:
    site = Site(connections=2)
    (_, first), (_, second) = site.connect(), site.connect()
    _, third = site.connect()
    assert [one.disconnected for one in (first, second, third)] == [True, False, False]
    assert site.site.http_status() == {"connections": 2, "refused": {"connection_limit": 1}}


def test_those_who_wait_for_an_answer_keep_their_place() -> None:
    from twisted.internet.defer import Deferred

    clock = Clock()
    site = build_site(clock, dict, lambda *_: Deferred(), guard=HttpGuard(connections=1))
    transport = Transport()
    transport.protocol = protocol = site.buildProtocol(None)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET /wait?position=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    clock.advance(600)
    assert site.buildProtocol(None) is None
    assert not transport.disconnected
    protocol.connectionLost(Failure(ConnectionAbortedError()))
    assert not clock.getDelayedCalls()
