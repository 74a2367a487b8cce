"""A subscriber's connection: recorded streams however they are cut, every deadline, every breach of the rules."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from spgrepl.errors import (
    EngineFailed,
    FrameTooLong,
    HistoryDiverged,
    LogTruncated,
    MalformedFrame,
    PeerClosed,
    PeerError,
    PeerTimeout,
    RecordError,
    ReplicationLoop,
    ServiceStopped,
    SpgReplError,
    UsageError,
)
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.log.format.records import IN_REACTOR, RecordType, encode_v2, encode_v3
from spgrepl.replica.connection import Entered
from spgrepl.replica.link import MasterLink
from spgrepl.replica.subscribing.connection import Received, SubscriberConnection, SubscriptionLinkState
from spgrepl.replica.subscribing.fence import FenceComparison, fence_after
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.wire.frames import Status, encode_status, encode_wal_header
from spgrepl.wire.long_record import LongRecord
from spgrepl.wire.record_frames import RecordFrames
from spgrepl.wire.subscription import MAX_HELLO, SubscriberHello, SubscriberReply
from spgrepl.wire.unknown_types import UnknownTypes
from tests.conftest import LoggedFailures
from tests.log.samples import MIXED_LOG, VECTORS
from tests.replica.following.test_connection import Transport
from tests.replica.subscribing.streams import STATUS, Item, frames_of, insert, length_of, stream

OURS, THEIRS = 0x4D, 0x0123456789ABCDEF
A, B, C, NEW = insert(1), insert(2), insert(3), insert(4)
STATES = SubscriptionLinkState


class Rig:
    """A connection, its owner, and the master's end of it."""

    def __init__(
        self, state: SubscriptionState | None = None, start: int = 0, ready: bool = True, **more: Any
    ) -> None:
        self.clock = Clock()
        self.known = state
        self.records: list[bytes] = []
        self.pieces: list[tuple[RecordFrames, int]] = []
        self.statuses: list[Status] = []
        self.states: list[SubscriptionLinkState] = []
        self.replies: list[SubscriberReply] = []
        self.closed: list[SpgReplError | None] = []
        self.long: list[tuple[LongRecord, Deferred[None]]] = []
        start = start if state is None else FenceComparison(state).start
        hello = SubscriberHello(start, ("p",), OURS)
        self.ready: Deferred[SubscriberHello] = succeed(hello) if ready else Deferred()
        self.hello = hello
        self.begun: Deferred[SubscriptionState] | None = None
        owner: Any = self
        self.link = MasterLink(self.clock, owner, SubscriberConnection(**more))
        self.transport = Transport()
        self.transport.lost = self.close
        self.link.makeConnection(self.transport)

    # what the subscription is asked

    def prepare(self) -> Deferred[SubscriberHello]:
        return self.ready

    def happened(self, event: object) -> Deferred[SubscriptionState] | Deferred[None] | None:
        match event:
            case LongRecord():
                self.long.append((event, Deferred()))
                return self.long[-1][1]
            case SubscriberReply():
                return self.replied(event)
            case Received():
                self.received(event.frames, event.first)
            case Status():
                self.master_status(event)
            case Entered():
                self.state_changed(event.state)
            case _:
                raise AssertionError(event)
        return None

    def replied(self, reply: SubscriberReply) -> Deferred[SubscriptionState]:
        self.replies.append(reply)
        if reply.cluster_id == OURS:
            raise ReplicationLoop("REPLICATION_LOOP")
        if self.begun is not None:
            return self.begun
        start = reply.effective_start
        return succeed(self.known or SubscriptionState(("p",), start, start))

    def received(self, frames: RecordFrames, first: int) -> None:
        assert self.link.state is STATES.STREAMING
        self.pieces.append((frames, first))
        self.records += [frames.record(index) for index in range(first, len(frames))]

    def master_status(self, status: Status) -> None:
        self.statuses.append(status)

    def state_changed(self, state: SubscriptionLinkState) -> None:
        self.states.append(state)

    def link_closed(self, link: MasterLink[SubscriberConnection], reason: SpgReplError | None) -> None:
        assert self.link.state is STATES.CLOSED
        assert self.link.received is None
        self.closed.append(reason)

    # what the master does

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.ended:
                self.link.dataReceived(piece)

    def reply(self, start: int, cluster_id: int = THEIRS) -> None:
        self.send(SubscriberReply(start, cluster_id).encode())

    def close(self) -> None:
        if not self.closed:
            self.link.connectionLost(Failure(ConnectionDone()))

    @property
    def reason(self) -> SpgReplError | None:
        (reason,) = self.closed
        return reason

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))


