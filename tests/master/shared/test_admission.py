"""What a stranger's connections can take of a master, and what not."""

from __future__ import annotations

import json
import resource
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from spgrepl.access.descriptors import is_in_reserve
from spgrepl.access.policy import Access
from spgrepl.access.rights import AccessTable
from spgrepl.catalogue.definitions import Publications
from spgrepl.master.protocol import MasterProtocol
from spgrepl.master.shared.admission import origin_of
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.log_rate import BURST
from spgrepl.text.shown import shown, shown_names
from spgrepl.watch.status import to_json
from spgrepl.wire.handshake import FollowerHello, StreamVersion
from spgrepl.wire.subscription import SubscriberHello
from tests.master.kit import Master


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, bytes(1000), limits=MasterLimits(connections=40, of_one_address=10, handshakes=8))
    yield made
    made.close()


class Peer:
    """A connection from an address."""

    def __init__(self, master: Master, host: str = "192.0.2.1", port: int = 4000) -> None:
        address = IPv4Address("TCP", host, port)
        self.transport = StringTransport(peerAddress=address)
        self.protocol: MasterProtocol | None = master.factory.buildProtocol(address)
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)

    @property
    def gone(self) -> bool:
        """Whether the master has ended it."""
        return self.protocol is None or self.transport.disconnecting or self.transport.disconnected

    def say(self, data: bytes) -> Peer:
        assert self.protocol is not None
        self.protocol.dataReceived(data)
        return self

    def leave(self) -> None:
        assert self.protocol is not None
        self.protocol.connectionLost(Failure(ConnectionDone()))


HELLO = FollowerHello(StreamVersion.V2, 100).encode()


def test_one_address_gets_so_many_connections(master: Master) -> None:
    peers = [Peer(master).say(HELLO) for _ in range(10)]
    assert Peer(master).gone
    assert not any(peer.gone for peer in peers)
    assert not Peer(master, "192.0.2.2").say(HELLO).gone
    assert to_json(master.hub.describe())["refused"] == {"address_limit": 1}
    peers[0].leave()
    assert not Peer(master).say(HELLO).gone, "one that is gone makes room"


def test_where_connections_come_from() -> None:
    assert origin_of(IPv4Address("TCP", "192.0.2.1", 1)) == "192.0.2.1"
    assert origin_of(IPv6Address("TCP", "::ffff:192.0.2.1", 1)) == "192.0.2.1"
    near, far = "2001:db8:1:2:3::4", "2001:db8:1:3::4"
    assert origin_of(IPv6Address("TCP", near, 1)) == origin_of(IPv6Address("TCP", "2001:db8:1:2::9", 1))
    assert origin_of(IPv6Address("TCP", near, 1)) != origin_of(IPv6Address("TCP", far, 1))
    assert origin_of(UNIXAddress(b"/a")) is None


def test_half_hellos_push_each_other_out_and_nobody_else(master: Master) -> None:
    """A flood from one address leaves those alone who say hello, and those of other addresses who are about to."""
    served = Peer(master, "192.0.2.7").say(HELLO)
    slow = Peer(master, "192.0.2.8")
    flood = [Peer(master, "203.0.113.9").say(HELLO[:5]) for _ in range(10)]
    assert [peer.gone for peer in flood] == [True] * 3 + [False] * 7
    assert not served.gone
    assert not slow.say(HELLO).gone
    status = to_json(master.hub.describe())
    assert status["refused"] == {"handshake_limit": 3}
    assert status["handshakes"] == 7


