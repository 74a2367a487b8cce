"""Chunks of cold segments: the payload of frames of type 0x03 (PROTOCOL section 3).

``u32 segment id`` · ``u32 seq`` (from 0) · ``u32 total`` (1 or more) · ``u32 n`` · n bytes. The payload is exactly
16 + n bytes long, n is at most 16 MiB, and an empty file is one empty chunk.
"""

from __future__ import annotations

import struct

import attrs

from spgrepl.errors import (
    ChunkBeyondTotal,
    ChunkHeaderTooShort,
    ChunkLengthMismatch,
    ChunkOutOfOrder,
    ChunkTooLong,
    ChunkTotalChanged,
    TooManySegments,
)
from spgrepl.text.quantities import number_of

MAX_CHUNK = 16 * 1024 * 1024
"""The most bytes of a file that a chunk may carry."""

DEFAULT_CHUNK = 4 * 1024 * 1024
"""At how many bytes masters cut."""

MAX_OPEN = 64
"""How many segments may be under way at once on one connection."""

CHUNK_HEADER_SIZE = 16

_HEADER = struct.Struct("<IIII")


@attrs.frozen
class ChunkHeader:
    """What stands in front of a chunk's bytes.

    Attributes:
        segment: The segment's id.
        seq: Which chunk of the segment this is, from 0.
        total: How many chunks the segment has.
        length: How many bytes of the file follow.
    """

    segment: int
    seq: int
    total: int
    length: int

    @property
    def is_last(self) -> bool:
        """Whether the segment ends with this chunk."""
        return self.seq + 1 == self.total


def encode_chunk_header(header: ChunkHeader) -> bytes:
    """The 16 bytes in front of a chunk's bytes, after the frame's own header."""
    return _HEADER.pack(header.segment, header.seq, header.total, header.length)


def check_payload_length(length: int) -> None:
    """Judge the length that the header of a frame of type 0x03 states, before anything of the payload comes.

    Args:
        length: The payload's length in bytes.

    Raises:
        ChunkHeaderTooShort: A chunk's header does not fit into it.
        ChunkTooLong: It has room for more than a chunk may carry.
    """
    if length < CHUNK_HEADER_SIZE:
        raise ChunkHeaderTooShort(
            f"a segment chunk's frame states {number_of(length, 'byte')}, its header alone has {CHUNK_HEADER_SIZE}"
        )
    if length > CHUNK_HEADER_SIZE + MAX_CHUNK:
        raise ChunkTooLong(
            f"a segment chunk's frame states {number_of(length, 'byte')}, a header and the longest chunk have "
            f"{CHUNK_HEADER_SIZE + MAX_CHUNK}"
        )


def decode_chunk_header(data: bytes, payload_length: int) -> ChunkHeader:
    """Decode and judge a chunk's header; its bytes need not have come.

    Args:
        data: The payload's first 16 bytes; more may follow.
        payload_length: The payload's length as the frame's header states it.

    Raises:
        ChunkHeaderTooShort: There are less than 16 bytes.
        ChunkTooLong: It states more bytes than a chunk may carry.
        ChunkLengthMismatch: It states another number of bytes than the frame has.
        ChunkBeyondTotal: Its number is not below the total, or the total is 0.
    """
    if min(len(data), payload_length) < CHUNK_HEADER_SIZE:
        raise ChunkHeaderTooShort(
            f"a segment chunk of {number_of(min(len(data), payload_length), 'byte')}, its header "
            f"alone has {CHUNK_HEADER_SIZE}"
        )
    header = ChunkHeader(*_HEADER.unpack_from(data))
    what = f"chunk {header.seq} of segment {header.segment}"
    if header.length > MAX_CHUNK:
        raise ChunkTooLong(f"{what} states {number_of(header.length, 'byte')}, the limit is {MAX_CHUNK}")
    if payload_length != CHUNK_HEADER_SIZE + header.length:
        raise ChunkLengthMismatch(
            f"{what} states {number_of(header.length, 'byte')}, its frame has room for "
            f"{payload_length - CHUNK_HEADER_SIZE}"
        )
    if header.seq >= header.total:
        raise ChunkBeyondTotal(
            f"{what} states a total of {number_of(header.total, 'chunk')}; numbers run from 0 to one below"
        )
    return header


def chunk_count(size: int, chunk: int) -> int:
    """How many chunks a file has: one at least.

    Args:
        size: The file's length in bytes.
        chunk: At how many bytes it is cut.
    """
    return max(1, -(-size // chunk))


class ChunkOrder:
    """Judges the order of the chunks of one connection. Those of several segments may interleave."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}

    def take(self, header: ChunkHeader) -> None:
        """Judge the next chunk.

        Raises:
            ChunkTotalChanged: Earlier chunks of the segment state another total.
            ChunkOutOfOrder: Another chunk of the segment is due.
            TooManySegments: It begins a segment, and `MAX_OPEN` are under way.
        """
        due, total = self._open.get(header.segment, (0, header.total))
        if header.total != total:
            raise ChunkTotalChanged(
                f"chunk {header.seq} of segment {header.segment} states "
                f"{number_of(header.total, 'chunk')}, those before it stated {total}"
            )
        if header.seq != due:
            raise ChunkOutOfOrder(f"chunk {header.seq} of segment {header.segment} came, chunk {due} was due")
        if header.is_last:
            self._open.pop(header.segment, None)
            return
        if due == 0 and len(self._open) >= MAX_OPEN:
            raise TooManySegments(
                f"segment {header.segment} begins while {MAX_OPEN} others are under way, which is the limit"
            )
        self._open[header.segment] = (due + 1, total)
