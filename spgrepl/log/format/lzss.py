"""The LZSS stream of compressed log records (PROTOCOL section 1).

A `u32` original length, then groups of one flag byte and up to eight tokens. A set flag bit (lowest first) is a
literal byte; a clear one a `u16`: distance in the upper 12 bits (1 to 4095), length less 3 in the lower 4
(3 to 18 bytes). The writer is greedy and takes the oldest of the longest matches, which makes its output equal,
byte for byte, to that of an SPG server.

`compress` and `decompress` run compiled where they can; `python_compress` and `python_decompress` are what they
have to equal.
"""

from __future__ import annotations

import struct

from spgrepl.compiled.core import CORE
from spgrepl.errors import CompressionError
from spgrepl.text.quantities import number_of

MIN_MATCH = 3
MAX_MATCH = 18
MAX_DISTANCE = 4095

_MOST_RUNS = 1 << 16
"""How many runs the writer remembers before it forgets those that are too far back."""

_NEVER = -MAX_DISTANCE - 1

_LENGTH = struct.Struct("<I")
_TOKEN = struct.Struct("<H")


def compress(data: bytes) -> bytes:
    """Compress bytes to an LZSS stream.

    Args:
        data: Any bytes, below 4 GiB.

    Returns:
        The stream, its original length in front.
    """
    found = None if CORE is None else CORE.lzss_compress(data)
    return python_compress(data) if found is None else found


def python_compress(data: bytes) -> bytes:
    """The reference of `compress`."""
    size = len(data)
    out = bytearray(_LENGTH.pack(size))
    # Most places where nothing matches are told by this alone, without a search.
    newest: dict[bytes, int] = {}
    at = 0
    while at < size:
        flags = 0
        flags_at = len(out)
        out.append(0)
        for bit in range(8):
            if at >= size:
                break
            run = data[at : at + MIN_MATCH]
            last = newest.get(run, _NEVER)
            source, length = _longest_match(data, at, size, last) if last >= at - MAX_DISTANCE else (0, 0)
            if length:
                out += _TOKEN.pack((at - source) << 4 | (length - MIN_MATCH))
                for place in range(at, at + length):
                    newest[data[place : place + MIN_MATCH]] = place
                at += length
            else:
                flags |= 1 << bit
                out.append(data[at])
                newest[run] = at
                at += 1
        out[flags_at] = flags
        if len(newest) > _MOST_RUNS:
            newest = {run: place for run, place in newest.items() if place >= at - MAX_DISTANCE}
    return bytes(out)


def _longest_match(data: bytes, at: int, size: int, newest: int) -> tuple[int, int]:
    """Find the oldest of the longest earlier runs that equal the bytes at a place; (0, 0) where there is none.

    `bytes.find` yields the oldest occurrence of a run. A longer match can only start where the shorter one
    does, or later, so each step searches on from the last find for one byte more than is already matched.

    Args:
        data: All bytes.
        at: The place.
        size: The length of `data`.
        newest: Where the first `MIN_MATCH` of these bytes stood last: no match starts after that.
    """
    limit = min(MAX_MATCH, size - at)
    start = max(0, at - MAX_DISTANCE)
    best, length = 0, 0
    wanted = MIN_MATCH
    while wanted <= limit and start <= newest:
        # The end bound lets a match run into the bytes that it produces, but never start at them.
        found = data.find(data[at : at + wanted], start, at + wanted - 1)
        if found < 0:
            break
        length = wanted
        while length < limit and data[found + length] == data[at + length]:
            length += 1
        best = found
        start = found + 1
        wanted = length + 1
    return best, length


def decompress(stream: bytes, limit: int) -> bytes:
    """Expand an LZSS stream.

    Args:
        stream: The stream, its original length in front.
        limit: The most bytes that it may expand to. The length that the stream states is a stranger's claim:
            it is compared, never allocated.

    Returns:
        The original bytes.

    Raises:
        CompressionError: The stream is cut short, states more than `limit`, refers to bytes that it has not
            produced, or produces more than it states. Bytes after its end are skipped, as SPG does.
    """
    found = None if CORE is None else CORE.lzss_decompress(stream, limit)
    return python_decompress(stream, limit) if found is None else found


def python_decompress(stream: bytes, limit: int) -> bytes:
    """The reference of `decompress`, which also makes its errors."""
    if len(stream) < 4:
        raise CompressionError(f"an LZSS stream of {number_of(len(stream), 'byte')} has no room for its length")
    (size,) = _LENGTH.unpack_from(stream)
    if size > limit:
        raise CompressionError(f"an LZSS stream states {number_of(size, 'byte')}, the limit is {limit}")
    out = bytearray()
    at, end = 4, len(stream)
    while len(out) < size:
        if at >= end:
            raise CompressionError(f"an LZSS stream ends after {len(out)} of {number_of(size, 'byte')}")
        flags = stream[at]
        at += 1
        if flags == 0xFF and end - at >= 8 and size - len(out) >= 8:
            out += stream[at : at + 8]
            at += 8
            continue
        for bit in range(8):
            if len(out) >= size:
                break
            if flags >> bit & 1:
                if at >= end:
                    raise CompressionError(f"an LZSS stream ends after {len(out)} of {number_of(size, 'byte')}")
                out.append(stream[at])
                at += 1
            else:
                if at + 2 > end:
                    raise CompressionError(f"an LZSS stream ends after {len(out)} of {number_of(size, 'byte')}")
                (token,) = _TOKEN.unpack_from(stream, at)
                at += 2
                _copy(out, token >> 4, (token & 15) + MIN_MATCH, size)
    return bytes(out)


def _copy(out: bytearray, distance: int, length: int, size: int) -> None:
    produced = len(out)
    if not 0 < distance <= produced:
        raise CompressionError(
            f"an LZSS copy from {number_of(distance, 'byte')} back, where {produced} have been produced"
        )
    if produced + length > size:
        raise CompressionError(f"an LZSS stream produces more than the {number_of(size, 'byte')} that it states")
    start = produced - distance
    if distance >= length:
        out += out[start : start + length]
    else:
        # An overlapping copy repeats the run between its source and its target.
        run = bytes(out[start:])
        out += (run * (length // distance + 1))[:length]
