"""A follower's connection: recorded streams however they are cut, every deadline, every breach of the rules."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from spgrepl.errors import (
    EngineFailed,
    FrameTooLong,
    HandshakeError,
    HistoryDiverged,
    LogTruncated,
    PeerClosed,
    PeerError,
    PeerTimeout,
    ServiceStopped,
    SnapshotError,
    SpgReplError,
)
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.replica.connection import Entered
from spgrepl.replica.following.connection import FollowerConnection, LinkState, LinkTimeouts
from spgrepl.replica.link import ILinkOwner, MasterLink
from spgrepl.wire.frames import ChunkBytes, Status, WalBytes, encode_chunk_start, encode_status, encode_wal_header
from spgrepl.wire.handshake import SnapshotData, SnapshotEnd, SnapshotStart, StreamVersion
from spgrepl.wire.segment_chunks import ChunkHeader
from spgrepl.wire.unknown_types import UnknownTypes
from tests.conftest import LoggedFailures
from tests.log.samples import MIXED_LOG, VECTORS, cut

V1, V2 = StreamVersion.V1, StreamVersion.V2
LOG = bytes(number * 11 % 253 for number in range(3000))
NOTHING = (0).to_bytes(8, "little")


class Transport(StringTransport):
    """A transport whose end reaches the protocol, as a socket's does."""

    lost: Callable[[], None]
    ended = False

    def abortConnection(self) -> None:
        self.ended = True
        self.lost()


@implementer(ILinkOwner)
class Rig:
    """A connection, its owner, and the master's end of it."""

    def __init__(
        self, version: StreamVersion = V2, state: ReplayState | None = None, ready: bool = True, **more: Any
    ) -> None:
        self.clock = Clock()
        self.state = state
        self.log = b""
        self.snapshot = b""
        self.events: list[object] = []
        self.statuses: list[Status] = []
        self.chunks: list[ChunkHeader] = []
        self.chunk_bytes = 0
        self.closed: list[tuple[SpgReplError | None, bool]] = []
        self.ready: Deferred[Any] = succeed(state) if ready else Deferred()
        self.installed: Deferred[None] | None = None
        owner: Any = self
        self.link = MasterLink(self.clock, owner, FollowerConnection(version, **more))
        self.transport = Transport()
        self.transport.lost = self.close
        self.link.makeConnection(self.transport)

    # what the follower is asked

    def prepare(self) -> Deferred[ReplayState | None]:
        return self.ready

    def happened(self, event: object) -> Deferred[None] | None:
        match event:
            case SnapshotStart():
                self.snapshot_started(event.length)
            case SnapshotData():
                self.snapshot_data(event.data)
            case SnapshotEnd():
                return self.snapshot_ended(event.position)
            case WalBytes():
                self.log_data(event.data)
            case ChunkHeader():
                self.chunk_started(event)
            case ChunkBytes():
                self.chunk_data(event.data)
            case Status():
                self.master_status(event)
            case Entered():
                self.state_changed(event.state)
            case _:
                raise AssertionError(event)
        return None

    def snapshot_started(self, length: int) -> None:
        self.events.append(("snapshot", length))

    def snapshot_data(self, data: bytes) -> None:
        assert data
        self.snapshot += data

    def snapshot_ended(self, position: int) -> Deferred[None]:
        self.events.append(("stands at", position))
        self.installed = Deferred()
        return self.installed

    def log_data(self, data: bytes) -> None:
        assert data
        self.log += data

    def chunk_started(self, header: ChunkHeader) -> None:
        self.chunks.append(header)

    def chunk_data(self, data: bytes) -> None:
        assert data
        self.chunk_bytes += len(data)

    def master_status(self, status: Status) -> None:
        self.statuses.append(status)

    def state_changed(self, state: LinkState) -> None:
        self.events.append(state)

    def link_closed(self, link: MasterLink[FollowerConnection], reason: SpgReplError | None) -> None:
        assert link is self.link
        heard = link.connection.heard
        assert link.state is LinkState.CLOSED
        self.closed.append((reason, heard))

    # what the master does

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.ended:
                self.link.dataReceived(piece)

    def close(self) -> None:
        if not self.closed:
            self.link.connectionLost(Failure(ConnectionDone()))

    @property
    def reason(self) -> SpgReplError | None:
        ((reason, _),) = self.closed
        return reason

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))


