"""Targets that read what SPG servers store: snapshots, segments, rows."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from fuzz.promises import Broken, equal, ways_to_cut
from spgrepl.errors import CompressionError, SegmentDamaged, SpgFileError
from spgrepl.log.format.lzss import decompress
from spgrepl.log.format.lzss_stream import LzssExpander
from spgrepl.segments.format import SegmentCheck
from spgrepl.spg.envelope import read_publications
from spgrepl.spg.segment import SegmentFile
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.values.crc32c import crc32c
from spgrepl.spg.values.rows import RowDecoder, RowError
from spgrepl.spg.values.types import TYPE_TAGS, SpgType

_CRC_FROM = 54
_TAGS = sorted(TYPE_TAGS)
_RANGES = (29, 49)
_MOST_COLUMNS = 12
_MOST_ROWS = 50
_MOST_EXPANDED = 1 << 16


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """A file that exists in memory alone."""
    handle = os.memfd_create("fuzz")
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def envelope(data: bytes) -> None:
    """Read any bytes as the publications of an SPG snapshot."""
    body = b"SPGENV01\x03" + bytes(8) + struct.pack("<I", len(data)) + data
    with _file(body + struct.pack("<I", crc32(body))) as path:
        try:
            found = read_publications(path)
        except SpgFileError:
            return
    equal("names", len({one.name for one in found}), len(found))


def snapshot(data: bytes) -> None:
    """Read any bytes as a snapshot, as they are and with the checksum put right, with all rows and keys."""
    for content in (data, _sealed(data)):
        with _file(content) as path:
            try:
                with Snapshot(path) as found:
                    _walk(found)
            except SpgFileError as error:
                if str(path) not in str(error):
                    raise Broken(f"an error that names no file: {error}") from error


def _walk(found: Snapshot) -> None:
    for table in found.catalogue.tables:
        count = 0
        for row in found.rows(table):
            equal("columns", len(row), len(table.columns))
            count += 1
        equal("rows", count, table.hot)
        equal("cold rows", sum(1 for _ in found.cold_keys(table)), sum(table.cold.values()))


def _sealed(data: bytes) -> bytes:
    """A bare catalog with its checksum put right."""
    if len(data) > 12 and data.startswith(b"SPGDB001") and data[8] >= _CRC_FROM:
        return data[:-4] + struct.pack("<I", crc32c(data[:-4]))
    return data


def segment(data: bytes) -> None:
    """Read any bytes as a segment, in every cut, as they are and with the checksum put right."""
    content, ways = ways_to_cut(data)
    results = [_judged(pieces) for pieces in ways]
    for other in results[1:]:
        equal("judged", other, results[0])
    sealed = content[:-4] + struct.pack("<I", crc32(content[8:-4])) if len(content) > 12 else content
    for one in (content, sealed):
        with _file(one) as path:
            try:
                with SegmentFile(path) as found:
                    for row in found.rows():
                        equal("found again", found.find(row.key), row.payload)
            except (SegmentDamaged, SpgFileError):
                pass


def _judged(pieces: list[bytes]) -> object:
    check = SegmentCheck("segment")
    for piece in pieces:
        check.update(piece)
    try:
        return check.finish()
    except SegmentDamaged as error:
        return str(error)


def payload(data: bytes) -> None:
    """Read any bytes as rows of any types; skipping them comes to the same place."""
    columns = data[0] % _MOST_COLUMNS + 1 if data else 1
    tags = [_TAGS[byte % len(_TAGS)] for byte in data[1 : columns + 1]]
    version = data[columns + 1] % 101 if len(data) > columns + 1 else 0
    if not tags:
        return
    types = [SpgType(tag, (columns % 6,) if tag in _RANGES else ()) for tag in tags]
    decoder, rest = RowDecoder(types, version), data[columns + 2 :]
    try:
        rows, at, needed = decoder.read(rest, 0, _MOST_ROWS)
    except RowError:
        return
    equal("whole", needed == 0, len(rows) == _MOST_ROWS)
    if needed and needed <= len(rest):
        raise Broken(f"{needed} bytes are asked for, {len(rest)} are there")
    equal("skipped", decoder.skip(rest, 0, len(rows)), (len(rows), at, 0))


def lzss_stream(data: bytes) -> None:
    """Expand any bytes in every cut, against the decoder of whole streams."""
    stream, ways = ways_to_cut(data)
    if len(stream) < 4:
        return
    (length,) = struct.unpack_from("<I", stream)
    try:
        expected: bytes | None = decompress(stream, _MOST_EXPANDED)
    except CompressionError:
        expected = None
    for pieces in ways:
        expander = LzssExpander(length)
        try:
            found = b"".join([*map(expander.feed, pieces), expander.finish()])
        except CompressionError as error:
            if expected is not None and "followed by" not in str(error):
                raise Broken(f"refused: {error}") from error
            continue
        equal("expanded", found, expected if length <= _MOST_EXPANDED else found)
