"""``/status`` and ``/wait``, asked over HTTP through an in-memory connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.errors import ServiceStopped, WaitTimeout
from spgrepl.status import resource
from spgrepl.status.resource import build_site
from tests.conftest import LoggedFailures


@attrs.define
class Asked:
    """A request on a connection of its own."""

    protocol: object
    transport: StringTransport

    @property
    def answer(self) -> bytes:
        return self.transport.value()

    @property
    def code(self) -> int:
        return int(self.answer.split()[1])

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.answer.split(b"\r\n\r\n", 1)[1])
        return found

    @property
    def headers(self) -> bytes:
        return self.answer.split(b"\r\n\r\n", 1)[0].lower()


class Server:
    """A site over a status and waits that the test answers itself."""

    def __init__(self) -> None:
        self.status: Callable[[], Mapping[str, object]] = lambda: {"role": "follower"}
        self.waits: list[tuple[int, float, Deferred[int]]] = []
        self.cancelled: list[Deferred[int]] = []
        self._site = build_site(Clock(), lambda: self.status(), self._wait)  # noqa: PLW0108 - tests replace it

    def _wait(self, position: int, timeout: float) -> Deferred[int]:
        waiting: Deferred[int] = Deferred(self.cancelled.append)
        self.waits.append((position, timeout, waiting))
        return waiting

    def ask(self, path: str, method: str = "GET") -> Asked:
        protocol = self._site.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        return Asked(protocol, transport)


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_status_is_json(server: Server) -> None:
    asked = server.ask("/status")
    assert asked.code == 200
    assert asked.json == {"role": "follower"}
    assert b"content-type: application/json" in asked.headers
    assert b"cache-control: no-store" in asked.headers


def test_the_status_is_made_anew_for_each_request(server: Server) -> None:
    numbers = iter(range(5))
    server.status = lambda: {"number": next(numbers)}
    assert [server.ask("/status").json["number"] for _ in range(2)] == [0, 1]


def test_a_status_that_cannot_be_made_is_logged_and_answered(
    server: Server, logged_failures: LoggedFailures
) -> None:
    server.status = lambda: {"a": 1 / 0}
    asked = server.ask("/status")
    assert asked.code == 500
    assert b"ZeroDivision" not in asked.answer
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_head_has_no_body(server: Server) -> None:
    assert server.ask("/status", "HEAD").answer.split(b"\r\n\r\n", 1)[1] == b""


@pytest.mark.parametrize("path", ["/status", "/wait?position=1"])
def test_nothing_can_be_posted(server: Server, path: str) -> None:
    asked = server.ask(path, "POST")
    assert asked.code == 405
    assert b"allow: get, head" in asked.headers
    assert server.waits == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/statusx"])
def test_other_paths_are_told_what_there_is(server: Server, path: str) -> None:
    asked = server.ask(path)
    assert asked.code == 404
    assert "/status" in str(asked.json["error"])


def test_a_wait_is_answered_when_the_position_is_applied(server: Server) -> None:
    asked = server.ask("/wait?position=622&timeout=2.5")
    ((position, timeout, waiting),) = server.waits
    assert (position, timeout, asked.answer) == (622, 2.5, b"")
    waiting.callback(700)
    assert (asked.code, asked.json) == (200, {"applied": 700})


def test_a_wait_has_a_timeout_where_none_is_stated(server: Server) -> None:
    server.ask("/wait?position=1")
    assert server.waits[0][1] == resource.DEFAULT_WAIT
    server.waits[0][2].callback(1)


def test_a_wait_that_took_too_long_is_504(server: Server) -> None:
    asked = server.ask("/wait?position=622")
    server.waits[0][2].errback(WaitTimeout("position 622 was not applied within 30 s"))
    assert asked.code == 504
    assert asked.json == {"error": "position 622 was not applied within 30 s"}


def test_a_wait_on_a_server_that_stops_is_503(server: Server) -> None:
    asked = server.ask("/wait?position=622")
    server.waits[0][2].errback(ServiceStopped("the follower was stopped"))
    assert asked.code == 503


def test_a_wait_that_fails_otherwise_is_500_and_logged(server: Server, logged_failures: LoggedFailures) -> None:
    asked = server.ask("/wait?position=622")
    server.waits[0][2].errback(KeyError("internal"))
    assert asked.code == 500
    assert b"internal" not in asked.answer
    assert len(logged_failures.flush(KeyError)) == 1


def test_a_client_that_leaves_ends_its_wait(server: Server) -> None:
    asked = server.ask("/wait?position=622")
    asked.protocol.connectionLost(Failure(ConnectionLost()))  # type: ignore[attr-defined]
    assert server.cancelled == [server.waits[0][2]]
    assert asked.answer == b""


@pytest.mark.parametrize(
    "query",
    [
        "",
        "position=",
        "position=-1",
        "position=x",
        "position=1.5",
        "position=18446744073709551616",
        "position=%D9%A1",
        "position=1&position=2",
        "position=1&more=2",
        "position=1&timeout=0",
        "position=1&timeout=nan",
        "position=1&timeout=1e400",
        "position=1&timeout=3601",
    ],
)
def test_wrong_arguments_are_400(server: Server, query: str) -> None:
    asked = server.ask(f"/wait?{query}")
    assert asked.code == 400
    assert asked.json["error"]
    assert server.waits == []


def test_the_number_of_waits_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "MOST_WAITS", 2)
    asked = [server.ask("/wait?position=1") for _ in range(3)]
    assert [bool(one.answer) for one in asked] == [False, False, True]
    assert asked[2].code == 503
    for _, _, waiting in server.waits:
        waiting.callback(1)
    assert server.ask("/wait?position=1").answer == b""
    server.waits[-1][2].callback(1)
