"""SUB streams to test with: written as values, and cut into frames as a connection cuts them."""

from __future__ import annotations

from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.wire.frames import encode_skip, encode_status, encode_wal_header
from spgrepl.wire.record_frames import RecordFrameParser, RecordFrames

Item = bytes | int | str
"""A record; a number of bytes that are skipped; or `STATUS`."""

STATUS = "status"


def insert(number: int, table: str = "t") -> bytes:
    """A record that puts one row into a table."""
    return encode_statement(f"INSERT INTO {table} VALUES ({number})".encode())


def inside(text: str) -> bytes:
    """A record of a statement in a transaction."""
    return encode_v2(text.encode())


def length_of(*items: Item) -> int:
    """How many bytes of the master's log a stream stands for."""
    return sum(item if isinstance(item, int) else 0 if isinstance(item, str) else len(item) for item in items)


def stream(position: int, *items: Item, end: int | None = None) -> bytes:
    """The bytes of a stream.

    Args:
        position: Where it begins.
        items: What it holds; a STATUS tells the position that it stands at.
        end: What each STATUS tells instead.
    """
    parts: list[bytes] = []
    for item in items:
        if isinstance(item, str):
            parts.append(encode_status(position if end is None else end, 1))
            continue
        parts.append(encode_skip(item) if isinstance(item, int) else encode_wal_header(len(item)) + item)
        position += length_of(item)
    return b"".join(parts)


def frames_of(position: int, *items: Item) -> RecordFrames:
    """What a connection makes of a stream that comes at once."""
    found = RecordFrameParser(position).feed(stream(position, *items))
    assert found is not None
    return found
