"""Cold segments that a follower receives: chunks in, whole and sound files out, in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.steady_clock import steady_clock
from spgrepl.base.worker import EngineWorker
from spgrepl.errors import LimitReached, SegmentDamaged, SegmentNotStored, ServiceStopped, SpgReplError
from spgrepl.interfaces.engine import IEngine
from spgrepl.interfaces.store import IStore
from spgrepl.segments.store import SegmentStore, StoredSegment
from spgrepl.segments.transfer import ChunkStream, SegmentTransfer, follow_chain
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.segment_chunks import ChunkHeader, ChunkOrder

WRITE_BYTES = 1024 * 1024
"""What is gathered for one write."""

HIGH_WATER = 16 * 1024 * 1024
"""With this many bytes waiting for the disk, nothing more is read from the master."""

LOW_WATER = 12 * 1024 * 1024
"""When to read on. Not far below: the disk must not run out of work meanwhile."""

FINISH_COST = 256 * 1024
"""What a segment counts among the bytes that wait, until it is registered: many small ones must not pile up."""

ENDED_AT_STOP = 16
"""So many segments that are whole are put in place before a stop; each takes some flushes of the disk."""

FAILURE_SECONDS = 60.0
"""For how long a segment that failed counts as failing: longer than it takes until it is tried again."""


@implementer(IStore)
class SegmentAssembler:
    """Puts the chunks of segments together, in a thread of its own, so that the log goes on being applied.

    Each segment has a chain of Deferreds: its writes one after the other, the check, the engine, the manifest.
    Chains of several segments do not wait for each other in the reactor, and share the thread.

    Args:
        reactor: The reactor.
        store: Where they are kept, within its limits.
        engine: Is told of each segment.
        engine_worker: The engine's thread.
        stream: What brings the chunks.

    Attributes:
        confirmed: The segments that came on this connection, or came again and were the same: files by id.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        store: SegmentStore,
        engine: IEngine,
        engine_worker: EngineWorker,
        stream: ChunkStream,
    ) -> None:
        self._clock = steady_clock(reactor)
        self._engine = engine
        self._engine_worker = engine_worker
        self._room = stream.read_on
        self._failed = stream.drop
        self._most_open = store.limits.open_segment_bytes
        self._worker = EngineWorker(reactor, "spgrepl-segments")
        self._store = store
        self._order = ChunkOrder()
        self._transfers: dict[int, SegmentTransfer] = {}
        self._latest: dict[int, SegmentTransfer] = {}
        self._current: SegmentTransfer | None = None
        self._left_of_chunk = 0
        self._waiting = 0
        self._was_full = False
        self._damaged: dict[int, int] = {}
        self._failing: int | None = None
        self._failed_at = 0.0
        self._started = False
        self.confirmed: dict[int, Path] = {}
        self._received = 0
        self._same = 0
        self._unchecked = 0
        self._bytes = 0

    # -- the service's calls ----------------------------------------------------------------------------------

    @inlineCallbacks
    def start(self, base: int | None) -> Any:
        """Start the thread, read the manifest, clear leftovers, and tell the engine of what is there.

        Args:
            base: The position that the copy's snapshot stands at; None where there is no copy.

        Returns:
            A Deferred that fires when all that is done, or fails with a `SpgReplError`.
        """
        self._worker.start()
        self._started = True
        present = yield self._worker.call(self._store.open, base)
        for segment_id, path in present:
            yield self._engine_worker.call(self._engine.attach_segment, segment_id, path)

    @inlineCallbacks
    def stop(self) -> Any:
        """Give up what is not whole, end what is, and end the thread; a Deferred that fires after that.

        Thousands of small segments may have come in one piece: most of them come again with the next connection.
        """
        self.abandon()
        for transfer in list(self._latest.values())[ENDED_AT_STOP:]:
            self._give_up(transfer)
        yield self.settled()
        if self._started:
            self._started = False
            yield self._worker.call(self._store.close)
            self._worker.stop()

    def settled(self) -> Deferred[Any]:
        """A Deferred that fires when all that has come so far was dealt with."""
        return DeferredList([follow_chain(transfer.chain) for transfer in self._latest.values()])

    def installing(self, crc: int, position: int) -> Deferred[None]:
        """See `SegmentStore.installing`."""
        return self._worker.call(self._store.installing, crc, position).addErrback(_name_refusal)

    def installed(self, crc: int) -> Deferred[None]:
        """See `SegmentStore.installed`."""
        return self._worker.call(self._store.installed, crc).addErrback(_name_refusal)

    @property
    def full(self) -> bool:
        """Whether the disk is behind, so that nothing more should be read from the master."""
        return self._waiting >= HIGH_WATER

    @property
    def drained(self) -> bool:
        """Whether a connection that was paused may be read from again."""
        return not self._was_full

    @property
    def finishing(self) -> bool:
        """Whether a segment that has come is still being checked and put in place."""
        return len(self._latest) > len(self._transfers)

    def status(self) -> dict[str, Any]:
        """What the status says of the segments.

        Returns:
            ``registered``; since the start ``received``, ``same`` (sent again and left alone), ``unchecked``
            (without a checksum of their own) and ``bytes``; ``damaged`` (ids that came damaged) and ``current``:
            None, or ``id``, ``chunks``, ``of``, ``bytes`` and ``rate`` (bytes a second) of the segment
            that comes.
        """
        current = self._current
        return {
            "registered": self._store.registered,
            "received": self._received,
            "same": self._same,
            "unchecked": self._unchecked,
            "bytes": self._bytes,
            "damaged": sorted(self._damaged),
            "current": current
            and {
                "id": current.id,
                "chunks": current.chunks,
                "of": current.total,
                "bytes": current.received,
                "rate": round(current.rate(self._clock.seconds())),
            },
        }

    # -- the connection's calls -------------------------------------------------------------------------------

    def chunk_started(self, header: ChunkHeader) -> None:
        """A chunk follows.

        Raises:
            ChunkError: It is not the one that is due.
            LimitReached: More bytes of segments would be here that are not whole than may be.
        """
        self._order.take(header)
        unfinished = header.length + sum(transfer.received for transfer in self._transfers.values())
        if unfinished > self._most_open:
            raise LimitReached(
                f"segments of {number_of(unfinished, 'byte')} are under way, and none of them is whole: "
                f"{number_of(self._most_open, 'byte is', 'bytes are')} accepted (--max-open-segment-bytes)"
            )
        transfer = self._transfers.get(header.segment)
        if transfer is None:
            transfer = self._begin(header)
        self._current = transfer
        self._left_of_chunk = header.length
        if not header.length:
            self._chunk_ended(transfer)

    def chunk_data(self, data: bytes) -> None:
        """Bytes of the chunk that was announced last."""
        transfer = self._current
        assert transfer is not None
        self._left_of_chunk -= len(data)
        self._bytes += len(data)
        transfer.received += len(data)
        if not transfer.given_up:
            self._wait_for_disk(len(data))
            self._gather(transfer, memoryview(data))
        if not self._left_of_chunk:
            self._chunk_ended(transfer)

    def abandon(self) -> None:
        """The connection has ended: nothing is left of segments that are not whole."""
        self._order = ChunkOrder()
        self._current = None
        self.confirmed.clear()
        transfers, self._transfers = self._transfers, {}
        for transfer in transfers.values():
            self._give_up(transfer)
            transfer.chain.addCallback(self._discard, transfer)
            transfer.chain.addBoth(self._end, transfer)

    # -- one segment's life -----------------------------------------------------------------------------------

    def _begin(self, header: ChunkHeader) -> SegmentTransfer:
        # An earlier transfer of the same segment may still be ending, and uses the same names.
        before = self._latest.get(header.segment)
        chain: Deferred[Any] = succeed(None) if before is None else follow_chain(before.chain)
        transfer = SegmentTransfer(header.segment, header.total, self._clock.seconds(), chain, before is None)
        self._transfers[header.segment] = self._latest[header.segment] = transfer
        # All chunks but the last are as long as the first, by any master's custom.
        at_least = (header.total - 1) * header.length

        def create() -> None:
            transfer.incoming = self._store.receive(header.segment, at_least)

        self._then(transfer, create)
        return transfer

    def _then(self, transfer: SegmentTransfer, step: Callable[[], object]) -> None:
        """Add a step in the thread to a segment's chain."""
        if transfer.at_once:
            # The thread finds its next step without waiting until the reactor has seen the last one's end.
            done = self._worker.call(transfer.run, step)
            transfer.chain.addCallback(lambda _: done)
        else:
            transfer.chain.addCallback(lambda _: self._worker.call(transfer.run, step))
        transfer.chain.addErrback(self._lost, transfer)

    def _gather(self, transfer: SegmentTransfer, view: memoryview) -> None:
        """Keep bytes until there are enough for a write; all writes but a chunk's last are as long."""
        while view:
            part = view[: WRITE_BYTES - transfer.gathered]
            view = view[len(part) :]
            transfer.pieces.append(part)
            transfer.gathered += len(part)
            if transfer.gathered == WRITE_BYTES:
                self._flush(transfer)

    def _flush(self, transfer: SegmentTransfer) -> None:
        pieces, size = transfer.pieces, transfer.gathered
        transfer.pieces, transfer.gathered = [], 0

        def write() -> None:
            assert transfer.incoming is not None
            transfer.incoming.write(pieces)

        if pieces:
            self._then(transfer, write)
            transfer.chain.addCallback(self._disk_done, size)

    def _chunk_ended(self, transfer: SegmentTransfer) -> None:
        self._flush(transfer)
        transfer.chunks += 1
        transfer.tell(self._log, self._clock.seconds())
        if transfer.chunks < transfer.total:
            return
        self._current = None
        del self._transfers[transfer.id]
        self._wait_for_disk(FINISH_COST)
        chain = transfer.chain
        chain.addCallback(self._finish, transfer)
        chain.addErrback(self._lost, transfer)
        chain.addCallback(self._disk_done, FINISH_COST)
        chain.addBoth(self._end, transfer)

    @inlineCallbacks
    def _finish(self, _: object, transfer: SegmentTransfer) -> Any:
        stored: StoredSegment | None = yield self._worker.call(transfer.finish)
        if stored is None:
            yield self._discard(None, transfer)
            return
        known = yield self._worker.call(self._store.is_registered, stored.id, stored.summary.crc)
        if not transfer.given_up and (stored.written or not known):
            yield self._engine_worker.call(self._engine.attach_segment, stored.id, stored.path)
            if not transfer.given_up:
                yield self._worker.call(self._store.register, stored)
        if not transfer.given_up:  # else it stands in place without being registered, and is received again
            self._stored(transfer, stored)

    def _stored(self, transfer: SegmentTransfer, stored: StoredSegment) -> None:
        self._damaged.pop(stored.id, None)
        self.confirmed[stored.id] = stored.path
        self._arrived(stored.id)
        if not stored.written:
            self._same += 1
            return
        self._received += 1
        unchecked = not stored.summary.content.magic
        self._unchecked += unchecked
        self._log.info(
            "segment {id} is in place: {length}, {count} since the start, {rate:.1f} MB/s{note}",
            id=stored.id,
            length=number_of(stored.summary.length, "byte"),
            count=self._received,
            rate=transfer.rate(self._clock.seconds()) / 1e6,
            note=", without a checksum of its own: taken as it is" if unchecked else "",
        )

    # -- what goes wrong --------------------------------------------------------------------------------------

    def _lost(self, failure: Failure, transfer: SegmentTransfer) -> Deferred[None] | None:
        """A step has failed: give the segment up, and have the connection closed where that may help."""
        self._give_up(transfer)
        error = failure.value
        if isinstance(error, SegmentDamaged):
            same_again = self._damaged.get(transfer.id) == error.crc
            self._damaged[transfer.id] = error.crc
            if same_again:
                # Asking again would bring the same bytes for ever, and nothing of what follows them.
                self._log.error("{error}; the master has it so: going on without it", error=error)
                self._arrived(transfer.id)
                return self._discard(None, transfer)
        elif isinstance(error, OSError):
            error = SegmentNotStored(f"segment {transfer.id} cannot be stored: {error}")
        elif not isinstance(error, SpgReplError):
            self._log.failure("unexpected error at a segment", failure)
            error = ServiceStopped(f"unexpected error at segment {transfer.id}: {failure.getErrorMessage()}")
        self._failing, self._failed_at = transfer.id, self._clock.seconds()
        self._failed(error)
        return self._discard(None, transfer)

    def _arrived(self, segment_id: int) -> None:
        if self._failing == segment_id:
            self._failing = None

    @property
    def failing(self) -> bool:
        """Whether the segment that failed last is still not there, and was tried not long ago."""
        seconds: float = self._clock.seconds() - self._failed_at
        return self._failing is not None and seconds < FAILURE_SECONDS

    def _give_up(self, transfer: SegmentTransfer) -> None:
        if not transfer.given_up:
            transfer.given_up = True
            dropped, transfer.gathered, transfer.pieces = transfer.gathered, 0, []
            self._disk_done(None, dropped)

    def _discard(self, _: object, transfer: SegmentTransfer) -> Deferred[None] | None:
        """Remove what came of a segment that was given up."""
        incoming, transfer.incoming = transfer.incoming, None
        if incoming is None:
            return None
        return self._worker.call(incoming.discard).addErrback(self._not_discarded, transfer)

    def _not_discarded(self, failure: Failure, transfer: SegmentTransfer) -> None:
        self._log.failure("what came of segment {id} cannot be removed", failure, id=transfer.id)

    def _end(self, _: object, transfer: SegmentTransfer) -> None:
        if self._latest.get(transfer.id) is transfer:
            del self._latest[transfer.id]

    # -- flow control and progress ----------------------------------------------------------------------------

    def _wait_for_disk(self, size: int) -> None:
        self._waiting += size
        self._was_full = self._was_full or self.full

    def _disk_done(self, _: object, size: int) -> None:
        self._waiting -= size
        if self._was_full and self._waiting <= LOW_WATER:
            self._was_full = False
            self._room()


def _name_refusal(failure: Failure) -> Failure:
    if failure.check(OSError):
        return Failure(SegmentNotStored(f"the manifest cannot be written: {failure.getErrorMessage()}"))
    return failure
