"""One connection of a subscriber to its master, as a state machine over the wire's parsers."""

from __future__ import annotations

import enum
from typing import Any
from typing import Protocol as TypingProtocol

import attrs
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import LogTruncated, PeerClosed, PeerError, PeerTimeout, ServiceStopped, SpgReplError
from spgrepl.subscriber.fence import FenceComparison
from spgrepl.subscriber.interfaces import SubscriptionState
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wire.frames import DEFAULT_MAX_FRAME, Status
from spgrepl.wire.record_frames import RecordFrameParser, RecordFrames
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply, SubscriberReplyParser

READ_SIZE = 256 * 1024
"""The most bytes that are read from the socket, and cut, at once."""


class SubscriptionLinkState(enum.Enum):
    """Where a subscriber's connection stands."""

    PREPARING = "preparing"
    REPLY = "waiting for the master's reply"
    BEGINNING = "storing the start"
    FENCE = "comparing history"
    STREAMING = "streaming"
    CLOSED = "closed"


_STREAM_STATES = frozenset({SubscriptionLinkState.FENCE, SubscriptionLinkState.STREAMING})


@attrs.frozen
class SubscriptionTimeouts:
    """Deadlines of a subscriber's connection, in seconds.

    Attributes:
        reply: From the hello to the master's reply.
        silence: Without a byte on the stream, not even a STATUS.
    """

    reply: float = 60.0
    silence: float = 15.0


class ISubscriptionOwner(TypingProtocol):
    """What a connection asks of the subscription that it belongs to. All calls come in the reactor's thread."""

    def prepare(self) -> Deferred[SubscriberHello]:
        """Get ready for a stream; fires with the hello to send."""

    def replied(self, reply: SubscriberReply) -> Deferred[SubscriptionState]:
        """The master has answered; fires with the state that the stream follows, once that is stored."""

    def received(self, frames: RecordFrames, first: int) -> None:
        """Frames have come, new from the record of an index on."""

    def master_status(self, status: Status) -> None:
        """The master's STATUS."""

    def state_changed(self, state: SubscriptionLinkState) -> None:
        """The connection has gone on to another state."""

    def subscription_closed(self, reason: SpgReplError | None) -> None:
        """The connection has ended; without a reason when this side closed it on demand."""


