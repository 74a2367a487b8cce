"""What is fuzzed: one function a target, which takes any bytes and returns, or raises where a promise is broken.

The promise is the same everywhere: any bytes whatever, cut anywhere, are read the same way or raise a `PeerError`.
Where there is a second way to the same result it is taken too, and both must agree. Nothing here needs atheris, so
the tests run the seeds through these functions as well.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from spgrepl.errors import CompressionError, FrameTooLong, HandshakeError, ManifestError, PeerError, RecordError
from spgrepl.manifest import decode_manifest, encode_manifest
from spgrepl.sqltext import split_statements, tokenize
from spgrepl.wal.lzss import compress, decompress
from spgrepl.wal.parser import RecordBatch, RecordParser
from spgrepl.wal.reader import Damage, scan_log
from spgrepl.wal.records import (
    Record,
    RecordType,
    decode_record,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_timed,
    encode_v1,
    encode_v2,
    stated_length,
)
from spgrepl.wal.transactions import may_hide_transaction, statement_kind
from spgrepl.wal.units import MixedTransaction, Section, UnitCutter
from spgrepl.wire.frames import FrameParser, Status, WalBytes
from spgrepl.wire.handshake import HelloParser, ReplyEvent, ReplyParser, SnapshotData

Target = Callable[[bytes], None]

MAX_RECORD = 4096
MAX_FRAME = 1024
MAX_EXPANDED = 1 << 16


class Broken(AssertionError):
    """A promise that the code under test did not keep."""


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Broken(f"{what}: {found!r} against {expected!r}")


def _pieces(data: bytes) -> tuple[bytes, list[list[bytes]]]:
    """Take the size of pieces from the first byte; return the rest whole, and cut in several ways."""
    size, rest = (data[0] % 32 + 1, data[1:]) if data else (1, b"")
    return rest, [[rest], _cut(rest, size), _cut(rest, 1)]


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# -- the log --------------------------------------------------------------------------------------------------


def lzss(data: bytes) -> None:
    """Expand any bytes; compress any bytes and expand them again."""
    try:
        expanded = decompress(data, MAX_EXPANDED)
    except CompressionError:
        pass
    else:
        _equal("length", len(expanded), struct.unpack_from("<I", data)[0])
        _equal("compressed again", decompress(compress(expanded), MAX_EXPANDED), expanded)
    _equal("compressed and expanded", decompress(compress(data), len(data)), data)


def records(data: bytes) -> None:
    """Parse any bytes as a log, whole, in pieces and byte by byte, against the decoder of single records."""
    log, ways = _pieces(data)
    expected = _records_one_by_one(log)
    for pieces in ways:
        _equal("records", _records_pushed(pieces), expected)


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
                _equal("columns", batch.sql, [record.sql for record in batch])
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
    _equal("records", report.records, len(found))
    _equal("end of the last whole record", report.whole_end, end)
    _equal("error", report.error and _described(report.error), error)
    _equal("undamaged", report.damage is Damage.NONE, end == len(log))
    if report.next_whole is not None and not end < report.next_whole < len(log):
        raise Broken(f"the log goes on at {report.next_whole}, broken at {end} of {len(log)}")


_INSERT = b"INSERT INTO t VALUES (1)"
_WORDS = (
    encode_statement(_INSERT),
    encode_v2(_INSERT),
    encode_v2(b"BEGIN"),
    encode_v2(b"COMMIT"),
    encode_v2(b"ROLLBACK"),
    encode_v1(b"-- as a comment says\n begin;"),
    encode_v2(b"SAVEPOINT a"),
    encode_v2(b"ROLLBACK TO a"),
    encode_v2(b"RELEASE a"),
    encode_statement(b"CREATE PUBLICATION p"),
    encode_statement(b"BEGIN; DELETE FROM t"),
    encode_statement(b"DELETE FROM t; COMMIT"),
    encode_statement(b"DELETE FROM t; ROLLBACK"),
    encode_statement(b"BEGIN; DELETE FROM t; COMMIT"),
    encode_statement(b"UPDATE t SET a = '; the end'"),
    encode_statement(b"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; SELECT 1; END"),
    encode_mysql(_INSERT),
    encode_timed(RecordType.TRANSACTION, 1, None, b"DELETE FROM t;\nDELETE FROM t"),
    encode_checkpoint(0),
)


def units(data: bytes) -> None:
    """Cut any sequence of records into units, in batches of every size: the same rows must be committed."""
    size, words = (data[0] % 8 + 1, data[1:65]) if data else (1, b"")
    log = [_WORDS[word % len(_WORDS)] for word in words]
    first, *others = [committed(log, step) for step in (len(log) + 1, size, 1)]
    for other in others:
        _equal("committed", other, first)


def committed(log: list[bytes], size: int) -> tuple[list[bytes], int | None]:
    """What an engine holds after a log in batches of some records, and the record at which replay stops."""
    copy, cutter = _Copy(), UnitCutter()
    for first in range(0, len(log), size):
        records = log[first : first + size]
        try:
            copy.take(cutter.cut(_batch(records), len(records)), first)
        except MixedTransaction as mixed:
            # As replay does: it reads the log again from where it stands, up to the record that it refuses.
            refused, again = first + mixed.index, UnitCutter()
            records = log[copy.position : refused]
            if records:
                copy.pending.clear()
                copy.take(again.cut(_batch(records), len(records)), copy.position)
            return copy.committed, refused
        if cutter.open != (copy.position < first + len(records)):
            raise Broken(f"open: {cutter.open}, at {copy.position} of {first + len(records)}")
    return copy.committed, None


def _batch(log: list[bytes]) -> RecordBatch:
    parser = RecordParser()
    parser.feed(b"".join(log))
    batch = parser.next_batch()
    assert batch is not None
    return batch


class _Copy:
    """An engine that holds statements instead of rows."""

    def __init__(self) -> None:
        self.committed: list[bytes] = []
        self.pending: list[bytes] = []
        self.position = 0

    def take(self, sections: list[Section], first: int) -> None:
        done = 0
        for section in sections:
            if section.stop <= done:
                raise Broken(f"a section ends at {section.stop}, behind one that ends at {done}")
            done = section.stop
            if section.rolled_back:
                self.pending = []
            work, taken = section.work, 0
            for control in work.controls:
                self.pending += [*work.statements[taken : control.before], control.sql]
                taken = control.before
            self.pending += work.statements[taken:]
            if section.complete:
                self.committed += self.pending
                self.pending, self.position = [], first + done


_folder: tempfile.TemporaryDirectory[str] | None = None


def _scratch() -> Path:
    """A file to write; in memory where there is such a file system."""
    global _folder  # noqa: PLW0603
    if _folder is None:
        memory = Path("/dev/shm")
        _folder = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
    return Path(_folder.name) / "log"


# -- the wire -------------------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """Parse any bytes as V2 frames, in every cut."""
    stream, ways = _pieces(data)
    expected = _frames(_cut(stream, 1))
    for pieces in ways:
        found = _frames(pieces)
        if found[3]:
            # What stands in the same piece as the bad header is not returned: the connection ends there.
            _equal("error", found[3], expected[3])
            _equal("log bytes", expected[0][: len(found[0])], found[0])
        else:
            _equal("frames", found, expected)


def _frames(pieces: list[bytes]) -> tuple[bytes, list[Status], int, bool]:
    parser = FrameParser(MAX_FRAME)
    log, statuses = b"", []
    for piece in pieces:
        try:
            events = parser.feed(piece)
        except FrameTooLong:
            return log, statuses, parser.passed_over, True
        for event in events:
            if isinstance(event, WalBytes):
                log += event.data
            else:
                statuses.append(event)
    return log, statuses, parser.passed_over, False


def hello(data: bytes) -> None:
    """Parse any bytes as the first ones of a connecting side, in every cut."""
    _, ways = _pieces(data)
    first, *others = [_hello(pieces) for pieces in ways]
    for other in others:
        _equal("hello", other, first)


def _hello(pieces: list[bytes]) -> object:
    parser = HelloParser()
    for number, piece in enumerate(pieces):
        try:
            found = parser.feed(piece)
        except HandshakeError:
            return "refused"
        if found is not None:
            said, rest = found
            behind = rest + b"".join(pieces[number + 1 :])
            _equal("encoded again", said.encode() + behind, b"".join(pieces))
            return said, behind
    return None


def reply(data: bytes) -> None:
    """Parse any bytes as a master's reply, in every cut, to a start of 0 and to one above."""
    _, ways = _pieces(data)
    for start in (0, 7):
        first, *others = [_reply(start, pieces) for pieces in ways]
        for other in others:
            _equal("reply", other, first)


