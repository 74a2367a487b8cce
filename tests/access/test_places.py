"""What belongs to this machine."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from spgrepl.access.places import ip_of, is_local


@pytest.mark.parametrize(
    ("address", "ip", "local"),
    [
        (UNIXAddress("/run/x.socket"), None, True),
        (IPv4Address("TCP", "127.0.0.1", 1), "127.0.0.1", True),
        (IPv4Address("TCP", "127.9.9.9", 1), "127.9.9.9", True),
        (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1", False),
        (IPv4Address("TCP", "0.0.0.0", 1), "0.0.0.0", False),
        (IPv6Address("TCP", "::1", 1), "::1", True),
        (IPv6Address("TCP", "::", 1), "::", False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), "fe80::1", False),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), "127.0.0.1", True),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1", False),
        (IPv4Address("TCP", "localhost.example", 1), None, False),
        ("no address", None, False),
    ],
)
def test_addresses(address: object, ip: str | None, local: bool) -> None:
    found = ip_of(address)
    assert (None if found is None else str(found)) == ip
    assert is_local(address) is local
