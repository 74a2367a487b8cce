"""``/status``, ``/wait`` and ``/sql``, asked over HTTP through an in-memory connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import attrs
import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from spgrepl.base.results import QueryResult
from spgrepl.compiled.core import IMPLEMENTATION
from spgrepl.errors import ServiceStopped, StatementFailed, WaitTimeout
from spgrepl.server.status import resource
from spgrepl.server.status.resource import build_site
from spgrepl.watch.settings import HttpGuard
from tests.conftest import LoggedFailures

LOCAL = IPv4Address("TCP", "127.0.0.1", 40000)


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


TOKEN = "the token of these tests"


class Server:
    """A site over a status and waits that the test answers itself."""

    def __init__(self) -> None:
        self.status: Callable[[], Mapping[str, object]] = lambda: {"role": "follower"}
        self.waits: list[tuple[int, float, Deferred[int]]] = []
        self.cancelled: list[Deferred[int]] = []
        self.statements: list[tuple[str, Deferred[QueryResult]]] = []
        self.site = build_site(
            Clock(),
            lambda: self.status(),  # noqa: PLW0108 - tests replace it
            self._wait,
            self._sql,
            guard=HttpGuard(token=TOKEN),
        )

    def _wait(self, position: int, timeout: float) -> Deferred[int]:
        waiting: Deferred[int] = Deferred(self.cancelled.append)
        self.waits.append((position, timeout, waiting))
        return waiting

    def _sql(self, sql: str) -> Deferred[QueryResult]:
        answer: Deferred[QueryResult] = Deferred()
        self.statements.append((sql, answer))
        return answer

    def ask(self, path: str, method: str = "GET") -> Asked:
        return self.send(f"{method} {path} HTTP/1.0\r\n\r\n".encode())

    def post(self, body: bytes, *headers: str, client: object = LOCAL) -> Asked:
        shown = f"Authorization: Bearer {TOKEN}"
        head = "\r\n".join(["POST /sql HTTP/1.0", f"Content-Length: {len(body)}", shown, *headers, "", ""])
        return self.send(head.encode() + body, client)

    def send(self, data: bytes, client: object = LOCAL) -> Asked:
        protocol = self.site.buildProtocol(None)
        transport = StringTransport(peerAddress=client)
        protocol.makeConnection(transport)
        protocol.dataReceived(data)
        return Asked(protocol, transport)


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_status_is_json(server: Server) -> None:
    asked = server.ask("/status")
    assert asked.code == 200
    assert asked.json == {"role": "follower", "implementation": IMPLEMENTATION}
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
    said: list[str] = []
    globalLogPublisher.addObserver(observe := lambda event: said.append(str(event)))
    try:
        asked = [server.ask(path, "HEAD") for path in ("/status", "/nowhere", "/sql", "/wait?position=x")]
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [one.answer.split(b"\r\n\r\n", 1)[1] for one in asked] == [b""] * 4
    length = len(server.ask("/status").answer.split(b"\r\n\r\n", 1)[1])
    assert b"content-length: %d" % length in asked[0].headers.split(b"\r\n")
    assert [line for line in said if "HEAD" in line] == []


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
    assert "/sql" in str(asked.json["error"])


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


# -- statements -----------------------------------------------------------------------------------------------

SHOW = b"SHOW effective_wal_level"


@pytest.mark.parametrize("client", [LOCAL, UNIXAddress(None)])
def test_a_statement_is_answered_with_its_rows(server: Server, client: object) -> None:
    asked = server.post(SHOW, "Content-Type: application/sql; charset=utf-8", client=client)
    ((sql, answer),) = server.statements
    assert (sql, asked.answer) == (SHOW.decode(), b"")
    answer.callback(QueryResult(("effective_wal_level",), [("é", None, 7)]))
    assert (asked.code, asked.json) == (200, {"columns": ["effective_wal_level"], "rows": [["é", None, 7]]})


def test_a_statement_that_is_refused_is_400(server: Server) -> None:
    asked = server.post(b"DROP TABLE t")
    server.statements[0][1].errback(StatementFailed("a server executes no such thing", "DROP TABLE t"))
    assert (asked.code, asked.json) == (400, {"error": "a server executes no such thing"})


def test_a_statement_at_a_server_that_stops_is_503(server: Server) -> None:
    asked = server.post(b"WAIT FOR WAL POSITION 622")
    server.statements[0][1].errback(ServiceStopped("the master was stopped"))
    assert asked.code == 503


def test_a_statement_that_fails_otherwise_is_500_and_logged(
    server: Server, logged_failures: LoggedFailures
) -> None:
    asked = server.post(SHOW)
    server.statements[0][1].errback(KeyError("internal"))
    assert asked.code == 500
    assert b"internal" not in asked.answer
    assert len(logged_failures.flush(KeyError)) == 1


def test_a_source_that_raises_is_answered_too(logged_failures: LoggedFailures) -> None:
    server = Server()
    guard = HttpGuard(token=TOKEN)
    server.site = build_site(Clock(), dict, server._wait, lambda _: 1 / 0, guard=guard)  # type: ignore[arg-type,return-value]
    assert server.post(SHOW).code == 500
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_a_client_that_leaves_ends_its_statement(server: Server) -> None:
    asked = server.post(b"WAIT FOR WAL POSITION 622")
    asked.protocol.connectionLost(Failure(ConnectionLost()))  # type: ignore[attr-defined]
    assert server.statements[0][1].called
    assert asked.answer == b""


@pytest.mark.parametrize(
    ("header", "client", "code"),
    [
        ("Origin: http://evil.example", LOCAL, 403),
        ("Referer: http://localhost/page", LOCAL, 403),
        ("X-Forwarded-For: 10.1.2.3", LOCAL, 403),
        ("Content-Type: application/x-www-form-urlencoded", LOCAL, 415),
    ],
)
def test_whose_statements_are_not_taken(server: Server, header: str, client: object, code: int) -> None:
    asked = server.post(SHOW, header, client=client)
    assert asked.code == code
    assert asked.json["error"]
    assert server.statements == []


def test_statements_are_only_posted(server: Server) -> None:
    asked = server.ask("/sql")
    assert asked.code == 405
    assert b"allow: post" in asked.headers


def test_a_statement_that_is_no_text_is_400(server: Server) -> None:
    assert server.post(b"SHOW \xff").code == 400
    assert server.statements == []


def test_a_long_body_is_not_kept(server: Server) -> None:
    longest = resource.LONGEST_BODY
    assert server.post(b"x" * longest).answer == b""
    server.statements.pop()[1].callback(QueryResult((), []))
    assert server.post(b"x" * (longest + 1)).code == 413
    chunks = b"".join(b"%x\r\n%s\r\n" % (longest, b"x" * longest) for _ in range(3))
    shown = b"Authorization: Bearer " + TOKEN.encode()
    head = b"POST /sql HTTP/1.1\r\n" + shown + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = server.send(head + chunks + b"0\r\n\r\n")
    assert chunked.code == 413
    unfinished = server.send(b"POST /status HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 10_000_000)
    assert unfinished.answer == b""
    request = unfinished.protocol.wrappedProtocol._channel.requests[0]  # type: ignore[attr-defined]
    assert request.content.getbuffer().nbytes <= longest
    assert server.statements == []


def test_the_number_of_statements_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "MOST_WAITS", 2)
    asked = [server.post(b"WAIT FOR WAL POSITION 622") for _ in range(3)]
    assert [bool(one.answer) for one in asked] == [False, False, True]
    assert asked[2].code == 503
    for _, answer in server.statements:
        answer.callback(QueryResult(("reached",), [(1,)]))
    assert [one.code for one in asked] == [200, 200, 503]


def test_a_server_that_takes_no_statements(server: Server) -> None:
    server.site = build_site(Clock(), dict, server._wait)
    asked = server.post(SHOW)
    assert asked.code == 405
    asked = server.ask("/sql")
    assert asked.code == 404
    assert "/sql" not in str(asked.json["error"])
