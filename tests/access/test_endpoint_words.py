"""Endpoint strings are read as Twisted reads them, and tell whether other machines can connect."""

from __future__ import annotations

import pytest

from spgrepl.access.endpoint_words import EndpointWords, host_of, is_unix, reaches_beyond


def test_words_are_split_and_named() -> None:
    words = EndpointWords.of(r"tcp:7433:interface=\:\:1:backlog=5")
    assert (words.kind, words.plain) == ("tcp", ("7433",))
    assert words.named == {"interface": "::1", "backlog": "5"}
    assert (words.word("port", 0), words.word("host", 1)) == ("7433", None)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:7433",
        "[::]:7433",
        "192.0.2.1:1",
        "tcp:7433",
        "tcp6:7433",
        "ssl:1:interface=0.0.0.0",
        "tcp:0:interface=",
    ],
)
def test_other_machines_can_connect(text: str) -> None:
    assert reaches_beyond(text)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:7433",
        "127.9.9.9:1",
        "[::1]:1",
        "localhost:1",
        "tcp:7433:interface=127.0.0.1",
        "unix:/a",
        "systemd:domain=INET:index=0",
    ],
)
def test_nobody_else_can_connect_or_the_port_will_tell(text: str) -> None:
    assert not reaches_beyond(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("db.example.org:7433", "db.example.org"),
        ("[2001:db8::1]:7433", "2001:db8::1"),
        ("tcp:db.example.org:7433", "db.example.org"),
        ("tcp:host=db.example.org:port=7433", "db.example.org"),
        ("unix:/a/b", None),
    ],
)
def test_the_host_of_a_master(text: str, host: str | None) -> None:
    assert host_of(text) == host
    assert is_unix(text) is (host is None)