def _reply(start: int, pieces: list[bytes]) -> object:
    parser = ReplyParser(start)
    events: list[ReplyEvent] = []
    snapshot, behind = b"", b""
    for piece in pieces:
        try:
            found, rest = parser.feed(piece)
        except HandshakeError:
            return "refused"
        for event in found:
            if isinstance(event, SnapshotData):
                snapshot += event.data
            else:
                events.append(event)
        behind += rest
    return events, snapshot, behind, parser.complete


# -- files and text -------------------------------------------------------------------------------------------


def manifest(data: bytes) -> None:
    """Decode any bytes as a manifest, as they are and with the checksum put right."""
    for content in (data, data[:-4] + struct.pack("<I", crc32(data[:-4]))):
        try:
            found = decode_manifest(content)
        except ManifestError:
            continue
        _equal("encoded again", encode_manifest(found), content)


def sqltext(data: bytes) -> None:
    """Cut any text into tokens and statements, and ask SQLite whether these are whole."""
    text = data.decode("utf-8", "replace")
    _equal("tokens", "".join(token.text for token in tokenize(text)), text)
    statements = split_statements(text)
    for statement in statements:
        _equal("split again", split_statements(statement), [statement])
    if "\0" not in text:
        for statement in statements[:-1]:
            if not sqlite3.complete_statement(statement + ";"):
                raise Broken(f"not a whole statement: {statement!r}")


def transactions(data: bytes) -> None:
    """Ask of any bytes what they mean to a transaction."""
    statement_kind(data)
    may_hide_transaction(data)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        lzss,
        records,
        repaired_records,
        reader,
        units,
        frames,
        hello,
        reply,
        manifest,
        sqltext,
        transactions,
    )
}
"""All targets by name."""
