"""The initial copy's way in: a follower's connection that ends when the snapshot is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from spgrepl.engines.interfaces import ReplayState
from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import PeerError, SnapshotError, SpgReplError
from spgrepl.follower.incoming import IncomingSnapshot
from spgrepl.follower.protocol import FollowerProtocol, LinkState
from spgrepl.subscriber.applier import Applier
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.wire.frames import Status
from spgrepl.wire.segment_chunks import ChunkHeader


class CopyLink:
    """Receives one snapshot, has its rows put into the target, and lets go of the master.

    It is the owner of a `FollowerProtocol` (see `spgrepl.follower.protocol.ILinkOwner`).

    Args:
        worker: The target's thread.
        applier: Puts the rows in place.
        target: Judges the snapshot's first bytes.
        path: Where the snapshot is gathered.
        changed: Called when the connection has gone on to another state.
        done: Called when the connection has ended: with the state where the rows are in place, else with None and
            the reason, which is None where this side closed the connection.
    """

    _log = Logger()

    def __init__(
        self,
        worker: EngineWorker,
        applier: Applier,
        target: ITarget,
        path: Path,
        changed: Callable[[LinkState], None],
        done: Callable[[SubscriptionState | None, SpgReplError | None], None],
    ) -> None:
        self._worker = worker
        self._applier = applier
        self._target = target
        self._path = path
        self._changed = changed
        self._done = done
        self._incoming: IncomingSnapshot | None = None
        self._state: SubscriptionState | None = None
        self._link: FollowerProtocol | None = None

    def attach(self, link: FollowerProtocol) -> FollowerProtocol:
        """Take the connection whose owner this is."""
        self._link = link
        return link

    @property
    def progress(self) -> dict[str, int] | None:
        """Bytes received and expected while the snapshot comes, for the status."""
        incoming = self._incoming
        return None if incoming is None else {"received": incoming.received, "length": incoming.length}

    # -- the connection's calls -------------------------------------------------------------------------------

    def prepare(self) -> Deferred[ReplayState | None]:
        """See `ILinkOwner`: a snapshot is needed."""
        return succeed(None)

    def snapshot_started(self, length: int) -> None:
        """See `ILinkOwner`."""
        self._log.info("the master sends a snapshot of {length} bytes for the initial copy", length=length)
        self._incoming = IncomingSnapshot(self._worker, self._path, length, self._target.check_snapshot_head)

    def snapshot_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""
        incoming, link = self._incoming, self._link
        assert incoming is not None
        incoming.add(data)
        if link is None:
            return
        if incoming.failure is not None:
            incoming.finish().addErrback(lambda failure: link.drop(_named(failure.value)))
        elif incoming.full:
            link.pause()
            self._worker.call(lambda: None).addBoth(lambda _: link.resume())

    def snapshot_ended(self, position: int) -> Deferred[None]:
        """See `ILinkOwner`. What the connection would bring behind the snapshot is not wanted."""
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        if not incoming.length:
            incoming.discard()
            return fail(SnapshotError("the master sent an empty snapshot: it has no rows to begin with"))
        copied = incoming.finish().addCallback(
            lambda _: self._worker.call(self._applier.copy, self._path, position)
        )
        copied.addBoth(self._clean, incoming)
        return copied.addCallback(self._copied)

    def _clean(self, result: object, incoming: IncomingSnapshot) -> object:
        incoming.discard()
        return result

    def _copied(self, state: object) -> None:
        assert isinstance(state, SubscriptionState)
        self._state = state
        if self._link is not None:
            self._link.drop()

    def log_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""

    def chunk_started(self, header: ChunkHeader) -> None:
        """See `ILinkOwner`."""

    def chunk_data(self, data: bytes) -> None:
        """See `ILinkOwner`."""

    def master_status(self, status: Status) -> None:
        """See `ILinkOwner`."""

    def state_changed(self, state: LinkState) -> None:
        """See `ILinkOwner`."""
        self._changed(state)

    def link_closed(self, link: FollowerProtocol, reason: SpgReplError | None, heard: bool) -> None:
        """See `ILinkOwner`."""
        self._link = None
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None
        self._done(self._state, None if self._state is not None else reason)


def _named(error: BaseException | None) -> SpgReplError:
    return error if isinstance(error, SpgReplError) else PeerError(f"the snapshot cannot be stored: {error}")
