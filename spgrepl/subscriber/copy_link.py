"""The initial copy's way in: a follower's connection that ends when the snapshot is here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.engines.interfaces import ReplayState
from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import PeerError, SnapshotError, SpgReplError
from spgrepl.follower.connecting import named_error
from spgrepl.follower.incoming import IncomingSnapshot
from spgrepl.follower.protocol import FollowerProtocol, LinkState
from spgrepl.subscriber.applier import Applier
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.wire.frames import Status
from spgrepl.wire.handshake import StreamVersion
from spgrepl.wire.segment_chunks import ChunkHeader


class CopyLink:
    """Receives one snapshot, lets go of the master, and has the snapshot's rows put into the target.

    It is the owner of a `FollowerProtocol` (see `spgrepl.follower.protocol.ILinkOwner`). How long the rows take is
    no business of the master's, which would not wait for a reader that takes nothing: the connection is closed as
    soon as the snapshot is here.

    Args:
        worker: The target's thread.
        applier: Puts the rows in place.
        target: Judges the snapshot's first bytes.
        path: Where the snapshot is gathered.
        closed: Called when the connection has ended: with None where the snapshot is here, or where this side was
            told to close it, else with the reason.
        copied: Called with the state when the rows are in place.
        failed: Called with the reason when they could not be put in place.
    """

    _log = Logger()

    def __init__(
        self,
        worker: EngineWorker,
        applier: Applier,
        target: ITarget,
        path: Path,
        closed: Callable[[SpgReplError | None], None],
        copied: Callable[[SubscriptionState], None],
        failed: Callable[[SpgReplError], None],
    ) -> None:
        self._worker = worker
        self._applier = applier
        self._target = target
        self._path = path
        self._closed = closed
        self._copied = copied
        self._failed = failed
        self._incoming: IncomingSnapshot | None = None
        self._arrived = False
        self._link: FollowerProtocol | None = None
        self._waiting: list[Deferred[None]] = []
        self._failure: Failure | None = None
        self._ended = False

    def attach(self, link: FollowerProtocol) -> FollowerProtocol:
        """Take the connection whose owner this is."""
        self._link = link
        return link

    @property
    def progress(self) -> dict[str, int] | None:
        """Bytes received and expected while the snapshot comes, for the status."""
        incoming = self._incoming
        return None if incoming is None else {"received": incoming.received, "length": incoming.length}

    @property
    def copying(self) -> bool:
        """Whether the snapshot is here, and its rows are being put in place."""
        return self._arrived and not self._ended

    def when_ended(self) -> Deferred[None]:
        """Wait until nothing more will be done.

        Returns:
            A Deferred that fires when the rows are in place or the connection has ended without a snapshot, or
            fails with the `SpgReplError` for which the rows of a snapshot that came could not be put in place.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if self._ended:
            self._tell()
        return waiter

    def _end(self, failure: Failure | None) -> None:
        self._ended = True
        self._failure = failure
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(self._failure)

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
        self._arrived = True
        if self._link is not None:
            self._link.drop()
        copied = incoming.finish().addCallback(
            lambda _: self._worker.call(self._applier.copy, self._path, position)
        )
        copied.addBoth(self._clean, incoming)
        copied.addCallbacks(self._in_place, self._not_in_place)
        return succeed(None)

    def _clean(self, result: object, incoming: IncomingSnapshot) -> object:
        incoming.discard()
        return result

    def _in_place(self, state: object) -> None:
        assert isinstance(state, SubscriptionState)
        self._copied(state)
        self._end(None)

    def _not_in_place(self, failure: Failure) -> None:
        error = named_error(failure, self._log)
        self._failed(error)
        self._end(Failure(error))

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

    def link_closed(self, link: FollowerProtocol, reason: SpgReplError | None, heard: bool) -> None:
        """See `ILinkOwner`."""
        self._link = None
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None
        if not self._arrived:
            self._end(None)
        self._closed(reason)


class InitialCopies:
    """The initial copy of a subscription: ordered, then made over a connection of its own, as often as it takes.

    Args:
        reactor: For deadlines of the connection.
        worker: The target's thread.
        applier: Puts the rows in place.
        target: Judges a snapshot's first bytes.
        path: Where a snapshot is gathered; None where nothing is ever copied.
        max_frame: The longest frame that is accepted, in bytes.
        closed: See `CopyLink`.
        copied: See `CopyLink`.
        failed: See `CopyLink`.

    Attributes:
        due: Whether the next connection is to be one for the rows.
        end: The master's end when the copy was ordered.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        worker: EngineWorker,
        applier: Applier,
        target: ITarget,
        path: Path | None,
        max_frame: int,
        closed: Callable[[SpgReplError | None], None],
        copied: Callable[[SubscriptionState], None],
        failed: Callable[[SpgReplError], None],
    ) -> None:
        self._reactor = reactor
        self._make = partial(CopyLink, worker, applier, target, closed=closed, copied=copied, failed=failed)
        self._path = path
        self._max_frame = max_frame
        self._last: CopyLink | None = None
        self.due = False
        self.end = 0

    def order(self, end: int) -> None:
        """Let the next connection be one for the rows; the master's log ends at `end`."""
        self.due = True
        self.end = end

    def build_link(self) -> FollowerProtocol:
        """The connection for the rows."""
        assert self._path is not None
        self.due = False
        self._last = self._make(path=self._path)
        link = FollowerProtocol(self._reactor, self._last, StreamVersion.V2, max_frame=self._max_frame)
        return self._last.attach(link)

    @property
    def progress(self) -> dict[str, int] | None:
        """Bytes received and expected while a snapshot comes, for the status."""
        return None if self._last is None else self._last.progress

    @property
    def copying(self) -> bool:
        """Whether a snapshot is here, and its rows are being put in place."""
        return self._last is not None and self._last.copying

    def when_done(self) -> Deferred[None]:
        """Wait until nothing is being copied; see `CopyLink.when_ended`. A failure is told once."""
        last = self._last
        return succeed(None) if last is None else last.when_ended().addBoth(self._forget)

    def _forget(self, result: Any) -> Any:
        self._last = None
        return result


@implementer(IStreamClientEndpoint)
class EndpointBehindCopy:
    """An endpoint that connects once nothing is being copied.

    Args:
        endpoint: Who connects.
        ready: Fires when that is so; where it fails, so does connecting.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, ready: Callable[[], Deferred[None]]) -> None:
        self._endpoint = endpoint
        self._ready = ready

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        return self._ready().addCallback(lambda _: self._endpoint.connect(protocolFactory))


def _named(error: BaseException | None) -> SpgReplError:
    return error if isinstance(error, SpgReplError) else PeerError(f"the snapshot cannot be stored: {error}")
