"""What a port takes in one turn of the reactor."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from spgrepl.access.descriptors import ACCEPTED_AT_ONCE, accept_few


class AcceptingTests(TestCase):
    """A port at which many wait."""

    @defer.inlineCallbacks
    def test_few_connections_come_in_one_turn(self) -> Any:
        """All come in the end, and never more than a few at once, however often the port had to stop there."""
        made: list[Protocol] = []
        factory = Factory.forProtocol(Protocol)
        factory.buildProtocol = lambda addr: made.append(Protocol()) or made[-1]  # type: ignore[method-assign,func-returns-value]
        port: Any = yield TCP4ServerEndpoint(reactor, 0, backlog=200, interface="127.0.0.1").listen(factory)
        accept_few(port)
        clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(60)]
        turns = []
        while len(made) < len(clients):
            before = len(made)
            port.doRead()
            turns.append(len(made) - before)
        assert max(turns) == ACCEPTED_AT_ONCE
        for client in clients:
            client.close()
        yield port.stopListening()
        for protocol in made:
            assert protocol.transport is not None
            protocol.transport.abortConnection()

    def test_what_is_not_a_socket_is_left_alone(self) -> None:
        accept_few(object())  # type: ignore[arg-type]
