"""Finding records after a place where a log cannot be read.

A crash in the middle of a write leaves an incomplete or bad record at the end of a log, which may be cut off. A
flipped bit in a length looks the same from where it stands: the record seems to reach beyond the end of the file.
What tells the two apart is what follows, so this searches for the next record that is certainly one: a v2 or v3
record whose CRC-32 is right, or a v1 record, which has none, of plain text that ends where another record begins.

The search takes time in proportion to the bytes it looks at, whatever they are: headers are found by a regular
expression, and the CRC of long candidates is computed for a bounded number of bytes in all.
"""

from __future__ import annotations

import os
import re
import struct
from zlib import crc32

import attrs

from spgrepl.log.format.records import FLAG_V2, FLAG_V3, FLAG_V6, LENGTH_MASK, RecordType

_WINDOW = 1024 * 1024
_PIECE = 1024 * 1024

_SHORT = 64 * 1024
"""Candidates up to this long are always checked: bytes that look like the header of one are rare enough."""

_LONG_BUDGET = 512 * 1024 * 1024
"""How many bytes of longer candidates are checked in all."""

_MAX_HEADER = 9
_TIMED_TYPES = (RecordType.TIMED, RecordType.TRANSACTION)
_HEADER = struct.Struct("<II")
_WORD = struct.Struct("<I")


@attrs.frozen
class SearchResult:
    """What a search for a record found.

    Attributes:
        position: Where the record starts; None where there is none.
        complete: Whether every place was looked at; False where the search gave up on long candidates.
    """

    position: int | None
    complete: bool = True


def is_whole(descriptor: int, position: int, end: int) -> bool:
    """Whether a v2 or v3 record stands at a position, whole and with the right CRC, whatever its type or length.

    Args:
        descriptor: The log, open for reading.
        position: Where the record starts.
        end: How many bytes of the log count.
    """
    header = os.pread(descriptor, _MAX_HEADER, position)
    size = _checked_size(header) if len(header) == _MAX_HEADER else None
    if size is None or position + 8 + size > end:
        return False
    crc: int = _HEADER.unpack_from(header)[1]
    return _crc_at(descriptor, position + 8, size) == crc


def find_record(descriptor: int, start: int, end: int, limit: int) -> SearchResult:
    """Search for the next record that is certainly one.

    Args:
        descriptor: The log, open for reading.
        start: The position to search from.
        end: How many bytes of the log count.
        limit: The most bytes of SQL or payload that a record may have.
    """
    search = _Search(descriptor, end, limit)
    pattern = _header_pattern(limit)
    at = start
    while at + _MAX_HEADER <= end:
        window = os.pread(descriptor, min(_WINDOW + _MAX_HEADER - 1, end - at), at)
        if len(window) < _MAX_HEADER:
            break
        for match in pattern.finditer(window, 3):
            offset = match.start() - 3
            if search.is_record(window[offset : offset + _MAX_HEADER], at + offset):
                return SearchResult(at + offset)
        at += len(window) - _MAX_HEADER + 1
    return SearchResult(None, complete=search.budget > 0)


def _header_pattern(limit: int) -> re.Pattern[bytes]:
    """The fourth byte of a header, with what must follow it: the CRC, then a type or the first byte of SQL."""
    top = min(limit >> 24, LENGTH_MASK >> 24)
    v1, v2, v3 = (b"[\\x%02x-\\x%02x]" % (flag, flag | top) for flag in (0x00, 0x80, 0xC0))
    types = b"[" + b"".join(b"\\x%02x" % kind for kind in RecordType) + b"]"
    return re.compile(
        v3 + b"(?=.{4}" + types + b")|" + v2 + rb"(?=.{4}[\t\n\r -~])|" + v1 + rb"(?=[\t\n\r -~]{5})", re.DOTALL
    )


def _checked_size(header: bytes) -> int | None:
    """How many bytes from offset 8 on the CRC of a record covers; None where there is no CRC to check."""
    word: int = _WORD.unpack_from(header)[0]
    if FLAG_V2 <= word < FLAG_V3:
        return word & ~FLAG_V2
    if FLAG_V3 <= word < FLAG_V6:
        length = word & LENGTH_MASK
        return 17 + length if header[8] in _TIMED_TYPES else 1 + length
    return None


def _crc_at(descriptor: int, position: int, size: int) -> int:
    crc = 0
    while size > 0:
        piece = os.pread(descriptor, min(size, _PIECE), position)
        if not piece:
            return -1
        crc = crc32(piece, crc)
        position += len(piece)
        size -= len(piece)
    return crc


class _Search:
    """Judges candidates, the cheap questions first."""

    def __init__(self, descriptor: int, end: int, limit: int) -> None:
        self._descriptor = descriptor
        self._end = end
        self._limit = limit
        self.budget = _LONG_BUDGET

    def is_record(self, header: bytes, position: int) -> bool:
        word: int
        crc: int
        word, crc = _HEADER.unpack_from(header)
        if word < FLAG_V2:
            return self._is_text(position + 4, word)
        size = _checked_size(header)
        # An empty v2 record is eight bytes that stand in many files; nothing is lost by not stopping at one.
        if not size or size > self._limit + 17 or position + 8 + size > self._end:
            return False
        if size > _SHORT:
            if self.budget <= 0 or not self._may_end_at(position + 8 + size):
                return False
            self.budget -= size
        return _crc_at(self._descriptor, position + 8, size) == crc

    def _is_text(self, position: int, size: int) -> bool:
        """Whether a v1 record is likely: a short text without control characters, and a record after it."""
        if not 5 <= size <= min(self._limit, _SHORT) or not self._may_end_at(position + size):
            return False
        sql = os.pread(self._descriptor, size, position)
        try:
            text = sql.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return all(character >= " " or character in "\t\n\r" for character in text)

    def _may_end_at(self, position: int) -> bool:
        """Whether the file ends here or a plausible header follows."""
        if position >= self._end:
            return position == self._end
        following = os.pread(self._descriptor, 4, position)
        if len(following) < 4 or position + 4 > self._end:
            return True  # the torn start of a last record
        word: int = _WORD.unpack(following)[0]
        length = word & (LENGTH_MASK if word >= FLAG_V3 else ~FLAG_V2)
        return word < FLAG_V6 and length <= self._limit
