"""Whose statements are taken: those of programs on this machine, and of no web page."""

from __future__ import annotations

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.web.http_headers import Headers

from spgrepl.status.local_only import is_local, judge_sender

LOCAL = IPv4Address("TCP", "127.0.0.1", 40000)


def headers(**values: str) -> Headers:
    return Headers({name.replace("_", "-"): [value] for name, value in values.items()})


@pytest.mark.parametrize(
    "client",
    [
        LOCAL,
        IPv4Address("TCP", "127.8.9.10", 1),
        IPv6Address("TCP", "::1", 1),
        IPv6Address("TCP", "::ffff:127.0.0.1", 1),
        UNIXAddress(None),
        UNIXAddress(b"/run/s"),
    ],
)
def test_programs_on_this_machine(client: object) -> None:
    assert is_local(client)
    assert judge_sender(client, Headers()) is None


@pytest.mark.parametrize(
    "client",
    [
        IPv4Address("TCP", "192.168.1.7", 1),
        IPv4Address("TCP", "128.0.0.1", 1),
        IPv4Address("TCP", "0.0.0.0", 1),
        IPv6Address("TCP", "fe80::1%eth0", 1),
        IPv6Address("TCP", "::ffff:10.0.0.1", 1),
        IPv6Address("TCP", "2001:db8::1", 1),
        HostnameAddress(b"localhost", 1),
        None,
        "127.0.0.1 pretended",
    ],
)
def test_all_others_are_refused(client: object) -> None:
    found = judge_sender(client, Headers())
    assert found is not None
    assert found[0] == 403
    assert "this machine only" in found[1]


@pytest.mark.parametrize(
    "value", ["text/plain", "application/sql", "Text/Plain; charset=utf-8", "application/sql;q=1"]
)
def test_content_types_of_programs(value: str) -> None:
    assert judge_sender(LOCAL, headers(content_type=value)) is None


@pytest.mark.parametrize(
    "value", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "*/*"]
)
def test_content_types_of_forms(value: str) -> None:
    found = judge_sender(LOCAL, headers(content_type=value))
    assert found is not None
    assert found[0] == 415


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
    found = judge_sender(client, Headers({name: ["null"], "content-type": ["text/plain"]}))
    assert found is not None
    assert found[0] == 403
    assert why in found[1]
    assert name.lower() in found[1]