def state_behind(start: int, *items: Item) -> SubscriptionState:
    frames = frames_of(start, *items)
    return SubscriptionState(("p",), start, frames.end, fence_after((), frames, 0, len(frames)))


RESUMED = state_behind(40, A, 20, B, 5)


def resumed(**more: Any) -> Rig:
    """A connection that resumes, and has been answered."""
    rig = Rig(RESUMED, **more)
    rig.reply(40)
    return rig


def streaming(**more: Any) -> Rig:
    """A connection whose fence has been compared."""
    rig = resumed(**more)
    rig.send(stream(40, A, 20, B, 5, STATUS))
    assert rig.link.state is STATES.STREAMING
    return rig


@pytest.fixture(autouse=True)
def _no_failures(logged_failures: LoggedFailures) -> Iterator[None]:
    yield
    assert logged_failures.flush() == []


# -- records that take long to read ---------------------------------------------------------------------------

LONG = encode_v2(b"INSERT INTO t VALUES ('" + b"l" * IN_REACTOR.record + b"')")


def read_it(rig: Rig) -> None:
    """The thread has read the record."""
    record, told = rig.long[-1]
    record()
    told.callback(None)


def test_a_long_record_is_read_elsewhere_and_everything_keeps_its_order() -> None:
    rig = streaming()
    data = stream(RESUMED.position, C, LONG, A, LONG, B, STATUS)
    rig.send(*(data[at : at + 50_000] for at in range(0, len(data), 50_000)))
    for known in ([C], [C, LONG, A]):
        assert rig.records == known
        assert rig.transport.producerState == "paused"
        rig.pass_time(100)
        read_it(rig)
    assert rig.records == [C, LONG, A, LONG, B]
    assert rig.transport.producerState == "producing"
    assert (len(rig.long), rig.closed) == (2, [])
    assert rig.link.received == RESUMED.position + length_of(C, LONG, A, LONG, B)


def test_a_long_record_that_is_broken_ends_the_connection() -> None:
    broken = encode_v3(RecordType.COMPRESSED, b"\x01\x00\x00\x80\x00" + b"\xff" * IN_REACTOR.record)
    for record, said in ((broken, "LZSS"), (broken[:-1] + b"x", "CRC")):
        rig = streaming()
        rig.send(stream(RESUMED.position, C, record))
        assert (rig.records, rig.closed) == ([C], [])
        read_it(rig)
        assert isinstance(rig.reason, RecordError)
        assert said in str(rig.reason)


def test_a_connection_that_ends_while_a_long_record_is_read() -> None:
    rig = streaming()
    rig.send(stream(RESUMED.position, C, LONG, A))
    rig.close()
    read_it(rig)
    assert rig.records == [C]
    assert isinstance(rig.reason, PeerClosed)


# -- the recorded streams -------------------------------------------------------------------------------------

NAMES = sorted(path.stem for path in VECTORS.glob("sub_*.json"))


