"""Connections in memory behave as those of sockets do, and fail when a test says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol

from spgrepl.testing.network import ROOM, MemoryNetwork
from spgrepl.testing.stepping import StepReactor


class End(Protocol):
    """Keeps what it got, and how it ended."""

    def __init__(self) -> None:
        self.got = b""
        self.ended: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        assert self.ended is None
        self.ended = reason.type


class Kit:
    """A server and a client."""

    def __init__(self, **faults: Any) -> None:
        self.reactor = StepReactor()
        self.network = MemoryNetwork(self.reactor)
        for name, value in faults.items():
            setattr(self.network.to_server, name, value)
        self.servers: list[End] = []
        self.reactor.wait(self.network.server("s").listen(Factory.forProtocol(self._server)))
        self.client: End = self.reactor.wait(self.network.client("s", "c").connect(Factory.forProtocol(End)))
        (self.server,) = self.servers

    def _server(self) -> End:
        self.servers.append(End())
        return self.servers[-1]

    @property
    def sending(self) -> Any:
        return self.client.transport


class Producer:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 20), st.sampled_from([0.0, 2.0]))
def test_all_that_was_written_arrives_in_its_order_before_the_end(
    pieces: list[bytes], piece: int, delay: float
) -> None:
    kit = Kit(piece=piece, delay=delay)
    for one in pieces:
        kit.sending.write(one)
    kit.sending.loseConnection()
    kit.sending.write(b"too late")
    kit.reactor.pass_time(3)
    assert kit.server.got == b"".join(pieces)
    assert (kit.server.ended, kit.client.ended) == (ConnectionDone, ConnectionDone)
    assert kit.network.to() == []


@given(st.binary(min_size=1, max_size=40), st.integers(0, 45), st.integers(1, 7))
def test_a_cut_comes_after_so_many_bytes(data: bytes, after: int, piece: int) -> None:
    kit = Kit(cut_after=after, piece=piece)
    kit.sending.write(data)
    kit.reactor.settle()
    assert kit.server.got == data[:after]
    ended = ConnectionLost if after <= len(data) else None
    assert (kit.server.ended, kit.client.ended) == (ended, ended)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 45), st.integers(0, 7), st.integers(1, 7))
def test_one_bit_is_turned_over(data: bytes, place: int, bit: int, piece: int) -> None:
    kit = Kit(flip=(place, bit), piece=piece)
    kit.sending.write(data)
    kit.reactor.settle()
    expected = bytearray(data)
    if place < len(data):
        expected[place] ^= 1 << bit
    assert kit.server.got == bytes(expected)


def test_nothing_arrives_while_it_is_held_or_nobody_reads() -> None:
    kit = Kit()
    kit.network.hold("s")
    kit.sending.write(b"a")
    kit.reactor.settle()
    assert kit.server.got == b""
    kit.network.hold("s", held=False)
    reading: Any = kit.server.transport
    reading.pauseProducing()
    kit.reactor.settle()
    assert kit.server.got == b""
    reading.resumeProducing()
    kit.reactor.settle()
    assert kit.server.got == b"a"


def test_a_producer_is_paused_and_resumed_and_told_of_the_end() -> None:
    kit, producer = Kit(), Producer()
    kit.sending.registerProducer(producer, True)
    kit.sending.write(b"x" * ROOM)
    assert producer.told == []
    kit.sending.write(b"x")
    kit.sending.write(b"x")
    assert producer.told == ["pause"]
    kit.reactor.settle()
    assert producer.told == ["pause", "resume"]
    kit.network.cut()
    kit.reactor.settle()
    assert producer.told == ["pause", "resume", "stop"]
    late = Producer()
    kit.sending.registerProducer(late, True)
    assert late.told == ["stop"]


def test_both_ends_are_told_of_an_end_in_a_later_step() -> None:
    kit = Kit()
    kit.sending.write(b"lost")
    kit.sending.abortConnection()
    assert kit.client.ended is None
    kit.reactor.settle()
    assert (kit.server.got, kit.server.ended, kit.client.ended) == (b"", ConnectionAborted, ConnectionAborted)


def test_whom_nobody_reaches() -> None:
    kit = Kit()
    with pytest.raises(error.ConnectionRefusedError):
        kit.reactor.wait(kit.network.client("other").connect(Factory.forProtocol(End)))
    kit.network.unreachable.add("s")
    with pytest.raises(error.ConnectionRefusedError):
        kit.reactor.wait(kit.network.client("s").connect(Factory.forProtocol(End)))
    kit.network.unreachable.clear()
    port = kit.reactor.wait(kit.network.server("s").listen(Factory.forProtocol(kit._server)))
    kit.reactor.wait(port.stopListening())
    with pytest.raises(error.ConnectionRefusedError):
        kit.reactor.wait(kit.network.client("s").connect(Factory.forProtocol(End)))
    assert kit.server.ended is None
