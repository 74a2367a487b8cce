"""Whose statements are taken: those of programs on this machine, and of no web page."""

from __future__ import annotations

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.web.http_headers import Headers

from spgrepl.server.status.local_only import judge_sender

LOCAL = IPv4Address("TCP", "127.0.0.1", 40000)


def headers(**values: str) -> Headers:
    return Headers({name.replace("_", "-"): [value] for name, value in values.items()})


TOKEN = "a token of sixteen"
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("client", [UNIXAddress(None), UNIXAddress(b"/run/s")])
def test_whoever_may_open_the_socket(client: object) -> None:
    assert judge_sender(client, Headers(), None) is None
    assert judge_sender(client, Headers(), TOKEN) is None


@pytest.mark.parametrize(
    "client",
    [
        LOCAL,
        IPv6Address("TCP", "::1", 1),
        IPv4Address("TCP", "192.168.1.7", 1),
        HostnameAddress(b"localhost", 1),
        None,
    ],
)
def test_over_tcp_a_token_is_shown(client: object) -> None:
    assert judge_sender(client, headers(**SHOWN), TOKEN) is None
    for wrong in (Headers(), headers(authorization="Bearer x"), headers(authorization=TOKEN)):
        found = judge_sender(client, wrong, TOKEN)
        assert found is not None
        assert found[0] == 401
        assert "--http-token-file" in found[1]
    for given in (Headers(), headers(**SHOWN), headers(authorization="Bearer None")):
        found = judge_sender(client, given, None)
        assert found is not None
        assert found[0] == 403
        assert "started without --http-token-file" in found[1]


@pytest.mark.parametrize(
    "value", ["text/plain", "application/sql", "Text/Plain; charset=utf-8", "application/sql;q=1"]
)
def test_content_types_of_programs(value: str) -> None:
    assert judge_sender(LOCAL, headers(content_type=value, **SHOWN), TOKEN) is None


@pytest.mark.parametrize(
    "value", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "*/*"]
)
def test_content_types_of_forms(value: str) -> None:
    found = judge_sender(LOCAL, headers(content_type=value, **SHOWN), TOKEN)
    assert found is not None
    assert found[0] == 415


@pytest.mark.parametrize(
    ("name", "code"), [(b"authorization", 401), (b"content-type", 415)], ids=["authorization", "content-type"]
)
def test_a_header_that_is_not_unicode(name: bytes, code: int) -> None:
    given = headers(**SHOWN)
    given.setRawHeaders(name, [b"Bearer \xff"])
    found = judge_sender(LOCAL, given, TOKEN)
    assert found is not None
    assert found[0] == code


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Origin", "web pages"),
        ("Referer", "web pages"),
        ("Sec-Fetch-Site", "web pages"),
        ("X-Forwarded-For", "proxy"),
        ("Forwarded", "proxy"),
        ("Via", "proxy"),
    ],
)
@pytest.mark.parametrize("client", [LOCAL, UNIXAddress(None)])
def test_browsers_and_proxies_on_this_machine(client: object, name: str, why: str) -> None:
    found = judge_sender(client, Headers({name: ["null"], "authorization": [f"Bearer {TOKEN}"]}), TOKEN)
    assert found is not None
    assert found[0] == 403
    assert why in found[1]
    assert name.lower() in found[1]