def recorded(name: str) -> tuple[bytes, bytes, list[Item], bool]:
    """What was said to a deployed master, its reply, what followed, and whether it closed."""
    vector = json.loads((VECTORS / f"{name}.json").read_text())
    items = [
        bytes.fromhex(frame["hex"]) if frame["type"] == 0 else frame["skipped"]
        for frame in vector["frames_without_status"]
    ]
    return bytes.fromhex(vector["hello"]), bytes.fromhex(vector["reply_head"]), items, vector["closed"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_conversation(name: str, size: int) -> None:
    hello, reply, items, closed = recorded(name)
    rig = Rig(start=int.from_bytes(hello[8:16], "little"))
    assert rig.transport.value()[:16] == hello[:16]
    begin = int.from_bytes(reply[:8], "little")
    answer = reply + stream(begin, *items, STATUS, end=len(MIXED_LOG))
    rig.send(*(answer[at : at + size] for at in range(0, len(answer), size)))
    assert rig.closed == []
    assert rig.records == [item for item in items if isinstance(item, bytes)]
    if not closed:
        assert rig.link.received == begin + length_of(*items) == len(MIXED_LOG)


# -- handshake ------------------------------------------------------------------------------------------------


def test_the_hello_goes_out_when_the_subscription_is_ready() -> None:
    rig = Rig(ready=False)
    assert rig.transport.value() == b""
    rig.ready.callback(rig.hello)
    assert rig.transport.value() == rig.hello.encode()
    assert rig.link.state is STATES.REPLY


def test_nothing_is_taken_before_the_start_is_stored() -> None:
    """PROTOCOL section 7, item 5."""
    rig = Rig()
    rig.begun = Deferred()
    reply = SubscriberReply(40, THEIRS).encode()
    rig.send(reply[:9], reply[9:] + stream(40, A), stream(40 + len(A), B, STATUS))
    assert rig.link.state is STATES.BEGINNING
    assert rig.transport.producerState == "paused"
    assert (rig.pieces, rig.link.received) == ([], None)
    rig.pass_time(3600)
    rig.begun.callback(SubscriptionState(("p",), 40, 40))
    assert rig.transport.producerState == "producing"
    assert rig.records == [A, B]
    assert rig.link.received == 40 + length_of(A, B)
    assert rig.replies == [SubscriberReply(40, THEIRS)]


def test_an_answer_to_another_start_is_refused() -> None:
    rig = Rig(RESUMED)
    rig.reply(41)
    assert isinstance(rig.reason, PeerError)
    assert "a start at position 40 with another one, 41" in str(rig.reason)
    assert rig.replies == []


def test_the_masters_end_may_be_anywhere() -> None:
    rig = Rig()
    rig.reply(123456)
    assert (rig.link.state, rig.link.received) == (STATES.STREAMING, 123456)


def test_a_loop_is_named() -> None:
    rig = Rig()
    rig.reply(40, OURS)
    assert isinstance(rig.reason, ReplicationLoop)
    assert rig.transport.ended


def test_a_close_without_a_byte_says_what_to_look_for() -> None:
    rig = Rig(RESUMED)
    rig.close()
    assert isinstance(rig.reason, PeerClosed)
    for word in ("without a byte", "effective_wal_level", "position 40", "unknown publications"):
        assert word in str(rig.reason)


def test_a_close_in_the_middle_of_the_reply_says_something_else() -> None:
    rig = Rig(RESUMED)
    rig.send(b"\x28")
    rig.close()
    assert "waiting for the master's reply" in str(rig.reason)


def test_a_master_that_speaks_first() -> None:
    rig = Rig(ready=False)
    rig.send(b"x")
    assert isinstance(rig.reason, PeerError)
    rig.ready.callback(rig.hello)
    assert rig.transport.value() == b""


def test_a_start_that_cannot_be_stored() -> None:
    rig = Rig()
    rig.begun = Deferred()
    rig.reply(40)
    rig.begun.errback(EngineFailed("no room"))
    assert isinstance(rig.reason, EngineFailed)
    assert rig.pieces == []


def test_a_connection_that_ends_before_the_start_is_stored() -> None:
    rig = Rig()
    rig.begun = Deferred()
    rig.reply(40)
    rig.close()
    rig.begun.callback(SubscriptionState(("p",), 40, 40))
    assert isinstance(rig.reason, PeerClosed)
    assert rig.states[-1] is STATES.BEGINNING


# -- the fence ------------------------------------------------------------------------------------------------


def test_what_was_applied_is_compared_and_not_handed_on_again() -> None:
    rig = resumed()
    assert rig.link.state is STATES.FENCE
    rig.send(stream(40, A, 20))
    assert (rig.link.state, rig.pieces) == (STATES.FENCE, [])
    rig.send(stream(40 + length_of(A, 20), B, 5, NEW, STATUS))
    assert rig.link.state is STATES.STREAMING
    assert rig.records == [NEW]
    assert rig.states == [STATES.REPLY, STATES.BEGINNING, STATES.FENCE, STATES.STREAMING]


def test_another_history_is_recognised_before_anything_of_it_is_handed_on() -> None:
    rig = resumed()
    rig.send(stream(40, A, 20, C, 5, NEW, STATUS))
    assert isinstance(rig.reason, HistoryDiverged)
    assert rig.pieces == []


def test_a_status_in_front_of_what_is_new_ends_nothing() -> None:
    """The position would go back with it, and after a crash the same records would be applied again."""
    rig = resumed()
    rig.send(stream(40, A, STATUS, 20, B, 5, NEW, end=5000))
    ((frames, first),) = rig.pieces
    assert (frames.settled, rig.records) == (None, [NEW])
    rig = resumed()
    rig.send(stream(40, A, STATUS, 20, B, 5, STATUS, NEW, end=5000))
    ((frames, first),) = rig.pieces
    assert frames.settled == (2, RESUMED.position)
    assert first == 2


@given(st.data())
def test_a_resumed_stream_may_be_cut_anywhere(data: st.DataObject) -> None:
    items: list[Item] = [A, 20, STATUS, B, 5, NEW, STATUS, 7, C, STATUS]
    content = SubscriberReply(40, THEIRS).encode() + stream(40, *items, end=5000)
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=12).map(sorted))
    rig = Rig(RESUMED)
    for low, high in zip([0, *places], [*places, len(content)], strict=True):
        if low < high:
            rig.send(content[low:high])
    assert rig.records == [NEW, C]
    assert rig.link.received == 40 + length_of(*items)
    ends = [frames.settled[1] for frames, _ in rig.pieces if frames.settled is not None]
    assert all(end >= RESUMED.position for end in ends)


