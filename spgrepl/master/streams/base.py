"""What the streams of followers and subscribers have in common: pulled by their outlet, nothing read ahead.

Whenever the outlet can take a piece, the stream finds the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.base.reading import PIECE
from spgrepl.errors import SpgReplError
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.socket_out import IOutlet
from spgrepl.master.shared.states import ConnectionState
from spgrepl.master.streams.context import MasterContext
from spgrepl.text.role_log import RoleLogger, Speaker
from spgrepl.watch.status import SubscriberPeer

TURN_SECONDS = 0.005
"""For how long a stream goes on sending before others have their turn."""

Found = bytes | memoryview | list[bytes]
"""What is to be sent next: one piece, or several that are made once for all and are sent together."""

_T = TypeVar("_T")

Close = Callable[[Cause, SpgReplError], None]


class Stream(ABC):
    """What a connection does after its hello.

    Args:
        context: What all connections share.
        outlet: Where the bytes leave.
        close: Ends the connection for a reason.

    Attributes:
        state: `ConnectionState.SNAPSHOT`, `ConnectionState.CATALOGUE` or `ConnectionState.STREAMING`.
        start: The position that was asked for.
        position: The position up to which the log was handed to the outlet; None during a snapshot.
        version: The version's number or name, for the status.
        logical: Whether it needs the WAL level `logical`.
        peer: Who is served, as the log names it.
    """

    state: ConnectionState
    start: int
    position: int | None
    version: int | str
    logical: bool
    peer: str = ""
    _log = RoleLogger()

    def __init__(self, context: MasterContext, outlet: IOutlet, close: Close) -> None:
        self._context = context
        self._outlet = outlet
        self._close = close
        self._reading = False
        self._arrived: Found | None = None
        self._ended = False

    @property
    def _speaker(self) -> Speaker | None:
        """Whose lines those of the log are."""
        return self._context.speaker

    @property
    def segments(self) -> dict[str, int] | None:
        """What was sent of the cold segments, for the status; None where the stream has none."""
        return None

    @property
    def at_rest(self) -> bool:
        """Whether the peer has been sent all that the log holds, and nothing waits."""
        has_all = self.state is ConnectionState.STREAMING and self.position == self._context.feed.length
        return has_all and self._outlet.ready and self._arrived is None

    @property
    def subscriber(self) -> SubscriberPeer | None:
        """What the status says of a subscriber's stream alone."""
        return None

    @abstractmethod
    def begin(self) -> None:
        """Reply to the hello."""

    @abstractmethod
    def tick(self, status: bytes) -> None:
        """Send a STATUS frame, where the stream has such, now or as soon as the outlet is ready."""

    @abstractmethod
    def farewell(self) -> bytes:
        """What to send last when the log is lost."""

    @abstractmethod
    def _find(self) -> Found | None:
        """What is to be sent next; None when there is nothing, or not yet. Empty: look again, in good time."""

    def resume(self) -> None:
        """Go on: the outlet is ready, or there is more to send."""
        # Small pieces cost as many turns of the reactor as big ones: several make one turn.
        budget = max(self._context.burst, PIECE)
        until = self._context.clock.seconds() + TURN_SECONDS
        try:
            while self._outlet.ready and not self._reading and not self._ended:
                piece = self._take()
                if piece is None:
                    return
                budget -= self._send(piece)
                if (budget <= 0 or self._context.clock.seconds() > until) and self._outlet.ready:
                    self._outlet.rest()
        except SpgReplError as error:
            self._refuse(error)
        except OSError as error:
            self._refuse(SpgReplError(f"cannot read what is to be sent: {error}"))

    def _send(self, found: Found) -> int:
        if isinstance(found, list):
            size = sum(map(len, found))
            if size:
                self._outlet.send_all(found)
            return size
        if found:
            self._outlet.send(found)
        return len(found)

    def _take(self) -> Found | None:
        if self._arrived is not None:
            piece, self._arrived = self._arrived, None
            return piece
        return self._find()

    def _refuse(self, error: SpgReplError) -> None:
        """What is to be sent cannot be read."""
        self._close(Cause.READ_FAILED, error)

    def _wait_for(self, read: Deferred[_T], use: Callable[[_T], Found | None]) -> None:
        """Stop until a read is done, then go on with what it brought."""
        self._reading = True

        def arrived(result: _T) -> None:
            self._reading = False
            if not self._ended:
                self._arrived = use(result)
                self.resume()

        def failed(failure: Failure) -> None:
            self._reading = False
            if isinstance(failure.value, SpgReplError):
                self._refuse(failure.value)
            elif isinstance(failure.value, OSError):
                self._refuse(SpgReplError(f"cannot read what is to be sent: {failure.value}"))
            else:
                self._fault(failure)

        read.addCallbacks(arrived, failed).addErrback(self._fault)

    def _fault(self, failure: Failure) -> None:
        self._log.failure(
            "the stream to {peer} failed, position {position}", failure, peer=self.peer, position=self.position
        )
        self._close(Cause.FAULT, SpgReplError(f"an error of this program: {failure.value!r}"))

    def end(self) -> None:
        """Send nothing more and let go of everything."""
        self._ended = True
        self._arrived = None
