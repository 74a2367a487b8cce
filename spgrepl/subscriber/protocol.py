"""One connection of a subscriber to its master, as a state machine over the wire's parsers."""

from __future__ import annotations

import enum
from typing import Protocol as TypingProtocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from spgrepl.errors import PeerError, SpgReplError
from spgrepl.follower.link import MasterLink
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


class SubscriberProtocol(MasterLink[SubscriptionLinkState]):
    """Asks a master for the records of some publications and hands on what comes.

    Args:
        reactor: For deadlines.
        owner: The subscription.
        timeouts: Deadlines.
        max_frame: The longest frame that is accepted, in bytes.
        max_record: The most bytes of SQL or payload that a record may have.
    """

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
        super().__init__(
            reactor,
            SubscriptionLinkState.PREPARING,
            SubscriptionLinkState.CLOSED,
            READ_SIZE,
            "Point the subscriber at the right master, or make the subscription anew",
        )
        self._owner = owner
        self._timeouts = timeouts or SubscriptionTimeouts()
        self._max_frame = max_frame
        self._max_record = max_record
        self._reply = SubscriberReplyParser()
        self._hello: SubscriberHello | None = None
        self._early = b""

    @property
    def received(self) -> int | None:
        """The position behind what has come; None before the stream."""
        return self._frames.position if self._state in _STREAM_STATES else None

    # -- opening ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._owner.prepare().addCallbacks(self._say_hello, self._failed).addErrback(self._failed)

    def _say_hello(self, hello: SubscriberHello) -> None:
        if self._state is SubscriptionLinkState.PREPARING:
            self._hello = hello
            self._enter(SubscriptionLinkState.REPLY, self._timeouts.reply)
            self.transport.write(hello.encode())

    def _tell_state(self, state: SubscriptionLinkState) -> None:
        self._owner.state_changed(state)

    def _awaited(self) -> str:
        awaited = "not even a STATUS" if self._state in _STREAM_STATES else "nothing that was waited for"
        return f"{awaited} came from the master in time while this side was {self._state.value}"

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
            self._log_came = self._log_came or len(found) > 0
            if found.status is not None and found.settled is not None:
                # Of what came in front of it, not behind it.
                self._judge_length(found.status, max(found.settled[1], self._applied))
                self._owner.master_status(found.status)
            if self._fence.passed:
                if self._state is SubscriptionLinkState.FENCE:
                    self._enter(SubscriptionLinkState.STREAMING, self._timeouts.silence)
                    _forget_before(found, self._applied)
                self._owner.received(found, first)
            # A fault behind what was whole is told by the next call.
            found = self._frames.feed(b"")

    # -- the end ----------------------------------------------------------------------------------------------

    def _tell_closed(self, reason: SpgReplError | None) -> None:
        self._owner.subscription_closed(reason)

    def _how_it_ended(self, reason: Failure) -> str:
        if self._state is SubscriptionLinkState.REPLY and not self._heard:
            start = self._hello.start if self._hello is not None else 0
            return (
                f"the master closed the connection without a byte. Its log says why: its WAL level may be replica "
                f"(SET effective_wal_level = 'logical'), position {start} may be no record's first byte there, or "
                f"it turns unknown publications away"
            )
        return super()._how_it_ended(reason)


def _forget_before(frames: RecordFrames, position: int) -> None:
    """Forget a STATUS in front of what is new: nothing ends there that is to be committed."""
    if frames.settled is not None and frames.settled[1] < position:
        frames.settled = None
