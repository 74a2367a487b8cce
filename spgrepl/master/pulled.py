"""What the streams of followers and subscribers have in common: pulled by their outlet, nothing read ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import SpgReplError
from spgrepl.master.causes import Cause
from spgrepl.master.outlet import Outlet
from spgrepl.master.reading import PIECE

if TYPE_CHECKING:
    from spgrepl.master.hub import MasterHub

TURN_SECONDS = 0.005
"""For how long a stream goes on sending before others have their turn."""

_T = TypeVar("_T")
_log = Logger()

Close = Callable[[Cause, SpgReplError], None]


class PulledStream(ABC):
    """A stream that finds its next piece whenever its outlet can take one.

    Args:
        hub: What all connections share.
        outlet: Where the bytes leave.
        close: Ends the connection for a reason.
    """

    def __init__(self, hub: MasterHub, outlet: Outlet, close: Close) -> None:
        self._hub = hub
        self._outlet = outlet
        self._close = close
        self._reading = False
        self._arrived: bytes | memoryview | None = None
        self._ended = False

    @abstractmethod
    def _find(self) -> bytes | memoryview | None:
        """What is to be sent next; None when there is nothing, or not yet. Empty: look again, in good time."""

    def resume(self) -> None:
        """Go on: the outlet is ready, or there is more to send."""
        # Small pieces cost as many turns of the reactor as big ones: several make one turn.
        budget = max(self._hub.burst, PIECE)
        until = self._hub.clock.seconds() + TURN_SECONDS
        try:
            while self._outlet.ready and not self._reading and not self._ended:
                piece = self._take()
                if piece is None:
                    return
                if piece:
                    self._outlet.send(piece)
                budget -= len(piece)
                if (budget <= 0 or self._hub.clock.seconds() > until) and self._outlet.ready:
                    self._outlet.rest()
        except SpgReplError as error:
            self._refuse(error)
        except OSError as error:
            self._refuse(SpgReplError(f"cannot read what is to be sent: {error}"))

    def _take(self) -> bytes | memoryview | None:
        if self._arrived is not None:
            piece, self._arrived = self._arrived, None
            return piece
        return self._find()

    def _refuse(self, error: SpgReplError) -> None:
        """What is to be sent cannot be read."""
        self._close(Cause.READ_FAILED, error)

    def _wait_for(self, read: Deferred[_T], use: Callable[[_T], bytes | memoryview | None]) -> None:
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
        _log.failure("a stream failed", failure=failure)
        self._close(Cause.FAULT, SpgReplError(f"an error of this program: {failure.value!r}"))

    def end(self) -> None:
        """Send nothing more and let go of everything."""
        self._ended = True
        self._arrived = None
