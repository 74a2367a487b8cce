"""Frames of the V2 stream (PROTOCOL section 3): ``u8 type · u32 payload length · payload``."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence

import attrs

from spgrepl.base.histories import History
from spgrepl.errors import FrameTooLong, MalformedFrame
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.text.quantities import number_of
from spgrepl.wire.segment_chunks import (
    CHUNK_HEADER_SIZE,
    ChunkHeader,
    check_payload_length,
    decode_chunk_header,
    encode_chunk_header,
)

_AROUND_SQL = 64
"""More bytes than any record has beside its SQL."""

DEFAULT_MAX_FRAME = DEFAULT_MAX_RECORD + _AROUND_SQL
"""The longest payload that is accepted, in bytes, unless configured otherwise: the longest record fits into it."""

HEADER_SIZE = 5

_HEADER = struct.Struct("<BI")
_STATUS = struct.Struct("<QQ")
_SKIP = struct.Struct("<Q")
_ROWS = struct.Struct("<QQ")
_HISTORY = struct.Struct("<16sqq")
_NAME = struct.Struct("<H")

MOST_HISTORIES = 64
"""So many histories a master tells of at most, the present one first."""

MOST_UNKNOWN = 64 * 1024
"""The names of publications that are unknown take no more bytes than the hello that they came in."""


class FrameType(enum.IntEnum):
    """The frame types that are known."""

    WAL = 0x00
    STATUS = 0x01
    SKIP = 0x02
    SEGMENT_FILE_CHUNK = 0x03
    ROWS = 0x52
    """On SUB, of masters of this package: from where on the log holds rows. Others pass it over."""
    HISTORIES = 0x48
    """On SUB, of masters of this package: whose positions the log's are. Others pass it over."""
    UNKNOWN = 0x55
    """On SUB, of masters of this package: which of the publications are unknown. Others pass it over."""


@attrs.frozen
class WalBytes:
    """A slice of the log: WAL frames that follow each other, or a part of one, as it arrived."""

    data: bytes


@attrs.frozen
class Status:
    """The master's word on itself.

    Attributes:
        length: The length of its log in bytes.
        clock: Its wall clock in microseconds since the epoch.
    """

    length: int
    clock: int


@attrs.frozen
class RowsBegin:
    """The master's word on what its log holds.

    Attributes:
        position: From this position on each record of a table is one row that changed, and no statement.
        origin: The id of the cluster where rows originated that state no origin.
    """

    position: int
    origin: int


@attrs.frozen
class ChunkBytes:
    """A part of the chunk whose `ChunkHeader` came before, as it arrived."""

    data: bytes


@attrs.frozen
class SuspectFrame:
    """A frame of a type that is not known, or a STATUS of another size: it may be one that was damaged.

    Attributes:
        type: The type.
        length: How many bytes it has, which are skipped.
    """

    type: int
    length: int


FrameEvent = WalBytes | Status | ChunkHeader | ChunkBytes | SuspectFrame


def encode_wal_header(length: int) -> bytes:
    """The 5 bytes in front of a WAL frame's `length` bytes."""
    return _HEADER.pack(FrameType.WAL, length)


def encode_status(length: int, clock: int) -> bytes:
    """A whole STATUS frame, 21 bytes.

    Args:
        length: The length of the master's log in bytes.
        clock: Its wall clock in microseconds since the epoch.
    """
    return _HEADER.pack(FrameType.STATUS, _STATUS.size) + _STATUS.pack(length, clock)


def encode_skip(passed_over: int) -> bytes:
    """A whole SKIP frame, 13 bytes: how many bytes of the log were skipped since the frame before."""
    return _HEADER.pack(FrameType.SKIP, _SKIP.size) + _SKIP.pack(passed_over)


def encode_rows_begin(found: RowsBegin) -> bytes:
    """A whole ROWS frame, 21 bytes."""
    return _HEADER.pack(FrameType.ROWS, _ROWS.size) + _ROWS.pack(found.position, found.origin)


def encode_histories_frame(known: Sequence[History]) -> bytes:
    """A whole HISTORIES frame: 32 bytes for each history, `MOST_HISTORIES` at most."""
    parts = [
        _HISTORY.pack(bytes.fromhex(one.id), one.offset, -1 if one.stop is None else one.stop)
        for one in known[:MOST_HISTORIES]
    ]
    return _HEADER.pack(FrameType.HISTORIES, _HISTORY.size * len(parts)) + b"".join(parts)


def encode_unknown(publications: Sequence[str]) -> bytes:
    """A whole UNKNOWN frame: the names of publications that were asked for and are not there."""
    names = [name.encode("utf-8") for name in publications]
    payload = b"".join(_NAME.pack(len(name)) + name for name in names)
    return _HEADER.pack(FrameType.UNKNOWN, len(payload)) + payload


def is_word(kind: int, length: int) -> bool:
    """Whether a frame of a type and a length is one by which a master of this package tells of its log."""
    if kind == FrameType.HISTORIES:
        return length % _HISTORY.size == 0 and length <= MOST_HISTORIES * _HISTORY.size
    if kind == FrameType.UNKNOWN:
        return length <= MOST_UNKNOWN
    return kind == FrameType.ROWS and length == _ROWS.size


