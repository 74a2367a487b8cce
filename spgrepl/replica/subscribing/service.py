"""A subscription as a Twisted service: one connection at a time, one target, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.failures import named_error
from spgrepl.base.histories import Histories, History
from spgrepl.base.reading import thread_runner
from spgrepl.disk.file_watch import FileWatch
from spgrepl.engines.spg_snapshot import remove_segments
from spgrepl.errors import HistoryDiverged, ReplicationLoop, SpgReplError, UsageError
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.replica.connecting import ReadyEndpoint
from spgrepl.replica.connection import Entered, Event
from spgrepl.replica.link import ILinkOwner, MasterLink
from spgrepl.replica.phases import Phase
from spgrepl.replica.service import ReplicaService
from spgrepl.replica.short_connections import MarkChoice, ShortConnections
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.connection import (
    Received,
    SubscriberConnection,
    SubscriptionLinkState,
    SubscriptionTimeouts,
)
from spgrepl.replica.subscribing.copy_link import CopyOwner
from spgrepl.replica.subscribing.fence import FenceComparison
from spgrepl.replica.subscribing.history import MasterHistory
from spgrepl.replica.subscribing.initial_copies import InitialCopies
from spgrepl.replica.subscribing.marks import MarkComparison
from spgrepl.replica.subscribing.origins import OriginFilter
from spgrepl.replica.subscribing.queue import ApplyQueue
from spgrepl.replica.subscribing.settings import FINAL, SubscriberState, Subscription
from spgrepl.replica.subscribing.skipping import StoppedAt
from spgrepl.replica.subscribing.unknown_publications import UnknownPublications
from spgrepl.text.role_log import RoleLogger
from spgrepl.watch.status import Applied, Positions, SubscriberStatus
from spgrepl.wire.frames import Status
from spgrepl.wire.long_record import LongRecord
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply

__all__ = ["SubscriberService", "SubscriberSide", "SubscriberState", "Subscription"]


@attrs.frozen
class SubscriberSide:
    """What a subscriber brings along.

    Attributes:
        cluster_id: This side's cluster id, by which a loop is noticed; or reads it, blocking, in the target's
            thread at each start.
        files: A path beside which a lock and an incoming snapshot may lie; None where no process can interfere
            and nothing is copied.
        timeouts: Deadlines of the connection.
    """

    cluster_id: int | Callable[[], int]
    files: Path | None = None
    timeouts: SubscriptionTimeouts = attrs.Factory(SubscriptionTimeouts)


@implementer(ILinkOwner)
class SubscriberService(ReplicaService):
    """Keeps the tables of some publications up to date in a target.

    Args:
        reactor: The reactor.
        endpoint: The master.
        target: Where rows are put.
        subscription: What is subscribed to.
        own: What this side brings along.

    Raises:
        UsageError: Rows are to be copied, and there is no place for the snapshot.

    Attributes:
        origins: Says which rows are wanted, and whose they are.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        target: ITarget,
        subscription: Subscription,
        own: SubscriberSide,
    ) -> None:
        if subscription.copy_data and own.files is None:
            raise UsageError("a subscription that copies rows needs a place for the snapshot: give `files`")
        name, thread = f"the subscription {subscription.name}", f"spgrepl-subscription-{subscription.name}"
        super().__init__(reactor, endpoint, name, thread, name)
        self._target = target
        self._subscription = subscription
        self._trusted = subscription.same_history
        self._own = own
        self._snapshot = None if own.files is None else subscription.file_beside(own.files, "incoming")
        self._make_parts()

    def _make_parts(self) -> None:
        """Make what belongs to one run, from its start to its stop."""
        reactor, target, subscription = self._reactor, self._target, self._subscription
        known = self._own.cluster_id
        self.origins = OriginFilter(known if isinstance(known, int) else 0, subscription.origin)
        self._applier = Applier(
            target,
            subscription,
            None if self._own.files is None else subscription.file_beside(self._own.files, "lock"),
            self.origins,
        )
        self._history = MasterHistory(self._worker, self._applier, self._subscription)
        self._asking = ShortConnections(reactor, self._endpoint, "the subscription is being stopped")
        self._copies = InitialCopies(
            reactor,
            self._worker,
            self._applier,
            self._snapshot,
            CopyOwner(self._asking.take, self._copy_link_closed, self._copied, self._not_copied),
        )
        self._pump = self._queue = ApplyQueue(self._worker, self._applier, self._progressed, self._apply_failed)
        self.measures = {**self._queue.measures, "fsync_seconds": self._applier.commit_seconds}
        self._marks = MarkComparison(self._asking, subscription, MarkChoice())
        endpoint = ReadyEndpoint(self._endpoint, self._ready)
        self._make_shared(endpoint, FileWatch(*target.files), f"the target of {subscription.name}", target)
        self._stream: MasterLink[SubscriberConnection] | None = None
        self._told_histories: tuple[History, ...] | None = None
        self._unknown, self._stopped_at = UnknownPublications(), StoppedAt(subscription.name)

    def _speaking(self) -> Iterable[object]:
        return self._applier, self._history, self._asking, self._marks, self._guard, self._unknown

    # -- the service ------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _open_copy(self) -> Any:
        """Look how far the subscription has come."""
        state: SubscriptionState | None = yield self._worker.call(self._open_target)
        self._guard.start()
        if state is not None:
            self._fresh.applied(state.position)
            self._waiters.stands(state.position, state.histories)

    def _open_target(self) -> SubscriptionState | None:
        self._applier.open()
        if callable(self._own.cluster_id):
            self.origins.own = self._own.cluster_id()
        state = self._history.opened(self._trusted)
        self._trusted = False
        if self._snapshot is not None:
            remove_segments(self._snapshot)
        return state

    def _let_go(self) -> None:
        self._asking.stop()

    def _close_copy(self) -> None:
        self._applier.close()

    def _interrupt(self) -> None:
        self._applier.interrupt()

    # -- connections ------------------------------------------------------------------------------------------

    def _new_link(self) -> MasterLink[Any]:
        """The next connection: for the rows that are there, or for the stream."""
        wanted = self._subscription
        if self._copies.due or self._history.resnapshot:
            self._phase = Phase.FILLING
            return self._copies.build_link()
        connection = SubscriberConnection(
            self._own.timeouts, wanted.max_frame, wanted.max_record, self._history.unknown
        )
        self._stream = MasterLink(self._reactor, self, connection)
        return self._stream

    def _ready(self) -> Deferred[None]:
        """Wait until nothing is being copied, and compare what lies far back."""
        return self._copies.when_done().addCallback(lambda _: self._marks.compare(self._known, self.origins.own))

    @property
    def _known(self) -> SubscriptionState | None:
        """What is known of the master's history; None where the next connection does not go on from there."""
        replaced = self._copies.due or self._history.resnapshot or self._history.asks_end
        return None if replaced else self._applier.state

    @property
    def _occupied(self) -> bool:
        return self._copies.copying

    def _unreachable(self, failure: Failure) -> SpgReplError:
        return failure.value if isinstance(failure.value, SpgReplError) else super()._unreachable(failure)

    def _copy_link_closed(self, link: MasterLink[Any], reason: SpgReplError | None) -> None:
        self.link_closed(link, reason)

    def _link_gone(self, link: MasterLink[Any]) -> None:
        self._stream = None

    def _judge_end(self, link: MasterLink[Any], reason: SpgReplError | None) -> SpgReplError | None:
        if isinstance(link.connection, SubscriberConnection):
            reason = self._history.closed(link.connection.refused_start, reason)
        if reason is None:
            # Closed by this side to go on with another kind of connection.
            self._retries.at_once()
        return reason

    def _plan(self, error: SpgReplError) -> None:
        if self._history.ends(error):
            self._fail_with(error)
        elif isinstance(error, HistoryDiverged):
            self._retries.diverged()
        elif isinstance(error, ReplicationLoop):
            self._retries.hopeless()
        else:
            self._retries.failed()

    # -- the initial copy -------------------------------------------------------------------------------------

    def _copied(self, state: SubscriptionState) -> None:
        self._error, self._history.resnapshot, self._copies.fresh = None, False, True
        self._log.info(
            "the initial copy from {peer} is in place, position {position}",
            peer=self.reports.peer,
            position=state.position,
        )
        self._progressed(state)

    def _not_copied(self, reason: SpgReplError) -> None:
        """Stop where it is of no use to try again; if it is, the connection that waits for the copy fails."""
        if isinstance(reason, FINAL) and not self._life.ending:
            self._fail_with(reason)

    # -- the stream's calls -----------------------------------------------------------------------------------

    def prepare(self) -> Deferred[SubscriberHello]:
        """See `ILinkOwner`."""
        # After a batch of the last connection that may still be in flight, and moves the state.
        return self._worker.call(self._applier.reopen).addCallback(self._prepared)

    def _prepared(self, _: None) -> SubscriberHello:
        self._queue.open()
        state = self._applier.state
        asked, start = self._subscription.publications, self._subscription.start or 0
        if state is not None:
            start = FenceComparison(state, asked).start
        if self._history.asks_end:
            return SubscriberHello(0, asked, self.origins.own)
        return SubscriberHello(start, asked, self.origins.own, self._copies.asks_zero and not start)

    @singledispatchmethod
    def happened(self, event: Event) -> Deferred[SubscriptionState] | Deferred[None] | None:
        """See `ILinkOwner`."""
        raise AssertionError(f"{event} is not an event of a subscriber's connection")

    @happened.register
    def _replied(self, reply: SubscriberReply) -> Deferred[SubscriptionState]:
        self.origins.greeted(reply.cluster_id)
        self._unknown.forget()
        state, wanted = self._applier.state, self._subscription
        if self._history.answered(reply):
            return self._connect_again()
        if state is None and not wanted.copy_data:
            return self._worker.call(self._applier.start, reply.effective_start)
        if state is None:
            # Only now is it known that the master serves us and is another one: the rows can be asked for.
            self._copies.due = True
            return self._connect_again()
        if state.position == 0 and not self._copies.at_zero(reply.effective_start, wanted.copy_data):
            return self._connect_again()
        if state.master is None:
            return self._worker.call(self._history.note_master, reply.cluster_id)
        return succeed(state)

    def _connect_again(self) -> Deferred[SubscriptionState]:
        if self._link is not None:
            self._link.drop()
        return Deferred()

    @happened.register
    def _received(self, event: Received) -> None:
        frames, words = event.frames, event.frames.words
        if words.rows is not None:
            self.origins.told(words.rows.origin)
        self._unknown.told(words.unknown)
        if words.histories is not None and words.histories != self._told_histories:
            self._told_histories = words.histories
            knowing = self._worker.call(self._applier.know, words.histories)
            knowing.addCallbacks(self._knows, self._apply_failed)
        self._fresh.heard(frames.end)
        self._queue.push(frames, event.first)
        self._look_for_room(self._queue)

    @happened.register
    def _long_record(self, record: LongRecord) -> Deferred[None]:
        return thread_runner(self._reactor)(record)

    @happened.register
    def _master_status(self, status: Status) -> None:
        self._applier.master_time = status.clock
        self._heard_status(status)

    @happened.register
    def _entered(self, event: Entered) -> None:  # type: ignore[type-arg]  # singledispatch takes classes
        if event.state is SubscriptionLinkState.STREAMING:
            self._streams()

    def _knows(self, state: SubscriptionState | None) -> None:
        if state is not None:
            self._waiters.stands(state.position, state.histories)

    # -- the queue's calls ------------------------------------------------------------------------------------

    def _progressed(self, state: SubscriptionState) -> None:
        self._retries.progressed()
        self._reached(state.position)
        self._stopped_at.reached(state.position)
        self.troubles.applied(state.position, moved=True)
        self._waiters.stands(state.position, state.histories)
        self._fresh.applied(state.position)
        self._look_for_room(self._queue)

    def _apply_failed(self, failure: Failure) -> None:
        self._error = error = named_error(failure, self._log)
        if self._applier.state is not None:
            # What stands before the record at fault may have been kept.
            self._waiters.reached(self._applier.state.position)
        self._stopped_at.failed(error)
        if self._link is not None:
            self._link.drop(error)

    def skip(self, position: int, crc: int) -> Deferred[None]:
        """Leave out the record that the subscription has stopped at, once, and go on at once.

        Args:
            position: Where the record starts in the master's log.
            crc: Its CRC-32.

        Returns:
            A Deferred that fires when the order is taken, or fails with `UsageError` where the subscription has
            not stopped at this record.
        """
        try:
            order = self._stopped_at.order(position, crc)
        except UsageError as error:
            return fail(error)
        return self._worker.call(self._applier.skip, order).addCallback(self._hurry)

    # -- what is told -----------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether the subscription has a place in its target."""
        return self._applier.state is not None

    @property
    def state(self) -> SubscriberState:
        """What the subscription is doing."""
        if self._phase is Phase.FILLING:
            return SubscriberState.COPYING
        streams = self._phase is Phase.STREAMING
        return SubscriberState(self._fresh.trouble or "streaming" if streams else self._phase.value)

    def describe(self) -> SubscriberStatus:
        """See `ReplicaService`."""
        state = self._applier.state
        position = None if state is None else state.position
        return SubscriberStatus(
            name=self._subscription.name,
            state=self.state.value,
            engine=self._target.kind,
            publications=self._subscription.publications,
            positions=Positions(
                None if self._source is None else self._source.length,
                None if self._stream is None else self._stream.received,
                position,
                position,
            ),
            history=None if state is None else Histories(state.histories).current,
            effective_start=None if state is None else state.effective_start,
            bytes_without_records=None if state is None else state.quiet_bytes,
            unknown_publications=self._unknown.shown,
            copy=self._copies.progress,
            other_origin=self.origins.left_out,
            applied=Applied.of(self._target.statistics()),
            **self._describe_copy(),
        )
