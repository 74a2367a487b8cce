"""Opening bytes: the recorded ones both ways, and any others cut anywhere."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spgrepl.errors import HandshakeError
from spgrepl.wire.handshake import (
    MAGIC_V1,
    MAGIC_V2,
    FollowerHello,
    HelloParser,
    ReplyEvent,
    ReplyParser,
    SnapshotData,
    SnapshotEnd,
    SnapshotStart,
    StreamVersion,
    encode_snapshot_end,
    encode_snapshot_start,
)
from spgrepl.wire.subscription import MAGIC_SUBSCRIBER, SubscriberHello
from tests.log.samples import MIXED_LOG, VECTORS, cut, places
from tests.wire.reference_hello import decode_subscriber_hello

U64 = st.integers(0, 2**64 - 1)
SNAPSHOT = (VECTORS / "snapshot.bin").read_bytes()


def vector(name: str) -> Any:
    """A recorded conversation."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def reply_of(name: str) -> bytes:
    """The recorded reply of a master, as far as the vector holds it."""
    recorded = vector(name)
    return bytes.fromhex(recorded.get("reply") or recorded["reply_head"])


# -- the follower's word --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "start"),
    [
        ("v1_bootstrap", StreamVersion.V1, 0),
        ("v1_resume", StreamVersion.V1, 159),
        ("v2_bootstrap", StreamVersion.V2, 0),
        ("v2_resume", StreamVersion.V2, 159),
    ],
)
def test_recorded_hellos(name: str, version: StreamVersion, start: int) -> None:
    raw = bytes.fromhex(vector(name)["hello"])
    hello = FollowerHello(version, start)
    assert hello.encode() == raw
    assert HelloParser().feed(raw) == (hello, b"")


def test_a_hello_of_tls_is_named() -> None:
    with pytest.raises(HandshakeError, match="that is TLS, which this port does not speak, expected b'SPGREPL"):
        HelloParser().feed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def test_recorded_bad_magic_is_refused() -> None:
    with pytest.raises(HandshakeError, match="opens with b'NOTMAGIC', expected b'SPGREPL"):
        HelloParser().feed(bytes.fromhex(vector("bad_magic")["hello"]))


def hello_of(pieces: list[bytes]) -> tuple[FollowerHello | SubscriberHello, bytes] | str | None:
    """What a parser makes of pieces: the hello and all that follows it, "refused", or None while incomplete."""
    parser = HelloParser()
    for number, piece in enumerate(pieces):
        try:
            found = parser.feed(piece)
        except HandshakeError:
            return "refused"
        if found is not None:
            return found[0], found[1] + b"".join(pieces[number + 1 :])
    return None


def expected_hello(data: bytes) -> tuple[FollowerHello | SubscriberHello, bytes] | str | None:
    """The same by the letter of the protocol."""
    magic = data[:8]
    if magic == MAGIC_SUBSCRIBER:
        try:
            found = decode_subscriber_hello(data)
        except HandshakeError:
            return "refused"
        return None if found is None else (found[0], data[found[1] :])
    if not any(m.startswith(magic) for m in (MAGIC_V1, MAGIC_V2, MAGIC_SUBSCRIBER)):
        return "refused"
    if len(data) < 16:
        return None
    version = StreamVersion.V1 if magic == MAGIC_V1 else StreamVersion.V2
    return FollowerHello(version, struct.unpack_from("<Q", data, 8)[0]), data[16:]


openings = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda m, rest: m + rest, st.sampled_from([MAGIC_V1, MAGIC_V2, MAGIC_SUBSCRIBER]), st.binary(max_size=20)
    ),
    st.builds(
        lambda m, at, byte: m[:at] + bytes((byte,)) + m[at + 1 :] + bytes(8),
        st.sampled_from([MAGIC_V1, MAGIC_V2]),
        st.integers(0, 7),
        st.integers(0, 255),
    ),
)


@given(openings, places)
@example(MAGIC_V2 + bytes(8) + b"and more", [3])
@example(MAGIC_SUBSCRIBER, [7])
def test_any_opening_cut_anywhere(data: bytes, where: list[int]) -> None:
    expected = expected_hello(data)
    assert hello_of([data]) == expected
    assert hello_of(cut(data, where)) == expected
    assert hello_of([data[at : at + 1] for at in range(len(data))]) == expected


@pytest.mark.parametrize("good", range(8))
def test_a_stranger_is_refused_at_the_first_byte_that_differs(good: int) -> None:
    parser = HelloParser()
    assert parser.feed(MAGIC_V2[:good]) is None
    with pytest.raises(HandshakeError):
        parser.feed(b"\xff")


