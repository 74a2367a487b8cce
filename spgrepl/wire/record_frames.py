"""The SUB stream (PROTOCOL section 3): frames of one whole record each, SKIP and STATUS between them.

Like `spgrepl.log.format.parser`, this is a path that every byte takes: frame and record of the common form are
read at once, and what comes out is columns, not a value for each record.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import MutableSequence
from operator import itemgetter
from typing import cast
from zlib import crc32

import attrs

from spgrepl.compiled.core import CORE, Core
from spgrepl.errors import FrameTooLong, MalformedFrame, PeerError, RecordError
from spgrepl.log.format.records import (
    DEFAULT_MAX_RECORD,
    FLAG_V2,
    FLAG_V3,
    AtOnce,
    RecordType,
    decode_record,
    is_compressed,
    stated_length,
)
from spgrepl.text.quantities import number_of
from spgrepl.wire.frames import (
    DEFAULT_MAX_FRAME,
    HEADER_SIZE,
    FrameType,
    MasterWords,
    Status,
    is_word,
)
from spgrepl.wire.long_record import LongRecord
from spgrepl.wire.unknown_types import UnknownTypes

_HEADER = struct.Struct("<BI")
_STATUS = struct.Struct("<QQ")
_SKIP = struct.Struct("<Q")
# Frame type and length, the record's first word, CRC and type, all read at once. The word is read in two halves:
# that of the format, which holds no part of the length of a record of up to 64 KiB, and that of the length.
_COMMON = struct.Struct("<BIHHIB")
_LONGEST_COMMON = 0xFFFF
_V2_FORM, _V3_FORM = FLAG_V2 >> 16, FLAG_V3 >> 16

_SQL = int(RecordType.SQL)
_SQL_CRC = crc32(bytes((_SQL,)))
_SINGLE = frozenset({RecordType.SQL, RecordType.COMPRESSED, RecordType.TIMED})
_V3_HEADER = 9
_V2_HEADER = 8
_LONGEST_FIXED = 16

MAX_POSITION = 2**63 - 1
"""Positions are stored as signed 64-bit numbers."""


@attrs.define
class RecordFrames:
    """What some bytes of a SUB stream hold.

    Attributes:
        data: The bytes: whole frames.
        position: The position in the master's log in front of them.
        end: The position after them.
        ends: For each record the offset in `data` just after it.
        sql: For each record its statement as UTF-8, expanded where it was compressed; empty where there is none.
        types: The type of each record that is not a single statement, by index.
        settled: How many of the records stand in front of the last STATUS, and the position there.
        status: The last STATUS.
        words: What the master has said of its log, on this connection.
        runs: Where frames of records stand back to back: the index of the first, its offset, its position.
    """

    data: bytes
    position: int
    end: int
    ends: MutableSequence[int] = attrs.Factory(list)
    sql: MutableSequence[bytes] = attrs.Factory(list)
    types: dict[int, RecordType] = attrs.Factory(dict)
    settled: tuple[int, int] | None = None
    status: Status | None = None
    words: MasterWords = attrs.field(factory=MasterWords)
    runs: list[tuple[int, int, int]] = attrs.Factory(list)

    def __len__(self) -> int:
        return len(self.ends)

    def start_of(self, index: int) -> int:
        """The position in the master's log where the record of an index starts."""
        first, offset, position = self.runs[bisect_right(self.runs, index, key=itemgetter(0)) - 1]
        before = offset if index == first else self.ends[index - 1]
        return position + before - offset - HEADER_SIZE * (index - first)

    def end_of(self, index: int) -> int:
        """The position in the master's log after the record of an index."""
        return self.start_of(index) + len(self.record(index))

    def first_row(self, first: int, stop: int) -> int:
        """The index of the first record of some that stands for a row; `stop` where none does."""
        if self.words.rows is None or first == stop:
            return stop
        begin = self.words.rows.position
        if self.start_of(first) >= begin:
            return first
        return first + bisect_left(range(first, stop), begin, key=self.start_of)

    def record(self, index: int) -> bytes:
        """All bytes of the record of an index, its header included."""
        first, offset, _ = self.runs[bisect_right(self.runs, index, key=itemgetter(0)) - 1]
        before = offset if index == first else self.ends[index - 1]
        return self.data[before + HEADER_SIZE : self.ends[index]]

    def begin_run(self, offset: int, position: int) -> None:
        """Note where frames of records begin after something else."""
        self.runs.append((len(self.ends), offset, position))


