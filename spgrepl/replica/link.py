"""The one shell of Twisted around a connection to a master: socket, timer, pauses, and whose fault an end is."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import Interface

from spgrepl.access.failures import describe_tls_failure
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import LogTruncated, ServiceStopped, SpgReplError, TlsFailed
from spgrepl.replica.connection import Broken, Connection, Event, UnknownFrames
from spgrepl.replica.gate import Gate
from spgrepl.text.role_log import RoleLogger

TURN_SECONDS = 0.005
"""For so long bytes are taken before the reactor serves others."""

_Connection = TypeVar("_Connection", bound=Connection[Any])


class ILinkOwner(Interface):
    """What a link asks of whom it belongs to. All calls come in the reactor's thread."""

    def prepare() -> Deferred[Any]:
        """Get ready for a stream; fires with what the connection begins with."""

    def happened(event: Event) -> Deferred[Any] | None:
        """Something has happened there; a Deferred of the answer, for an event that has to be answered."""

    def link_closed(link: Any, reason: SpgReplError | None) -> None:
        """The link has ended.

        Args:
            link: The link.
            reason: Why; None when this side closed it on demand.
        """


class MasterLink(Protocol, Generic[_Connection]):
    """A link to a master.

    Args:
        reactor: For deadlines.
        owner: Whose link it is; see `ILinkOwner`.
        connection: What the bytes mean.

    Attributes:
        connection: The same.
        gate: Says whether the master is read from; nobody else does.
    """

    transport: Any  # Twisted says ITransport, which lacks what every transport of a stream has.

    _log = RoleLogger()

    def __init__(self, reactor: IReactorTime, owner: Any, connection: _Connection) -> None:
        self._clock = steady_clock(reactor)
        self._owner = owner
        self.connection = connection
        self.gate = Gate(self._pause, self._resume)
        self._timer: IDelayedCall | None = None
        self._due = 0.0
        self._reason: SpgReplError | None = None
        self._on_demand = False
        self._rest = b""
        self._asked = False
        self._turn = object()

    @property
    def state(self) -> Any:
        """Where the connection stands."""
        return self.connection.state

    @property
    def received(self) -> int | None:
        """The position after what has come of the log; None where nothing can have come yet."""
        return self.connection.received

    # -- what Twisted calls ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Get ready; the hello goes out when the other side of this program is."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        below = self.transport
        while isinstance(below, ProtocolWrapper):  # such as TLS
            below = below.transport
        if isinstance(below, FileDescriptor):
            # Each read costs a turn of the reactor, in which the thread that applies has to wait.
            below.bufferSize = self.connection.read_size
        try:
            self._owner.prepare().addCallback(self._begin).addErrback(self._failed)
        except Exception:  # noqa: BLE001 - told by its name, not as something that the master did
            self._failed(Failure())

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master. A fault of this side ends the connection, and is told as what it is."""
        if self._rest or self._asked or self.connection.unread:
            self._rest += data
        else:
            self._take(data, TURN_SECONDS)

    def _take(self, data: bytes, seconds: float) -> None:
        """Take bytes for so long, and what is left then after the reactor has served the others.

        A master may cut its log into frames of one byte. Of those, one read holds work for a tenth of a second.
        """
        connection = self.connection
        at, taken, until = 0, 0, self._clock.seconds() + seconds
        while (at < len(data) or connection.unread) and not connection.closed:
            if self._asked or (taken and self._clock.seconds() >= until):
                self._rest = data[at:]
                if not self._asked:
                    self._rest_later()
                return
            most = 0 if connection.unread else connection.at_once
            piece = data if at == 0 and len(data) <= most else data[at : at + most]
            at += len(piece)
            taken += 1
            try:
                self._hand_on(connection.receive_bytes(piece, self._clock.seconds()))
            except Exception:  # noqa: BLE001 - told by its name, not as something that the master did
                self._failed(Failure())

    def _rest_later(self) -> None:
        self.gate.hold(self._turn)
        self._clock.callLater(0, self._take_rest)

    def _take_rest(self) -> None:
        rest, self._rest = self._rest, b""
        self._take(rest, TURN_SECONDS)
        if self._asked or not (self._rest or self.connection.unread):
            self.gate.release(self._turn)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner why it ended."""
        if (self._rest or self.connection.unread) and not self._asked:
            # What the master said last came before its end.
            rest, self._rest = self._rest, b""
            self._take(rest, float("inf"))
        self._rest = b""
        if self._reason is None and not self._on_demand:
            self._reason = self._lost(reason)
        self.connection.close()
        self._set_timer()
        with self._log.failuresHandled("unexpected error after the end of a connection to a master"):
            self._owner.link_closed(self, self._reason)

    def _lost(self, reason: Failure) -> SpgReplError:
        """Why the master has closed the connection."""
        error = self.connection.lost(str(reason.value))
        tls = describe_tls_failure(reason)
        if tls is None or isinstance(error, LogTruncated):
            return error
        return TlsFailed(f"no connection by TLS with the master: {tls}")

    # -- between the connection and its owner ---------------------------------------------------------------------

    def _begin(self, prepared: Any) -> None:
        self._hand_on(self.connection.begin(prepared, self._clock.seconds()))

    def _hand_on(self, events: list[Event]) -> None:
        """Hand on what has happened, send what is to be sent, and wait for what must come."""
        # What is to be sent does not wait for what the owner does about the events.
        data = self.connection.bytes_to_send()
        if data:
            self.transport.write(data)
        self._set_timer()
        for event in events:
            if self.connection.closed:
                return
            if isinstance(event, Broken):
                self._close(event.error)
            elif isinstance(event, UnknownFrames):
                self._log.info("the master sends frames of types that are not used here; they are skipped")
            elif isinstance(event, self.connection.asks):
                self._asked = True
                self.gate.hold(self)
                self._owner.happened(event).addCallback(self._answered).addErrback(self._failed)
            else:
                self._owner.happened(event)

    def _answered(self, answer: Any) -> None:
        self._asked = False
        self.gate.release(self)
        self._hand_on(self.connection.answer(answer, self._clock.seconds()))
        rest, self._rest = self._rest, b""
        self._take(rest, TURN_SECONDS)

    # -- the timer ------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Have the timer go off at the deadline. Where that was put off, it looks again when it goes off."""
        deadline = self.connection.deadline
        if self._timer is not None and (deadline is None or deadline < self._due):
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._timer is None:
            self._due = deadline
            self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._went_off)

    def _went_off(self) -> None:
        self._timer = None
        now, deadline = self._clock.seconds(), self.connection.deadline
        if deadline is None or now < deadline:
            self._set_timer()
        else:
            self._hand_on(self.connection.time_out(now))

    # -- flow control ---------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        """Read no more from the master for now."""
        if not self.connection.closed:
            self.connection.paused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        """Read on."""
        if self.connection.paused and not self.connection.closed:
            self.connection.paused = False
            self.transport.resumeProducing()
            self.connection.put_off(self._clock.seconds())
            self._set_timer()

    # -- closing --------------------------------------------------------------------------------------------------

    def drop(self, reason: SpgReplError | None = None) -> None:
        """Close the connection, without a reason when that is wanted."""
        self._on_demand = reason is None
        self._close(reason)

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, SpgReplError):
            self._close(failure.value)
        else:
            self._log.failure("unexpected error in a connection to a master", failure)
            self._close(ServiceStopped(f"unexpected error: {failure.getErrorMessage()}"))

    def _close(self, reason: SpgReplError | None) -> None:
        if self.connection.closed:
            return
        if self._reason is None:
            self._reason = reason
        events = self.connection.close()
        self._set_timer()
        try:
            for event in events:
                self._owner.happened(event)
        except Exception:  # noqa: BLE001 - whatever its owner does, the connection ends
            self._log.failure("unexpected error at the end of a connection to a master")
        self.transport.abortConnection()
