"""A file of a cold segment: its rows by page, or one row by its key."""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self
from zlib import crc32

import attrs

from spgrepl.base.small_files import open_regular
from spgrepl.errors import MalformedSpgFile, SpgChecksumMismatch, UnknownSpgVersion
from spgrepl.segments.content import FOOTER_BYTES, SegmentContent, signed_key
from spgrepl.segments.format import SegmentCheck, SegmentSummary
from spgrepl.spg.values.bodies import FORM_FROM
from spgrepl.spg.values.cursor import Cursor
from spgrepl.spg.values.rows import Row, RowDecoder, RowError
from spgrepl.spg.values.types import SpgType
from spgrepl.text.quantities import number_of

HEADER_BYTES = 36

_BLOCK = 1024 * 1024
_PAGE_ENTRY = struct.Struct("<QI")
_BLOOM_MAGIC = 0xB100F11E
_BLOOM_HEAD = struct.Struct("<IQII")
_ROW_HEAD = struct.Struct("<QI")
_PAGE_SIZES = range(256, 65537)
_CODEC_OF_MAGIC = {1: 0, 3: 46, 4: 47}
_CODECS = (100, 47, 46, 0)
_ENVELOPE_BYTES = 13


@attrs.frozen
class StoredRow:
    """A row of a segment.

    Attributes:
        key: Its key, signed.
        payload: Its bytes, a dense row.
    """

    key: int
    payload: bytes


