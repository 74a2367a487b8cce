"""Frames of the V2 stream: the recorded ones, any bytes cut anywhere, and bounds that hold before bytes come."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import FrameTooLong
from spgrepl.wire.frames import (
    DEFAULT_MAX_FRAME,
    FrameEvent,
    FrameParser,
    FrameType,
    Status,
    WalBytes,
    encode_status,
    encode_wal_header,
)
from tests.wal.samples import MIXED_LOG, VECTORS, cut, places

U64 = st.integers(0, 2**64 - 1)
LIMIT = 100


def frame(kind: int, payload: bytes) -> bytes:
    """Any frame."""
    return struct.pack("<BI", kind, len(payload)) + payload


frames = st.one_of(
    st.binary(max_size=40).map(lambda data: frame(0, data)),
    st.builds(encode_status, U64, U64),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=40)),
)
streams = st.builds(
    lambda whole, rest: b"".join(whole) + rest, st.lists(frames, max_size=8), st.binary(max_size=12)
)


def read(pieces: list[bytes], limit: int = LIMIT) -> tuple[bytes, list[Status], int, bool]:
    """What a parser makes of pieces: log bytes, statuses, frames passed over, and whether it ends in an error."""
    parser = FrameParser(limit)
    wal, statuses = b"", []
    for piece in pieces:
        try:
            events = parser.feed(piece)
        except FrameTooLong:
            return wal, statuses, parser.passed_over, True
        for event in events:
            if isinstance(event, WalBytes):
                assert event.data
                wal += event.data
            else:
                statuses.append(event)
    return wal, statuses, parser.passed_over, False


def reference(data: bytes, limit: int = LIMIT) -> tuple[bytes, list[Status], int, bool]:
    """The same from all bytes at once, frame by frame."""
    wal, statuses, passed_over = b"", [], 0
    at = 0
    while at + 5 <= len(data):
        kind, length = struct.unpack_from("<BI", data, at)
        if length > limit:
            return wal, statuses, passed_over, True
        payload = data[at + 5 : at + 5 + length]
        if kind == 0:
            wal += payload
        elif kind == 1 and length == 16:
            if len(payload) == 16:
                statuses.append(Status(*struct.unpack("<QQ", payload)))
        else:
            passed_over += 1
        at += 5 + length
    return wal, statuses, passed_over, False


@pytest.mark.parametrize("size", [1, 3, 16, 4096, 1 << 20])
@pytest.mark.parametrize("name", ["v2_bootstrap", "v2_resume"])
def test_recorded_streams(name: str, size: int) -> None:
    recorded = json.loads((VECTORS / f"{name}.json").read_text())
    start = 0 if name == "v2_bootstrap" else 159
    stream = encode_status(len(MIXED_LOG), 1)
    wal, others = b"", 0
    for entry in recorded["frames_without_status"]:
        if entry["type"] == FrameType.WAL:
            payload = bytes.fromhex(entry["hex"])
            assert frame(0, payload) == encode_wal_header(entry["length"]) + payload
            wal += payload
        else:
            # Segment chunks are recorded by their lengths; a shorter one stands for those of 4 MiB.
            payload = bytes(min(entry["length"], 5000))
            others += 1
        stream += frame(entry["type"], payload)
    found = read([stream[at : at + size] for at in range(0, len(stream), size)], DEFAULT_MAX_FRAME)
    assert found == (wal, [Status(len(MIXED_LOG), 1)], others, False)
    assert wal == (MIXED_LOG[start:] if start else b"")


@given(U64, U64)
def test_status_both_ways(length: int, clock: int) -> None:
    raw = encode_status(length, clock)
    assert raw == struct.pack("<BIQQ", 1, 16, length, clock)
    assert FrameParser().feed(raw) == [Status(length, clock)]


def test_wal_header() -> None:
    assert encode_wal_header(0x01020304) == b"\0\4\3\2\1"


@given(streams, places)
def test_any_bytes_cut_anywhere(data: bytes, where: list[int]) -> None:
    expected = reference(data)
    if not expected[3]:
        assert read([data]) == expected
        assert read(cut(data, where)) == expected
    assert read([data[at : at + 1] for at in range(len(data))]) == expected


@given(streams, places)
def test_a_frame_too_long_is_noticed_in_whatever_pieces(data: bytes, where: list[int]) -> None:
    assert read([data], 20)[3] == read(cut(data, where), 20)[3] == reference(data, 20)[3]


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 77, 255])
def test_the_length_is_judged_with_the_header_alone(kind: int) -> None:
    parser = FrameParser()
    assert parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME)) == []
    parser = FrameParser()
    assert parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME + 1)[:4]) == []
    with pytest.raises(FrameTooLong, match=f"type 0x{kind:02x} states 67108865 bytes, the limit is 67108864"):
        parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME + 1)[4:])


def test_log_bytes_are_passed_on_as_they_come() -> None:
    parser = FrameParser()
    assert parser.feed(encode_wal_header(10) + b"abc") == [WalBytes(b"abc")]
    assert parser.feed(b"def") == [WalBytes(b"def")]
    assert parser.feed(b"ghij" + encode_wal_header(1)) == [WalBytes(b"ghij")]
    assert parser.feed(b"k") == [WalBytes(b"k")]


def test_an_empty_frame_yields_nothing() -> None:
    assert FrameParser().feed(encode_wal_header(0) + encode_status(1, 2)) == [Status(1, 2)]


@pytest.mark.parametrize("size", [0, 8, 15, 17, 24])
def test_a_status_of_another_size_is_passed_over(size: int) -> None:
    parser = FrameParser()
    assert parser.feed(frame(1, bytes(size)) + encode_status(3, 4)) == [Status(3, 4)]
    assert parser.passed_over == 1


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 200])
def test_passing_over_keeps_nothing(kind: int) -> None:
    parser = FrameParser()
    piece = bytes(64 * 1024)
    parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME))
    tracemalloc.start()
    try:
        for _ in range(DEFAULT_MAX_FRAME // len(piece)):
            assert parser.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(piece)
    assert parser.feed(encode_status(5, 6)) == [Status(5, 6)]
    assert parser.passed_over == 1


def test_a_whole_piece_of_log_is_not_copied() -> None:
    parser = FrameParser()
    parser.feed(encode_wal_header(1 << 20))
    piece = bytes(1000)
    events: list[FrameEvent] = parser.feed(piece)
    assert isinstance(events[0], WalBytes)
    assert events[0].data is piece
