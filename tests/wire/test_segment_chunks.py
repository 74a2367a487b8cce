"""Chunks of cold segments: both ways, each malformed form by its own error, and their order."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl import errors
from spgrepl.wire.segment_chunks import (
    MAX_CHUNK,
    MAX_OPEN,
    ChunkHeader,
    ChunkOrder,
    check_payload_length,
    chunk_count,
    decode_chunk_header,
    encode_chunk_header,
)

U32 = st.integers(0, 2**32 - 1)


@given(U32, U32, U32, st.integers(0, MAX_CHUNK))
def test_both_ways(segment: int, one: int, other: int, length: int) -> None:
    header = ChunkHeader(segment, min(one, other), max(one, other, 1), length)
    if header.seq < header.total:
        assert decode_chunk_header(encode_chunk_header(header) + b"rest", 16 + length) == header
    assert encode_chunk_header(header) == struct.pack("<IIII", segment, header.seq, header.total, length)


@pytest.mark.parametrize(
    ("numbers", "payload", "kind", "words"),
    [
        ((7, 0, 1, 4)[:3], 20, "ChunkHeaderTooShort", "a segment chunk of 12 bytes"),
        ((7, 0, 1, 4), 15, "ChunkHeaderTooShort", "a segment chunk of 15 bytes"),
        ((7, 0, 1, 4), 19, "ChunkLengthMismatch", "chunk 0 of segment 7 states 4 bytes, its frame has room for 3"),
        ((7, 0, 1, 4), 21, "ChunkLengthMismatch", "room for 5"),
        ((7, 0, 1, MAX_CHUNK + 1), MAX_CHUNK + 17, "ChunkTooLong", "states 16777217 bytes, the limit is 16777216"),
        ((7, 1, 1, 0), 16, "ChunkBeyondTotal", "chunk 1 of segment 7 states a total of 1"),
        ((7, 0, 0, 0), 16, "ChunkBeyondTotal", "states a total of 0"),
    ],
)
def test_each_malformed_form_has_its_own_error(
    numbers: tuple[int, ...], payload: int, kind: str, words: str
) -> None:
    data = struct.pack(f"<{len(numbers)}I", *numbers)
    with pytest.raises(errors.ChunkError, match=words) as caught:
        decode_chunk_header(data, payload)
    assert type(caught.value) is getattr(errors, kind)


def test_the_payload_is_judged_by_its_length_alone() -> None:
    check_payload_length(16)
    check_payload_length(16 + MAX_CHUNK)
    with pytest.raises(errors.ChunkHeaderTooShort):
        check_payload_length(15)
    with pytest.raises(errors.ChunkTooLong):
        check_payload_length(17 + MAX_CHUNK)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_the_number_of_chunks(size: int, count: int) -> None:
    assert chunk_count(size, 4) == count


class TestOrder:
    def test_segments_may_interleave_and_come_again(self) -> None:
        order = ChunkOrder()
        for segment, seq, total in ((1, 0, 2), (2, 0, 3), (3, 0, 1), (2, 1, 3), (1, 1, 2), (1, 0, 1), (2, 2, 3)):
            order.take(ChunkHeader(segment, seq, total, 0))
        order.take(ChunkHeader(2, 0, 9, 0))

    def test_a_total_that_changes(self) -> None:
        order = ChunkOrder()
        order.take(ChunkHeader(1, 0, 3, 0))
        with pytest.raises(errors.ChunkTotalChanged, match="states 4 chunks, those before it stated 3"):
            order.take(ChunkHeader(1, 1, 4, 0))

    @pytest.mark.parametrize("seq", [0, 2])
    def test_a_chunk_that_is_not_due(self, seq: int) -> None:
        order = ChunkOrder()
        order.take(ChunkHeader(1, 0, 3, 0))
        with pytest.raises(errors.ChunkOutOfOrder, match=f"chunk {seq} of segment 1 came, chunk 1 was due"):
            order.take(ChunkHeader(1, seq, 3, 0))

    def test_a_segment_begins_with_chunk_0(self) -> None:
        with pytest.raises(errors.ChunkOutOfOrder, match="chunk 1 of segment 1 came, chunk 0 was due"):
            ChunkOrder().take(ChunkHeader(1, 1, 3, 0))

    def test_too_many_at_once(self) -> None:
        order = ChunkOrder()
        for segment in range(MAX_OPEN):
            order.take(ChunkHeader(segment, 0, 2, 0))
        order.take(ChunkHeader(1000, 0, 1, 0))  # whole at once: it is not under way
        with pytest.raises(errors.TooManySegments, match="segment 1001 begins while 64 others"):
            order.take(ChunkHeader(1001, 0, 2, 0))
        order.take(ChunkHeader(0, 1, 2, 0))
        order.take(ChunkHeader(1001, 0, 2, 0))
