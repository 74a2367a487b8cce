"""The cold segments that follow an SPG snapshot: gathered beside it, until all have come that its rows are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from spgrepl.base.failures import named_error
from spgrepl.base.steady_clock import steady_clock
from spgrepl.base.worker import EngineWorker
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.spg_snapshot import remove_segments, segments_beside
from spgrepl.errors import SpgReplError
from spgrepl.replica.following.cold_gate import EVERY, PATIENCE
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.link import MasterLink
from spgrepl.segments.incoming import SegmentAssembler
from spgrepl.segments.store import SegmentStore
from spgrepl.segments.transfer import ChunkStream
from spgrepl.text.role_log import RoleLogger, Speaker
from spgrepl.wire.segment_chunks import ChunkHeader


class CopiedSegments:
    """Gathers segments.

    Args:
        reactor: The reactor.
        worker: The target's thread.
        snapshot: The snapshot's file; the segments lie in a folder beside it.
        link: The connection that brings them.
        needed: The ids of those that rows of the snapshot are in.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        worker: EngineWorker,
        snapshot: Path,
        link: MasterLink[FollowerConnection],
        needed: set[int],
    ) -> None:
        self._clock = steady_clock(reactor)
        self._worker = worker
        self._link = link
        self._needed = needed
        self._snapshot = snapshot
        # Their folder is that of a database, which is never made.
        paths = DatabasePaths.of(segments_beside(snapshot).parent.with_suffix(".db"))
        # Nobody is told of these segments: the engine that is only counts them.
        self._segments = SegmentAssembler(
            reactor,
            SegmentStore(paths),
            CountingEngine(paths.database),
            worker,
            ChunkStream(self._read_on, self._failed),
        )
        self._done: Deferred[None] = Deferred()
        self._timer = LoopingCall(self.look)
        self._timer.clock = self._clock
        self._touched = self._clock.seconds()

    @property
    def _speaker(self) -> Speaker | None:
        return self._worker.speaker

    def start(self) -> Deferred[None]:
        """Begin, with an empty folder.

        Returns:
            A Deferred that fires when segments may come, or fails with a `SpgReplError`.
        """
        cleared = self.clear()
        return cleared.addCallback(lambda _: self._segments.start(None)).addCallback(self._started)

    def _started(self, _: object) -> None:
        self._touched = self._clock.seconds()
        self._timer.start(EVERY, now=False).addErrback(self._broken)

    def when_complete(self) -> Deferred[None]:
        """A Deferred that fires when all that are needed are there, or none has come for long."""
        return self._done

    def give_up(self) -> None:
        """The connection has ended: nothing more comes."""
        if not self._done.called:
            self._done.callback(None)

    def stop(self) -> Deferred[Any]:
        """Let go of the connection; what has come stays until `clear`."""
        if self._timer.running:
            self._timer.stop()
        return self._segments.stop()

    def clear(self) -> Deferred[Any]:
        """Remove what has come."""
        return self._worker.call(remove_segments, self._snapshot)

    # -- the connection's calls -------------------------------------------------------------------------------

    def chunk_started(self, header: ChunkHeader) -> None:
        """A chunk follows."""
        self._segments.chunk_started(header)
        self._came()

    def chunk_data(self, data: bytes) -> None:
        """Bytes of that chunk."""
        self._segments.chunk_data(data)
        self._came()

    def _came(self) -> None:
        self._touched = self._clock.seconds()
        self._read_on()

    def _read_on(self) -> None:
        self._link.gate.look(self._segments)

    def look(self) -> None:
        """Judge whether there is more to wait for."""
        if self._done.called:
            return
        if self._segments.finishing:
            self._touched = self._clock.seconds()
        late = self._clock.seconds() - self._touched >= PATIENCE
        if late or self._needed <= self._segments.confirmed.keys():
            if late:
                missing = sorted(self._needed - self._segments.confirmed.keys())
                self._log.warn("the master did not send the cold segments {missing}", missing=missing)
            self._done.callback(None)

    def _failed(self, error: SpgReplError) -> None:
        self._link.drop(error)

    def _broken(self, failure: Failure) -> None:
        self._failed(named_error(failure, self._log))
