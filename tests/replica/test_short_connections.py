"""Short connections to a master: one question each."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.errors import ServiceStopped
from spgrepl.interfaces.engine import Mark
from spgrepl.pairs.fence import mark_before
from spgrepl.replica.short_connections import ANSWER_SECONDS, MarkChoice, RangeReader, ShortConnections
from spgrepl.wire.handshake import FollowerHello, StreamVersion

LOG = bytes(range(256)) * 40


def told(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(lambda got: found.append(got.type if isinstance(got, Failure) else got))
    return found


def connected(start: int, stop: int) -> tuple[Clock, RangeReader, StringTransport]:
    clock = Clock()
    reader = RangeReader(clock, start, stop)
    transport = StringTransport()
    reader.makeConnection(transport)
    return clock, reader, transport


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_range_is_read_and_the_master_let_go(size: int) -> None:
    clock, reader, transport = connected(100, 4000)
    found = told(reader.read)
    assert transport.value() == FollowerHello(StreamVersion.V1, 100).encode()
    answer = bytes(8) + LOG[100:5000]
    for at in range(0, len(answer), size):
        if not found:
            reader.dataReceived(answer[at : at + size])
    assert found == [crc32(LOG[100:4000])]
    assert transport.disconnected
    assert clock.getDelayedCalls() == []


def test_a_master_that_takes_too_long_or_goes_has_sent_nothing() -> None:
    clock, reader, transport = connected(100, 4000)
    found = told(reader.read)
    clock.advance(ANSWER_SECONDS)
    assert (found, bool(transport.disconnected)) == ([None], True)
    _, other, _ = connected(100, 4000)
    found = told(other.read)
    other.connectionLost()
    other.end(7)
    assert found == [None]


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Answers each connection with a CRC, or not at all."""

    def __init__(self, answer: int | Exception | Deferred[Any] | None) -> None:
        self.answer = answer
        self.ranges: list[RangeReader] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        if isinstance(self.answer, Exception):
            return fail(self.answer)
        reader = protocolFactory.buildProtocol(None)
        reader.makeConnection(StringTransport())
        if not isinstance(self.answer, Deferred):
            reader.end(self.answer)
        return succeed(reader)


def short(answer: Any) -> ShortConnections:
    return ShortConnections(Clock(), Endpoint(answer), "stopping")


def test_a_mark_is_taken_before_a_position() -> None:
    start, stop = mark_before(100_000)
    assert told(short(7).take(100_000)) == [Mark(start, stop, 7)]
    assert told(short(7).take(1)) == [None]


@pytest.mark.parametrize("answer", [None, ConnectError()])
def test_a_master_that_does_not_send_what_stands_there_gives_no_mark(answer: Any) -> None:
    assert told(short(answer).take(100_000)) == [None]


def test_what_is_under_way_ends_with_who_asks() -> None:
    asking = short(Deferred())
    under_way = told(asking.take(100_000))
    asking.stop()
    assert under_way == [ServiceStopped]
    assert told(asking.read_range(5, 10)) == [ServiceStopped]


def test_a_mark_that_differs_is_compared_again() -> None:
    marks = [Mark(0, 1, 1), Mark(1, 2, 2), Mark(2, 3, 3)]
    choice: MarkChoice[Mark] = MarkChoice(lambda among: among[0])
    assert choice.among(marks) is marks[0]
    choice.differs(marks[2])
    assert choice.among(marks) is marks[2]
    assert choice.among(marks[:2]) is marks[0]
    choice.fits()
    assert choice.among(marks) is marks[0]
