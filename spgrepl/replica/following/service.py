"""A follower as a Twisted service: one connection at a time, one engine, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatchmethod
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import HistoryDiverged, ReplayStopped, SpgReplError, UsageError
from spgrepl.interfaces.engine import IEngine, Mark, ReplayState
from spgrepl.replica.connecting import ReadyEndpoint
from spgrepl.replica.connection import Entered, Event
from spgrepl.replica.following.applied_log import AppliedLog
from spgrepl.replica.following.cold_gate import ColdRowsGate
from spgrepl.replica.following.connection import FollowerConnection, LinkState
from spgrepl.replica.following.divergence import Divergence, DivergencePolicy
from spgrepl.replica.following.history import HalfRecord, MasterHistory
from spgrepl.replica.following.progress import Progress, ReplayTold
from spgrepl.replica.following.queue import ReplayQueue
from spgrepl.replica.following.replay import Replay
from spgrepl.replica.following.states import BOOTSTRAP_STATES, DEFAULT, FollowerState, Following
from spgrepl.replica.following.told import FollowerTold
from spgrepl.replica.following.transaction_watch import TransactionWatch
from spgrepl.replica.following.version_choice import VersionChoice
from spgrepl.replica.link import ILinkOwner, MasterLink
from spgrepl.replica.phases import Phase
from spgrepl.replica.short_connections import MarkChoice, ShortConnections
from spgrepl.replica.snapshot_receiver import IncomingSnapshot, SnapshotPlace
from spgrepl.segments.incoming import SegmentAssembler
from spgrepl.segments.store import SegmentStore
from spgrepl.segments.transfer import ChunkStream
from spgrepl.text.placing import PlacingBoard
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.frames import ChunkBytes, Status, WalBytes
from spgrepl.wire.handshake import SnapshotData, SnapshotEnd, SnapshotStart
from spgrepl.wire.segment_chunks import ChunkHeader


@implementer(ILinkOwner)
class FollowerService(FollowerTold):
    """Keeps a copy of a master's database.

    Args:
        reactor: The reactor.
        endpoint: The master.
        engine: Where the log is applied.
        paths: The copy's files.
        following: How it follows.

    Attributes:
        log: The copy's own log, for a master that serves followers of this follower.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        engine: IEngine,
        paths: DatabasePaths,
        following: Following = DEFAULT,
    ) -> None:
        name, thread = f"the follower in {paths.database}", f"spgrepl-{engine.name}"
        super().__init__(reactor, endpoint, name, thread, f"the copy in {paths.database}")
        self._engine = engine
        self._paths = paths
        self._following = following
        self.log = AppliedLog(paths.wal, paths.database)
        self._make_parts()

    def _make_parts(self) -> None:
        """Make what belongs to one run, from its start to its stop."""
        reactor, engine, paths, following = self._reactor, self._engine, self._paths, self._following
        self._replay = Replay(engine, paths, following.max_record, following.skip, following.transactions)
        self._replay.files.limits = following.limits
        self._pump = self._queue = ReplayQueue(self._worker, self._replay, self._progressed, self._apply_failed)
        self.measures = {**self._queue.measures, "fsync_seconds": self._replay.files.log.sync_seconds}
        self._segments = SegmentAssembler(
            reactor,
            SegmentStore(paths, following.limits),
            engine,
            self._worker,
            ChunkStream(self._read_on, lambda error: self._drop(Failure(error))),
        )
        self._cold = ColdRowsGate(self._worker, engine, self._segments, self._queue, following.without_cold_rows)
        self._cold.tell(self._clock, self._drop)
        self._asking = ShortConnections(reactor, self._endpoint, "the follower is being stopped")
        self._history = MasterHistory(self._asking, MarkChoice())
        comparing = ReadyEndpoint(self._endpoint, lambda: self._history.compare(self._divergence.known))
        self._make_shared(comparing, self._replay.files.watch, paths.database, engine)
        self._divergence = Divergence(
            DivergencePolicy(following.on_divergence, following.transactions.ambiguous),
            self._worker,
            self._replay,
            self._retries,
            self._fail_with,
        )
        told = ReplayTold(self._progressed, self._apply_failed)
        self._transactions = TransactionWatch(
            self._clock, self._worker, self._replay, following.transactions, told
        )
        self._half = HalfRecord(self._clock.seconds)
        self._incoming: IncomingSnapshot | None = None
        self._placing: PlacingBoard | None = None
        self._version = VersionChoice()
        self._progress: Progress | None = None

    def _speaking(self) -> Iterable[object]:
        parts = (self._replay, self._segments, self._cold, self._history, self._divergence, self._transactions)
        return (*parts, self._asking, self._version, self._guard)

    # -- the service ------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _open_copy(self) -> Any:
        state: ReplayState | None = yield self._worker.call(self._replay.open)
        self._divergence.opened(state)
        self._guard.start()
        if state is not None:
            self._progressed(self._replay.progress())
        if not self._life.ending:  # whoever was told of the progress may have stopped it
            yield self._segments.start(None if state is None else state.base)

    def _let_go(self) -> None:
        self._asking.stop()

    def _finish(self) -> Deferred[Any]:
        return self._segments.stop().addErrback(lambda failure: self._log.failure("ending segments", failure))

    def _close_copy(self) -> None:
        self._replay.close()

    def _interrupt(self) -> None:
        self._engine.interrupt()

    def _closed(self) -> None:
        # A snapshot for a follower of this one may be in the making, in another thread.
        self._engine.interrupt()
        self.log.close()

    # -- connections ------------------------------------------------------------------------------------------

    def _new_link(self) -> MasterLink[FollowerConnection]:
        version = self._version
        connection = FollowerConnection(
            version.next, self._following.timeouts, self._following.max_frame, version.unknown
        )
        return MasterLink(self._reactor, self, connection)

    def _unreachable(self, failure: Failure) -> SpgReplError:
        if isinstance(failure.value, HistoryDiverged):
            return failure.value
        self._version.unreachable()
        return super()._unreachable(failure)

    def _link_gone(self, link: MasterLink[FollowerConnection]) -> None:
        self._cold.end()
        self._segments.abandon()
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _judge_end(self, link: MasterLink[FollowerConnection], reason: SpgReplError | None) -> SpgReplError | None:
        connection = link.connection
        if reason is not None and self._version.ended(connection.version, reason, connection.heard):
            self._retries.refused_version()
            return None
        return reason

    def _plan(self, error: SpgReplError) -> None:
        if isinstance(error, HistoryDiverged):
            self._divergence.found(error)
        elif self._divergence.resnapshot:
            self._retries.diverged()
        else:
            self._retries.failed()

    # -- the connection's calls -------------------------------------------------------------------------------

    def prepare(self) -> Deferred[ReplayState | None]:
        """See `ILinkOwner`."""
        return self._worker.call(self._replay.resume).addCallback(self._prepared)

    def _prepared(self, state: ReplayState | None) -> ReplayState | None:
        self._queue.open()
        self._cold.begin()
        if self._divergence.resnapshot or state is None or state.position == 0:
            return None
        return state

    @singledispatchmethod
    def happened(self, event: Event) -> Deferred[None] | None:
        """See `ILinkOwner`."""
        raise AssertionError(f"{event} is not an event of a follower's connection")

    @happened.register
    def _snapshot_started(self, event: SnapshotStart) -> None:
        length = event.length
        self._log.info(
            "{peer} sends a snapshot of {length}", peer=self.reports.peer, length=number_of(length, "byte")
        )
        incoming = self._incoming = IncomingSnapshot(
            self._worker,
            SnapshotPlace(self._replay.snapshot_path, limits=self._following.limits),
            length,
            self._engine.check_snapshot_head,
        )
        incoming.written = lambda: self._look_for_room(incoming)

    @happened.register
    def _snapshot_data(self, event: SnapshotData) -> None:
        assert self._incoming is not None
        self._fresh.heard()
        self._incoming.add(event.data)
        if self._incoming.failure is not None and self._link is not None:
            self._incoming.finish().addErrback(self._drop)
        else:
            self._look_for_room(self._incoming)

    @happened.register
    def _snapshot_ended(self, event: SnapshotEnd) -> Deferred[None]:
        incoming, self._incoming = self._incoming, None
        position = event.position
        assert incoming is not None
        board = self._placing = PlacingBoard(incoming.length)

        def install(before: Mark | None) -> Deferred[Progress]:
            self.log.hold()
            return self._worker.call(board.run, self._replay.install, incoming.length, position, before)

        def note(progress: Progress) -> Deferred[Progress]:
            return self._segments.installed(incoming.crc).addCallback(lambda _: progress)

        done = incoming.finish().addCallback(lambda _: self._segments.installing(incoming.crc, position))
        done.addCallback(lambda _: self._asking.take(position)).addCallback(install).addCallback(note)
        done.addBoth(self._placed)
        return done.addCallbacks(self._installed, self._not_installed, (incoming,), errbackArgs=(incoming,))

    def _placed(self, result: Any) -> Any:
        self._placing = None
        return result

    def _not_installed(self, failure: Failure, incoming: IncomingSnapshot) -> Failure:
        incoming.discard()
        if isinstance(failure.value, SpgReplError) and (useless := self._divergence.useless(failure.value)):
            self._fail_with(useless)
        progress = self._replay.progress()
        if progress.copies != (self._progress.copies if self._progress else 0):
            # The copy is the new one already; only what comes after that has failed.
            self._progressed(progress)
        elif self._progress is not None:
            self.log.publish(self.log.length)
        return failure

    def _installed(self, progress: Progress, incoming: IncomingSnapshot) -> None:
        self._divergence.resnapshot = False
        self._log.info(
            "the snapshot of {length} from {peer} is in place, position {position}",
            length=number_of(incoming.length, "byte"),
            peer=self.reports.peer,
            position=progress.applied,
        )
        self._queue.open()
        self._cold.begin()
        self._progressed(progress)

    @happened.register
    def _log_came(self, event: WalBytes) -> None:
        data = event.data
        self._fresh.heard(self._received)
        self._queue.push(data)
        if self._queue.full and self._cold.skip_log():
            return
        self._read_on()

    @happened.register
    def _chunk_started(self, event: ChunkHeader) -> None:
        self._segments.chunk_started(event)
        self._hold_back()

    @happened.register
    def _chunk_came(self, event: ChunkBytes) -> None:
        self._fresh.heard()
        self._segments.chunk_data(event.data)
        self._hold_back()

    def _hold_back(self) -> None:
        self._cold.touched()
        self._read_on()

    def _read_on(self) -> None:
        """Read from the master while both the log and the segments have room."""
        self._look_for_room(self._queue, self._segments)

    @happened.register
    def _master_status(self, status: Status) -> None:
        self._replay.execution.master_time = status.clock
        self._cold.look()
        if self.state is FollowerState.STREAMING:
            self._transactions.look()
        self._heard_status(status)
        if self._queue.idle and self._received is not None and self._progress is not None:
            doubt = self._half.judge(self._progress.durable, self._received, status.length)
            if doubt is not None:
                self._drop(Failure(doubt))

    @happened.register
    def _entered(self, event: Entered) -> None:  # type: ignore[type-arg]  # singledispatch takes classes
        state = event.state
        if state in BOOTSTRAP_STATES:
            self._phase = Phase.FILLING
        elif state is LinkState.STREAMING:
            self._streams()

    def _progressed(self, progress: Progress) -> None:
        before, self._progress = self._progress or Progress(0, 0, 0), progress
        moved, fresh = progress.applied > before.applied, progress.copies != before.copies
        if fresh:
            self.log.restart()
        self.log.publish(progress.applied - progress.base, progress.base)
        self._fresh.applied(progress.applied, progress.opened)
        if moved or fresh:
            self._reached(progress.applied, fresh=fresh)
        if not self._segments.failing:  # Its error is over when that segment is there.
            self.troubles.applied(progress.applied, moved or fresh)
            if moved and not fresh:
                self._retries.progressed()
        state = self._replay.state
        self._waiters.stands(progress.settled, None if state is None else state.histories)
        self._transactions.progressed(progress)
        self._read_on()

    def _apply_failed(self, failure: Failure) -> None:
        # What stands before the record at fault may have been kept.
        self._progressed(self._replay.progress())
        self._divergence.ambiguous(failure.value)
        self._drop(failure)

    def skip(self, position: int, crc: int) -> Deferred[None]:
        """Leave out the record that the follower has stopped at, once, and go on at once.

        Args:
            position: Where the record starts in the master's log.
            crc: Its CRC-32.

        Returns:
            A Deferred that fires when the order is taken, or fails with `UsageError` where the follower has not
            stopped at this record.
        """
        at = self._error
        if not isinstance(at, ReplayStopped):
            return fail(UsageError("the follower has not stopped at a record: nothing is skipped"))
        if (at.position, at.crc) != (position, crc):
            return fail(
                UsageError(
                    f"the follower has stopped at position {at.position}, CRC {at.crc:08x}, not at position "
                    f"{position}, CRC {crc:08x}: nothing is skipped"
                )
            )
        ordered = self._worker.call(self._replay.leave_out, position, crc)
        return ordered.addCallback(self._hurry)
