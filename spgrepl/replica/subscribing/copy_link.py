"""The initial copy's way in: a follower's connection that ends when the snapshot is here."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.failures import named_error
from spgrepl.base.observers import OneShot
from spgrepl.base.worker import EngineWorker
from spgrepl.engines.spg_snapshot import is_spg, segments_beside, segments_needed
from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.errors import CopyRefused, PeerError, SnapshotError, SpgReplError
from spgrepl.interfaces.engine import Mark, ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.replica.connection import Event
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.link import ILinkOwner, MasterLink
from spgrepl.replica.snapshot_receiver import IncomingSnapshot, SnapshotPlace, shown_snapshot
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.copied_segments import CopiedSegments
from spgrepl.replica.subscribing.settings import not_given
from spgrepl.text.placing import PlacingBoard
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger, Speaker
from spgrepl.wire.frames import ChunkBytes, Status
from spgrepl.wire.handshake import SnapshotData, SnapshotEnd, SnapshotStart
from spgrepl.wire.segment_chunks import ChunkHeader


@attrs.frozen
class CopyOwner:
    """What a copy asks and tells the subscription that it belongs to.

    Attributes:
        take_mark: Takes the mark of the master's log that ends at a position.
        closed: Called when the connection has ended: with None where the snapshot is here, or where this side was
            told to close it, else with the reason.
        copied: Called with the state when the rows are in place.
        failed: Called with the reason when they could not be put in place.
    """

    take_mark: Callable[[int], Deferred[Mark | None]]
    closed: Callable[[MasterLink[FollowerConnection], SpgReplError | None], None]
    copied: Callable[[SubscriptionState], None]
    failed: Callable[[SpgReplError], None]


@implementer(ILinkOwner)
class CopyLink:
    """Receives one snapshot, lets go of the master, and has the snapshot's rows put into the target.

    It is the owner of a link (see `spgrepl.replica.link.ILinkOwner`). How long the rows take is no business of the
    master's, which would not wait for a reader that takes nothing: the connection is closed as soon as the
    snapshot is here.

    The snapshot of an SPG server may have rows in cold segments, which follow it: then the connection lasts until
    these are here.

    Args:
        reactor: For deadlines.
        worker: The target's thread.
        applier: Puts the rows in place.
        path: In its folder the snapshot is gathered, in a file without a name; beside it, in a folder, the
            segments that rows of an SPG server's are in.
        owner: The subscription that it belongs to.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: IReactorTime,
        worker: EngineWorker,
        applier: Applier,
        path: Path,
        owner: CopyOwner,
    ) -> None:
        self._reactor = reactor
        self._worker = worker
        self._applier = applier
        self._target = applier.target
        self._limits = applier.subscription.limits
        self._path = path
        self._owner = owner
        self._incoming: IncomingSnapshot | None = None
        self._placing: PlacingBoard | None = None
        self._segments: CopiedSegments | None = None
        self._with_segments = False
        self._taking = False
        self._arrived = False
        self._link: MasterLink[FollowerConnection] | None = None
        self._done: OneShot[None] = OneShot()

    @property
    def _speaker(self) -> Speaker | None:
        return self._worker.speaker

    def attach(self, link: MasterLink[FollowerConnection]) -> MasterLink[FollowerConnection]:
        """Take the connection whose owner this is."""
        self._link = link
        return link

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far the snapshot has come, and then its rows, for the status."""
        return shown_snapshot(self._incoming, None if self._done.fired else self._placing)

    @property
    def copying(self) -> bool:
        """Whether the snapshot is here, and its rows are being put in place."""
        return self._arrived and not self._done.fired

    def when_ended(self) -> Deferred[None]:
        """Wait until nothing more will be done.

        Returns:
            A Deferred that fires when the rows are in place or the connection has ended without a snapshot, or
            fails with the `SpgReplError` for which the rows of a snapshot that came could not be put in place.
        """
        return self._done.wait()

    # -- the connection's calls -------------------------------------------------------------------------------

    def prepare(self) -> Deferred[ReplayState | None]:
        """See `ILinkOwner`: a snapshot is needed."""
        return succeed(None)

    @singledispatchmethod
    def happened(self, event: Event) -> Deferred[None] | None:
        """See `ILinkOwner`. What is not taken below makes no difference to a copy."""
        return None

    @happened.register
    def _snapshot_started(self, event: SnapshotStart) -> None:
        length = event.length
        self._log.info(
            "the master sends a snapshot of {length} for the initial copy", length=number_of(length, "byte")
        )
        incoming = self._incoming = IncomingSnapshot(
            self._worker, SnapshotPlace(self._path, True, self._limits), length, self._check_head
        )
        incoming.written = self._read_on

    def _read_on(self) -> None:
        if self._link is not None and self._incoming is not None:
            self._link.gate.look(self._incoming)

    def _check_head(self, head: bytes) -> None:
        # A target that only counts copies no rows.
        self._with_segments = is_spg(head) and self._target.kind != CountingTarget.kind
        try:
            self._target.check_snapshot_head(head)
        except SnapshotError as error:
            # A master of another kind sends nothing else the next time.
            raise CopyRefused(str(error)) from error

    @happened.register
    def _snapshot_data(self, event: SnapshotData) -> None:
        incoming, link = self._incoming, self._link
        assert incoming is not None
        incoming.add(event.data)
        if link is None:
            return
        if incoming.failure is not None:
            incoming.finish().addErrback(lambda failure: link.drop(_named(failure.value)))
        else:
            link.gate.look(incoming)

    @happened.register
    def _snapshot_ended(self, event: SnapshotEnd) -> Deferred[None]:
        """What the connection would bring after the snapshot is not wanted."""
        position = event.position
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        self._placing = PlacingBoard(incoming.length)
        if not incoming.length:
            incoming.discard()
            return fail(SnapshotError("the master sent an empty snapshot: it has no rows to begin with"))
        if self._with_segments:
            ready: Deferred[None] = Deferred()
            self._taking = True
            self._take(incoming, position, ready).addBoth(self._taken, incoming)
            return ready
        self._let_go()
        copied = incoming.finish().addCallback(lambda _: self._copy(incoming, position))
        copied.addBoth(self._clean, incoming)
        copied.addCallbacks(self._in_place, self._not_in_place)
        return succeed(None)

    def _let_go(self) -> None:
        """All that is wanted of the master is here."""
        self._arrived = True
        if self._link is not None:
            self._link.drop()

    @inlineCallbacks
    def _take(self, incoming: IncomingSnapshot, position: int, ready: Deferred[None]) -> Any:
        """Take the snapshot of an SPG server, with the segments that rows of it are in.

        Args:
            incoming: The snapshot, all of which has come.
            position: Where it stands.
            ready: Is fired when the connection may go on.

        Returns:
            A Deferred of the state when the rows are in place; of None where the connection ended before.
        """
        yield incoming.finish()
        needed = yield self._worker.call(segments_needed, incoming.path)
        link = self._link
        if needed and link is not None:
            self._log.info(
                "rows of the snapshot are in {segments}",
                segments=number_of(len(needed), "cold segment, which follows", "cold segments, which follow"),
            )
            segments = self._segments = CopiedSegments(self._reactor, self._worker, self._path, link, needed)
            yield segments.start()
            ready.callback(None)
            yield segments.when_complete()
            yield segments.stop()
        if self._link is None:
            return None
        self._let_go()
        state = yield self._copy(incoming, position, segments_beside(self._path))
        return state

    @inlineCallbacks
    def _copy(self, incoming: IncomingSnapshot, position: int, segments: Path | None = None) -> Any:
        """Put the rows in place, once it is known what stands before them in the master's log."""
        before = yield self._owner.take_mark(position)
        assert self._placing is not None
        copy = self._applier.copy
        state = yield self._worker.call(self._placing.run, copy, incoming.path, position, segments, before)
        return state

    @inlineCallbacks
    def _taken(self, result: object, incoming: IncomingSnapshot) -> Any:
        self._taking = False
        if self._segments is not None:
            yield self._segments.stop()
            yield self._segments.clear()
        yield incoming.discard()
        if isinstance(result, Failure):
            self._let_go()
            self._not_in_place(result)
        elif result is None:
            self._done.fire(None)
        else:
            self._in_place(result)

    def _clean(self, result: object, incoming: IncomingSnapshot) -> object:
        incoming.discard()
        return result

    def _in_place(self, state: object) -> None:
        assert isinstance(state, SubscriptionState)
        self._owner.copied(state)
        self._done.fire(None)

    def _not_in_place(self, failure: Failure) -> None:
        error = named_error(failure, self._log)
        self._owner.failed(error)
        self._done.fire(Failure(error))

    @happened.register
    def _chunk_started(self, event: ChunkHeader) -> None:
        if self._segments is not None:
            self._segments.chunk_started(event)

    @happened.register
    def _chunk_came(self, event: ChunkBytes) -> None:
        if self._segments is not None:
            self._segments.chunk_data(event.data)

    @happened.register
    def _master_status(self, _: Status) -> None:
        if self._segments is not None:
            self._segments.look()

    def link_closed(self, link: MasterLink[FollowerConnection], reason: SpgReplError | None) -> None:
        """See `ILinkOwner`."""
        self._link = None
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None
        if self._taking:
            # What is being done with what came ends first.
            if self._segments is not None:
                self._segments.give_up()
        elif not self._arrived:
            self._done.fire(None)
        self._owner.closed(link, reason if link.connection.heard else not_given(reason))


def _named(error: BaseException | None) -> SpgReplError:
    return error if isinstance(error, SpgReplError) else PeerError(f"the snapshot cannot be stored: {error}")