class SegmentFile:
    """An open segment, checked to its last byte. Blocking; close it, or use it in a ``with``.

    A compressed one is expanded into a temporary file without a name.

    Args:
        path: The file.

    Raises:
        SegmentDamaged: Its checksum is wrong.
        SpgFileError: Its content breaks the rules, or is not a segment.
        OSError: It cannot be read, or there is no room to expand it.

    Attributes:
        path: The file.
        summary: What it is.
        content: What is inside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        self._expanded: BinaryIO | None = None
        try:
            self.summary = self._check()
            self.content = self._content()
            self._read_index()
        except BaseException:
            self.close()
            raise
        self._page_number = -1
        self._page: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._expanded is not None:
            self._expanded.close()

    # -- opening ----------------------------------------------------------------------------------------------

    def _check(self) -> SegmentSummary:
        check = SegmentCheck(str(self.path), self._keep)
        while block := self._file.read(_BLOCK):
            check.update(block)
        return check.finish()

    def _keep(self, data: bytes) -> None:
        if self._expanded is None:
            self._expanded = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - closed by `close`
        left = memoryview(data)
        while left:
            left = left[self._expanded.write(left) :]

    def _content(self) -> SegmentContent:
        content = self.summary.content
        if content.rows is None:
            raise UnknownSpgVersion("this is not a cold segment of an SPG server", str(self.path))
        return content

    def _read_index(self) -> None:
        content = self.content
        handle = (self._expanded or self._file).fileno()
        start = content.start
        if self._expanded is None and self.summary.format.value == "v2":
            start += _ENVELOPE_BYTES
        end = os.fstat(handle).st_size - FOOTER_BYTES
        cursor = Cursor(handle, str(self.path), start, end)
        cursor.skip(HEADER_BYTES)
        if content.page_size not in _PAGE_SIZES:
            raise cursor.malformed(f"pages of {content.page_size} bytes")
        self._check_bloom(cursor)
        length, pages = cursor.u32(), cursor.u32()
        if length != 4 + _PAGE_ENTRY.size * pages or pages != content.pages:
            raise cursor.malformed(
                f"an index of {number_of(length, 'byte')} for {number_of(pages, 'page')}, the header "
                f"states {content.pages}"
            )
        cursor.checked(pages, _PAGE_ENTRY.size)
        self._first_keys, self._offsets = array("Q"), array("Q")
        for _ in range(pages):
            key, offset = _PAGE_ENTRY.unpack(cursor.take(_PAGE_ENTRY.size))
            if self._offsets and (offset <= self._offsets[-1] or key <= self._first_keys[-1]):
                raise cursor.malformed("pages that are not in rising order")
            self._first_keys.append(key)
            self._offsets.append(offset)
        self._area, self._end = cursor.offset, end
        self._cursor = cursor
        if self._offsets and self._offsets[0] != 0:
            raise cursor.malformed(f"a first page at {self._offsets[0]}")

    @staticmethod
    def _check_bloom(cursor: Cursor) -> None:
        length = cursor.checked(cursor.u32(), 1)
        if not length:
            return
        offset = cursor.offset
        bloom = cursor.take(length)
        if length < _BLOOM_HEAD.size:
            raise cursor.malformed(f"a bloom filter of {number_of(length, 'byte')}")
        magic, bits, hashes, stated = _BLOOM_HEAD.unpack_from(bloom)
        if magic != _BLOOM_MAGIC or bits % 64 or not 1 <= hashes <= 32 or length != _BLOOM_HEAD.size + bits // 8:
            raise cursor.malformed(f"a bloom filter that begins with {bloom[: _BLOOM_HEAD.size].hex()}")
        found = crc32(bloom[_BLOOM_HEAD.size :], crc32(bloom[4:16]))
        if found != stated:
            raise SpgChecksumMismatch(
                f"the bloom filter has CRC-32 {found:08x}, {stated:08x} is stated", cursor.name, offset
            )

    # -- rows -------------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[StoredRow]:
        """All rows, alive or not, in the order of their keys (negative ones last).

        Raises:
            SpgFileError: A page breaks the rules.
        """
        count, before = 0, -1
        for number in range(len(self._offsets)):
            for key, payload in self._read_page(number).items():
                if key <= before:
                    raise self._cursor.malformed(f"the key {key} follows {before}")
                before = key
                count += 1
                yield StoredRow(signed_key(key), payload)
        if count != self.content.rows:
            raise self._cursor.malformed(f"{number_of(count, 'row')}, the header states {self.content.rows}")

    def find(self, key: int) -> bytes | None:
        """The payload of the row with a key.

        Args:
            key: The key, signed.

        Returns:
            The payload; None where there is no such row.

        Raises:
            SpgFileError: A page breaks the rules.
        """
        wanted = key % (1 << 64)
        number = bisect_right(self._first_keys, wanted) - 1
        if number < 0:
            return None
        if number != self._page_number:
            self._page, self._page_number = self._read_page(number), number
        return self._page.get(wanted)

    def _read_page(self, number: int) -> dict[int, bytes]:
        """The rows of a page, by their unsigned keys."""
        start = self._area + self._offsets[number]
        last = number + 1 == len(self._offsets)
        end = self._end if last else self._area + self._offsets[number + 1]
        cursor = self._cursor.another(start, max(start, min(end, self._end)))
        size = cursor.left
        count = cursor.checked(cursor.u32(), 4)
        places = struct.unpack(f"<{count}I", cursor.take(4 * count))
        cursor = cursor.another(start, start + size)
        page = cursor.take(size)
        found: dict[int, bytes] = {}
        for place in places:
            if place + _ROW_HEAD.size > size:
                raise cursor.malformed(f"a row at {place} in the page at {start} of {number_of(size, 'byte')}")
            key, length = _ROW_HEAD.unpack_from(page, place)
            end = place + _ROW_HEAD.size + length
            if end > size or key in found:
                raise cursor.malformed(
                    f"a row at {place} in the page at {start}, of {number_of(length, 'byte')}, with key {key}"
                )
            found[key] = page[end - length : end]
        self._check_keys(cursor, number, found)
        return found

    def _check_keys(self, cursor: Cursor, number: int, page: dict[int, bytes]) -> None:
        """Look whether a page holds what the index says: keys are looked up by that."""
        following = number + 1
        least = self._first_keys[number]
        bound = self._first_keys[following] if following < len(self._first_keys) else 1 << 64
        if not page or min(page) != least or max(page) >= bound:
            raise cursor.malformed(f"page {number} does not hold the keys from {least} on that the index states")


class PayloadDecoder:
    """Makes rows of the payloads of segments.

    No file says by which version a payload was written. Its length is known, so those that fit exactly are tried.

    Args:
        types: The types of the table's columns.
        file_version: The FILE_VERSION of the catalog that the table is in.
    """

    def __init__(self, types: Sequence[SpgType], file_version: int) -> None:
        self._decoders = {
            codec: RowDecoder(types, codec) for codec in _CODECS if codec < FORM_FROM or file_version >= FORM_FROM
        }

    def decode(self, payload: bytes, magic: int) -> Row | None:
        """Make a row.

        Args:
            payload: Its bytes.
            magic: The segment's: 1, 3 or 4.

        Returns:
            The row; None where no version fits: the segment was written when the table had other columns.
        """
        first = _CODEC_OF_MAGIC[magic]
        for codec in dict.fromkeys((first, *self._decoders)):
            row = self._fitting(self._decoders[codec], payload)
            if row is not None:
                return row
        return None

    def row_of(self, file: SegmentFile, key: int, table: str) -> Row:
        """The row with a key in a segment, where the snapshot says that it is alive there.

        Args:
            file: The segment.
            key: The key, signed.
            table: The table's name, for errors.

        Raises:
            MalformedSpgFile: There is none, or it does not fit the table's columns.
        """
        payload = file.find(key)
        if payload is None:
            raise MalformedSpgFile(
                f"the snapshot says that the row with key {key} of {table} lives in this segment, which has no "
                f"such row: it belongs to another snapshot; get it from the same server",
                str(file.path),
            )
        row = self.decode(payload, file.content.magic)
        if row is None:
            raise MalformedSpgFile(
                f"the row with key {key} of {table} does not fit the table's columns: it was frozen before "
                f"columns were added or dropped; write such rows again at the SPG server (an UPDATE brings them "
                f"back) and take a new snapshot",
                str(file.path),
            )
        return row

    @staticmethod
    def _fitting(decoder: RowDecoder, payload: bytes) -> Row | None:
        try:
            rows, at, _ = decoder.read(payload, 0, 1)
        except RowError:
            return None
        return rows[0] if rows and at == len(payload) else None
