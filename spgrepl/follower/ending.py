"""How a follower's or a subscription's service ends: it closes once, and tells once how it went."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from spgrepl.follower.segment_transfer import follow_chain


class Ending:
    """Closes a service once, however often it is told to, and fires `finished` when everything is closed.

    Args:
        close: Closes all that the service holds. Its Deferred must not fail.

    Attributes:
        finished: Fires with None after a stop that was asked for, and fails with the error that ended the service.
    """

    def __init__(self, close: Callable[[], Deferred[None]]) -> None:
        self._close = close
        self._closed: Deferred[None] | None = None
        self.finished: Deferred[None] = Deferred()

    @property
    def begun(self) -> bool:
        """Whether the service has been told to end."""
        return self._closed is not None

    def end(self, error: Exception | None = None) -> Deferred[None]:
        """Close everything, then tell how the service ended; the first to be told of is the one that counts.

        Args:
            error: Why the service cannot go on. None where it was asked to stop.

        Returns:
            A Deferred that fires when everything is closed.
        """
        if self._closed is None:
            # Closing calls back into the service, which must see by then that its end has begun.
            self._closed = Deferred()
            self._close().chainDeferred(self._closed)
        return follow_chain(self._closed).addCallback(lambda _: self._tell(error))

    def _tell(self, error: Exception | None) -> None:
        if not self.finished.called:
            self.finished.callback(None) if error is None else self.finished.errback(error)
