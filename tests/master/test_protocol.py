"""One connection of a master, from the first byte of its hello to its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from spgrepl.access.policy import Access
from spgrepl.errors import ServiceStopped
from spgrepl.master.protocol import MasterFactory, MasterProtocol
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.states import ConnectionState
from spgrepl.wire.handshake import FollowerHello, StreamVersion
from tests.master.kit import Master, Peer, wal_of

HELLO = FollowerHello(StreamVersion.V2, 4).encode()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, b"0123456789", limits=MasterLimits(handshake=5, stalled=20, connections=3))
    yield made
    made.close()


def ended(master: Master) -> dict[str, int]:
    told = master.hub.describe()
    return {**told.refused, **told.dropped}


def test_a_hello_may_come_byte_by_byte(master: Master) -> None:
    peer = master.connect()
    for byte in HELLO:
        assert peer.protocol.state is ConnectionState.HELLO
        peer.send(bytes([byte]))
    assert peer.protocol.state is ConnectionState.STREAMING
    assert wal_of(peer.take()[3:]) == b"456789"


def test_what_comes_after_the_hello_is_skipped(master: Master) -> None:
    peer = master.connect()
    peer.send(HELLO + b"anything")
    peer.send(b"more")
    assert wal_of(peer.take()[3:]) == b"456789"
    assert not peer.closing


def test_nonsense_is_refused_by_name(master: Master) -> None:
    peer = master.connect()
    peer.send(b"GET / HTTP/1.1\r\n\r\n")
    assert peer.closing
    assert ended(master) == {"bad_hello": 1}
    peer.send(HELLO)
    assert peer.take() == b""


def test_silence_instead_of_a_hello(master: Master) -> None:
    peer = master.connect()
    peer.send(HELLO[:3])
    master.pass_time(4)
    assert not peer.closing
    master.pass_time(2)
    assert peer.closing or peer.aborted
    assert ended(master) == {"handshake_timeout": 1}


def test_a_reader_that_takes_nothing(master: Master) -> None:
    peer = master.follow(4)
    peer.pause()
    master.log.grow(b"abc")
    master.pass_time(30)
    assert peer.aborted
    assert ended(master) == {"stalled": 1}


def test_a_peer_that_goes_is_counted_once(master: Master) -> None:
    peer = master.follow(4)
    peer.lose()
    assert ended(master) == {"peer_closed": 1}
    assert peer.protocol.state is ConnectionState.CLOSED
    peer.protocol.go_on()
    assert master.hub.describe().peers == ()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (ConnectionDone(), "it closed the connection"),
        (ConnectionLost(), "the connection was cut"),
        (ConnectionLost("no answer to a keep-alive"), "no answer to a keep-alive"),
    ],
)
def test_how_a_peer_went_is_said_plainly(master: Master, reason: Exception, told: str) -> None:
    peer = master.follow(4)
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(observe := events.append)
    peer.protocol.connectionLost(Failure(reason))
    globalLogPublisher.removeObserver(observe)
    (said,) = (line for event in events if "has gone, position 10: " in (line := formatEvent(event)))
    assert said.rstrip(".").endswith(told)


def test_it_is_closed_for_one_reason_only(master: Master) -> None:
    peer = master.follow(4)
    peer.protocol.close(Cause.STOPPED, ServiceStopped("stop"))
    peer.protocol.abort(Cause.FAULT, ServiceStopped("again"))
    peer.protocol.connectionLost(Failure(ConnectionLost()))
    assert ended(master) == {"stopped": 1}


def test_one_connection_too_many(master: Master) -> None:
    peers = [master.follow(4) for _ in range(3)]
    assert master.connect().refused
    assert not any(peer.closing for peer in peers)
    assert ended(master) == {"connection_limit": 1}


def test_who_may_have_nothing_is_turned_away(tmp_path: Path) -> None:
    master = Master(tmp_path, b"0123", access=Access(insecure=False))
    peer = master.follow(0)
    assert peer.closing
    assert peer.take() == b""
    assert list(master.hub.describe().refused) in (["not_allowed"], ["copy_not_allowed"])
    master.close()


def test_what_the_status_says(master: Master) -> None:
    peer: Peer = master.follow(4)
    told = peer.protocol.describe()
    assert (told.address, told.state, told.certificate) == ("10.1.2.3:4711", "streaming", None)
    assert isinstance(peer.protocol, MasterProtocol)
    assert isinstance(master.factory, MasterFactory)
