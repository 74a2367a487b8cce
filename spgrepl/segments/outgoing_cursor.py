"""The cold segments of one connection: which were sent, and files cut into chunks."""

from __future__ import annotations

import os
from collections import deque
from functools import partial

from twisted.internet.defer import Deferred

from spgrepl.base.reading import PIECE, FileReader
from spgrepl.errors import SegmentChanged
from spgrepl.segments.outgoing import SegmentFile, SegmentRegistry
from spgrepl.text.quantities import number_of
from spgrepl.wire.frames import CHUNK_ROOM, encode_chunk_start
from spgrepl.wire.segment_chunks import ChunkHeader, chunk_count


class SegmentCursor:
    """What one connection has sent of the segments, and what comes next. Nothing is read ahead.

    Args:
        registry: The segments.

    Attributes:
        done: How many segments were sent to their end.
        sent: How many bytes of segments were handed out.
    """

    def __init__(self, registry: SegmentRegistry) -> None:
        self._registry = registry
        self._in_thread = registry.in_thread
        self._chunk = registry.chunk
        self._version = -1
        self._handed: set[SegmentFile] = set()
        self._next: deque[SegmentFile] = deque()
        self._file: _OpenSegment | None = None
        self._closed = False
        self.done = 0
        self.sent = 0

    @property
    def total(self) -> int:
        """How many segments there are to send, those that were sent included."""
        return len(self._handed) + len(self._next)

    @property
    def in_chunk(self) -> bool:
        """Whether a chunk is half sent, so that no other frame may come."""
        return self._file is not None and self._file.in_chunk

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        if self._version < 0 or self._file is not None:
            return True
        if self._version != self._registry.version:
            self._update()
        return bool(self._next)

    def _update(self) -> None:
        self._version = self._registry.version
        self._next = deque(file for file in self._registry.files if file not in self._handed)

    def next(self) -> memoryview | Deferred[memoryview | None]:
        """The next piece of a chunk, with the headers in front where the chunk begins. Only while `waiting`.

        Returns:
            The piece, or a Deferred of it; the Deferred may fire with None, and `waiting` has to be asked again.

        Raises:
            SegmentChanged: (or through the Deferred) The file vanished, shrank or changed while it was sent.
            OSError: (or through the Deferred) It cannot be read.
        """
        if self._version < 0:
            return self._registry.refresh().addCallback(self._listed)
        if self._file is None:
            file = self._next.popleft()
            self._handed.add(file)
            opening = self._in_thread(partial(_open, file))
            return opening.addCallback(self._opened, file)
        return self._piece(self._file)

    def _listed(self, _: None) -> None:
        self._update()

    def _opened(self, handle: int, file: SegmentFile) -> memoryview | Deferred[memoryview | None] | None:
        segment = _OpenSegment(file, FileReader(handle, str(file.path), self._in_thread), handle, self._chunk)
        if self._closed:
            segment.close()
            return None
        self._file = segment
        return self._piece(segment)

    def _piece(self, segment: _OpenSegment) -> memoryview | Deferred[memoryview | None]:
        piece = segment.read()
        if isinstance(piece, Deferred):
            return piece.addCallback(self._take, segment)
        return self._take(piece, segment)

    def _take(self, piece: bytearray, segment: _OpenSegment) -> memoryview:
        before = segment.offset
        view = segment.take(piece)
        self.sent += segment.offset - before
        if segment.complete:
            segment.close()
            self._file = None
            self.done += 1
        return view

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(file: SegmentFile) -> int:
    try:
        return os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SegmentChanged(f"{file.path} vanished before segment {file.id} could be sent") from error


class _OpenSegment:
    """A segment's file that is being sent."""

    def __init__(self, file: SegmentFile, reader: FileReader, handle: int, chunk: int) -> None:
        self._file = file
        self._reader = reader
        self._handle = handle
        self._chunk = chunk
        self._identity = _identity(handle)
        self._size = self._identity[0]
        self._total = chunk_count(self._size, chunk)
        self._used: deque[bytearray] = deque(maxlen=2)
        self.offset = 0
        self.complete = False

    @property
    def in_chunk(self) -> bool:
        return self.offset % self._chunk != 0

    def _extent(self) -> int:
        """How many bytes come next."""
        left = min(self._chunk - self.offset % self._chunk, self._size - self.offset)
        return min(PIECE, left)

    def read(self) -> bytearray | Deferred[bytearray]:
        """The next bytes, after room for headers, whether there will be some or not."""
        size = self._extent()
        if not size:
            return bytearray(CHUNK_ROOM)
        spare = self._take_spare(CHUNK_ROOM + size)
        piece = self._reader.read_now(self.offset, size, CHUNK_ROOM, spare)
        return self._reader.read_later(self.offset, size, CHUNK_ROOM, spare) if piece is None else piece

    def _take_spare(self, size: int) -> bytearray | None:
        """The buffer of the piece before the last, which saves clearing a new one; None while it is being sent."""
        if len(self._used) < 2:
            return None
        spare = self._used.popleft()
        if len(spare) != size:
            return None
        try:
            # No buffer can change its size while a view of it exists.
            spare.append(spare.pop())
        except BufferError:
            return None
        return spare

    def take(self, piece: bytearray) -> memoryview:
        """Put headers in front of what was read where a chunk begins, and count it."""
        view = memoryview(piece).toreadonly()
        if self.in_chunk:
            view = view[CHUNK_ROOM:]
        else:
            length = min(self._chunk, self._size - self.offset)
            seq = self.offset // self._chunk
            piece[:CHUNK_ROOM] = encode_chunk_start(ChunkHeader(self._file.id, seq, self._total, length))
        self._used.append(piece)
        self.offset += len(piece) - CHUNK_ROOM
        self.complete = self.offset == self._size
        if self.complete or self.offset % self._chunk == 0:
            self._check_unchanged()
        return view

    def _check_unchanged(self) -> None:
        found = _identity(self._handle)
        if found != self._identity:
            what = (
                "was removed or replaced"
                if not found[2]
                else f"changed: {number_of(self._size, 'byte')} became {found[0]}"
            )
            raise SegmentChanged(
                f"{self._file.path} {what} while segment {self._file.id} was sent; the follower gets it when "
                f"it connects again"
            )

    def close(self) -> None:
        self._reader.close()


def _identity(handle: int) -> tuple[int, int, int]:
    """Length, time of change, and whether the file still has a name."""
    status = os.fstat(handle)
    return status.st_size, status.st_mtime_ns, int(status.st_nlink > 0)
