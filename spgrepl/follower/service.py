"""A follower as a Twisted service: one connection at a time, one engine, and what is told of them."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.engines.interfaces import IEngine, ReplayState
from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import HistoryDiverged, PeerClosed, PeerTimeout, SpgReplError
from spgrepl.files import DatabasePaths
from spgrepl.follower.applied_log import AppliedLog
from spgrepl.follower.backoff import RetryPlan
from spgrepl.follower.connecting import LinkFactory, NotingEndpoint, named_error
from spgrepl.follower.ending import Ending
from spgrepl.follower.incoming import IncomingSnapshot
from spgrepl.follower.protocol import FollowerProtocol, LinkState, LinkTimeouts
from spgrepl.follower.queue import ReplayQueue
from spgrepl.follower.replay import Progress, Replay, SkipRequest
from spgrepl.follower.segments import SegmentAssembler
from spgrepl.follower.states import BOOTSTRAP_STATES, FollowerState, OnDivergence, describe_positions
from spgrepl.follower.waiters import PositionWaiters
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wire.frames import DEFAULT_MAX_FRAME, Status
from spgrepl.wire.handshake import StreamVersion
from spgrepl.wire.segment_chunks import ChunkHeader


class FollowerService(Service):
    """Keeps a copy of a master's database.

    Args:
        reactor: The reactor.
        endpoint: The master.
        engine: Where the log is applied.
        paths: The copy's files.
        on_divergence: What to do when the master's history is another one.
        skip: A record to pass over, once.
        timeouts: Deadlines of the connection.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.

    Attributes:
        log: The copy's own log, for a master that serves followers of this follower.
        finished: Fires with None when the service has stopped on demand, or with the error that ended it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        engine: IEngine,
        paths: DatabasePaths,
        *,
        on_divergence: OnDivergence = OnDivergence.STOP,
        skip: SkipRequest | None = None,
        timeouts: LinkTimeouts | None = None,
        max_record: int = DEFAULT_MAX_RECORD,
        max_frame: int = DEFAULT_MAX_FRAME,
    ) -> None:
        self._reactor = reactor
        self._engine = engine
        self._on_divergence = on_divergence
        self._timeouts = timeouts or LinkTimeouts()
        self._max_frame = max_frame
        self._worker = EngineWorker(reactor, f"spgrepl-{engine.name}")
        self._replay = Replay(engine, paths, max_record, skip)
        self._queue = ReplayQueue(self._worker, self._replay, self._progressed, self._apply_failed)
        self._segments = SegmentAssembler(
            reactor, paths, engine, self._worker, self._read_on, self._segment_failed
        )
        self._client = ClientService(
            NotingEndpoint(endpoint, self._connect_failed),
            LinkFactory(self._build_link),
            self._retry_delay,
            reactor,
        )
        self._retries = RetryPlan(reactor)
        self._waiters = PositionWaiters(reactor, f"the copy in {paths.database}")
        self._link: FollowerProtocol | None = None
        self._incoming: IncomingSnapshot | None = None
        self._next_version = StreamVersion.V2
        self._resnapshot = False
        self._state = FollowerState.STOPPED
        self._error: SpgReplError | None = None
        self._progress: Progress | None = None
        self._received: int | None = None
        self._source: Status | None = None
        self._source_heard = 0.0
        self._ending = Ending(self._close_all)
        self.log = AppliedLog(paths.wal)
        self.finished = self._ending.finished

    # -- the service ------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Open the copy, then connect to the master."""
        Service.startService(self)
        self._state = FollowerState.CONNECTING
        self._worker.start()
        self._worker.call(self._replay.open).addCallbacks(self._opened, self._fail_with)

    def _opened(self, state: ReplayState | None) -> None:
        if not self.running:
            return
        if state is not None:
            self._progressed(self._replay.progress())
        self._segments.start(None if state is None else state.base).addCallbacks(self._connect, self._fail_with)

    def _connect(self, _: object) -> None:
        if self.running:
            self._client.startService()

    def _fail_with(self, failure: Failure) -> None:
        self._end(named_error(failure, self._log))

    def _end(self, error: SpgReplError) -> None:
        """Stop for good, because going on would not help."""
        self._error = error
        self._log.error("the follower stops: {error}", error=error)
        self._ending.end(error)

    def stopService(self) -> Deferred[None]:
        """Let go of the master, finish the batch in flight, and close the copy."""
        Service.stopService(self)
        return self._ending.end()

    @inlineCallbacks
    def _close_all(self) -> Any:
        if self._link is not None:
            self._link.drop()
        if self._client.running:
            yield self._client.stopService()
        self._queue.discard()
        self._waiters.stop()
        yield self._segments.stop().addErrback(lambda failure: self._log.failure("ending segments", failure))
        closing = self._worker.call(self._replay.close)
        yield closing.addErrback(lambda failure: self._log.failure("closing the copy", failure))
        self._worker.stop()
        self.log.close()
        self._state = FollowerState.STOPPED

    # -- connecting -------------------------------------------------------------------------------------------

    def _build_link(self) -> FollowerProtocol:
        """The protocol of the next connection."""
        self._state = FollowerState.CONNECTING
        self._link = FollowerProtocol(self._reactor, self, self._next_version, self._timeouts, self._max_frame)
        return self._link

    def _retry_delay(self, _attempt: int) -> float:
        self._state = FollowerState.WAITING if self.running else FollowerState.STOPPED
        delay = self._retries.delay()
        self._log.info("trying the master again in {delay:.1f} s: {error}", delay=delay, error=self._error)
        return delay

    def _connect_failed(self, failure: Failure) -> None:
        if not self.running:
            return
        self._retries.failed()
        self._next_version = StreamVersion.V2
        self._error = PeerClosed(f"the master cannot be reached: {failure.getErrorMessage()}")

    def link_closed(self, link: FollowerProtocol, reason: SpgReplError | None, heard: bool) -> None:
        """See `ILinkOwner`."""
        self._link = None
        self._queue.discard()
        self._segments.abandon()
        self._received = None
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None
        if reason is None or not self.running:
            return
        refused_v2 = link.version is StreamVersion.V2 and not heard and isinstance(reason, PeerClosed)
        self._next_version = StreamVersion.V1 if refused_v2 else StreamVersion.V2
        if refused_v2:
            self._log.info("the master closed on the V2 hello; trying V1")
            self._retries.refused_version()
            return
        self._error = reason
        self._log.warn("the connection has ended: {reason}", reason=reason)
        if isinstance(reason, HistoryDiverged):
            self._diverged(reason)
        else:
            self._retries.failed()

    def _diverged(self, reason: HistoryDiverged) -> None:
        if self._on_divergence is OnDivergence.STOP:
            self._end(reason)
            return
        self._log.warn("taking a fresh snapshot, as told by --on-divergence resnapshot")
        self._resnapshot = True
        self._retries.diverged()

    # -- the connection's calls -------------------------------------------------------------------------------

    def prepare(self) -> Deferred[ReplayState | None]:
        """See `ILinkOwner`."""
        return self._worker.call(self._replay.resume).addCallback(self._prepared)

    def _prepared(self, state: ReplayState | None) -> ReplayState | None:
        self._queue.open()
        self._received = None if state is None else state.position
        if self._resnapshot or state is None or state.position == 0:
            return None
        return state

    def snapshot_started(self, length: int) -> None:
        """See `ILinkOwner`."""
        self._log.info("the master sends a snapshot of {length} bytes", length=length)
        self._incoming = IncomingSnapshot(
            self._worker, self._replay.snapshot_path, length, self._engine.check_snapshot_head
        )

    def snapshot_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""
        assert self._incoming is not None
        self._incoming.add(data)
        if self._link is None:
            return
        if self._incoming.failure is not None:
            self._incoming.finish().addErrback(self._drop)
        elif self._incoming.full:
            self._link.pause()
            self._worker.call(lambda: None).addBoth(self._resume_link, self._link)

    def _resume_link(self, _: object, link: FollowerProtocol) -> None:
        """The engine's thread has written all that waited."""
        if link is self._link:
            link.resume()

    def snapshot_ended(self, position: int) -> Deferred[None]:
        """See `ILinkOwner`."""
        incoming, self._incoming = self._incoming, None
        assert incoming is not None

        def announce(_: None) -> Deferred[None]:
            return self._segments.installing(incoming.crc, position)

        def install(_: None) -> Deferred[Progress]:
            return self._worker.call(self._replay.install, incoming.length, position)

        def note(progress: Progress) -> Deferred[Progress]:
            return self._segments.installed(incoming.crc).addCallback(lambda _: progress)

        done = incoming.finish().addCallback(announce).addCallback(install).addCallback(note)
        return done.addCallbacks(self._installed, self._not_installed, (incoming,), errbackArgs=(incoming,))

    def _not_installed(self, failure: Failure, incoming: IncomingSnapshot) -> Failure:
        incoming.discard()
        progress = self._replay.progress()
        if progress.copies != (self._progress.copies if self._progress else 0):
            # The copy is the new one already; only what comes behind that has failed.
            self._progressed(progress)
        return failure

    def _installed(self, progress: Progress, incoming: IncomingSnapshot) -> None:
        self._resnapshot = False
        self._log.info(
            "the snapshot of {length} bytes is in place, at position {position}",
            length=incoming.length,
            position=progress.applied,
        )
        self._received = progress.applied
        self._queue.open()
        self._progressed(progress)

    def log_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""
        self._received = (self._received or 0) + len(data)
        self._queue.push(data)
        if self._queue.full and self._link is not None:
            self._link.pause()

    def chunk_started(self, header: ChunkHeader) -> None:
        """See `ILinkOwner`."""
        self._segments.chunk_started(header)
        self._hold_back()

    def chunk_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""
        self._segments.chunk_data(data)
        self._hold_back()

    def _hold_back(self) -> None:
        if self._segments.full and self._link is not None:
            self._link.pause()

    def _read_on(self) -> None:
        """Read from the master again, where both the log and the segments have room."""
        link = self._link
        streams = link is not None and link.state in (LinkState.FENCE, LinkState.STREAMING)
        if link is not None and streams and self._queue.drained and self._segments.drained:
            link.resume()

    def _segment_failed(self, error: SpgReplError) -> None:
        self._drop(Failure(error))

    def master_status(self, status: Status) -> None:
        """See `ILinkOwner`."""
        self._source = status
        self._source_heard = self._reactor.seconds()
        if self._retries.is_stable():
            self._error = None

    def state_changed(self, state: LinkState) -> None:
        """See `ILinkOwner`."""
        if state in BOOTSTRAP_STATES:
            self._state = FollowerState.BOOTSTRAPPING
        elif state is LinkState.STREAMING:
            self._state = FollowerState.STREAMING
            self._retries.streaming()
            if isinstance(self._error, (PeerClosed, PeerTimeout)):
                self._error = None

    def _progressed(self, progress: Progress) -> None:
        before, self._progress = self._progress or Progress(0, 0, 0), progress
        moved, anew = progress.applied > before.applied, progress.copies != before.copies
        if anew:
            self.log.restart()
        self.log.publish(progress.applied - progress.base)
        if moved and not anew and not self._segments.failing:
            self._retries.progressed()
        # An error at a record is over when that record is applied.
        at = getattr(self._error, "position", None)
        if self._segments.failing:
            pass  # Its error is over when that segment is there, whatever is applied meanwhile.
        elif progress.applied > at if at is not None else moved or anew:
            self._error = None
        self._waiters.reached(progress.applied)
        self._read_on()

    def _apply_failed(self, failure: Failure) -> None:
        # What stands before the record at fault may have been kept.
        self._progressed(self._replay.progress())
        self._drop(failure)

    def _drop(self, failure: Failure) -> None:
        self._error = named_error(failure, self._log)
        if self._link is not None:
            self._link.drop(self._error)

    @property
    def state(self) -> FollowerState:
        """What the follower is doing."""
        return self._state

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait until the copy holds everything up to a position.

        Args:
            position: A position in the master's log, in bytes.
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            A Deferred that fires with the applied position: `position` or more.

        Raises:
            WaitTimeout: (through the Deferred) It was not reached in time.
            ServiceStopped: (through the Deferred) The follower was stopped first.
        """
        return self._waiters.wait(position, timeout)

    def status(self) -> dict[str, Any]:
        """What `/status` shows: plain values, for JSON."""
        incoming = self._incoming
        return {
            "role": "follower",
            "state": self._state.value,
            "engine": self._engine.name,
            "protocol": self._link and self._link.version.name,
            **describe_positions(
                self._progress, self._received, self._source, self._reactor.seconds() - self._source_heard
            ),
            "segments": self._segments.status(),
            "bootstrap": incoming and {"received": incoming.received, "length": incoming.length},
            "error": self._error and str(self._error),
            **self._engine.statistics(),
        }
