"""How much of what a master sends is taken in one turn of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import IN_REACTOR
from spgrepl.replica.connection import SLICE
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.link import TURN_SECONDS, MasterLink
from spgrepl.replica.subscribing.connection import READ_SIZE, Received, SubscriberConnection
from spgrepl.wire.frames import Status, WalBytes, encode_skip, encode_status, encode_wal_header
from spgrepl.wire.handshake import StreamVersion
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply
from tests.replica.subscribing.streams import insert


class SlowClock(Clock):
    """A clock on which each look takes as long as a slice of work."""

    step = 0.0

    def seconds(self) -> float:
        self.rightNow += self.step
        now: float = super().seconds()
        return now


class Owner:
    """Keeps what has come."""

    def __init__(self) -> None:
        self.log = b""
        self.last: Status | None = None
        self.reason: object = "none yet"

    def prepare(self) -> Deferred[Any]:
        return succeed(None)

    def happened(self, event: Any) -> Deferred[Any] | None:
        if isinstance(event, WalBytes):
            self.log += event.data
        elif isinstance(event, Status):
            self.last = event
        return succeed(None)

    def link_closed(self, link: object, reason: object) -> None:
        self.reason = reason


class Rig:
    """A follower's link that streams."""

    def __init__(self) -> None:
        self.clock, self.owner = SlowClock(), Owner()
        self.link = MasterLink(self.clock, self.owner, FollowerConnection(StreamVersion.V2))
        self.transport = StringTransport()
        self.link.makeConnection(self.transport)
        self.link.dataReceived(b"\0" * 7 + b"\0" + (9).to_bytes(8, "little"))


ONE_BYTE_FRAMES = 40_000


def test_frames_of_one_byte_are_taken_in_turns() -> None:
    rig = Rig()
    data = b"".join(encode_wal_header(1) + bytes((at % 256,)) for at in range(ONE_BYTE_FRAMES))
    rig.clock.step = TURN_SECONDS / 4
    rig.link.dataReceived(data)
    first = len(rig.owner.log)
    assert 0 < first <= 4 * SLICE // 6
    assert rig.transport.producerState == "paused"
    while len(rig.owner.log) < ONE_BYTE_FRAMES:
        rig.clock.advance(0)
    assert rig.transport.producerState == "producing"
    assert rig.owner.log == bytes(at % 256 for at in range(ONE_BYTE_FRAMES))


def test_what_comes_meanwhile_waits_its_turn() -> None:
    rig = Rig()
    rig.clock.step = TURN_SECONDS
    rig.link.dataReceived(encode_wal_header(SLICE * 3) + b"a" * SLICE * 3)
    rig.link.dataReceived(encode_wal_header(1) + b"b")
    while rig.transport.producerState == "paused":
        rig.clock.advance(0)
    assert rig.owner.log == b"a" * SLICE * 3 + b"b"


def test_what_a_master_says_last_is_heard() -> None:
    rig = Rig()
    rig.clock.step = TURN_SECONDS
    rig.link.dataReceived(encode_wal_header(SLICE * 3) + b"a" * SLICE * 3 + encode_status(SLICE * 3 + 9, 5))
    assert rig.owner.last is None
    rig.link.connectionLost(Failure(ConnectionDone()))
    assert rig.owner.last == Status(SLICE * 3 + 9, 5)
    rig.clock.step = 0
    rig.clock.advance(1)
    assert not rig.clock.getDelayedCalls()


def test_what_is_left_of_a_frame_is_taken_at_once() -> None:
    rig = Rig()
    rig.clock.step = TURN_SECONDS / 4
    rig.link.dataReceived(encode_wal_header(400_000) + b"a" * 400_000)
    assert rig.owner.log == b"a" * 400_000


class SubscriberOwner:
    """Counts what has come."""

    def __init__(self) -> None:
        self.records = 0
        self.end = 0

    def prepare(self) -> Deferred[Any]:
        return succeed(SubscriberHello(9, ("p",), 5))

    def happened(self, event: Any) -> Deferred[Any] | None:
        if isinstance(event, SubscriberReply):
            return succeed(SubscriptionState(("p",), 9, 9))
        if isinstance(event, Received):
            self.records += len(event.frames) - event.first
            self.end = event.frames.end
        return None

    def link_closed(self, link: object, reason: object) -> None:
        self.end = -1


class SubscriberRig:
    """A subscriber's link that streams."""

    def __init__(self) -> None:
        self.clock, self.owner = SlowClock(), SubscriberOwner()
        self.link = MasterLink(self.clock, self.owner, SubscriberConnection())
        self.transport = StringTransport()
        self.link.makeConnection(self.transport)
        self.link.dataReceived(SubscriberReply(9, 7).encode())


def test_frames_that_are_not_of_records_are_taken_in_turns() -> None:
    """However many bytes of records are taken at once."""
    rig = SubscriberRig()
    rig.clock.step = TURN_SECONDS / 4
    rig.link.dataReceived(encode_skip(1) * 10_000)
    assert 0 < rig.owner.end - 9 <= 5 * max(IN_REACTOR.rare, SLICE // 13)
    assert rig.transport.producerState == "paused"
    rig.link.dataReceived(encode_skip(1))
    while rig.owner.end < 9 + 10_001:
        rig.clock.advance(0)
    assert rig.transport.producerState == "producing"
    assert not rig.link.connection.unread


def test_the_end_of_a_connection_comes_after_what_was_not_read_yet() -> None:
    rig = SubscriberRig()
    rig.clock.step = TURN_SECONDS
    rig.link.dataReceived(encode_skip(1) * 1000 + encode_wal_header(len(insert(1))) + insert(1))
    assert rig.owner.records == 0
    rig.owner.link_closed = lambda link, reason: None  # type: ignore[method-assign]
    rig.link.connectionLost(Failure(ConnectionDone()))
    assert (rig.owner.records, rig.owner.end) == (1, 9 + 1000 + len(insert(1)))


def test_records_of_one_read_are_taken_together() -> None:
    rig = SubscriberRig()
    record = insert(1)
    data = (encode_wal_header(len(record)) + record) * 2000
    rig.link.dataReceived(data)
    assert rig.owner.records == 2000
    assert rig.link.connection.at_once == READ_SIZE
