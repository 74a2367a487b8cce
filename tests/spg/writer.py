"""A writer of SPG's catalogs for the tests, made from the description of the format and not from the reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from spgrepl.spg.values.crc32c import crc32c


def u8(*values: int) -> bytes:
    return bytes(values)


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def i64(value: int) -> bytes:
    return struct.pack("<q", value)


def text(value: str, version: int = 8) -> bytes:
    """A `str`; long ones only from 46 on."""
    data = value.encode()
    if len(data) >= 0xFFFF and version >= 46:
        return u16(0xFFFF) + u32(len(data)) + data
    return u16(len(data)) + data


def lstr(value: str) -> bytes:
    return u32(len(value.encode())) + value.encode()


def list16(*items: bytes) -> bytes:
    return u16(len(items)) + b"".join(items)


def list32(*items: bytes) -> bytes:
    return u32(len(items)) + b"".join(items)


def opt(item: bytes | None) -> bytes:
    return b"\0" if item is None else b"\1" + item


def numeric(scaled: int, scale: int, version: int) -> bytes:
    body = scaled.to_bytes(16, "little", signed=True) + u8(scale)
    return b"\0" + body if version >= 56 else body


def row(*bodies: bytes | None) -> bytes:
    """A dense row of bodies; None for NULL."""
    bits = sum(1 << place for place, body in enumerate(bodies) if body is None)
    width = (len(bodies) + 7) // 8
    return bits.to_bytes(width, "little") + b"".join(body for body in bodies if body is not None)


def column(name: str, kind: bytes, nullable: int = 1, default: bytes | None = None, auto: int = 0) -> bytes:
    return text(name) + kind + u8(nullable) + opt(default) + u8(auto)


def hot(place: int) -> bytes:
    return u8(0) + u64(place)


def cold(segment: int) -> bytes:
    return u8(1) + u32(segment) + u32(0)


def btree(
    version: int,
    name: str,
    column: int,
    entries: Sequence[tuple[int, Sequence[bytes]]] = (),
    unique: int = 0,
    predicate: str | None = None,
    tail_fields: int = 3,
) -> bytes:
    """A B-tree of integer keys and their locators."""
    found = text(name) + u16(column) + u8(0)
    if version >= 9:
        found += list32(*(u8(0) + i64(key) + list32(*locators) for key, locators in entries))
    return found + index_tail(version, unique, predicate, tail_fields)


def index_tail(version: int, unique: int = 0, predicate: str | None = None, tail_fields: int = 3) -> bytes:
    fields = [list16(), opt(None if predicate is None else text(predicate)), opt(None)]
    found = b"".join(fields[:tail_fields]) if version >= 12 else b""
    if version >= 16:
        found += u8(unique) + list16()
    if version >= 62:
        found += u8(0)
    if version >= 83:
        found += u8(0, 0)
    if version >= 84:
        found += opt(None)
    if version >= 95:
        found += list16()
    if version >= 96:
        found += u8(0, 0)
    if version >= 99:
        found += u8(0)
    return found


BLOCKS = {
    5: 11,
    6: 13,
    7: 15,
    8: 15,
    9: 23,
    10: 29,
    11: 30,
    12: 32,
    13: 34,
    14: 35,
    15: 41,
    16: 42,
    17: 49,
    18: 50,
    19: 58,
    20: 59,
    21: 53,
    22: 60,
    23: 63,
    24: 64,
    25: 65,
    26: 72,
    27: 73,
    28: 81,
    29: 82,
    30: 93,
    31: 94,
    32: 87,
    33: 88,
    34: 89,
    35: 100,
}
"""The blocks of a table after its indexes, in their order, and the versions that brought them."""

EMPTY = {
    5: u8(0),
    17: u8(0),
    20: u8(0, 0) + list16(),
    22: list16() + list16(),
    24: u8(0) + list16(),
}


def table(
    version: int,
    name: str,
    columns: Sequence[bytes],
    rows: Sequence[bytes],
    indexes: Sequence[bytes] = (),
    dead: Sequence[int] = (),
    blocks: dict[int, bytes] | None = None,
    left_out: Sequence[int] = (),
) -> bytes:
    """A table; blocks that are not given are empty."""
    found = text(name) + list16(*columns) + u32(len(rows)) + b"".join(rows) + list16(*indexes)
    headers = u32(len(rows))
    for number in range(len(rows)):
        headers += u64(1) + u64(9 if number in dead else 0) + u8(1) + u64(number + 1)
    given = {21: headers + u64(len(rows) + 1), **(blocks or {})}
    if version >= 60 and 22 not in given:
        # Names for as many checks and constraints as there are.
        counts = [struct.unpack_from("<H", given.get(block, b"\0\0"))[0] for block in (9, 7)]
        given[22] = b"".join(list16(*[u8(0)] * count) for count in counts)
    for block, since in BLOCKS.items():
        if version >= since and block not in left_out:
            found += given.get(block, EMPTY.get(block, list16()))
    return found


OBJECT_BLOCKS = (22, 22, 26, 27, 28, 29, 30, 31, 52, 61, 66, 67, 71, 77, 78, 80, 85, 86, 92, 100, 100, 100)


def catalog(version: int, *tables: bytes, objects: dict[int, bytes] | None = None) -> bytes:
    """A bare catalog; blocks after the tables are empty unless given, by their number from 0."""
    found = b"SPGDB001" + u8(version) + list32(*tables)
    for number, since in enumerate(OBJECT_BLOCKS):
        if version >= since:
            empty = {10: list32() + list16() + list16(), 18: u8(0)}.get(number, list32())
            found += (objects or {}).get(number, empty)
    return found + (u32(crc32c(found)) if version >= 54 else b"")


def publications(*found: tuple[str, int, tuple[str, ...]]) -> bytes:
    return list16(
        *(text(name) + u8(scope) + (list16(*map(text, names)) if scope else b"") for name, scope, names in found)
    )


def envelope(version: int, blob: bytes, users: bytes = b"", published: bytes = b"\0\0") -> bytes:
    """An envelope with empty subscriptions and statistics."""
    sections = [blob, users, published, list16(), list16() + list16()][: {1: 2, 2: 2, 3: 3, 4: 4, 5: 5}[version]]
    body = b"SPGENV01" + u8(version) + b"".join(u32(len(one)) + one for one in sections)
    return body + (u32(crc32(body)) if version >= 2 else b"")


# -- segments -------------------------------------------------------------------------------------------------


def segment(rows: Sequence[tuple[int, bytes]], magic: int = 1, page_size: int = 256) -> bytes:
    """A segment of unsigned keys and payloads, its bloom filter left empty of meaning but sound."""
    rows = sorted((key % 2**64, payload) for key, payload in rows)
    pages: list[list[tuple[int, bytes]]] = []
    for one in rows:
        if not pages or 4 + sum(16 + len(payload) for _, payload in [*pages[-1], one]) > page_size:
            pages.append([])
        pages[-1].append(one)
    area, index = b"", b""
    for page in pages:
        index += u64(page[0][0]) + u32(len(area))
        body, places = b"", []
        for key, payload in page:
            places.append(4 + 4 * len(page) + len(body))
            body += u64(key) + u32(len(payload)) + payload
        whole = u32(len(page)) + b"".join(map(u32, places)) + body
        area += whole if len(whole) > page_size else whole.ljust(page_size, b"\0")
    words = b"\xff" * 8
    counted = u64(64) + u32(1)
    bloom = u32(0xB100F11E) + counted + u32(crc32(counted + words)) + words
    head = u32(len(rows)) + u32(len(pages)) + u32(page_size)
    head += (u64(rows[0][0]) + u64(rows[-1][0])) if rows else bytes(16)
    body = head + u32(len(bloom)) + bloom + u32(4 + len(index)) + u32(len(pages)) + index + area
    return b"SPGSEG" + u8(magic, 0) + body + u32(crc32(body))


def wrapped(inner: bytes, stream: bytes | None = None) -> bytes:
    """A segment in its envelope: stored, or as the LZSS stream that is given."""
    algorithm = u8(0 if stream is None else 1)
    return b"SPGSEG\x02\0" + algorithm + u32(len(inner)) + (inner if stream is None else stream)


def brin(*pages: tuple[int, int, int]) -> bytes:
    return b"BRIN" + u32(len(pages)) + b"".join(u32(page) + u64(least) + u64(most) for page, least, most in pages)


Expected = dict[str, Any]
