"""Who is at the other end of a connection."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address

from spgrepl.access.client import Client, peer_of

ADDRESS = IPv4Address("TCP", "192.0.2.1", 4711)


def transport(**attributes: Any) -> Any:
    return SimpleNamespace(getPeer=lambda: ADDRESS, **attributes)


def test_a_plain_connection_shows_its_address() -> None:
    found = Client.of(transport(transport=None))
    assert found == Client(ADDRESS)
    assert str(found) == "no certificate"


def test_a_unix_socket_shows_the_user_through_all_wrappers() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        found = Client.of(transport(transport=transport(transport=transport(socket=ours))))
        assert peer_of(ours) == (os.getpid(), os.getuid())
    assert found.user == os.getuid()
    assert str(found) == f"the UNIX user {os.getuid()}"


def test_who_shows_no_certificate_has_no_names() -> None:
    assert Client.of(transport(getPeerCertificate=lambda: None, transport=None)).names == ()


def test_a_certificate_is_named_by_its_first_name() -> None:
    assert str(Client(ADDRESS, ("berlin", "other"))) == "the certificate 'berlin'"
