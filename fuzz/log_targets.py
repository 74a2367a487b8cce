"""Targets that read a log: compressed streams, records, files."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from zlib import crc32

from fuzz.promises import Broken, equal, ways_to_cut
from spgrepl.errors import CompressionError, PeerError, RecordError
from spgrepl.log.format.lzss import compress, decompress
from spgrepl.log.format.parser import RecordParser
from spgrepl.log.format.records import Record, decode_record, stated_length
from spgrepl.log.reader import Damage, scan_log

MAX_RECORD = 4096
MAX_EXPANDED = 1 << 16


def lzss(data: bytes) -> None:
    """Expand any bytes; compress any bytes and expand them again."""
    try:
        expanded = decompress(data, MAX_EXPANDED)
    except CompressionError:
        pass
    else:
        equal("length", len(expanded), struct.unpack_from("<I", data)[0])
        equal("compressed again", decompress(compress(expanded), MAX_EXPANDED), expanded)
    equal("compressed and expanded", decompress(compress(data), len(data)), data)


def records(data: bytes) -> None:
    """Parse any bytes as a log, whole, in pieces and byte by byte, against the decoder of single records."""
    log, ways = ways_to_cut(data)
    expected = _records_one_by_one(log)
    for pieces in ways:
        equal("records", _records_pushed(pieces), expected)


def repaired_records(data: bytes) -> None:
    """The same with all checksums put right, so that the bytes behind them are looked at."""
    records(data[:1] + repair_log(data[1:]))


_Outcome = tuple[list[Record], tuple[str, str, int] | None]


def _records_one_by_one(log: bytes) -> _Outcome:
    found: list[Record] = []
    at = 0
    try:
        while (record := decode_record(log, at, at, MAX_RECORD)) is not None:
            found.append(record)
            at += record.length
    except RecordError as error:
        return found, _described(error)
    return found, None


def _records_pushed(pieces: list[bytes]) -> _Outcome:
    parser = RecordParser(0, MAX_RECORD)
    found: list[Record] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (batch := parser.next_batch()) is not None:
                equal("columns", batch.sql, [record.sql for record in batch])
                found += batch
        except RecordError as error:
            return found, _described(error)
    return found, None


def _described(error: RecordError) -> tuple[str, str, int]:
    return type(error).__name__, str(error), error.position


def repair_log(log: bytes) -> bytes:
    """Put right the checksum of every record that can be found from the front."""
    out = bytearray(log)
    at = 0
    while True:
        try:
            length = stated_length(bytes(out[at : at + 9]), 0, at, MAX_RECORD)
        except PeerError:
            break
        if length is None or at + length > len(out):
            break
        if out[at + 3] & 0x80:
            struct.pack_into("<I", out, at + 4, crc32(out[at + 8 : at + length]))
        at += length
    return bytes(out)


def reader(data: bytes) -> None:
    """Scan any bytes as a log file, and compare the report with the records in them."""
    log = repair_log(data[1:]) if data[:1] < b"\x80" else data[1:]
    found, error = _records_one_by_one(log)
    path = _scratch()
    path.write_bytes(log)
    report = scan_log(path, max_record=MAX_RECORD)
    end = found[-1].end if found else 0
    equal("records", report.records, len(found))
    equal("end of the last whole record", report.whole_end, end)
    equal("error", report.error and _described(report.error), error)
    equal("undamaged", report.damage is Damage.NONE, end == len(log))
    if report.next_whole is not None and not end < report.next_whole < len(log):
        raise Broken(f"the log goes on at {report.next_whole}, broken at {end} of {len(log)}")


_folder: tempfile.TemporaryDirectory[str] | None = None


def _scratch() -> Path:
    """A file to write; in memory where there is such a file system."""
    global _folder  # noqa: PLW0603
    if _folder is None:
        memory = Path("/dev/shm")
        _folder = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
    return Path(_folder.name) / "log"
