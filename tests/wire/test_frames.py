"""Frames of the V2 stream: the recorded ones, any bytes cut anywhere, and bounds that hold before bytes come."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import ChunkError, FrameTooLong
from spgrepl.wire.frames import (
    DEFAULT_MAX_FRAME,
    ChunkBytes,
    FrameEvent,
    FrameParser,
    FrameType,
    Status,
    WalBytes,
    encode_chunk_start,
    encode_status,
    encode_wal_header,
)
from spgrepl.wire.segment_chunks import CHUNK_HEADER_SIZE, ChunkHeader, decode_chunk_header
from tests.log.samples import MIXED_LOG, VECTORS, cut, places
from tests.segments.samples import recorded_chunk

U64 = st.integers(0, 2**64 - 1)
LIMIT = 100


def frame(kind: int, payload: bytes) -> bytes:
    """Any frame."""
    return struct.pack("<BI", kind, len(payload)) + payload


def chunk(segment: int, seq: int, total: int, data: bytes) -> bytes:
    """A frame with a chunk."""
    return encode_chunk_start(ChunkHeader(segment, seq, total, len(data))) + data


U32 = st.integers(0, 2**32 - 1)

frames = st.one_of(
    st.builds(chunk, U32, st.integers(0, 3), st.integers(3, 5), st.binary(max_size=40)),
    st.binary(max_size=40).map(lambda data: frame(0, data)),
    st.builds(encode_status, U64, U64),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=40)),
)
streams = st.builds(
    lambda whole, rest: b"".join(whole) + rest, st.lists(frames, max_size=8), st.binary(max_size=12)
)


Outcome = tuple[bytes, list[Status], list[tuple[ChunkHeader, bytes]], int, str | None]


def read(pieces: list[bytes], limit: int = LIMIT) -> Outcome:
    """What a parser makes of pieces: log bytes, statuses, chunks, frames skipped, and the error at the end."""
    parser = FrameParser(limit)
    wal, statuses = b"", []
    chunks: list[tuple[ChunkHeader, list[bytes]]] = []
    failed = None
    for piece in pieces:
        try:
            events = parser.feed(piece)
        except (FrameTooLong, ChunkError) as error:
            failed = type(error).__name__
            break
        for event in events:
            if isinstance(event, WalBytes):
                assert event.data
                wal += event.data
            elif isinstance(event, Status):
                statuses.append(event)
            elif isinstance(event, ChunkHeader):
                chunks.append((event, []))
            else:
                assert event.data
                chunks[-1][1].append(event.data)
    joined = [(header, b"".join(parts)) for header, parts in chunks]
    return wal, statuses, joined, parser.passed_over, failed


def reference(data: bytes, limit: int = LIMIT) -> Outcome:
    """The same from all bytes at once, frame by frame."""
    wal, statuses, passed_over = b"", [], 0
    chunks: list[tuple[ChunkHeader, bytes]] = []
    at = 0
    while at + 5 <= len(data):
        kind, length = struct.unpack_from("<BI", data, at)
        if length > limit:
            return wal, statuses, chunks, passed_over, "FrameTooLong"
        payload = data[at + 5 : at + 5 + length]
        if kind == 0:
            wal += payload
        elif kind == 3:
            if length < CHUNK_HEADER_SIZE:
                return wal, statuses, chunks, passed_over, "ChunkHeaderTooShort"
            if len(payload) >= CHUNK_HEADER_SIZE:
                try:
                    header = decode_chunk_header(payload, length)
                except ChunkError as error:
                    return wal, statuses, chunks, passed_over, type(error).__name__
                chunks.append((header, payload[CHUNK_HEADER_SIZE:]))
        elif kind == 1 and length == 16:
            if len(payload) == 16:
                statuses.append(Status(*struct.unpack("<QQ", payload)))
        else:
            passed_over += 1
        at += 5 + length
    return wal, statuses, chunks, passed_over, None


@pytest.mark.parametrize("size", [1000, 1 << 16, 1 << 20])
@pytest.mark.parametrize("name", ["v2_bootstrap", "v2_resume"])
def test_recorded_streams(name: str, size: int) -> None:
    recorded = json.loads((VECTORS / f"{name}.json").read_text())
    start = 0 if name == "v2_bootstrap" else 159
    stream = encode_status(len(MIXED_LOG), 1)
    wal, chunks = b"", []
    for entry in recorded["frames_without_status"]:
        if entry["type"] == FrameType.WAL:
            payload = bytes.fromhex(entry["hex"])
            assert frame(0, payload) == encode_wal_header(entry["length"]) + payload
            wal += payload
        else:
            data = recorded_chunk(entry)
            payload = struct.pack(
                "<IIII", entry["segment_id"], entry["chunk_seq"], entry["chunk_total"], entry["chunk_bytes"]
            )
            assert len(payload + data) == entry["length"]
            payload += data
            chunks.append((decode_chunk_header(payload, len(payload)), data))
            assert frame(3, payload) == chunk(*struct.unpack_from("<III", payload), data)
        stream += frame(entry["type"], payload)
    found = read([stream[at : at + size] for at in range(0, len(stream), size)], DEFAULT_MAX_FRAME)
    assert found == (wal, [Status(len(MIXED_LOG), 1)], chunks, 0, None)
    assert wal == (MIXED_LOG[start:] if start else b"")
    assert [header.segment for header, _ in chunks] == [2, 5, 9, 9]


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
    if not expected[4]:
        assert read([data]) == expected
        assert read(cut(data, where)) == expected
    assert read([data[at : at + 1] for at in range(len(data))]) == expected


@given(streams, places)
def test_a_frame_too_long_is_noticed_in_whatever_pieces(data: bytes, where: list[int]) -> None:
    assert read([data], 20)[4] == read(cut(data, where), 20)[4] == reference(data, 20)[4]


@pytest.mark.parametrize("kind", [0, 1, 2, 77, 255])
def test_the_length_is_judged_with_the_header_alone(kind: int) -> None:
    parser = FrameParser()
    assert parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME)) == []
    parser = FrameParser()
    assert parser.feed(struct.pack("<BI", kind, DEFAULT_MAX_FRAME + 1)[:4]) == []
    said = f"type 0x{kind:02x} states {DEFAULT_MAX_FRAME + 1} bytes, the limit is {DEFAULT_MAX_FRAME} "
    with pytest.raises(FrameTooLong, match=said):
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


@pytest.mark.parametrize("kind", [1, 2, 4, 200])
def test_passing_over_keeps_nothing(kind: int) -> None:
    parser = FrameParser()
    piece = bytes(64 * 1024)
    pieces = DEFAULT_MAX_FRAME // len(piece)
    parser.feed(struct.pack("<BI", kind, pieces * len(piece)))
    tracemalloc.start()
    try:
        for _ in range(pieces):
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


def test_chunk_bytes_are_passed_on_as_they_come() -> None:
    parser = FrameParser()
    start = encode_chunk_start(ChunkHeader(7, 0, 2, 10))
    assert parser.feed(start[:20]) == []
    assert parser.feed(start[20:] + b"abc") == [ChunkHeader(7, 0, 2, 10), ChunkBytes(b"abc")]
    piece = b"defghij"
    (event,) = parser.feed(piece)
    assert isinstance(event, ChunkBytes)
    assert event.data is piece
    assert parser.feed(encode_chunk_start(ChunkHeader(5, 0, 1, 0)) + encode_status(1, 2)) == [
        ChunkHeader(5, 0, 1, 0),
        Status(1, 2),
    ]
    assert parser.passed_over == 0


@pytest.mark.parametrize(("length", "name"), [(15, "ChunkHeaderTooShort"), (17 + (16 << 20), "ChunkTooLong")])
def test_a_chunk_is_judged_by_its_frame_first(length: int, name: str) -> None:
    parser = FrameParser()
    with pytest.raises(ChunkError) as caught:
        parser.feed(struct.pack("<BI", 3, length))
    assert type(caught.value).__name__ == name


def test_a_chunk_is_judged_before_its_bytes_come() -> None:
    with pytest.raises(ChunkError, match="chunk 3 of segment 7 states a total of 3"):
        FrameParser().feed(struct.pack("<BIIIII", 3, 16 + 100, 7, 3, 3, 100))
