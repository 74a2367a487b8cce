"""The log, cut into chunks that all connections share.

A chunk ends at the next multiple of 512 KiB, or at the end of the log. So connections that started at different
positions ask for the same chunks from the first boundary on, and a chunk is read once, with its frame header in
front, for all of them. At the tail, where every connection waits for the same bytes, that is one read for all.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import cast

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.base.observers import Barrier
from spgrepl.base.reading import PIECE, FileReader, RunInThread
from spgrepl.log.source import ILogSource
from spgrepl.wire.frames import HEADER_SIZE, encode_wal_header

MOST_CHUNKS = 256
"""How many chunks are held at most: at a busy tail each is a few bytes of log, but a few objects more."""


@attrs.frozen
class Chunk:
    """A part of the log.

    Attributes:
        start: Where it begins in the log.
        end: Where it ends.
        framed: Its bytes as a whole WAL frame.
        raw: Its bytes alone.
    """

    start: int
    end: int
    framed: memoryview
    raw: memoryview


class LogFeed:
    """Hands out the log in chunks, and holds the latest of them.

    Args:
        log: The log.
        in_thread: Runs reads that have to wait for the disk.
        cache_bytes: How much of the log to hold.
    """

    def __init__(self, log: ILogSource, in_thread: RunInThread, cache_bytes: int) -> None:
        self._log = log
        self._in_thread = in_thread
        self._limit = cache_bytes
        self._held: OrderedDict[int, Chunk] = OrderedDict()
        self._held_bytes = 0
        self._reader: FileReader | None = None
        self._waiting: dict[tuple[int, int], Barrier[Chunk]] = {}
        self._spare: bytearray | None = None
        self.reads = 0

    @property
    def length(self) -> int:
        """The published length of the log."""
        return int(self._log.length)

    def chunk(self, start: int) -> Chunk | Deferred[Chunk]:
        """Give the chunk that begins at a position.

        Args:
            start: A position before the published end.

        Returns:
            The chunk, or a Deferred of it where the disk has to be waited for. The Deferred fails with
            `OSError` or `LocalFilesDamaged`, never after `reset`: then it stays silent.

        Raises:
            ConfigurationError: There is no log.
            OSError: It cannot be read.
        """
        end = min(self.length, (start // PIECE + 1) * PIECE)
        held = self._held.get(start)
        if held is not None and held.end == end:
            self._held.move_to_end(start)
            return held
        waiting = self._waiting.get((start, end))
        if waiting is not None:
            return waiting.wait()
        reader = self._open()
        self.reads += 1
        spare = self._take_spare() if end - start == PIECE else None
        piece = reader.read_now(start, end - start, HEADER_SIZE, spare)
        if piece is not None:
            return self._hold(start, end, piece)
        waiting = self._waiting[start, end] = Barrier()
        asked = waiting.wait()
        self._read_later(reader, start, end, waiting)
        return asked

    def reset(self) -> None:
        """Forget everything: the log is lost, or serving ends. Reads under way come to nothing."""
        self._held.clear()
        self._held_bytes = 0
        self._waiting.clear()
        self._spare = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self) -> FileReader:
        """Our own descriptor of the file, so that none is closed, and its number given again, under a read."""
        if self._reader is None:
            self._reader = FileReader(os.dup(self._log.fileno()), "the log", self._in_thread)
        return self._reader

    def _read_later(self, reader: FileReader, start: int, end: int, waiting: Barrier[Chunk]) -> None:
        def arrived(piece: bytearray) -> None:
            if self._waiting.get((start, end)) is waiting:
                del self._waiting[start, end]
                waiting.open(self._hold(start, end, piece))

        def failed(failure: Failure) -> None:
            if self._waiting.get((start, end)) is waiting:
                del self._waiting[start, end]
                waiting.open(failure)

        reader.read_later(start, end - start, HEADER_SIZE).addCallbacks(arrived, failed)

    def _hold(self, start: int, end: int, piece: bytearray) -> Chunk:
        piece[:HEADER_SIZE] = encode_wal_header(end - start)
        view = memoryview(piece).toreadonly()
        chunk = Chunk(start, end, view, view[HEADER_SIZE:])
        before = self._held.pop(start, None)
        if before is not None:
            self._held_bytes -= before.end - before.start
        self._held[start] = chunk
        self._held_bytes += end - start
        while len(self._held) > 1 and (self._held_bytes > self._limit or len(self._held) > MOST_CHUNKS):
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= dropped.end - dropped.start
            if dropped.end - dropped.start == PIECE:
                self._spare = cast("bytearray", dropped.framed.obj)
        return chunk

    def _take_spare(self) -> bytearray | None:
        """A buffer that was used before, which saves clearing a new one; None when a connection still sends it."""
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                # No buffer can change its size while a view of it exists.
                spare.append(spare.pop())
            except BufferError:
                return None
        return spare
