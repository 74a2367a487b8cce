"""Indexes in a catalog: what they are, and which rows of cold segments they say to be alive.

The contents of an index have no length, so all of them are walked through, byte by byte, whether wanted or not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from spgrepl.spg.blocks.schema import Index, IndexKind
from spgrepl.spg.values.cursor import LONG, Cursor
from spgrepl.spg.values.types import read_type

LOCATOR = 9
"""The bytes of a locator."""

TAIL_FIELDS = 3
"""How many fields version 12 added; releases 6.8.0 and 6.8.1 wrote one and two of them."""

_INT_KEY = struct.Struct("<qI")
_SMALLEST_ENTRY = 5
_LOCATORS_AT_ONCE = 4096
_RUN = 512
"""How many entries are looked at at once."""

_PLAIN_ENTRY = 1 + _INT_KEY.size + LOCATOR
_COUNT_AT = 9
_ZERO_LANES = (10, 11, 12, 13)
_ONES, _ZEROS = b"\1" * _RUN, bytes(_RUN)
_U16, _U32 = struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
_COLD = struct.Struct("<BII").unpack_from
_NUMBER_KEY = struct.Struct("<BBi")

_KINDS: dict[int, tuple[IndexKind, int]] = {
    0: (IndexKind.BTREE, 8),
    1: (IndexKind.HNSW, 8),
    2: (IndexKind.BRIN, 10),
    3: (IndexKind.GIN, 21),
    4: (IndexKind.TRIGRAM, 24),
    5: (IndexKind.FULLTEXT, 33),
    6: (IndexKind.JSONB, 51),
    7: (IndexKind.COMPOSITE, 91),
}
"""Kinds by their tags, and the version that brought them."""

_TOKENS = frozenset((IndexKind.GIN, IndexKind.TRIGRAM, IndexKind.FULLTEXT, IndexKind.JSONB))


@attrs.frozen
class ColdKey:
    """A row that is alive in a segment.

    Attributes:
        key: Its key, signed.
        segment: The segment's id.
    """

    key: int
    segment: int


def read_index(cursor: Cursor, columns: int, tail_fields: int = TAIL_FIELDS) -> Index:
    """Read an index.

    Args:
        cursor: At its first byte.
        columns: How many columns the table has.
        tail_fields: How many of the fields of version 12 there are, in a file of that version.

    Raises:
        SpgFileError: It cannot be read.
    """
    name = cursor.text()
    column = _position(cursor, columns)
    tag_at = cursor.offset
    kind, since = _KINDS.get(cursor.u8(), (None, 0))
    if kind is None or cursor.version < since:
        raise cursor.unknown(f"the kind of the index {name!r}:", cursor.buffer[cursor.at - 1], tag_at)
    entries_at, entries = 0, 0
    cold: dict[int, int] = {}
    if kind is IndexKind.BTREE and cursor.version >= 9:
        entries = cursor.checked(cursor.u32(), _SMALLEST_ENTRY)
        entries_at = cursor.offset
        for one in cold_keys(cursor, entries, strict=False):
            cold[one.segment] = cold.get(one.segment, 0) + 1
    elif kind is IndexKind.HNSW:
        _skip_graph(cursor)
    elif kind is IndexKind.BRIN:
        read_type(cursor)
    elif kind in _TOKENS:
        _skip_entries(cursor, lambda: _skip_text(cursor))
    elif kind is IndexKind.COMPOSITE:
        _skip_entries(cursor, lambda: _skip_keys(cursor))
    found = Index(name, column, kind, entries_at=entries_at, entries=entries, cold=cold)
    return attrs.evolve(found, **_tail(cursor, columns, tail_fields))


def _position(cursor: Cursor, columns: int) -> int:
    found = cursor.u16()
    if found >= columns:
        raise cursor.malformed(f"a column at position {found} of {columns}")
    return found


def positions(columns: int) -> Callable[[Cursor], tuple[int, ...]]:
    """Make a reader of a list of positions of columns."""
    return lambda cursor: cursor.list16(lambda at: _position(at, columns), 2)


def _tail(cursor: Cursor, columns: int, tail_fields: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    version, read = cursor.version, positions(columns)
    if version >= 12:
        fields = tail_fields if version == 12 else TAIL_FIELDS
        found["included"] = read(cursor)
        if fields > 1:
            found["predicate"] = cursor.optional(Cursor.text)
        if fields > 2:
            found["expression"] = cursor.optional(Cursor.text)
    if version >= 16:
        found["unique"] = cursor.truth()
        found["further"] = read(cursor)
    if version >= 62:
        found["nulls_not_distinct"] = cursor.truth()
    if version >= 83:
        found["descending"] = cursor.truth()
        nulls = cursor.u8()
        if nulls > 2:
            raise cursor.unknown("the order of NULLs", nulls, cursor.offset - 1)
    if version >= 84:
        cursor.optional(Cursor.text)
    if version >= 95:
        cursor.list16(Cursor.u16, 2)
    if version >= 96:
        made, backs = cursor.truth(), cursor.truth()
        found["of_constraint"] = made or backs
    if version >= 99:
        found["prefix"] = cursor.optional(Cursor.u32)
    return found


# -- entries --------------------------------------------------------------------------------------------------


def cold_keys(cursor: Cursor, entries: int, strict: bool = True) -> Iterator[ColdKey]:
    """Walk through the entries of a B-tree, and tell the rows of segments among them.

    Args:
        cursor: At the first entry; after all were taken, after the last one.
        entries: How many there are.
        strict: Whether a row of a segment whose key is not an integer is an error; else its key is told as 0.

    Raises:
        SpgFileError: They cannot be read.
    """
    left = entries
    while left:
        if left >= _RUN and cursor.left >= _RUN * _PLAIN_ENTRY:
            cursor.need(_RUN * _PLAIN_ENTRY)
            if _all_plain(cursor.buffer[cursor.at : cursor.at + _RUN * _PLAIN_ENTRY]):
                cursor.at += _RUN * _PLAIN_ENTRY
                left -= _RUN
                continue
        part = min(left, _RUN)
        left -= part
        yield from _one_by_one(cursor, part, strict)


def _all_plain(entries: bytes) -> bool:
    """Whether all of these bytes are entries of an integer and one row that is not in a segment.

    That is nearly all of an index. Each has as many bytes, so they are looked at all at once, a column of bytes
    after the other.
    """
    return (
        entries[_COUNT_AT::_PLAIN_ENTRY] == _ONES
        and entries[::_PLAIN_ENTRY] == _ZEROS
        and all(entries[lane::_PLAIN_ENTRY] == _ZEROS for lane in _ZERO_LANES)
    )


def _one_by_one(cursor: Cursor, entries: int, strict: bool) -> Iterator[ColdKey]:
    head, size = _INT_KEY.unpack_from, 1 + _INT_KEY.size
    for _ in range(entries):
        cursor.need(_SMALLEST_ENTRY)
        key: int | None = None
        tag = cursor.buffer[cursor.at]
        if tag == 0:
            cursor.need(size)
            key, count = head(cursor.buffer, cursor.at + 1)
            cursor.at += size
        elif tag == 1 and (length := _U16(cursor.buffer, cursor.at + 1)[0]) != LONG:
            # The usual text, without a call for each of its parts.
            end = 3 + length
            cursor.need(end + 4)
            (count,) = _U32(cursor.buffer, cursor.at + end)
            cursor.at += end + 4
        else:
            _skip_key(cursor)
            count = cursor.u32()
        left = cursor.checked(count, LOCATOR)
        while left:
            part = min(left, _LOCATORS_AT_ONCE)
            for segment in _cold_among(cursor, part):
                if key is None and strict:
                    raise cursor.malformed(f"a row of segment {segment} under a key that is not an integer")
                yield ColdKey(key or 0, segment)
            left -= part


def _cold_among(cursor: Cursor, count: int) -> list[int]:
    """Go on by some locators.

    Returns:
        The segments of those that lead to one.
    """
    cursor.need(count * LOCATOR)
    buf, at = cursor.buffer, cursor.at
    if count == 1 and not buf[at]:
        cursor.at += LOCATOR
        return []
    tags = buf[at : at + count * LOCATOR : LOCATOR]
    unknown = tags.lstrip(b"\0\1")
    if unknown:
        place = count - len(unknown)
        raise cursor.unknown("the locator", unknown[0], cursor.offset + place * LOCATOR)
    cursor.at += count * LOCATOR
    if 1 not in tags:
        return []
    return [_COLD(buf, at + place * LOCATOR)[1] for place, tag in enumerate(tags) if tag]


def _skip_key(cursor: Cursor) -> None:
    """Go on by a key, whose tag comes first."""
    tag_at = cursor.offset
    tag = cursor.u8()
    if tag == 0:
        cursor.skip(8)
    elif tag == 1:
        _skip_text(cursor)
    elif tag == 2:
        cursor.skip(1)
    elif tag == 3 and cursor.version >= 36:
        cursor.skip(16)
    elif tag == 4 and cursor.version >= 90:
        cursor.skip(cursor.u32())
    elif tag == 5 and cursor.version >= 90:
        cursor.skip(_NUMBER_KEY.size)
        cursor.skip(cursor.u32())
    elif tag != 6 or cursor.version < 91:
        raise cursor.unknown("the key of an index with tag", tag, tag_at)


def _skip_keys(cursor: Cursor) -> None:
    for _ in range(cursor.checked(cursor.u16(), 1)):
        _skip_key(cursor)


def _skip_text(cursor: Cursor) -> None:
    count = cursor.u16()
    if count == 0xFFFF and cursor.version >= 46:
        count = cursor.u32()
    cursor.skip(count)


def _skip_entries(cursor: Cursor, skip_key: Callable[[], None]) -> None:
    for _ in range(cursor.checked(cursor.u32(), 6)):
        skip_key()
        left = cursor.checked(cursor.u32(), LOCATOR)
        while left:
            part = min(left, _LOCATORS_AT_ONCE)
            _cold_among(cursor, part)
            left -= part


def _skip_graph(cursor: Cursor) -> None:
    """Go on by the contents of a graph of neighbours."""
    cursor.skip(9)
    cursor.skip(cursor.u32())
    for _ in range(cursor.u8()):
        for _ in range(cursor.checked(cursor.u32(), 2)):
            cursor.skip(4 * cursor.u16())
