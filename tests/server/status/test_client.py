"""Asking a running server from a program without a reactor."""

from __future__ import annotations

import contextlib
import http.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import UsageError
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask

ADDRESS = StatusAddress("host", 7434, token="secret")


class Connection:
    """A connection that answers, or fails, as a test says."""

    answer: bytes | Exception = b"{}"
    asked: Any = None

    def __init__(self, _host: str, _port: int, timeout: float | None) -> None:
        self.status = 200

    def request(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> None:
        type(self).asked = (method, path, body, dict(headers or {}))
        if isinstance(self.answer, Exception):
            raise self.answer

    def getresponse(self) -> Any:
        return self

    def read(self) -> bytes:
        assert isinstance(self.answer, bytes)
        return self.answer

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> type[Connection]:
    class Own(Connection):
        pass

    monkeypatch.setattr(http.client, "HTTPConnection", Own)
    return Own


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host:7434", "http://host:7434"),
        ("http://host:7434/status", "http://host:7434"),
        ("http://[::1]:7434/", "http://[::1]:7434"),
        ("host", "http://host:80"),
        ("unix:/run/a b.sock", "unix:/run/a b.sock"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert str(StatusAddress.parse(text)) == shown
    assert StatusAddress.parse(shown) == StatusAddress.parse(text)


@given(st.text(alphabet="htp:/[]@.#?%1aé \0", max_size=12))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        found = StatusAddress.parse(text)
        assert found.path or (found.host and 0 < found.port < 65536)


@pytest.mark.parametrize(
    "text", ["", "https://host:1", "http://host:70000", "host:x", "http://host/other", "unix:x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        StatusAddress.parse(text)


def test_a_statement_is_posted_with_the_token(connection: type[Connection]) -> None:
    connection.answer = b'{"a": 1}'
    assert ask(ADDRESS, "/sql", statement="SELECT 'é'") == (200, {"a": 1})
    method, path, body, headers = connection.asked
    assert (method, path, body) == ("POST", "/sql", "SELECT 'é'".encode())
    assert headers["Authorization"] == "Bearer secret"
    ask(ADDRESS, "/status")
    assert connection.asked == ("GET", "/status", None, {})
    assert "secret" not in repr(ADDRESS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused. Start its server"),
        (http.client.RemoteDisconnected("end"), "it may be where followers connect"),
        (TimeoutError(), "nothing came for 10 s"),
        (OSError(113, "No route to host"), "does not answer: .*No route to host"),
        (http.client.BadStatusLine(""), "does not answer"),
        (UnicodeError("label too long"), "does not answer: label too long"),
        (b"<html>", "answers, but not as a server of spgrepl"),
        (b"\xff\xfe", "answers, but not as a server of spgrepl"),
        (b"[1]", "answers, but not as a server of spgrepl"),
    ],
)
def test_each_way_not_to_answer(connection: type[Connection], answer: Any, message: str) -> None:
    connection.answer = answer
    with pytest.raises(ServerUnreachable, match=message):
        ask(ADDRESS, "/status")


def test_what_was_never_sent_is_not_said_to_have_been_answered(connection: type[Connection]) -> None:
    with pytest.raises(UsageError, match="the statement is not valid Unicode: surrogates not allowed at 8"):
        ask(ADDRESS, "/sql", statement="SELECT '\udcff'")
    assert connection.asked is None


def test_a_host_that_cannot_be_is_not_said_to_answer() -> None:
    with pytest.raises(ServerUnreachable, match=r"http://a\.\.b:1 does not answer"):
        ask(StatusAddress("a..b", 1), "/status")
