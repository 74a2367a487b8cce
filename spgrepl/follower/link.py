"""What the connections to a master have in common, a follower's and a subscriber's: deadlines, pauses, ends."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import LogTruncated, PeerClosed, PeerTimeout, ServiceStopped, SpgReplError
from spgrepl.wire.frames import Status

_State = TypeVar("_State", bound=enum.Enum)


class MasterLink(Protocol, ABC, Generic[_State]):
    """A connection to a master.

    Args:
        reactor: For deadlines.
        state: The state to begin in.
        closed: The state of a connection that has ended.
        read_size: The most bytes that are read from the socket at once.
        advice: What to do when the master's log was truncated.
    """

    transport: Any  # Twisted says ITransport, which lacks what every transport of a stream has.

    _log = Logger()

    def __init__(self, reactor: IReactorTime, state: _State, closed: _State, read_size: int, advice: str) -> None:
        self._reactor = reactor
        self._state = state
        self._closed = closed
        self._read_size = read_size
        self._advice = advice
        self._deadline: IDelayedCall | None = None
        self._timeout: float | None = None
        self._reason: SpgReplError | None = None
        self._on_demand = False
        self._paused = False
        self._heard = False
        self._log_came = False
        self._doubt: LogTruncated | None = None

    @property
    def state(self) -> _State:
        """Where the connection stands."""
        return self._state

    # -- what the kinds of connections do each in its own way -----------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """The connection is made: get ready for the hello."""

    @abstractmethod
    def _tell_state(self, state: _State) -> None:
        """Tell the owner that the connection has gone on to another state."""

    @abstractmethod
    def _tell_closed(self, reason: SpgReplError | None) -> None:
        """Tell the owner that the connection has ended; without a reason where this side wanted it."""

    @abstractmethod
    def _awaited(self) -> str:
        """What did not come in time, in words."""

    def _how_it_ended(self, reason: Failure) -> str:
        """What happened when the master closed, in words."""
        return f"the master closed the connection while this side was {self._state.value}: {reason.value}"

    # -- opening --------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Get ready; the hello goes out when the other side of this program is."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        if isinstance(self.transport, FileDescriptor):
            # Each read costs a turn of the reactor, in which the thread that applies has to wait.
            self.transport.bufferSize = self._read_size
        self._prepare()

    def _enter(self, state: _State, timeout: float | None) -> None:
        changed = state is not self._state
        self._state = state
        self._set_deadline(timeout)
        if changed:
            self._tell_state(state)

    # -- deadlines ------------------------------------------------------------------------------------------------

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
        else:
            self._close(PeerTimeout(self._awaited()))

    # -- the master's length --------------------------------------------------------------------------------------

    def _judge_length(self, status: Status, position: int) -> None:
        """Look whether the master's log reaches as far as it must.

        Args:
            status: The master's STATUS.
            position: What this side holds, or had received in front of that STATUS.

        Raises:
            LogTruncated: It ends before.
        """
        if status.length >= position:
            self._doubt = None
        elif self._doubt is None:
            # A master may have measured its log before it sent the bytes that came last: a second STATUS in a
            # row makes it sure, or the end of a connection on which nothing of the log came.
            self._doubt = LogTruncated(
                f"the master's log ends at {status.length}, before position {position} that this side has "
                f"reached: it was truncated, reset or replaced. {self._advice}"
            )
        else:
            raise self._doubt

    # -- flow control ---------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more from the master for now."""
        if not self._paused and self._state is not self._closed:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._state is not self._closed:
            self._paused = False
            self.transport.resumeProducing()
            self._set_deadline(self._timeout)

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
        if self._state is self._closed:
            return
        if self._reason is None:
            self._reason = reason
        self._enter(self._closed, None)
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner why it ended."""
        if self._reason is None and not self._on_demand:
            doubt = None if self._log_came else self._doubt
            self._reason = doubt or PeerClosed(self._how_it_ended(reason))
        self._set_deadline(None)
        self._state = self._closed
        self._tell_closed(self._reason)