@attrs.frozen
class MasterWords:
    """What a master of this package has told of its log on a connection; None where it has not.

    Attributes:
        rows: From where on the log holds rows.
        histories: Whose positions the log's are.
        unknown: Which of the publications that were asked for are not there.
    """

    rows: RowsBegin | None = None
    histories: tuple[History, ...] | None = None
    unknown: tuple[str, ...] | None = None

    def after(self, kind: int, data: bytes, at: int, length: int) -> MasterWords:
        """What it has told after a frame that `is_word`.

        Raises:
            MalformedFrame: The frame's names are cut, or are not text.
        """
        payload = memoryview(data)[at : at + length]
        if kind == FrameType.ROWS:
            return attrs.evolve(self, rows=RowsBegin(*_ROWS.unpack(payload)))
        if kind == FrameType.UNKNOWN:
            return attrs.evolve(self, unknown=_decode_names(bytes(payload)))
        found = _HISTORY.iter_unpack(payload)
        known = tuple(History(id_.hex(), offset, None if stop < 0 else stop) for id_, offset, stop in found)
        return attrs.evolve(self, histories=known)


def _decode_names(payload: bytes) -> tuple[str, ...]:
    names: list[str] = []
    at = 0
    try:
        while at < len(payload):
            (length,) = _NAME.unpack_from(payload, at)
            at += _NAME.size + length
            if at > len(payload):
                raise ValueError(f"a name of {number_of(length, 'byte')} is cut")
            names.append(payload[at - length : at].decode("utf-8"))
    except (struct.error, ValueError) as error:
        raise MalformedFrame(
            f"an UNKNOWN frame of {number_of(len(payload), 'byte')} does not hold names: {error}"
        ) from error
    return tuple(names)


CHUNK_ROOM = HEADER_SIZE + CHUNK_HEADER_SIZE
"""How many bytes stand in front of a chunk's own."""


def encode_chunk_start(header: ChunkHeader) -> bytes:
    """The `CHUNK_ROOM` bytes in front of a chunk's own: the frame's header and the chunk's."""
    payload = CHUNK_HEADER_SIZE + header.length
    return _HEADER.pack(FrameType.SEGMENT_FILE_CHUNK, payload) + encode_chunk_header(header)


def _flush(run: list[bytes], events: list[FrameEvent]) -> None:
    """Pass on what came in frames that follow each other as one piece of the log."""
    if run:
        events.append(WalBytes(run[0] if len(run) == 1 else b"".join(run)))
        run.clear()


def frame_for(max_record: int) -> int:
    """The longest frame that is accepted where only the longest record is said: one of that fits into it."""
    return max(DEFAULT_MAX_FRAME, max_record + _AROUND_SQL)


class FrameParser:
    """A push parser for V2 frames.

    WAL payloads and the bytes of segment chunks are passed on as they come and never gathered. Frames of other
    types, and a STATUS of another size, are skipped without keeping them: that is how the protocol grows.

    Args:
        max_frame: The longest payload that a header may state, in bytes.
        suspects: Whether to tell of frames that are skipped, which may be damaged ones.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME, suspects: bool = False) -> None:
        self._suspects = suspects
        self._limit = max_frame
        self._header = b""
        self._type = -1
        self._stated = 0
        self._left = 0
        self._gathered = b""
        self._chunk_length = -1
        self.passed_over = 0

    @property
    def left(self) -> int:
        """How many bytes of the frame are still to come whose header has come; 0 between two frames."""
        return self._left

    def feed(self, data: bytes) -> list[FrameEvent]:
        """Take bytes as they come.

        Returns:
            The events that they complete.

        Raises:
            FrameTooLong: A header states more than the limit. It is judged before the payload is waited for.
            ChunkError: A segment chunk's header breaks the rules. It is judged before its bytes are waited for.
        """
        events: list[FrameEvent] = []
        run: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left == 0:
                at = self._read_header(data, at)
                if self._suspects and self._type < 0 and not self._header:
                    _flush(run, events)
                    events.append(SuspectFrame(self._stated, self._left))
                continue
            end = min(at + self._left, size)
            if self._chunk_length >= 0:
                end = min(end, at + CHUNK_HEADER_SIZE - len(self._gathered))
            piece = data[at:end]
            self._left -= end - at
            at = end
            if self._type == FrameType.WAL:
                run.append(piece)
                continue
            _flush(run, events)
            if self._chunk_length >= 0:
                self._gather_chunk_header(piece, events)
            elif self._type == FrameType.SEGMENT_FILE_CHUNK:
                events.append(ChunkBytes(piece))
            elif self._type == FrameType.STATUS:
                self._gathered += piece
                if self._left == 0:
                    events.append(Status(*_STATUS.unpack(self._gathered)))
                    self._gathered = b""
        _flush(run, events)
        return events

    def _gather_chunk_header(self, piece: bytes, events: list[FrameEvent]) -> None:
        self._gathered += piece
        if len(self._gathered) == CHUNK_HEADER_SIZE:
            header, length = self._gathered, self._chunk_length
            self._gathered, self._chunk_length = b"", -1
            events.append(decode_chunk_header(header, length))

    def _read_header(self, data: bytes, at: int) -> int:
        """Take up to a whole header; returns where in `data` to go on."""
        end = at + HEADER_SIZE - len(self._header)
        self._header += data[at:end]
        if len(self._header) < HEADER_SIZE:
            return len(data)
        kind, length = _HEADER.unpack(self._header)
        self._header = b""
        if length > self._limit:
            raise FrameTooLong(
                f"a frame of type 0x{kind:02x} states {number_of(length, 'byte')}, the limit is {self._limit} "
                f"(raise it with --max-frame)"
            )
        known = kind == FrameType.WAL or (kind == FrameType.STATUS and length == _STATUS.size)
        if kind == FrameType.SEGMENT_FILE_CHUNK:
            check_payload_length(length)
            self._chunk_length = length
            known = True
        self._type = kind if known else -1
        self._stated = kind
        self._left = length
        self.passed_over += not known
        return end