@given(st.sampled_from(StreamVersion), U64)
def test_hellos_both_ways(version: StreamVersion, start: int) -> None:
    hello = FollowerHello(version, start)
    assert HelloParser().feed(hello.encode()) == (hello, b"")


# -- the master's word ----------------------------------------------------------------------------------------


def read_reply(start: int, pieces: list[bytes]) -> tuple[list[ReplyEvent], bytes, bool]:
    """What a parser makes of pieces: events (snapshot bytes joined), what follows, and whether it is complete."""
    parser = ReplyParser(start)
    events: list[ReplyEvent] = []
    behind = b""
    for piece in pieces:
        found, rest = parser.feed(piece)
        assert parser.complete or not rest
        for event in found:
            if isinstance(event, SnapshotData):
                assert event.data
                if isinstance(last := events[-1], SnapshotData):
                    events[-1] = SnapshotData(last.data + event.data)
                    continue
            events.append(event)
        behind += rest
    return events, behind, parser.complete


@pytest.mark.parametrize("size", [1, 5, 8, 100, 10_000])
@pytest.mark.parametrize("name", ["v1_bootstrap", "v2_bootstrap"])
def test_recorded_bootstraps(name: str, size: int) -> None:
    raw = reply_of(name)
    reply = encode_snapshot_start(len(SNAPSHOT)) + SNAPSHOT + encode_snapshot_end(len(MIXED_LOG))
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert raw[: len(reply)] == reply
    assert read_reply(0, pieces) == (
        [SnapshotStart(len(SNAPSHOT)), SnapshotData(SNAPSHOT), SnapshotEnd(len(MIXED_LOG))],
        raw[len(reply) :],
        True,
    )


@pytest.mark.parametrize("name", ["v1_resume", "v2_resume"])
def test_recorded_resumes(name: str) -> None:
    raw = reply_of(name)
    assert encode_snapshot_start(0) == raw[:8]
    assert read_reply(159, [raw]) == ([SnapshotStart(0)], raw[8:], True)


def test_v1_log_follows_the_reply() -> None:
    assert read_reply(159, [reply_of("v1_resume")])[1] == MIXED_LOG[159:]


def test_a_position_follows_an_empty_snapshot_too() -> None:
    parser = ReplyParser(0)
    assert parser.feed(bytes(8)) == ([SnapshotStart(0)], b"")
    assert not parser.complete
    assert not parser.awaits_body
    assert parser.feed(struct.pack("<Q", 77) + b"log") == ([SnapshotEnd(77)], b"log")
    assert parser.complete


def test_a_snapshot_for_a_start_above_0_is_refused() -> None:
    with pytest.raises(HandshakeError, match="snapshot of 12 bytes to a start at position 5, expected 0"):
        ReplyParser(5).feed(struct.pack("<Q", 12))


@given(st.integers(0, 2), st.integers(0, 50), st.binary(max_size=80), places)
def test_any_reply_cut_anywhere(start: int, length: int, body: bytes, where: list[int]) -> None:
    data = struct.pack("<Q", length) + body
    if start and length:
        for pieces in ([data], cut(data, where), [data[at : at + 1] for at in range(len(data))]):
            with pytest.raises(HandshakeError):
                read_reply(start, pieces)
        return
    whole = read_reply(start, [data])
    assert read_reply(start, cut(data, where)) == whole
    assert read_reply(start, [data[at : at + 1] for at in range(len(data))]) == whole
    events, behind, complete = whole
    if start:
        assert whole == ([SnapshotStart(0)], body, True)
    elif complete:
        expected = [
            SnapshotStart(length),
            SnapshotData(body[:length]),
            SnapshotEnd(*struct.unpack_from("<Q", body, length)),
        ]
        assert events == [event for event in expected if event != SnapshotData(b"")]
        assert behind == body[length + 8 :]
    else:
        assert len(body) < length + 8


def test_snapshot_bytes_are_passed_on_as_they_come() -> None:
    parser = ReplyParser(0)
    parser.feed(struct.pack("<Q", 2**63))
    for _ in range(3):
        assert parser.awaits_body
        assert parser.feed(b"some") == ([SnapshotData(b"some")], b"")


def test_the_body_is_awaited_between_length_and_position() -> None:
    parser = ReplyParser(0)
    assert not parser.awaits_body
    parser.feed(struct.pack("<Q", 2))
    assert parser.awaits_body
    parser.feed(b"1")
    assert parser.awaits_body
    parser.feed(b"2")
    assert not parser.awaits_body
    parser.feed(bytes(8))
    assert not parser.awaits_body