# -- deadlines ------------------------------------------------------------------------------------------------


def test_a_master_that_never_replies() -> None:
    rig = Rig()
    rig.pass_time(59)
    assert rig.closed == []
    rig.send(b"\x28")
    rig.pass_time(2)
    assert isinstance(rig.reason, PeerTimeout)
    assert "waiting for the master's reply" in str(rig.reason)
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("make", [resumed, streaming], ids=["fence", "streaming"])
def test_a_silent_master_is_dropped(make: Callable[[], Rig]) -> None:
    """PROTOCOL section 7, item 11."""
    rig = make()
    for _ in range(4):
        rig.pass_time(14)
        rig.send(encode_status(RESUMED.position, 1))
    assert rig.closed == []
    rig.pass_time(15.5)
    assert isinstance(rig.reason, PeerTimeout)
    assert "not even a STATUS" in str(rig.reason)
    assert rig.clock.getDelayedCalls() == []


def test_a_long_frame_on_a_slow_line_is_not_silence() -> None:
    rig = streaming()
    record = encode_v2(b"INSERT INTO t VALUES ('" + b"x" * 1000 + b"')")
    frame = encode_wal_header(len(record)) + record
    for at in range(0, len(frame), 100):
        rig.pass_time(10)
        rig.send(frame[at : at + 100])
    assert rig.records == [record]


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