class RecordFrameParser:
    """A push parser for the SUB stream after the reply.

    Args:
        position: The effective start.
        max_frame: The longest payload that a frame's header may state, in bytes.
        max_record: The most bytes of SQL or payload that a record may have.
        unknown: Says which unknown frames are sent on purpose; any other one is a fault. None where all of them
            are skipped.
        core: The compiled core; None runs the reference.

    Attributes:
        at_once: How much is read in a call of `feed`: a record that is longer is read elsewhere, see `long`. None
            where that does not matter; for whoever made the parser to say.
        long: The record that comes next, where it is a long one: nothing more is returned before it was called.
        unread: Whether there is more in what was fed, than is read at once: feed no bytes, and it goes on.
        passed_over: How many frames of unknown types were skipped.
    """

    def __init__(
        self,
        position: int,
        max_frame: int = DEFAULT_MAX_FRAME,
        max_record: int = DEFAULT_MAX_RECORD,
        unknown: UnknownTypes | None = None,
        core: Core | None = CORE,
    ) -> None:
        self._core = core
        self._elsewhere: tuple[array[int], dict[int, bytes]] = array("q"), {}
        self.at_once: AtOnce | None = None
        self._compressed_left = 0
        self.long: LongRecord | None = None
        self.unread = False
        self._position = position
        self._max_frame = max_frame
        self._max_record = max_record
        self._unknown = unknown
        self._first = b""
        self._more = bytearray()
        self._needed = 1
        self._to_pass = 0
        self._error: PeerError | None = None
        self._words = MasterWords()
        self.passed_over = 0

    @property
    def position(self) -> int:
        """The position after everything that was returned."""
        return self._position

    def feed(self, data: bytes) -> RecordFrames | None:
        """Take bytes as they come.

        Returns:
            What the whole frames among them hold; None where there is none yet.

        Raises:
            FrameTooLong: A header states more than the limit. It is judged before the payload is waited for.
            MalformedFrame: A frame does not hold exactly one whole record, or a SKIP is not 8 bytes long.
            PeerError: A frame of an unknown type, which may be a record or a SKIP whose type was damaged.
            RecordError: A record is broken.
            What stands in front of a fault is returned first; the fault is raised at the next call, and at every
            one after it.
        """
        self._check()
        self.unread = False
        if self._to_pass:
            passed = min(self._to_pass, len(data))
            self._to_pass -= passed
            data = data[passed:]
        if self._first:
            self._more += data
        else:
            self._first = data
        waits = len(self._first) + len(self._more) < self._needed if self.long is None else not self.long.read
        if waits:
            return None
        whole = self._first + self._more if self._more else self._first
        found, rest = self._cut(whole)
        self._position = found.end
        self._first, self._more = whole[rest:], bytearray()
        self._needed = 0 if self.unread else self._wanted()
        if not (found.ends or found.end > found.position or found.status is not None):
            self._check()
        return found

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _wanted(self) -> int:
        """How many bytes must be there before another look is worth it."""
        if len(self._first) < HEADER_SIZE:
            return HEADER_SIZE
        _, length = _HEADER.unpack_from(self._first)
        # Until the record's own header is whole, each byte may be the one that breaks it.
        return HEADER_SIZE + int(length) if len(self._first) >= HEADER_SIZE + _V3_HEADER else len(self._first) + 1

    def _cut(self, data: bytes) -> tuple[RecordFrames, int]:
        found = RecordFrames(data, self._position, self._position, words=self._words)
        if self._core is not None:
            found.ends = array("q")
            self._elsewhere = array("q"), {}
        at, size = 0, len(data)
        found.begin_run(0, self._position)
        self._compressed_left = 0 if self.at_once is None else self.at_once.compressed
        rare = -1 if self.at_once is None else self.at_once.rare
        try:
            while rare:
                rare -= 1
                before, count = at, len(found.ends)
                at = self._cut_common(data, at, found)
                # The headers of the frames are not part of the log.
                found.end += at - before - HEADER_SIZE * (len(found.ends) - count)
                count = len(found.ends)
                after = self._cut_other(data, at, size, found)
                if after < 0:
                    break
                at = after
                if len(found.ends) == count:
                    found.begin_run(at, found.end)
            else:
                self.unread = True
        except PeerError as error:
            self._error = error
        if self._core is not None:
            begins, others = self._elsewhere
            texts = self._core.Statements(data, found.ends, others, begins)
            found.sql = cast("MutableSequence[bytes]", texts)
        return found, min(at, size)

    def _cut_common(self, data: bytes, at: int, found: RecordFrames) -> int:
        """Take frames of records in the common forms; returns the offset of the first that is not."""
        most = self._max_frame if self.at_once is None else min(self._max_frame, self.at_once.record)
        if self._core is not None:
            ends = cast("array[int]", found.ends)
            return self._core.cut_frames(data, at, self._max_record, most, ends, *self._elsewhere)
        add_end, add_sql, unpack, crc = found.ends.append, found.sql.append, _COMMON.unpack_from, crc32
        longest = min(self._max_record, _LONGEST_COMMON, most - _V3_HEADER)
        size = len(data)
        try:
            while True:
                frame, length, stated, form, checksum, kind = unpack(data, at)
                if form == _V3_FORM and kind == _SQL and length == stated + _V3_HEADER:
                    begin = at + 14
                    end = begin + stated
                    sql = data[begin:end]
                    computed = crc(sql, _SQL_CRC)
                elif form == _V2_FORM and length == stated + _V2_HEADER:
                    end = at + 13 + stated
                    sql = data[at + 13 : end]
                    computed = crc(sql)
                else:
                    break
                if computed != checksum or stated > longest or end > size or frame:
                    break
                add_sql(sql)
                add_end(end)
                at = end
        except struct.error:
            # So little is left that it cannot be read this way.
            pass
        return at

    def _cut_other(self, data: bytes, at: int, size: int, found: RecordFrames) -> int:
        """Take one frame of any kind; returns the offset after it, or -1 where it is incomplete."""
        if size - at < HEADER_SIZE:
            return -1
        kind: int
        length: int
        kind, length = _HEADER.unpack_from(data, at)
        if length > self._max_frame:
            raise FrameTooLong(
                f"after position {found.end}: a frame of type 0x{kind:02x} states "
                f"{number_of(length, 'byte')}, the limit is {self._max_frame} (raise it with --max-frame)"
            )
        start, end = at + HEADER_SIZE, at + HEADER_SIZE + length
        if kind == FrameType.WAL:
            return self._cut_record(data, start, min(end, size), length, found)
        if kind == FrameType.SKIP and length != _SKIP.size:
            raise MalformedFrame(
                f"after position {found.end}: a SKIP frame has {number_of(length, 'byte')}, expected "
                f"{_SKIP.size}: the position that follows cannot be known"
            )
        if kind == FrameType.SKIP or (kind == FrameType.STATUS and length == _STATUS.size):
            if end > size:
                return -1
            if kind == FrameType.SKIP:
                (count,) = _SKIP.unpack_from(data, start)
                if found.end + count > MAX_POSITION:
                    raise MalformedFrame(
                        f"after position {found.end}: a SKIP frame counts "
                        f"{number_of(count, 'byte')}, beyond any position"
                    )
                found.end += count
            else:
                found.status = Status(*_STATUS.unpack_from(data, start))
                found.settled = (len(found.ends), found.end)
            return end
        if is_word(kind, length):
            if end > size:
                return -1
            found.words = self._words = self._words.after(kind, data, start, length)
            return end
        if self._unknown is not None and not self._unknown.on_purpose(kind, length):
            # What comes after it would be counted from a wrong position.
            raise PeerError(
                f"a frame of the unknown type 0x{kind:02x} with {number_of(length, 'byte')} came "
                f"after position {found.end}: "
                f"it may be a record whose frame was damaged. The log is asked for again from there"
            )
        # Skipped without being kept: that is how the protocol grows.
        self.passed_over += 1
        self._to_pass = max(0, end - size)
        return end

    def _cut_record(self, data: bytes, start: int, stop: int, length: int, found: RecordFrames) -> int:
        """Take a frame that holds a record of any form."""
        payload = data[start : min(stop, start + _LONGEST_FIXED)] if stop - start < length else data[start:stop]
        stated = stated_length(payload, 0, found.end, self._max_record)
        if (stated is not None and stated != length) or (stated is None and length == stop - start):
            raise MalformedFrame(
                f"at position {found.end}: a WAL frame of {number_of(length, 'byte')}, and the record in it has "
                f"{'more' if stated is None else stated}: a frame of a SUB stream holds one whole record"
            )
        if stop - start < length:
            return -1
        if self.long is not None:
            long, self.long = self.long, None
            record = long.result()
        elif self._takes_long(payload):
            self.long = LongRecord(payload, found.end, self._max_record)
            return -1
        else:
            record = decode_record(payload, 0, found.end, self._max_record)
        if record is None:
            raise RecordError("a record that is not whole", found.end)
        if record.type not in _SINGLE:
            found.types[len(found.ends)] = record.type
        sql = record.sql if record.sql is not None else b""
        if self._core is None:
            found.sql.append(sql)
        else:
            begins, others = self._elsewhere
            others[len(found.ends)] = sql
            begins.append(-1)
        found.ends.append(stop)
        found.end += record.length
        return stop

    def _takes_long(self, record: bytes) -> bool:
        """Whether a record is not read at once."""
        if self.at_once is None:
            return False
        if is_compressed(record, 0):
            self._compressed_left -= len(record)
        return len(record) > self.at_once.record or self._compressed_left < 0