def test_the_last_descriptors_are_kept_for_files(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbered(StringTransport):
        number = 900

        def fileno(self) -> int:
            return self.number

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    for number, refused in ((900, False), (1024 - 64, True)):
        transport = Numbered()
        transport.number = number
        assert is_in_reserve(transport) is refused
        protocol = master.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        assert protocol is not None
        protocol.makeConnection(transport)
        assert transport.disconnecting is refused
    assert to_json(master.hub.describe())["refused"] == {"no_descriptors": 1}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    transport.number = 40
    assert not is_in_reserve(transport), "of a small limit only a quarter is kept"


def test_the_log_is_not_filled_by_those_who_are_refused(master: Master, caplog: Any) -> None:
    lines: list[Any] = []
    globalLogPublisher.addObserver(lines.append)
    try:
        for _ in range(10 * BURST):
            Peer(master).say(b"GET / HTTP/1.1").leave()
        assert ["times" in line and line["times"] for line in lines] == [1, 10, 100, 1000]
        assert to_json(master.hub.describe())["log_lines_left_out"] == 10 * BURST - 4
        master.clock.advance(3600)
        Peer(master).say(b"GET /").leave()
        assert len(lines) == 5
    finally:
        globalLogPublisher.removeObserver(lines.append)
    assert to_json(master.hub.describe())["refused"] == {"bad_hello": 10 * BURST + 1}


def test_names_are_escaped_and_shortened() -> None:
    assert shown("notes") == "notes"
    assert shown("a\nb\x1b[2J\u202e") == r"a\nb\x1b[2J\u202e"
    assert shown("x" * 64) == "x" * 63 + "…"
    assert shown_names(["a", "b"]) == ["a", "b"]
    assert shown_names([str(one) for one in range(25)])[20:] == ["… and 5 more"]


def test_a_hundred_hellos_with_all_the_names_there_may_be(tmp_path: Path) -> None:
    """The status stays small, and the same names are kept once."""
    master = Master(tmp_path, bytes(1000), MasterLimits(of_one_address=200), publications=Publications())
    try:
        hello = SubscriberHello(0, tuple(f"name {number}\n" + "x" * 40 for number in range(1000)), 7).encode()
        peers = [Peer(master).say(hello) for _ in range(100)]
        status = json.dumps(to_json(master.hub.describe()))
        assert "name 1\\\\n" in status
        assert "and 980 more" in status
        assert len(status) < 100 * 5000
        first, second = (peer.protocol._stream._names for peer in peers[:2])  # type: ignore[union-attr]
        assert all(one is other for one, other in zip(first, second, strict=True))
    finally:
        master.close()


# -- who may do what --------------------------------------------------------------------------------------------


def rule(may: str) -> Access:
    return Access(table=AccessTable.read(tomllib.loads(f'[[client]]\naddress = "192.0.2.1"\nmay = {may}')))


@pytest.mark.parametrize(
    ("may", "hello", "refused", "words"),
    [
        ('"physical"', HELLO, {}, ""),
        ('"physical"', SubscriberHello(0, (), 7).encode(), {}, ""),
        ('"nothing"', HELLO, {"not_allowed": 1}, "may have nothing here"),
        ('"nothing"', SubscriberHello(0, ("p",), 7).encode(), {"not_allowed": 1}, "may have nothing here"),
        ('["p", "q"]', SubscriberHello(0, ("q",), 7).encode(), {}, ""),
        ('["p"]', SubscriberHello(0, ("p", "q"), 7).encode(), {"publication_not_allowed": 1}, "asks for q too"),
        ('["p"]', SubscriberHello(0, (), 7).encode(), {"publication_not_allowed": 1}, "asks for all tables too"),
        ('["p"]', FollowerHello(StreamVersion.V2, 0).encode(), {"copy_not_allowed": 1}, "with --no-copy-data"),
        (
            '["p"]',
            FollowerHello(StreamVersion.V1, 5).encode(),
            {"copy_not_allowed": 1},
            "publications p, but not",
        ),
    ],
)
def test_a_client_gets_what_is_its(
    tmp_path: Path, may: str, hello: bytes, refused: dict[str, int], words: str
) -> None:
    lines: list[Any] = []
    globalLogPublisher.addObserver(lines.append)
    master = Master(tmp_path, bytes(1000), publications=Publications(), access=rule(may))
    try:
        peer = Peer(master).say(hello)
        assert peer.gone is bool(refused)
        assert to_json(master.hub.describe())["refused"] == refused
        assert not words or any(words in str(line.get("reason")) for line in lines)
        assert not refused or not peer.transport.value(), "not a byte"
        assert Peer(master, "192.0.2.2").say(hello).gone, "whom no entry fits"
    finally:
        globalLogPublisher.removeObserver(lines.append)
        master.close()