# -- breaches of the rules ------------------------------------------------------------------------------------


def test_a_fault_comes_behind_what_was_whole() -> None:
    rig = streaming()
    broken = bytearray(stream(0, NEW, 7, C))
    broken[-1] ^= 1
    rig.send(bytes(broken))
    assert isinstance(rig.reason, RecordError)
    assert f"position {RESUMED.position + len(NEW) + 7}" in str(rig.reason)
    assert rig.records == [NEW]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encode_wal_header(5001), FrameTooLong),
        (encode_wal_header(2 * len(A)) + A + A, MalformedFrame),
        (encode_wal_header(3) + A[:3], MalformedFrame),
        (b"\2\4\0\0\0\1\0\0\0", MalformedFrame),
        (b"\2\10\0\0\0" + b"\xff" * 8, MalformedFrame),
        (encode_wal_header(13) + b"\x05\0\0\xc0" + b"\0" * 9, PeerError),
    ],
    ids=["too long", "two records", "half a record", "a short skip", "a skip beyond all", "an unknown type"],
)
def test_what_breaks_the_rules_ends_the_connection(data: bytes, kind: type[PeerError]) -> None:
    """PROTOCOL section 7, item 8, and section 3: one whole record in a frame."""
    rig = streaming(max_frame=5000)
    rig.send(stream(0, NEW), data)
    assert isinstance(rig.reason, kind)
    assert rig.records == [NEW]


def test_unknown_frames_that_are_meant_and_odd_statuses_are_skipped() -> None:
    unknown = UnknownTypes()
    for kind, length in ((0x77, 3), (1, 4)):
        assert not unknown.on_purpose(kind, length)
    rig = streaming(unknown=unknown)
    before = len(rig.statuses)
    rig.send(b"\x77\3\0\0\0abc" + b"\1\4\0\0\0abcd" + stream(0, NEW))
    assert (rig.records, len(rig.statuses), rig.closed) == ([NEW], before, [])


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_type_of_a_frame_costs_nothing_but_a_connection(bit: int) -> None:
    """What came before it is applied, nothing that came after it."""
    rig = streaming()
    frame = encode_wal_header(len(NEW)) + NEW
    rig.send(frame + bytes((frame[0] ^ (1 << bit),)) + frame[1:] + frame)
    assert isinstance(rig.reason, PeerError)
    assert rig.records == [NEW]


def test_a_status_whose_length_grew_ends_each_connection_on_which_its_length_is_another() -> None:
    """It may have swallowed frames; that it happened before does not make it meant."""
    unknown = UnknownTypes()
    for more in (2048, 4096):
        rig = streaming(unknown=unknown)
        rig.send(struct.pack("<BI", 1, 16 + more) + bytes(16 + more) + encode_wal_header(len(NEW)) + NEW)
        assert isinstance(rig.reason, PeerError)
        assert rig.records == []


def test_a_master_that_is_ahead_and_sends_nothing_is_asked_again() -> None:
    rig = streaming()
    for _ in range(5):
        rig.send(encode_status(RESUMED.position + 100, 1))
        assert rig.closed == []
        rig.pass_time(1)
    rig.send(encode_status(RESUMED.position + 100, 1))
    assert isinstance(rig.reason, PeerTimeout)
    assert f"nothing after position {RESUMED.position} has come for 5 s" in str(rig.reason)


def test_a_master_that_comes_to_rest_at_the_same_place_again_is_waited_for() -> None:
    """A transaction that is open in an SPG server's log holds subscribers up, however long it lasts."""
    unknown = UnknownTypes()
    for again in (False, True):
        rig = streaming(unknown=unknown)
        for _ in range(20):
            if not rig.closed:
                rig.send(encode_status(RESUMED.position + 100, 1))
                rig.pass_time(1)
        assert [type(reason) for reason in rig.closed] == ([] if again else [PeerTimeout])
    # Elsewhere nothing was lost yet, and may be.
    record = insert(1)
    rig.send(encode_wal_header(len(record)) + record)
    for _ in range(7):
        rig.send(encode_status(RESUMED.position + 100 + len(record), 1))
        rig.pass_time(1)
    assert isinstance(rig.reason, PeerTimeout)


