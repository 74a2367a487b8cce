"""How much of what a master sends is taken in one turn of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.link import SLICE, TURN_SECONDS, MasterLink
from spgrepl.wire.frames import Status, WalBytes, encode_status, encode_wal_header
from spgrepl.wire.handshake import StreamVersion


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
