"""What is inside a cold segment's file: the part "BRIN" if there is one, then the segment with its checksum.

Pushed in, in pieces of any size, in constant memory. The bytes may come out of an envelope, expanded or stored.
"""

from __future__ import annotations

import struct

import attrs

from spgrepl.base.checksum import crc32
from spgrepl.text.quantities import number_of

SEGMENT_MAGICS = {b"SPGSEG\x01\x00": 1, b"SPGSEG\x03\x00": 3, b"SPGSEG\x04\x00": 4}
"""What a segment begins with, and its number."""

ENVELOPE_MAGIC = b"SPGSEG\x02\x00"
BRIN_MAGIC = b"BRIN"

MAGIC_BYTES = 8
FOOTER_BYTES = 4

_HEADER = struct.Struct("<8sIIIQQ")
_U32 = struct.Struct("<I")
_BRIN_ENTRY = 20
_SIGN = 1 << 63


class ContentDamaged(Exception):
    """The content does not fit its own checksum or form; the message goes on after a file's name."""


@attrs.frozen
class SegmentContent:
    """What a segment says of itself.

    Attributes:
        magic: 1, 3 or 4; 0 where the content is not a segment.
        brin: How many pages the part "BRIN" speaks of; None where there is none.
        start: Where the segment begins in the content: after the part "BRIN".
        rows: How many rows it has. This and what follows is None where the content is too short for a header.
        pages: How many pages they stand in.
        page_size: The bytes of a page.
        smallest: The smallest key, unsigned.
        largest: The largest one.
    """

    magic: int
    brin: int | None = None
    start: int = 0
    rows: int | None = None
    pages: int | None = None
    page_size: int | None = None
    smallest: int | None = None
    largest: int | None = None

    @property
    def keys(self) -> str:
        """The range of keys in words; negative keys come after all others."""
        if not self.rows or self.smallest is None or self.largest is None:
            return "no keys"
        return f"keys {signed_key(self.smallest)} to {signed_key(self.largest)}"


def signed_key(key: int) -> int:
    """A key as the column has it: segments keep keys unsigned."""
    return key - (_SIGN << 1) if key >= _SIGN else key


class ContentReader:
    """Takes the content of a segment's file from front to back.

    Args:
        judged: Whether to compare the checksum; otherwise only the head is looked at.

    Attributes:
        content: What it says of itself, as soon as so much has come.
    """

    def __init__(self, judged: bool = True) -> None:
        self._judged = judged
        self.content: SegmentContent | None = None
        self._head = b""
        self._brin: int | None = None
        self._skip = 0
        self._at = 0
        self._length = 0
        self._tail = b""
        self._crc = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        data = memoryview(data)
        while data and self.content is None:
            data = self._take_head(data)
        if data and self.content is not None and self.content.magic:
            self._take_body(data)

    def _take_head(self, data: memoryview) -> memoryview:
        if self._skip:
            part = min(self._skip, len(data))
            self._skip -= part
            self._at += part
            return data[part:]
        wanted = 8 if self._brin is None and not self._is_segment() else _HEADER.size
        part = max(0, wanted - len(self._head))
        self._head += bytes(data[:part])
        data = data[part:]
        if len(self._head) < wanted:
            return data[:0]
        if self._brin is None and self._head.startswith(BRIN_MAGIC):
            (self._brin,) = _U32.unpack_from(self._head, 4)
            self._skip = self._brin * _BRIN_ENTRY
            self._at = len(self._head)
            self._head = b""
        elif len(self._head) == _HEADER.size or not (self._brin is not None or self._is_segment()):
            self._judge_head()
        return data

    def _is_segment(self) -> bool:
        return self._head[:MAGIC_BYTES] in SEGMENT_MAGICS

    def _judge_head(self) -> None:
        """All of a header has come, or all that comes."""
        head, self._head = self._head, b""
        magic = SEGMENT_MAGICS.get(head[:MAGIC_BYTES], 0)
        if not magic:
            if self._brin is not None:
                raise ContentDamaged(
                    f"has a part BRIN, and {head[:MAGIC_BYTES]!r} after it where a segment belongs"
                )
            refuse_near_magic(head[:MAGIC_BYTES])
            self.content = SegmentContent(0)
            return
        numbers = _HEADER.unpack(head)[1:] if len(head) == _HEADER.size else (None,) * 5
        self.content = SegmentContent(magic, self._brin, self._at, *numbers)
        self._take_body(head[MAGIC_BYTES:])

    def _take_body(self, data: bytes | memoryview) -> None:
        if not self._judged:
            return
        self._length += len(data)
        if len(data) < FOOTER_BYTES:
            data = self._tail + bytes(data)
            self._crc = crc32(data[:-FOOTER_BYTES], self._crc)
        else:
            self._crc = crc32(memoryview(data)[:-FOOTER_BYTES], crc32(self._tail, self._crc))
        self._tail = bytes(data[-FOOTER_BYTES:])

    def finish(self) -> SegmentContent:
        """All has come.

        Raises:
            ContentDamaged: It does not fit its checksum, or its head is damaged.
        """
        if self._skip or (self._brin is not None and self.content is None and not self._head):
            raise ContentDamaged(f"ends in its part BRIN of {number_of(self._brin or 0, 'page')}")
        if self.content is None:
            self._judge_head()
        assert self.content is not None
        if self.content.magic and self._judged:
            if self._length < FOOTER_BYTES:
                raise ContentDamaged(
                    f"has {number_of(self._length + MAGIC_BYTES, 'byte')}, too few for a magic and a checksum"
                )
            (stated,) = _U32.unpack(self._tail)
            if stated != self._crc:
                raise ContentDamaged(f"has a body with CRC {self._crc:08x}, its footer states {stated:08x}")
        return self.content


def refuse_near_magic(found: bytes) -> None:
    """Refuse what is nearly a magic: taken as any other content, damage would pass.

    Raises:
        ContentDamaged: It is one byte away from a magic, or is SPG's with a number that is not known.
    """
    for known in (*SEGMENT_MAGICS, ENVELOPE_MAGIC):
        if len(found) == len(known) and sum(a != b for a, b in zip(found, known, strict=True)) == 1:
            raise ContentDamaged(f"begins with {found!r}: a damaged magic, or a version that is not 1, 2, 3 or 4")