def test_a_master_that_is_ahead_and_still_sends_is_listened_to() -> None:
    rig = streaming()
    end = RESUMED.position
    for number in range(12):
        record = insert(number)
        rig.send(encode_status(end + 10_000, 1) + encode_wal_header(len(record)) + record)
        end += len(record)
        rig.pass_time(1)
    assert rig.closed == []


# -- a truncated log ------------------------------------------------------------------------------------------


def test_a_status_in_front_of_records_speaks_of_what_came_before_them() -> None:
    """A log that grows all the time: each read brings a STATUS, and records that were written after it."""
    rig = streaming()
    end = RESUMED.position
    for number in range(20):
        record = insert(number)
        rig.send(encode_status(end, 1) + encode_wal_header(len(record)) + record)
        end += len(record)
    assert rig.closed == []


def test_a_log_that_was_shorter_for_a_moment_is_asked_for_again() -> None:
    rig = streaming()
    for length in (1000, RESUMED.position - 1):
        rig.send(encode_status(length, 1))
        assert rig.closed == []
    rig.send(encode_status(1000, 1))
    assert isinstance(rig.reason, PeerError)
    assert not isinstance(rig.reason, LogTruncated)
    assert "shorter a moment ago" in str(rig.reason)


def test_one_low_status_is_a_doubt_and_a_second_makes_it_sure() -> None:
    """PROTOCOL section 7, item 6."""
    rig = streaming()
    rig.send(encode_status(RESUMED.position - 1, 1))
    assert rig.closed == []
    rig.send(encode_status(RESUMED.position - 1, 2))
    assert isinstance(rig.reason, LogTruncated)
    assert f"ends at {RESUMED.position - 1}, before position {RESUMED.position}" in str(rig.reason)


def test_it_is_judged_by_what_was_applied_even_before_the_fence_has_passed() -> None:
    rig = resumed()
    rig.send(stream(40, A, 20, STATUS))
    rig.send(encode_status(60, 1))
    assert isinstance(rig.reason, LogTruncated)


def test_a_status_that_was_measured_before_the_last_records_is_no_truncation() -> None:
    rig = streaming()
    end = RESUMED.position
    for number in range(10):
        rig.send(stream(end, insert(number), STATUS, end=end), encode_status(end + len(insert(number)), 1))
        end += len(insert(number))
    rig.send(encode_status(end, 1), encode_status(end, 1))
    assert rig.closed == []


def test_a_master_that_says_its_log_is_shorter_and_closes() -> None:
    rig = resumed()
    rig.send(encode_status(10, 1))
    rig.close()
    assert isinstance(rig.reason, LogTruncated)


def test_reply_status_and_close_may_come_before_the_start_is_stored() -> None:
    rig = Rig(RESUMED)
    rig.begun = Deferred()
    rig.send(SubscriberReply(40, THEIRS).encode() + encode_status(10, 1))
    rig.begun.callback(RESUMED)
    rig.close()
    assert isinstance(rig.reason, LogTruncated)


def test_a_connection_that_ends_after_a_status_that_came_late_proves_nothing() -> None:
    rig = streaming()
    rig.send(encode_status(10, 1))
    rig.close()
    assert isinstance(rig.reason, PeerClosed)
    assert not isinstance(rig.reason, LogTruncated)


# -- the end --------------------------------------------------------------------------------------------------

