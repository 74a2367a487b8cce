"""What a follower gets after its hello: a snapshot where it has nothing, then the log, then the log's growth."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.base.reading import PIECE
from spgrepl.errors import LogTruncated, SpgReplError
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.feed import Chunk
from spgrepl.master.shared.socket_out import IOutlet
from spgrepl.master.shared.states import ConnectionState
from spgrepl.master.snapshots.snapshot import OpenSnapshot, SnapshotTicket
from spgrepl.master.streams.base import Close, Stream
from spgrepl.master.streams.context import MasterContext
from spgrepl.segments.outgoing_cursor import SegmentCursor
from spgrepl.text.quantities import number_of
from spgrepl.wire.handshake import FollowerHello, encode_snapshot_end, encode_snapshot_start

TELL_FROM = 64 * 1024 * 1024
"""After how many bytes of segments the log says how far they are."""

LOG_TURN = 4 * 1024 * 1024
"""How many bytes of a growing log are sent between two chunks of segments, at most."""


class FollowerStream(Stream):
    """The stream of a physical follower, V1 or V2.

    Args:
        context: What all connections share.
        outlet: Where the bytes leave.
        close: Ends the connection for a reason.
        hello: What the follower said.
        framed: Whether the log is cut into frames, with STATUS frames between them (V2).
    """

    logical = False

    def __init__(
        self, context: MasterContext, outlet: IOutlet, close: Close, hello: FollowerHello, framed: bool
    ) -> None:
        super().__init__(context, outlet, close)
        self.version: int | str = hello.version.value
        self.start = hello.start
        self.state = ConnectionState.STREAMING if hello.start else ConnectionState.SNAPSHOT
        self.position: int | None = hello.start or None
        self._framed = framed
        self._next: Callable[[], bytes | memoryview | None] = self._next_of_stream
        self._progressed = framed
        self._tick_missed = False
        self._ticket: SnapshotTicket | None = None
        self._snapshot: OpenSnapshot | None = None
        self._snapshot_sent = 0
        self._segments = context.segment_cursor() if framed else None
        self._segments_done = self._segments_told = 0
        self._began = context.clock.seconds()
        self._length_at_start = context.feed.length
        self._turn_of_log = 0

    # -- the reply ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `Stream`."""
        if not self.start:
            self._ask_for_snapshot()
            return
        reply = encode_snapshot_start(0)
        length = self._context.feed.length
        if self.start > length:
            self._outlet.send(reply + self.farewell())
            self._close(
                Cause.START_BEYOND_END,
                LogTruncated(
                    f"it asks for the log from position {self.start}, which ends at {length}: the log was "
                    f"truncated or replaced, or is another one; the follower has to compare or to start afresh"
                ),
            )
            return
        self._outlet.send(reply)
        self.resume()

    def _ask_for_snapshot(self) -> None:
        try:
            self._ticket = self._context.snapshots.obtain()
        except SpgReplError as error:
            self._close(Cause.NO_SNAPSHOT, error)
            return
        self._ticket.ready.addCallbacks(self._send_snapshot, self._no_snapshot).addErrback(self._fault)

    def _no_snapshot(self, failure: Failure) -> None:
        failure.trap(SpgReplError)
        self._close(Cause.NO_SNAPSHOT, failure.value)  # type: ignore[arg-type]

    def _send_snapshot(self, snapshot: OpenSnapshot) -> None:
        self._snapshot = snapshot
        self._next = self._next_of_snapshot
        self._arrived = encode_snapshot_start(snapshot.length)
        self.resume()

    # -- sending --------------------------------------------------------------------------------------------

    def _find(self) -> bytes | memoryview | None:
        return self._next()

    def _next_of_snapshot(self) -> bytes | memoryview | None:
        snapshot = self._snapshot
        if snapshot is None:
            return None
        start = self._snapshot_sent
        size = min(PIECE, snapshot.length - start)
        if not size:
            return self._snapshot_done(snapshot)
        piece = snapshot.reader.read_now(start, size)
        if piece is None:
            self._wait_for(snapshot.reader.read_later(start, size), self._snapshot_piece)
            return None
        return self._snapshot_piece(piece)

    def _snapshot_piece(self, piece: bytearray) -> memoryview:
        self._snapshot_sent += len(piece)
        return memoryview(piece)

    def _snapshot_done(self, snapshot: OpenSnapshot) -> bytes:
        self.state = ConnectionState.STREAMING
        self.position = snapshot.position
        self._next = self._next_of_stream
        self._let_go()
        return encode_snapshot_end(snapshot.position)

    def _next_of_stream(self) -> bytes | memoryview | None:
        """A part of a segment or of the log.

        Segments come first, as SPG servers send them. Once the log grows meanwhile, both take turns, so that
        what is written now does not wait for gigabytes.
        """
        segments = self._segments
        if segments is None or self.position is None:
            return self._next_of_log()
        if not segments.in_chunk:
            if self._tick_missed:
                return self._status()
            behind = self.position < self._context.feed.length
            if not segments.waiting or (behind and self._turn_of_log > 0):
                return self._next_of_log()
        found = segments.next()
        if isinstance(found, Deferred):
            self._wait_for(found, self._segment_piece)
            return None
        return self._segment_piece(found)

    def _segment_piece(self, piece: memoryview | None) -> memoryview | None:
        if self._segments is not None and not self._segments.in_chunk:
            self._turn_of_log = LOG_TURN if self._context.feed.length > self._length_at_start else 0
            self._tell_segments(self._segments)
        return piece

    def _tell_segments(self, segments: SegmentCursor) -> None:
        """Log how far the segments have come: each big one, and the last of all."""
        sent = segments.sent - self._segments_told
        if segments.done > self._segments_done and (segments.done == segments.total or sent >= TELL_FROM):
            self._segments_done, self._segments_told = segments.done, segments.sent
            self._log.info(
                "segment {done} of {total} is sent to {peer}, position {position}: {bytes} in all, "
                "{rate:.1f} MB/s",
                peer=self.peer,
                position=self.position,
                done=segments.done,
                total=segments.total,
                bytes=number_of(segments.sent, "byte"),
                rate=self._segment_rate(segments) / 1e6,
            )

    def _segment_rate(self, segments: SegmentCursor) -> float:
        """Bytes of segments a second since the connection streams."""
        seconds: float = self._context.clock.seconds() - self._began
        return segments.sent / max(seconds, 1e-3)

    def _next_of_log(self) -> bytes | memoryview | None:
        if self.position is None:
            return None
        behind = self.position < self._context.feed.length
        if self._tick_missed or (self._progressed and not behind):
            return self._status()
        if not behind:
            return None
        chunk = self._context.feed.chunk(self.position)
        if isinstance(chunk, Deferred):
            self._wait_for(chunk, self._log_chunk)
            return None
        return self._log_chunk(chunk)

    def _log_chunk(self, chunk: Chunk) -> memoryview:
        self._turn_of_log -= chunk.end - chunk.start
        self.position = chunk.end
        self._progressed = self._framed
        return chunk.framed if self._framed else chunk.raw

    def _status(self) -> bytes:
        self._progressed = self._tick_missed = False
        return self._context.status_frame()

    def tick(self, status: bytes) -> None:
        """See `Stream`. While bytes wait, one STATUS is owed, not one for every tick."""
        if not self._framed or self._ended or self.state is not ConnectionState.STREAMING:
            return
        in_chunk = self._segments is not None and self._segments.in_chunk
        if self._outlet.ready and not in_chunk:
            self._progressed = False
            self._outlet.send(status)
        else:
            self._tick_missed = True

    def farewell(self) -> bytes:
        """See `Stream`."""
        in_chunk = self._segments is not None and self._segments.in_chunk
        streams = self._framed and self.state is ConnectionState.STREAMING and not in_chunk and self._context.ready
        return self._context.status_frame() if streams else b""

    def end(self) -> None:
        """See `Stream`."""
        super().end()
        if self._segments is not None:
            self._segments.close()
        self._let_go()

    @property
    def segments(self) -> dict[str, int] | None:
        """See `Stream`."""
        cursor = self._segments
        if cursor is None:
            return None
        rate = round(self._segment_rate(cursor))
        return {"sent": cursor.done, "of": cursor.total, "bytes": cursor.sent, "rate": rate}

    def _let_go(self) -> None:
        self._snapshot = None
        if self._ticket is not None:
            self._ticket.release()
            self._ticket = None