class SubscriberProtocol(Protocol):
    """Asks a master for the records of some publications and hands on what comes.

    Args:
        reactor: For deadlines.
        owner: The subscription.
        timeouts: Deadlines.
        max_frame: The longest frame that is accepted, in bytes.
        max_record: The most bytes of SQL or payload that a record may have.
    """

    transport: Any  # Twisted says ITransport, which lacks what every transport of a stream has.

    _log = Logger()
    _frames: RecordFrameParser
    _fence: FenceComparison

    def __init__(
        self,
        reactor: IReactorTime,
        owner: ISubscriptionOwner,
        timeouts: SubscriptionTimeouts | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
        max_record: int = DEFAULT_MAX_RECORD,
    ) -> None:
        self._reactor = reactor
        self._owner = owner
        self._timeouts = timeouts or SubscriptionTimeouts()
        self._max_frame = max_frame
        self._max_record = max_record
        self._reply = SubscriberReplyParser()
        self._state = SubscriptionLinkState.PREPARING
        self._hello: SubscriberHello | None = None
        self._deadline: IDelayedCall | None = None
        self._timeout: float | None = None
        self._reason: SpgReplError | None = None
        self._on_demand = False
        self._paused = False
        self._heard = False
        self._early = b""
        self._doubt: LogTruncated | None = None
        self._records_came = False

    @property
    def state(self) -> SubscriptionLinkState:
        """Where the connection stands."""
        return self._state

    @property
    def received(self) -> int | None:
        """The position behind what has come; None before the stream."""
        return self._frames.position if self._state in _STREAM_STATES else None

    # -- opening ----------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Get ready; the hello goes out when the target is."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        if isinstance(self.transport, FileDescriptor):
            self.transport.bufferSize = READ_SIZE
        self._owner.prepare().addCallbacks(self._say_hello, self._failed).addErrback(self._failed)

    def _say_hello(self, hello: SubscriberHello) -> None:
        if self._state is SubscriptionLinkState.PREPARING:
            self._hello = hello
            self._enter(SubscriptionLinkState.REPLY, self._timeouts.reply)
            self.transport.write(hello.encode())

    def _enter(self, state: SubscriptionLinkState, timeout: float | None) -> None:
        changed = state is not self._state
        self._state = state
        self._set_deadline(timeout)
        if changed:
            self._owner.state_changed(state)

    def _set_deadline(self, timeout: float | None) -> None:
        self._timeout = timeout
        if timeout is None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is not None:
            self._deadline.reset(timeout)
        else:
            self._deadline = self._reactor.callLater(timeout, self._expired)

    def _expired(self) -> None:
        self._deadline = None
        if self._paused:
            # Silence means nothing while nobody listens.
            self._set_deadline(self._timeout)
            return
        awaited = "not even a STATUS" if self._state in _STREAM_STATES else "nothing that was waited for"
        self._close(PeerTimeout(f"{awaited} came from the master in time while this side was {self._state.value}"))

    # -- receiving --------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master."""
        self._heard = True
        try:
            if self._state in _STREAM_STATES:
                self._set_deadline(self._timeouts.silence)
                self._receive_stream(data)
            elif self._state is SubscriptionLinkState.BEGINNING:
                # The transport is paused; only what was read already still comes.
                self._early += data
            elif self._state is SubscriptionLinkState.PREPARING:
                raise PeerError("the master speaks before the hello")
            elif self._state is SubscriptionLinkState.REPLY:
                self._receive_reply(data)
        except SpgReplError as error:
            self._close(error)

    def _receive_reply(self, data: bytes) -> None:
        found = self._reply.feed(data)
        if found is None:
            return
        reply, self._early = found
        assert self._hello is not None
        if self._hello.start and reply.effective_start != self._hello.start:
            raise PeerError(
                f"the master answers a start at position {self._hello.start} with another one, "
                f"{reply.effective_start}"
            )
        self._enter(SubscriptionLinkState.BEGINNING, None)
        self.pause()
        begun = self._owner.replied(reply)
        begun.addCallback(self._begun, reply.effective_start).addErrback(self._failed)

    def _begun(self, state: SubscriptionState, start: int) -> None:
        if self._state is not SubscriptionLinkState.BEGINNING:
            return
        self._frames = RecordFrameParser(start, self._max_frame, self._max_record)
        self._fence = FenceComparison(state)
        self._applied = state.position
        self._enter(
            SubscriptionLinkState.STREAMING if self._fence.passed else SubscriptionLinkState.FENCE,
            self._timeouts.silence,
        )
        early, self._early = self._early, b""
        self.resume()
        if early:
            self._receive_stream(early)

    def _receive_stream(self, data: bytes) -> None:
        found = self._frames.feed(data)
        while found is not None:
            first = self._fence.feed(found)
            self._records_came = self._records_came or len(found) > 0
            if found.status is not None and found.settled is not None:
                self._judge_status(found.status, found.settled[1])
            if self._fence.passed:
                if self._state is SubscriptionLinkState.FENCE:
                    self._enter(SubscriptionLinkState.STREAMING, self._timeouts.silence)
                    _forget_before(found, self._applied)
                self._owner.received(found, first)
            # A fault behind what was whole is told by the next call.
            found = self._frames.feed(b"")

    def _judge_status(self, status: Status, received: int) -> None:
        """Look whether the master's log reaches as far as what came in front of its STATUS, not behind it."""
        position = max(received, self._applied)
        if status.length >= position:
            self._doubt = None
        elif self._doubt is None:
            # A master may have measured its log before it sent what came last: a second STATUS in a row makes it
            # sure, or the end of a connection on which nothing came.
            self._doubt = LogTruncated(
                f"the master's log ends at {status.length}, before position {position} that this subscription has "
                f"reached: it was truncated, reset or replaced. Point the subscriber at the right master, or make "
                f"the subscription anew"
            )
        else:
            raise self._doubt
        self._owner.master_status(status)

    # -- flow control -----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more from the master for now."""
        if not self._paused and self._state is not SubscriptionLinkState.CLOSED:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._state is not SubscriptionLinkState.CLOSED:
            self._paused = False
            self.transport.resumeProducing()
            self._set_deadline(self._timeout)

    # -- closing ----------------------------------------------------------------------------------------------

    def drop(self, reason: SpgReplError | None = None) -> None:
        """Close the connection, without a reason when that is wanted."""
        self._on_demand = reason is None
        self._close(reason)

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, SpgReplError):
            self._close(failure.value)
        else:
            self._log.failure("unexpected error in a subscriber", failure)
            self._close(ServiceStopped(f"unexpected error: {failure.getErrorMessage()}"))

    def _close(self, reason: SpgReplError | None) -> None:
        if self._state is SubscriptionLinkState.CLOSED:
            return
        if self._reason is None:
            self._reason = reason
        self._enter(SubscriptionLinkState.CLOSED, None)
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the subscription why it ended."""
        if self._reason is None and not self._on_demand:
            doubt = None if self._records_came else self._doubt
            self._reason = doubt or PeerClosed(self._how_it_ended(reason))
        self._set_deadline(None)
        self._state = SubscriptionLinkState.CLOSED
        self._owner.subscription_closed(self._reason)

    def _how_it_ended(self, reason: Failure) -> str:
        if self._state is SubscriptionLinkState.REPLY and not self._heard:
            start = self._hello.start if self._hello is not None else 0
            return (
                f"the master closed the connection without a byte. Its log says why: its WAL level may be replica "
                f"(SET effective_wal_level = 'logical'), position {start} may be no record's first byte there, or "
                f"it turns unknown publications away"
            )
        return f"the master closed the connection while this side was {self._state.value}: {reason.value}"


def _forget_before(frames: RecordFrames, position: int) -> None:
    """Forget a STATUS in front of what is new: nothing ends there that is to be committed."""
    if frames.settled is not None and frames.settled[1] < position:
        frames.settled = None