def resumed(version: StreamVersion = V2, position: int = 1000, start: int = 400, **more: Any) -> Rig:
    """A connection that resumes `LOG`, and has been answered."""
    rig = Rig(version, ReplayState(position, 0, Fence(start, crc32(LOG[start:position]))), **more)
    rig.send(NOTHING)
    return rig


def frame(data: bytes) -> bytes:
    return encode_wal_header(len(data)) + data


def streaming(version: StreamVersion = V2, **more: Any) -> Rig:
    """A connection whose fence has been compared."""
    rig = resumed(version, **more)
    rig.send(LOG[400:1000] if version is V1 else frame(LOG[400:1000]))
    assert rig.link.state is LinkState.STREAMING
    return rig


def test_the_rig_is_an_owner() -> None:
    assert verifyObject(ILinkOwner, Rig())


@pytest.fixture(autouse=True)
def _no_failures(logged_failures: LoggedFailures) -> Iterator[None]:
    yield
    assert logged_failures.flush() == []


# -- the recorded streams -------------------------------------------------------------------------------------


def recorded(name: str) -> tuple[bytes, bytes]:
    """What was said to a deployed master, and all that it answered."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    hello = bytes.fromhex(vector["hello"])
    if "reply" in vector:
        return hello, bytes.fromhex(vector["reply"])
    frames = bytes.fromhex(vector["reply_head"])
    for entry in vector["frames_without_status"]:
        if entry["type"] == 3:
            head = (entry["segment_id"], entry["chunk_seq"], entry["chunk_total"], entry["chunk_bytes"])
            payload = b"".join(number.to_bytes(4, "little") for number in head) + bytes(entry["chunk_bytes"])
        else:
            payload = bytes.fromhex(entry["hex"])
        assert len(payload) == entry["length"]
        frames += bytes([entry["type"]]) + len(payload).to_bytes(4, "little") + payload
    return hello, frames


CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": lambda stream: [stream],
    "byte by byte": lambda stream: (
        [stream[index : index + 1] for index in range(min(len(stream), 3000))]
        + cut(stream[3000:], list(range(0, len(stream), 97_001)))
    ),
    "sevens": lambda stream: [stream[index : index + 7] for index in range(0, 14_000, 7)] + [stream[14_000:]],
}


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("name", ["v1_bootstrap", "v2_bootstrap"])
def test_a_recorded_bootstrap(name: str, pieces: Callable[[bytes], list[bytes]]) -> None:
    hello, stream = recorded(name)
    rig = Rig(V1 if name.startswith("v1") else V2)
    assert rig.transport.value() == hello
    expected = (VECTORS / "snapshot.bin").read_bytes()
    for piece in pieces(stream):
        rig.send(piece)
        if rig.installed is not None and not rig.installed.called:
            assert rig.link.state is LinkState.INSTALLING
            assert rig.transport.producerState == "paused"
            assert rig.log == b""
            rig.installed.callback(None)
            assert rig.transport.producerState == "producing"
    assert rig.snapshot == expected
    assert ("snapshot", len(expected)) in rig.events
    ((_, position),) = [event for event in rig.events if isinstance(event, tuple) and event[0] == "stands at"]
    assert rig.log == MIXED_LOG[position:]
    assert rig.link.received == position + len(rig.log)
    assert rig.link.state is LinkState.STREAMING
    assert rig.closed == []


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("name", ["v1_resume", "v2_resume"])
def test_a_recorded_resumption(name: str, pieces: Callable[[bytes], list[bytes]]) -> None:
    hello, stream = recorded(name)
    state = ReplayState(302, 0, Fence(159, crc32(MIXED_LOG[159:302])))
    rig = Rig(V1 if name.startswith("v1") else V2, state)
    assert rig.transport.value() == hello
    rig.send(*pieces(stream))
    assert rig.log == MIXED_LOG[302:]
    assert (rig.link.received, rig.closed) == (len(MIXED_LOG), [])


# -- deadlines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V1, V2])
def test_a_master_that_never_replies(version: StreamVersion) -> None:
    rig = Rig(version, ReplayState(1000, 0))
    rig.pass_time(14.5)
    assert rig.closed == []
    rig.pass_time(1)
    assert isinstance(rig.reason, PeerTimeout)
    assert rig.clock.getDelayedCalls() == []


def test_a_master_has_time_to_make_a_snapshot_and_none_to_pause_within_it() -> None:
    rig = Rig()
    rig.pass_time(599)
    rig.send((100).to_bytes(8, "little") + b"x")
    assert rig.closed == []
    for _ in range(3):
        rig.pass_time(59)
        rig.send(b"x")
    rig.pass_time(61)
    assert isinstance(rig.reason, PeerTimeout)
    assert "receiving a snapshot" in str(rig.reason)


def test_a_snapshot_that_is_never_begun() -> None:
    rig = Rig()
    rig.pass_time(601)
    assert isinstance(rig.reason, PeerTimeout)


def test_a_snapshots_position_that_never_comes() -> None:
    rig = Rig()
    rig.send((2).to_bytes(8, "little") + b"xy" + b"\1\2")
    assert rig.link.state is LinkState.SNAPSHOT_POSITION
    rig.pass_time(16)
    assert isinstance(rig.reason, PeerTimeout)


@pytest.mark.parametrize("version", [V1, V2])
def test_a_history_that_is_never_shown(version: StreamVersion) -> None:
    """PROTOCOL section 7, item 6: a start beyond the end is served in silence for ever."""
    rig = resumed(version)
    for _ in range(16):
        if version is V2:
            rig.send(encode_status(5000, 1))
        rig.pass_time(1)
    assert isinstance(rig.reason, PeerTimeout)
    assert "truncated" in str(rig.reason)


def test_segments_before_the_log_are_not_silence() -> None:
    rig = resumed()
    rig.send(encode_chunk_start(ChunkHeader(7, 0, 1, 60_000)))
    for _ in range(6):
        rig.pass_time(14)
        rig.send(b"x" * 10_000)
    assert rig.chunk_bytes == 60_000
    rig.send(frame(LOG[400:1000]))
    assert rig.link.state is LinkState.STREAMING


def test_a_silent_master_is_dropped() -> None:
    """PROTOCOL section 7, item 11."""
    rig = streaming()
    for _ in range(4):
        rig.pass_time(14)
        rig.send(encode_status(1000, 1))
    assert rig.closed == []
    rig.pass_time(15.5)
    assert isinstance(rig.reason, PeerTimeout)
    assert "not even a STATUS" in str(rig.reason)


def test_a_long_frame_on_a_slow_line_is_not_silence() -> None:
    rig = streaming()
    rig.send(encode_wal_header(1000))
    for index in range(10):
        rig.pass_time(10)
        rig.send(LOG[1000 + index * 100 : 1100 + index * 100])
    assert rig.log == LOG[1000:2000]


def test_a_v1_stream_may_be_idle() -> None:
    rig = streaming(V1)
    rig.pass_time(4000)
    rig.send(LOG[1000:1200])
    assert (rig.log, rig.clock.getDelayedCalls()) == (LOG[1000:1200], [])


def test_silence_means_nothing_while_nobody_listens() -> None:
    rig = streaming()
    rig.link.gate.hold("test")
    assert rig.transport.producerState == "paused"
    rig.pass_time(100)
    rig.link.gate.release("test")
    rig.pass_time(14)
    assert rig.closed == []
    rig.pass_time(2)
    assert isinstance(rig.reason, PeerTimeout)


def test_a_pause_within_a_snapshot_costs_no_time() -> None:
    rig = Rig(timeouts=LinkTimeouts(snapshot_idle=20))
    rig.send((100).to_bytes(8, "little") + b"x")
    rig.link.gate.hold("test")
    rig.pass_time(119)
    rig.link.gate.release("test")
    rig.pass_time(19)
    assert rig.closed == []
    rig.pass_time(2)
    assert isinstance(rig.reason, PeerTimeout)


def test_no_deadline_while_a_snapshot_is_put_in_place() -> None:
    rig = Rig()
    rig.send((2).to_bytes(8, "little") + b"xy" + (900).to_bytes(8, "little"))
    rig.pass_time(3600)
    assert rig.link.state is LinkState.INSTALLING
    assert rig.installed is not None
    rig.send(frame(b"early"), frame(b" bytes"))
    rig.installed.callback(None)
    assert rig.log == b"early bytes"


# -- breaches of the rules ------------------------------------------------------------------------------------


def test_a_snapshot_that_nobody_asked_for() -> None:
    rig = Rig(V2, ReplayState(1000, 0))
    rig.send((5).to_bytes(8, "little"))
    assert isinstance(rig.reason, HandshakeError)
    assert rig.snapshot == b""


def test_a_master_that_speaks_first() -> None:
    rig = Rig(ready=False)
    rig.send(b"x")
    assert isinstance(rig.reason, PeerError)
    rig.ready.callback(None)
    assert rig.transport.value() == b""


def test_a_frame_above_the_limit_is_refused_by_its_header() -> None:
    """PROTOCOL section 7, item 8."""
    rig = streaming(max_frame=5000)
    rig.send(frame(LOG[1000:3000]))
    rig.send(encode_wal_header(5001))
    assert isinstance(rig.reason, FrameTooLong)
    assert rig.log == LOG[1000:3000]


def test_unknown_frames_are_passed_over() -> None:
    rig = streaming()
    rig.send(b"\x77\3\0\0\0abc" + b"\1\4\0\0\0abcd" + b"\2\0\0\0\0" + frame(LOG[1000:1010]))
    rig.send(encode_status(1010, 7))
    assert (rig.log, rig.statuses, rig.closed) == (LOG[1000:1010], [Status(1010, 7)], [])


def damaged(data: bytes, bit: int) -> bytes:
    """A WAL frame with a flipped bit in its type."""
    return bytes([1 << bit]) + frame(data)[1:]


@pytest.mark.parametrize("bit", [0, 1, 2, 3, 4, 5, 6, 7])
def test_nothing_is_kept_of_what_follows_a_wal_frame_whose_type_was_damaged(bit: int) -> None:
    rig = streaming()
    rig.send(frame(LOG[1000:1010]) + damaged(LOG[1010:1030], bit) + frame(LOG[1030:1040]))
    rig.send(encode_status(1040, 1))
    assert isinstance(rig.reason, PeerError)
    assert rig.log == LOG[1000:1010]


def test_nothing_is_kept_of_what_follows_a_status_that_has_taken_in_frames() -> None:
    """Its length was damaged: of what it takes in only a part is of the log."""
    rig = streaming()
    taken = encode_status(1000, 1)[5:] + frame(LOG[1000:1030]) + encode_status(1030, 1)
    rig.send(encode_status(1000, 1)[:1] + len(taken).to_bytes(4, "little") + taken + frame(LOG[1030:1040]))
    assert rig.log == b""
    rig.send(encode_status(1040, 1))
    assert rig.log == b""
    assert "a damaged one, and a part of the log in it" in str(rig.closed[0][0])


def test_a_frame_that_is_damaged_in_what_is_compared_is_not_a_different_history() -> None:
    rig = resumed()
    rig.send(frame(LOG[400:600]) + damaged(LOG[600:900], 3) + frame(LOG[900:1100]))
    assert isinstance(rig.reason, PeerError)
    assert not isinstance(rig.reason, HistoryDiverged)
    assert rig.log == b""


def test_a_frame_that_looks_damaged_and_holds_nothing_of_the_log_is_skipped() -> None:
    rig = streaming()
    rig.send(damaged(b"new in version 9", 4) + frame(LOG[1000:1010]))
    assert rig.log == b""
    rig.send(encode_status(1010, 1))
    rig.send(frame(LOG[1010:1020]))
    assert (rig.log, rig.closed) == (LOG[1000:1020], [])


@pytest.mark.parametrize("length", [0, 8, 15, 17, 48])
def test_a_status_of_another_size_is_skipped_where_all_has_come(length: int) -> None:
    """Whoever sends it on purpose does so again and again: nothing waits longer than until the next STATUS."""
    rig = streaming()
    for _ in range(3):
        rig.send(struct.pack("<BI", 1, length) + bytes(length) + frame(LOG[1000 + len(rig.log) :][:10]))
        rig.send(encode_status(1010 + len(rig.log), 1))
    assert (rig.log, rig.closed) == (LOG[1000:1030], [])


def test_a_status_whose_length_grew_swallows_nothing_in_silence() -> None:
    """What is missing is less than it holds, for there are headers in it, and what follows fits in form."""
    swallowed = encode_status(1000, 1)[5:] + frame(LOG[1000:1040]) + encode_status(1040, 1) + frame(LOG[1040:1080])
    rig = streaming()
    rig.send(struct.pack("<BI", 1, len(swallowed)) + swallowed + frame(LOG[1080:1120]))
    for _ in range(120):
        if not rig.closed:
            rig.send(encode_status(1120, 1))
            rig.clock.advance(0.05)
    assert rig.log == b""
    assert isinstance(rig.reason, PeerError)
    assert "type 0x01" in str(rig.reason)
    assert "position 1000" in str(rig.reason)


@pytest.mark.parametrize(
    "start",
    [damaged(bytes(1_000_000), 6)[:100], struct.pack("<BI", 1, 18) + bytes(18) + frame(bytes(1_000_000))[:100]],
)
def test_a_damaged_frame_that_swallows_each_status_is_not_waited_for(start: bytes) -> None:
    rig = streaming()
    rig.send(start)
    for _ in range(16):
        if not rig.closed:
            rig.send(encode_status(1120, 1))
            rig.clock.advance(1)
    assert isinstance(rig.reason, PeerTimeout)


def test_a_long_frame_that_is_sent_on_purpose_is_waited_for() -> None:
    unknown = UnknownTypes()
    assert not unknown.on_purpose(0x40, 100)
    rig = streaming(unknown=unknown)
    rig.send(damaged(bytes(1_000_000), 6)[:100])
    for _ in range(60):
        rig.send(bytes(100))
        rig.clock.advance(1)
    assert rig.closed == []


def test_a_master_that_sends_such_a_frame_again_means_it() -> None:
    unknown = UnknownTypes()
    rig = streaming(unknown=unknown)
    rig.send(damaged(b"abcdefgh", 4) + encode_status(1010, 1))
    assert isinstance(rig.reason, PeerError)
    rig = streaming(unknown=unknown)
    rig.send(damaged(b"abcdefgh", 4) + encode_status(1010, 1) + frame(LOG[1000:1010]))
    assert (rig.log, rig.closed) == (LOG[1000:1010], [])


def test_what_waits_for_a_status_is_bounded() -> None:
    rig = streaming()
    rig.send(damaged(b"abcdefgh", 4))
    for _ in range(9):
        if not rig.closed:
            rig.send(frame(bytes(150_000)))
    assert isinstance(rig.reason, PeerError)
    assert rig.log == b""


def test_a_log_that_is_said_to_be_longer_and_does_not_come_is_asked_for_again() -> None:
    rig = streaming()
    for _ in range(60):
        rig.send(encode_status(1040, 1))
        rig.clock.advance(0.05)
    rig.send(frame(LOG[1000:1010]))
    for _ in range(90):
        rig.send(encode_status(1040, 1))
        assert rig.closed == []
        rig.clock.advance(0.05)
    for _ in range(20):
        if not rig.closed:
            rig.send(encode_status(1040, 1))
            rig.clock.advance(0.05)
    assert isinstance(rig.reason, PeerTimeout)
    assert "1010" in str(rig.reason)


def test_another_history_is_recognised_before_anything_of_it_is_kept() -> None:
    rig = resumed()
    rig.send(frame(LOG[400:999] + b"\xff" + LOG[1000:1500]))
    assert isinstance(rig.reason, HistoryDiverged)
    assert rig.log == b""


def test_a_copy_without_a_fence_streams_at_once() -> None:
    rig = Rig(V2, ReplayState(1000, 1000))
    rig.send(NOTHING)
    assert rig.link.state is LinkState.STREAMING


# -- a truncated log ------------------------------------------------------------------------------------------


def test_one_low_status_is_a_doubt_and_a_second_makes_it_sure() -> None:
    """PROTOCOL section 7, item 6."""
    rig = streaming()
    rig.send(encode_status(999, 1))
    assert rig.closed == []
    rig.send(encode_status(999, 2))
    assert isinstance(rig.reason, LogTruncated)
    assert "ends at 999, before position 1000" in str(rig.reason)


@pytest.mark.parametrize("lengths", [(1000, 0, 1000), (1000, 999, 1500), (3000, 2000), (1000, 0, 5000)])
def test_a_log_that_was_shorter_for_a_moment_is_asked_for_again(lengths: tuple[int, ...]) -> None:
    """It was cut, and has grown again, before a second STATUS could say so: the next connection compares."""
    rig = streaming()
    for length in lengths[:-1]:
        rig.send(encode_status(length, 1))
        assert rig.closed == []
    rig.send(encode_status(lengths[-1], 1))
    assert isinstance(rig.reason, PeerError)
    assert not isinstance(rig.reason, LogTruncated)
    assert "shorter a moment ago" in str(rig.reason)


def test_a_status_that_was_measured_before_the_last_bytes_is_no_truncation() -> None:
    rig = streaming()
    for end in range(1100, 2000, 100):
        rig.send(frame(LOG[end - 100 : end]), encode_status(end - 50, 1))
    rig.send(encode_status(1900, 1), encode_status(1900, 1))
    assert rig.closed == []
    assert [status.length for status in rig.statuses[-2:]] == [1900, 1900]


def test_a_master_that_says_its_log_is_shorter_and_closes() -> None:
    rig = resumed()
    rig.send(encode_status(10, 1))
    rig.close()
    assert isinstance(rig.reason, LogTruncated)


def test_a_connection_that_ends_after_a_status_that_came_late_proves_nothing() -> None:
    rig = streaming()
    rig.send(encode_status(999, 1))
    rig.close()
    assert isinstance(rig.reason, PeerClosed)
    assert not isinstance(rig.reason, LogTruncated)


# -- the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Rig, resumed, streaming], ids=["hello", "fence", "streaming"])
def test_a_master_that_closes(make: Callable[[], Rig]) -> None:
    rig = make()
    rig.close()
    ((reason, heard),) = rig.closed
    assert isinstance(reason, PeerClosed)
    assert heard == (make is not Rig)
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("make", [Rig, resumed, streaming], ids=["hello", "fence", "streaming"])
def test_a_connection_that_is_dropped_on_demand(make: Callable[[], Rig]) -> None:
    rig = make()
    rig.link.drop()
    rig.link.drop(EngineFailed("later"))
    assert rig.closed == [(None, make is not Rig)]
    assert rig.transport.ended
    rig.link.gate.hold("test")
    rig.link.gate.release("test")
    assert rig.clock.getDelayedCalls() == []


def test_a_follower_that_cannot_get_ready() -> None:
    rig = Rig(ready=False)
    rig.ready.errback(EngineFailed("no room"))
    assert isinstance(rig.reason, EngineFailed)


def test_a_connection_that_ends_before_the_follower_is_ready() -> None:
    rig = Rig(ready=False)
    rig.close()
    rig.ready.callback(None)
    assert rig.transport.value() == b""
    assert isinstance(rig.reason, PeerClosed)


def test_a_snapshot_that_cannot_be_put_in_place() -> None:
    rig = Rig()
    rig.send((2).to_bytes(8, "little") + b"xy" + (900).to_bytes(8, "little"))
    assert rig.installed is not None
    rig.installed.errback(SnapshotError("damaged"))
    assert isinstance(rig.reason, SnapshotError)


def test_a_connection_that_ends_while_a_snapshot_is_put_in_place() -> None:
    rig = Rig()
    rig.send((2).to_bytes(8, "little") + b"xy" + (900).to_bytes(8, "little") + frame(b"early"))
    rig.close()
    assert rig.installed is not None
    rig.installed.callback(None)
    assert rig.log == b""


def test_an_error_of_this_program_ends_the_connection_and_is_logged(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.send((2).to_bytes(8, "little") + b"xy" + (900).to_bytes(8, "little"))
    assert rig.installed is not None
    rig.installed.errback(ZeroDivisionError())
    assert isinstance(rig.reason, SpgReplError)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


# -- faults of this side ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "prepare",
        "snapshot_started",
        "snapshot_data",
        "snapshot_ended",
        "log_data",
        "chunk_started",
        "chunk_data",
        "master_status",
        "state_changed",
    ],
)
def test_a_fault_of_the_owner_is_not_told_as_something_that_the_master_did(
    name: str, logged_failures: LoggedFailures
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    rig = type("Broken", (Rig,), {name: fail})()
    chunk = encode_chunk_start(ChunkHeader(7, 0, 1, 3)) + b"abc"
    rig.send((4).to_bytes(8, "little"), b"SNAP", (5).to_bytes(8, "little"))
    if rig.installed is not None:
        rig.installed.callback(None)
    rig.send(frame(b"log"), chunk, encode_status(8, 1))
    assert isinstance(rig.reason, ServiceStopped)
    assert str(rig.reason) == "unexpected error: a bug"
    assert rig.transport.ended
    assert logged_failures.flush(RuntimeError)


def test_a_fault_of_the_owner_at_the_end_is_logged(logged_failures: LoggedFailures) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    rig = type("Broken", (Rig,), {"link_closed": fail})()
    rig.link.connectionLost(Failure(ConnectionDone()))
    assert len(logged_failures.flush(RuntimeError)) == 1
