"""Whom a connection is said to be of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.python.failure import Failure

from spgrepl.watch.status import to_json
from spgrepl.wire.handshake import FollowerHello, StreamVersion
from tests.master.kit import Master


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    master = Master(tmp_path, bytes(1000))
    yield master
    master.close()


def test_of_the_peer_that_a_proxy_speaks_for(master: Master) -> None:
    """The address that a `haproxy:` endpoint reads comes after the connection."""
    transport = StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.1", 4000))
    proxied: IProtocol = HAProxyWrappingFactory(master.factory).buildProtocol(transport.getPeer())
    proxied.makeConnection(transport)
    proxied.dataReceived(b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 7731\r\n")
    proxied.dataReceived(FollowerHello(StreamVersion.V2, 100).encode())
    assert [peer["address"] for peer in to_json(master.hub.describe())["peers"]] == ["203.0.113.9:5555"]
    proxied.connectionLost(Failure(ConnectionDone()))
