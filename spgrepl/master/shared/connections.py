"""The connections of a master: which there are, and one call for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred, succeed
from zope.interface import Attribute, Interface

from spgrepl.base.observers import Barrier
from spgrepl.errors import LogTruncated, SpgReplError
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.peers import SentCounts
from spgrepl.text.role_log import RoleLogger
from spgrepl.watch.status import ConnectedPeer


class IConnection(Interface):
    """A connection of a master, as it is told what happens."""

    address: str = Attribute("The peer's address as it is logged.")
    at_rest: bool = Attribute("Whether its peer has been sent all that the log holds, and nothing waits.")

    def go_on() -> None:
        """Send what there is to send."""

    def tick(status: bytes) -> None:
        """Send a STATUS frame where it is due."""

    def log_lost(reason: LogTruncated) -> None:
        """End a stream whose log is lost."""

    def level_lowered() -> None:
        """End a subscriber's stream: the WAL level is `replica` from now on."""

    def check_deadlines(now: float) -> None:
        """End the connection where its peer takes too long."""

    def close(cause: Cause, error: SpgReplError) -> None:
        """End the connection after what was sent so far."""

    def abort(cause: Cause, error: SpgReplError) -> None:
        """End the connection at once."""

    def hang_up() -> None:
        """Wait no longer for a peer that is slow to take what was sent to it before the end."""

    def describe() -> ConnectedPeer:
        """What the status says of this connection."""


class Connections:
    """Knows the connections, in the order in which they were made.

    Attributes:
        accepted: How many there were.
        sent: What was sent to those that have gone.
    """

    _log = RoleLogger()

    def __init__(self) -> None:
        self._all: dict[IConnection, None] = {}
        self._gone: Barrier[None] = Barrier()
        self.accepted = 0
        self.sent = SentCounts()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[IConnection]:
        return iter(tuple(self._all))

    def __contains__(self, connection: object) -> bool:
        return connection in self._all

    def add(self, connection: IConnection) -> None:
        """A connection has been made."""
        self.accepted += 1
        self._all[connection] = None

    def remove(self, connection: IConnection) -> None:
        """A connection is gone."""
        if connection in self._all:
            del self._all[connection]
            self.sent.add(connection.describe())
        if not self._all:
            self._gone.open(None)

    def all_gone(self) -> Deferred[None]:
        """A Deferred that fires when there is none."""
        return self._gone.wait() if self._all else succeed(None)

    def each(self, call: Callable[[IConnection], None]) -> None:
        """Call something for every connection."""
        for connection in self:
            self.guarded(connection, call)

    def guarded(self, connection: IConnection, call: Callable[[IConnection], None]) -> None:
        """Call something for a connection; a fault ends that one and is no other's concern."""
        try:
            call(connection)
        except Exception as error:  # noqa: BLE001 - logged, and the connection is ended
            self._log.failure("a connection of {peer} failed", peer=connection.address)
            connection.abort(Cause.FAULT, SpgReplError(f"an error of this program: {error!r}"))
