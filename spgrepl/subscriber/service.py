"""A subscription as a Twisted service: one connection at a time, one target, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    HistoryDiverged,
    LocalFilesDamaged,
    PeerClosed,
    PeerTimeout,
    ReplicationLoop,
    SpgReplError,
    StartLost,
    SubscriptionGone,
    TableMismatch,
    UsageError,
)
from spgrepl.follower.backoff import RetryPlan
from spgrepl.follower.connecting import LinkFactory, NotingEndpoint, named_error
from spgrepl.follower.ending import Ending
from spgrepl.follower.protocol import FollowerProtocol
from spgrepl.follower.waiters import PositionWaiters
from spgrepl.subscriber.applier import Applier
from spgrepl.subscriber.copy_link import EndpointBehindCopy, InitialCopies
from spgrepl.subscriber.fence import FenceComparison
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.subscriber.protocol import SubscriberProtocol, SubscriptionLinkState, SubscriptionTimeouts
from spgrepl.subscriber.queue import ApplyQueue
from spgrepl.subscriber.settings import SubscriberState, Subscription, describe_positions
from spgrepl.wire.frames import Status
from spgrepl.wire.record_frames import RecordFrames
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply

__all__ = ["SubscriberService", "SubscriberState", "Subscription"]

# What trying again does not mend.
_FINAL = (
    HistoryDiverged,
    ConfigurationError,
    TableMismatch,
    LocalFilesDamaged,
    DatabaseLocked,
    SubscriptionGone,
)


class SubscriberService(Service):
    """Keeps the tables of some publications up to date in a target.

    Args:
        reactor: The reactor.
        endpoint: The master.
        target: Where rows are put.
        subscription: What is subscribed to.
        cluster_id: This side's cluster id, by which a loop is noticed.
        files: A path beside which a lock and an incoming snapshot may lie; None where no process can interfere
            and nothing is copied.
        timeouts: Deadlines of the connection.

    Raises:
        UsageError: Rows are to be copied, and there is no place for the snapshot.

    Attributes:
        finished: Fires with None when the service has stopped on demand, or with the error that ended it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        target: ITarget,
        subscription: Subscription,
        cluster_id: int,
        files: Path | None = None,
        timeouts: SubscriptionTimeouts | None = None,
    ) -> None:
        if subscription.copy_data and files is None:
            raise UsageError("a subscription that copies rows needs a place for the snapshot: give `files`")
        self._reactor = reactor
        self._target = target
        self._subscription = subscription
        self._cluster_id = cluster_id
        self._timeouts = timeouts
        self._snapshot = None if files is None else subscription.file_beside(files, "incoming")
        self._worker = EngineWorker(reactor, f"spgrepl-subscription-{subscription.name}")
        self._applier = Applier(
            target,
            subscription.publications,
            None if files is None else subscription.file_beside(files, "lock"),
            subscription.skip,
            subscription.keep_refused,
        )
        self._copies = InitialCopies(
            reactor,
            self._worker,
            self._applier,
            target,
            self._snapshot,
            subscription.max_frame,
            self._link_ended,
            self._copied,
            self._not_copied,
        )
        self._queue = ApplyQueue(self._worker, self._applier, self._progressed, self._apply_failed)
        self._client = ClientService(
            NotingEndpoint(EndpointBehindCopy(endpoint, self._copies.when_done), self._connect_failed),
            LinkFactory(self._build_link),
            self._delay,
            reactor,
        )
        self._retries = RetryPlan(reactor)
        self._waiters = PositionWaiters(reactor, f"the subscription {subscription.name}")
        self._link: SubscriberProtocol | FollowerProtocol | None = None
        self._state = SubscriberState.STOPPED
        self._error: SpgReplError | None = None
        self._source: Status | None = None
        self._source_heard = 0.0
        self._ending = Ending(self._close_all)
        self.finished = self._ending.finished

    # -- the service ------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Look how far the subscription has come, then connect to the master."""
        Service.startService(self)
        self._state = SubscriberState.CONNECTING
        self._worker.start()
        opening = self._worker.call(self._open).addCallback(self._opened)
        opening.addErrback(lambda failure: self._end(named_error(failure, self._log)))

    def _open(self) -> SubscriptionState | None:
        state = self._applier.open()
        if self._snapshot is not None:
            self._snapshot.unlink(missing_ok=True)
        return state

    def _opened(self, state: SubscriptionState | None) -> None:
        if self.running:
            if state is not None:
                self._waiters.reached(state.position)
                self._tell_where(state)
            self._client.startService()

    def _tell_where(self, state: SubscriptionState) -> None:
        asked = self._subscription.start
        self._log.info(
            "the subscription {name} goes on at position {position}{note}",
            name=self._subscription.name,
            position=state.position,
            note="" if asked is None else f"; --start {asked} is for one that has not begun",
        )

    def _end(self, error: SpgReplError) -> None:
        """Stop for good, because going on would not help."""
        self._error = error
        self._log.error("the subscription {name} stops: {error}", name=self._subscription.name, error=error)
        self._ending.end(error)

    def stopService(self) -> Deferred[None]:
        """Let go of the master, finish the batch in flight, and close the target."""
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
        closing = self._worker.call(self._applier.close)
        yield closing.addErrback(lambda failure: self._log.failure("closing the target", failure))
        self._worker.stop()
        self._state = SubscriberState.STOPPED

    # -- connecting -------------------------------------------------------------------------------------------

    def _build_link(self) -> IProtocol:
        """The protocol of the next connection: for the rows that are there, or for the stream."""
        wanted = self._subscription
        if self._copies.due:
            self._state = SubscriberState.COPYING
            self._link = self._copies.build_link()
            return self._link
        self._state = SubscriberState.CONNECTING
        self._link = SubscriberProtocol(self._reactor, self, self._timeouts, wanted.max_frame, wanted.max_record)
        return self._link

    def _delay(self, _attempt: int) -> float:
        delay = self._retries.delay()
        if not self._ending.begun and not self._copies.copying:
            self._state = SubscriberState.WAITING
        if delay:
            self._log.info("trying the master again in {delay:.1f} s: {error}", delay=delay, error=self._error)
        return delay

    def _connect_failed(self, failure: Failure) -> None:
        if not self._ending.begun:
            error = failure.value
            if not isinstance(error, SpgReplError):
                error = PeerClosed(f"the master cannot be reached: {failure.getErrorMessage()}")
            self._failed_with(error)

    def _link_ended(self, reason: SpgReplError | None) -> None:
        self._link = None
        self._queue.discard()
        if self._ending.begun:
            return
        if reason is None:
            # Closed by this side to go on with another kind of connection.
            self._retries.at_once()
            return
        self._log.warn("the connection has ended: {reason}", reason=reason)
        self._failed_with(reason)

    def _failed_with(self, reason: SpgReplError) -> None:
        """Stop, or let some time pass before the next connection."""
        self._error = reason
        if isinstance(reason, _FINAL):
            self._end(reason)
        elif isinstance(reason, ReplicationLoop):
            self._retries.hopeless()
        else:
            self._retries.failed()

    # -- the initial copy -------------------------------------------------------------------------------------

    def _copied(self, state: SubscriptionState) -> None:
        if state.position == 0 and self._copies.end and not self._ending.begun:
            # A snapshot that does not grow with its log: the next one would stand there too.
            self._end(self._start_lost(self._copies.end, "begin without the rows, with --no-copy-data"))
            return
        self._error = None
        self._log.info("the initial copy is in place, at position {position}", position=state.position)
        self._progressed(state)

    def _not_copied(self, reason: SpgReplError) -> None:
        """Stop where it is of no use to try again; if it is, the connection that waits for the copy fails."""
        if isinstance(reason, _FINAL) and not self._ending.begun:
            self._end(reason)

    # -- the stream's calls -----------------------------------------------------------------------------------

    def prepare(self) -> Deferred[SubscriberHello]:
        """See `ISubscriptionOwner`."""
        # Behind a batch of the last connection that may still be in flight, and moves the state.
        return self._worker.call(lambda: None).addCallback(self._prepared)

    def _prepared(self, _: None) -> SubscriberHello:
        self._queue.open()
        state = self._applier.state
        start = FenceComparison(state).start if state is not None else self._subscription.start or 0
        return SubscriberHello(start, self._subscription.publications, self._cluster_id)

    def replied(self, reply: SubscriberReply) -> Deferred[SubscriptionState]:
        """See `ISubscriptionOwner`."""
        if reply.cluster_id == self._cluster_id:
            raise ReplicationLoop(
                f"REPLICATION_LOOP: the master's cluster id {reply.cluster_id:016x} is this side's own: a "
                f"database cannot subscribe to itself. Name another master, or another target"
            )
        state, wanted = self._applier.state, self._subscription
        if state is None and not wanted.copy_data:
            return self._worker.call(self._applier.start, reply.effective_start)
        if state is None or (state.position == 0 and reply.effective_start > 0 and wanted.copy_data):
            # Only now is it known that the master serves us and is another one: the rows can be asked for.
            return self._begin_copy(reply.effective_start)
        if state.position == 0 and reply.effective_start > 0:
            raise self._start_lost(reply.effective_start, "begin with the rows, without --no-copy-data")
        return succeed(state)

    @staticmethod
    def _start_lost(end: int, advice: str) -> StartLost:
        return StartLost(
            f"this subscription stands at position 0, and the master's log has grown to {end}: position 0 cannot "
            f"be asked for, because 0 means the master's end; {advice}"
        )

    def _begin_copy(self, end: int) -> Deferred[SubscriptionState]:
        self._copies.order(end)
        if self._link is not None:
            self._link.drop()
        return Deferred()

    def received(self, frames: RecordFrames, first: int) -> None:
        """See `ISubscriptionOwner`."""
        self._queue.push(frames, first)
        if self._queue.full and self._link is not None:
            self._link.pause()

    def master_status(self, status: Status) -> None:
        """See `ISubscriptionOwner`."""
        self._source = status
        self._source_heard = self._reactor.seconds()
        if self._retries.is_stable():
            self._error = None

    def state_changed(self, state: SubscriptionLinkState) -> None:
        """See `ISubscriptionOwner`."""
        if state is SubscriptionLinkState.STREAMING:
            self._state = SubscriberState.STREAMING
            self._retries.streaming()
            if isinstance(self._error, (PeerClosed, PeerTimeout, ReplicationLoop)):
                self._error = None

    def subscription_closed(self, reason: SpgReplError | None) -> None:
        """See `ISubscriptionOwner`."""
        self._link_ended(reason)

    # -- the queue's calls ------------------------------------------------------------------------------------

    def _progressed(self, state: SubscriptionState) -> None:
        self._retries.progressed()
        # An error at a record is over when that record is applied.
        at = getattr(self._error, "position", None)
        if at is None or state.position > at:
            self._error = None
        self._waiters.reached(state.position)
        link = self._link
        if isinstance(link, SubscriberProtocol) and link.received is not None and self._queue.drained:
            link.resume()

    def _apply_failed(self, failure: Failure) -> None:
        error = named_error(failure, self._log)
        if self._applier.state is not None:
            # What stands before the record at fault may have been kept.
            self._waiters.reached(self._applier.state.position)
        self._error = error
        if self._link is not None:
            self._link.drop(error)

    # -- what is told -----------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether the subscription has a place in its target."""
        return self._applier.state is not None

    @property
    def state(self) -> SubscriberState:
        """What the subscription is doing."""
        return self._state

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait until everything published up to a position is in the target.

        Args:
            position: A position in the master's log, in bytes.
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            A Deferred that fires with the position that has been reached, or fails with `WaitTimeout` or
            `ServiceStopped`.
        """
        return self._waiters.wait(position, timeout)

    def status(self) -> dict[str, Any]:
        """What `/status` shows: plain values, for JSON."""
        link = self._link
        received = link.received if isinstance(link, SubscriberProtocol) else None
        silent = self._reactor.seconds() - self._source_heard
        return {
            "role": "subscriber",
            "state": self._state.value,
            "engine": self._target.kind,
            "name": self._subscription.name,
            "publications": list(self._subscription.publications),
            **describe_positions(self._applier.state, received, self._source, silent),
            "copy": self._copies.progress,
            "error": self._error and str(self._error),
            **self._target.statistics(),
        }
