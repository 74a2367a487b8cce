"""What a follower and a subscriber do alike: open, connect, end, and again, until they are stopped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.python.failure import Failure

from spgrepl.base.failures import named_error
from spgrepl.base.living_service import LivingService
from spgrepl.base.steady_clock import steady_clock
from spgrepl.base.waiters import PositionWaiters
from spgrepl.base.worker import EngineWorker
from spgrepl.disk.file_watch import FileGuard, FileWatch
from spgrepl.errors import PeerClosed, PeerTimeout, ReplicationLoop, SpgReplError
from spgrepl.interfaces.store import IStore
from spgrepl.replica.connecting import TimedEndpoint, repeated_client
from spgrepl.replica.freshness import Freshness
from spgrepl.replica.link import MasterLink
from spgrepl.replica.phases import Phase
from spgrepl.replica.pump import Pump
from spgrepl.replica.remote_watch import RemoteWatch
from spgrepl.replica.retry import RetryPlan
from spgrepl.replica.second_look import SecondLook
from spgrepl.text.role_log import RoleLogger, Speaker, speak_for
from spgrepl.watch.reports import Reports
from spgrepl.watch.status import CopyStatus, to_json
from spgrepl.watch.troubles import Troubled, described_error
from spgrepl.wire.frames import Status


class ReplicaService(Troubled, LivingService):
    """One connection to a master at a time, one thread that applies what comes, and what is told of them.

    Args:
        reactor: The reactor.
        endpoint: The master.
        name: What this is, for logs and errors.
        thread: What the thread is called.
        waited_for: What whoever waits for a position waits for.

    Attributes:
        reports: Logs what becomes of the connections.
        measures: What took how long, and how big it was; see `spgrepl.server.role.Role.measures`.
    """

    _log = RoleLogger()
    _pump: Pump[Any, Any]

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, name: str, thread: str, waited_for: str
    ) -> None:
        super().__init__(name)
        self._reactor = reactor
        self._clock = steady_clock(reactor)
        self._endpoint = TimedEndpoint(endpoint, reactor)
        self._worker = EngineWorker(reactor, thread)
        self._waiters = PositionWaiters(reactor, waited_for)
        self._phase = Phase.STOPPED
        self._used = False
        self.reports = Reports(self._log)
        self._told_as: Speaker | None = None

    def _make_shared(
        self, endpoint: IStreamClientEndpoint, watch: FileWatch, applied_to: Path | str, copy: object
    ) -> None:
        """Make what both kinds have of one run, from its start to its stop.

        Args:
            endpoint: Who connects.
            watch: The files in use.
            applied_to: What is applied to, for messages; a copy that a server keeps is called by its address.
            copy: The engine or target.
        """
        server: object = getattr(copy, "address", None)
        self._client = repeated_client(
            endpoint, self._build_link, self._connect_failed, self._retry_delay, self._clock
        )
        self._retries = RetryPlan(self._reactor)
        self._second_look = SecondLook()
        self._fresh = Freshness(self._clock, self._worker, applied_to if server is None else str(server))
        self._guard = FileGuard(self._reactor, watch, lambda error: self._apply_failed(Failure(error)))
        self._remote = RemoteWatch(self._reactor, self._worker, copy, self._apply_failed)
        self._link: MasterLink[Any] | None = None
        self._source: Status | None = None
        self._error = None

    @property
    def _speaker(self) -> Speaker | None:
        """Whose lines those of the log are; None while nobody said."""
        return self._told_as

    @_speaker.setter
    def _speaker(self, speaker: Speaker | None) -> None:
        self._told_as = speaker
        speak_for(speaker, self._worker, *self._speaking())

    # -- what each kind does in its own way -----------------------------------------------------------------------

    @abstractmethod
    def _make_parts(self) -> None:
        """Make what belongs to one run, and call `_make_shared`."""

    def _speaking(self) -> Iterable[object]:
        """The parts of one run that log anything."""
        return ()

    @abstractmethod
    def _open_copy(self) -> Deferred[Any]:
        """Open what is applied to; the thread runs."""

    @abstractmethod
    def _close_copy(self) -> None:
        """Close what is applied to; called in the thread."""

    @abstractmethod
    def _interrupt(self) -> None:
        """End what the thread does at present; called in any thread."""

    def _let_go(self) -> None:
        """The end has begun: let go of what goes on beside the connection."""

    def _finish(self) -> Deferred[Any]:
        """No connection is left: finish what else is under way."""
        return succeed(None)

    def _closed(self) -> None:
        """The copy is closed."""

    @abstractmethod
    def _new_link(self) -> MasterLink[Any]:
        """The next connection."""

    @abstractmethod
    def _link_gone(self, link: MasterLink[Any]) -> None:
        """A connection has ended; what it had begun is to be forgotten."""

    @abstractmethod
    def _judge_end(self, link: MasterLink[Any], reason: SpgReplError | None) -> SpgReplError | None:
        """Say what the end of a connection means; None where another one follows all the same, as was planned."""

    def _unreachable(self, failure: Failure) -> SpgReplError:
        """Say what it means that no connection came about."""
        return PeerClosed(f"the master cannot be reached: {failure.getErrorMessage()}")

    @abstractmethod
    def _plan(self, error: SpgReplError) -> None:
        """Plan what follows an error: another connection, some time later, or the end."""

    @property
    def _occupied(self) -> bool:
        """Whether something else goes on between two connections."""
        return False

    @abstractmethod
    def _apply_failed(self, failure: Failure) -> None:
        """What came cannot be applied, or not be kept."""

    # -- the service ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _open(self) -> Any:
        if self._used:
            self._make_parts()
            speak_for(self._told_as, self._worker, *self._speaking())
        self._used = True
        self._phase = Phase.CONNECTING
        self._waiters.start()
        self._worker.start()
        yield self._open_copy()
        # Whoever waited for what the copy has already may have stopped this service when it was told.
        if not self._life.ending:
            self._remote.start()
            self._client.startService()

    @inlineCallbacks
    def _close_all(self) -> Any:
        """Let go of the master, finish the batch in flight, and close the copy."""
        self._error = self._life.error or self._error
        self._guard.stop()
        self._remote.stop()
        self._let_go()
        if self._link is not None:
            self._link.drop()
        if self._client.running:
            yield self._client.stopService()
        self._pump.discard()
        self._waiters.stop()
        yield self._finish()
        closing = self._worker.end(self._close_copy, self._interrupt)
        yield closing.addErrback(lambda failure: self._log.failure("closing the copy", failure))
        self._worker.stop()
        self._closed()
        self._phase = Phase.STOPPED

    # -- connections ----------------------------------------------------------------------------------------------

    def _build_link(self) -> IProtocol:
        """The protocol of the next connection."""
        self._phase = Phase.CONNECTING
        link = self._link = self._new_link()
        return link

    def _retry_delay(self, _attempt: int) -> float:
        delay = self._retries.delay()
        if not self._life.ending and not self._occupied:
            self._phase = Phase.WAITING
        if delay:
            self._log.debug("trying {peer} again in {delay:.1f} s", peer=self.reports.peer, delay=delay)
        return delay

    @inlineCallbacks
    def _hurry(self, _: None) -> Any:
        """Connect again now, not when the pause is over."""
        self._retries.at_once()
        if self._client.running:
            yield self._client.stopService()
            if not self._life.ending:
                self._client.startService()

    def _connect_failed(self, failure: Failure) -> None:
        if not self._life.ending:
            self._failed_with(self._unreachable(failure))

    def link_closed(self, link: MasterLink[Any], reason: SpgReplError | None) -> None:
        """See `ILinkOwner`."""
        self._link = None
        self._pump.discard()
        self._link_gone(link)
        if self._life.ending:
            return
        error = self._judge_end(link, reason)
        if error is not None:
            self._failed_with(error)

    def _failed_with(self, error: SpgReplError) -> None:
        doubt = self._second_look.doubt(error)
        self._error = error = doubt or error
        self.reports.failed(error, self._fresh.position)
        if doubt is None:
            self._plan(error)
        else:
            self._retries.doubted()

    def _reached(self, position: int, *, fresh: bool = False) -> None:
        """More is applied, up to a position; or a fresh snapshot, which says nothing of the log after it."""
        self.reports.goes_on(position)
        if self._link is not None:
            self._link.connection.applied = position
            if self._link.connection.heard and not fresh:  # Else it came over the connection that is doubted.
                self._second_look.moved()

    def _drop(self, failure: Failure) -> None:
        """End the connection: this side cannot go on with it."""
        self._error = named_error(failure, self._log)
        if self._link is not None:
            self._link.drop(self._error)

    def _look_for_room(self, *stores: IStore) -> None:
        """Read from the master while there is room for it."""
        if self._link is not None:
            self._link.gate.look(*stores)

    def _streams(self) -> None:
        """The master sends its log."""
        self._phase = Phase.STREAMING
        self.reports.streams(self._fresh.position)
        self._fresh.connected()
        self._retries.streaming()
        self.troubles.over(PeerClosed, PeerTimeout, ReplicationLoop)

    def _heard_status(self, status: Status) -> None:
        """The master's STATUS."""
        self._source = status
        self._fresh.heard(status.length, status=True)
        if self._retries.is_stable():
            self._error = None
            self.reports.goes_on(self._fresh.position)

    # -- what is told ---------------------------------------------------------------------------------------------

    def when_applied(self, position: int, timeout: float | None = None) -> Deferred[int]:
        """Wait until everything up to a position is applied; see `spgrepl.server.role.Role.when_applied`."""
        return self._waiters.wait(position, timeout)

    def _describe_copy(self) -> dict[str, Any]:
        """How fresh the copy is, and what is wrong or was, by field of `CopyStatus`."""
        streams = self._phase is Phase.STREAMING
        return {
            "fresh": self._fresh.describe(self._source, streams),
            "reconnects": self._retries.reconnects,
            "fault": described_error(self._guard.error, self._error, self._fresh.complaint(streams)),
            "errors": self.troubles.describe(),
        }

    @abstractmethod
    def describe(self) -> CopyStatus:
        """What the status says of this copy, but for what its role knows."""

    def status(self) -> dict[str, Any]:
        """The same as plain values, for JSON; see `spgrepl.server.role.Role.status`."""
        told: dict[str, Any] = to_json(self.describe())
        return told