MOMENTS: dict[str, Callable[[], Rig]] = {
    "preparing": lambda: Rig(ready=False),
    "reply": lambda: Rig(RESUMED),
    "fence": resumed,
    "streaming": streaming,
}


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS)
def test_a_master_that_closes(make: Callable[[], Rig]) -> None:
    rig = make()
    rig.close()
    assert isinstance(rig.reason, PeerClosed)
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS)
def test_a_connection_that_is_dropped_on_demand(make: Callable[[], Rig]) -> None:
    rig = make()
    rig.link.drop()
    rig.link.drop(EngineFailed("later"))
    assert rig.closed == [None]
    assert rig.transport.ended
    rig.link.gate.hold("test")
    rig.link.gate.release("test")
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("make", MOMENTS.values(), ids=MOMENTS)
def test_a_connection_that_is_dropped_for_a_reason(make: Callable[[], Rig]) -> None:
    rig = make()
    rig.link.drop(EngineFailed("no room"))
    assert isinstance(rig.reason, EngineFailed)


def test_a_connection_that_is_dropped_by_what_it_hands_on() -> None:
    rig = streaming()
    receive = rig.received

    def drop(frames: RecordFrames, first: int) -> None:
        receive(frames, first)
        rig.link.drop(EngineFailed("no room"))

    rig.received = drop  # type: ignore[method-assign]
    rig.send(stream(0, NEW, STATUS), stream(0, C, STATUS))
    assert rig.records == [NEW]
    assert isinstance(rig.reason, EngineFailed)


def test_a_subscription_that_cannot_get_ready() -> None:
    rig = Rig(ready=False)
    rig.ready.errback(EngineFailed("no room"))
    assert isinstance(rig.reason, EngineFailed)


def test_an_error_of_this_program_ends_the_connection_and_is_logged(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.begun = Deferred()
    rig.reply(40)
    rig.begun.errback(ZeroDivisionError())
    assert isinstance(rig.reason, ServiceStopped)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_a_fence_keeps_what_a_state_says() -> None:
    """What a state that was stored looks like, so that these tests stand on what is real."""
    assert RESUMED.fence == (FenceRecord(40, crc32(A)), FenceRecord(40 + len(A) + 20, crc32(B)))


# -- faults of this side ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prepare", "replied", "received", "master_status", "state_changed"])
def test_a_fault_of_the_owner_is_not_told_as_something_that_the_master_did(
    name: str, logged_failures: LoggedFailures
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    rig = type("Broken", (Rig,), {name: fail})()
    rig.reply(40)
    rig.send(stream(40, A, 20, B, 5, STATUS))
    assert isinstance(rig.reason, ServiceStopped)
    assert str(rig.reason) == "unexpected error: a bug"
    assert rig.transport.ended
    assert logged_failures.flush(RuntimeError)


# -- names of subscriptions and publications, however long they are -------------------------------------------


def test_a_short_name_stands_in_its_files_names() -> None:
    assert Subscription("s/1", ()).file_beside(Path("/d/a.db"), "lock") == Path("/d/a.db.s%2F1.lock")


def test_a_long_name_makes_file_names_that_can_be_and_differ(tmp_path: Path) -> None:
    files = {Subscription("ü" * 300 + end, ()).file_beside(tmp_path / "a.db", "lock") for end in "ab"}
    assert len(files) == 2
    for file in files:
        file.touch()


def test_more_than_a_hello_carries_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(UsageError, match=r"the subscription s: the names of its 5 publications make a hello of"):
        Subscription("s", tuple(f"{number}" + "x" * 15_000 for number in range(5)))
    with pytest.raises(UsageError, match="1001 publications are asked for, and one hello can ask for 1000"):
        Subscription("s", tuple(map(str, range(1001))))
    with pytest.raises(UsageError, match="is not Unicode text"):
        Subscription("s", ("\udcff",))


def test_the_longest_hello_is_accepted() -> None:
    fill = MAX_HELLO - 26 - 5 * 2 - 4 * 15_000
    names = (*(f"{number}" + "x" * 14_999 for number in range(4)), "x" * fill)
    assert len(SubscriberHello(0, Subscription("s", names).publications, 0).encode()) == MAX_HELLO
