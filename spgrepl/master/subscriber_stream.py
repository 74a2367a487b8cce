"""What a subscriber gets after its hello: the records of the published tables, and counts of all the rest.

STATUS frames come between two transactions, never inside one: a subscriber commits where one has come, and so
shows a transaction whole. One may be late for that, and is never lost.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import (
    ConnectionRefused,
    LogTruncated,
    ReplicationLoop,
    SpgReplError,
    StartInsideRecord,
)
from spgrepl.master.causes import Cause
from spgrepl.master.outlet import Outlet
from spgrepl.master.pieces import KnownUnit, Piece, Reason, Sifted
from spgrepl.master.publisher import Catalogue, level_is_replica
from spgrepl.master.pulled import Close, PulledStream
from spgrepl.master.selection import Selection
from spgrepl.master.states import ConnectionState
from spgrepl.wire.frames import encode_skip
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply

if TYPE_CHECKING:
    from spgrepl.master.hub import MasterHub


PATIENCE = 1.0
"""For how many seconds a log may be shorter than its database says: its watcher looks more often than that."""


class SubscriberStream(PulledStream):
    """The stream of one subscriber.

    Args:
        hub: What all connections share.
        outlet: Where the bytes leave.
        close: Ends the connection for a reason.
        hello: What the subscriber said.
    """

    version: int | str = "SUB"
    logical = True
    segments: dict[str, int] | None = None
    _log = Logger()

    def __init__(self, hub: MasterHub, outlet: Outlet, close: Close, hello: SubscriberHello) -> None:
        super().__init__(hub, outlet, close)
        self.start = hello.start
        self.state = ConnectionState.CATALOGUE
        self.position: int | None = None
        self._hello = hello
        self._selection = Selection(hello.publications)
        self._unit: KnownUnit | None = None
        self._passed = 0
        self._progressed = True
        self._status_owed = False
        self._waits_since: float | None = None
        self._forwarded = 0
        self._passed_over: Counter[Reason] = Counter()

    # -- the handshake ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `Stream`."""
        publisher = self._hub.publisher
        if publisher is None or not publisher.is_open:
            self._close(Cause.WAL_LEVEL_REPLICA, level_is_replica())
            return
        publisher.look_up().addCallbacks(self._looked_up, self._not_looked_up).addErrback(self._fault)

    def _not_looked_up(self, failure: Failure) -> None:
        if failure.check(SpgReplError, OSError) is None:
            failure.raiseException()
        error = SpgReplError(f"the publications cannot be looked up: {failure.value}")
        self._close(Cause.NO_CATALOGUE, error)

    def _looked_up(self, catalogue: Catalogue) -> Deferred[None] | None:
        if self._ended:
            return None
        start = self._hello.start or catalogue.position
        reply = SubscriberReply(start, catalogue.cluster_id).encode()
        if self._hello.cluster_id == catalogue.cluster_id:
            self._outlet.send(reply)
            self._close(
                Cause.REPLICATION_LOOP,
                ReplicationLoop(
                    f"REPLICATION_LOOP: the subscriber has this master's own cluster id "
                    f"{catalogue.cluster_id:016x}: a database cannot subscribe to itself"
                ),
            )
            return None
        self._selection.begin(catalogue.publications, catalogue.position)
        if self._selection.unknown and self._records_are_refused():
            return None
        # The database may know of more than the log's watcher has seen of it yet.
        if start > max(self._hub.feed.length, catalogue.position):
            self._outlet.send(reply + self._hub.status_frame())
            self._close(Cause.START_BEYOND_END, self._beyond_end(start))
            return None
        return self._check_start(start, catalogue.position, reply)

    def _beyond_end(self, start: int) -> LogTruncated:
        return LogTruncated(
            f"the subscriber asks for the log from position {start}, which ends at {self._hub.feed.length}: the "
            f"log was truncated or replaced, or is another one; the subscription has to be made anew"
        )

    def _records_are_refused(self) -> bool:
        """Whether this master turns those away who ask for an unknown publication; they are warned of if not."""
        names = ", ".join(self._selection.unknown)
        assert self._hub.publisher is not None
        if self._hub.publisher.strict:
            self._close(
                Cause.UNKNOWN_PUBLICATION,
                ConnectionRefused(f"unknown publications: {names}; make them with CREATE PUBLICATION"),
            )
            return True
        self._log.warn("a subscriber asks for unknown publications, which add nothing: {names}", names=names)
        return False

    def _check_start(self, start: int, boundary: int, reply: bytes) -> Deferred[None] | None:
        assert self._hub.publisher is not None
        try:
            checked = self._hub.publisher.records.check_start(start, boundary)
        except SpgReplError as error:
            self._refuse(error)
            return None
        if checked is None:
            self._start_streaming(start, reply)
            return None
        return checked.addCallbacks(lambda _: self._start_streaming(start, reply), self._not_checked)

    def _not_checked(self, failure: Failure) -> None:
        if failure.check(SpgReplError) is None:
            failure.raiseException()
        self._refuse(failure.value)  # type: ignore[arg-type]

    def _start_streaming(self, start: int, reply: bytes) -> None:
        if self._ended:
            return
        self.state = ConnectionState.STREAMING
        self.position = start
        self._arrived = reply
        self.resume()

    def _refuse(self, error: SpgReplError) -> None:
        cause = Cause.START_INSIDE_RECORD if isinstance(error, StartInsideRecord) else Cause.READ_FAILED
        self._close(cause, error)

    @property
    def details(self) -> dict[str, Any]:
        """See `Stream`."""
        return {
            "publications": list(self._hello.publications),
            "unknown_publications": list(self._selection.unknown),
            "forwarded": self._forwarded,
            "passed_over": {reason.value: count for reason, count in self._passed_over.items()},
        }

    # -- sending ----------------------------------------------------------------------------------------------

    def _find(self) -> bytes | None:
        if self.position is None:
            return None
        if self._status_owed and self._unit is None:
            return self._settle()
        assert self._hub.publisher is not None
        piece = self._hub.publisher.records.piece(self.position, self._unit)
        if isinstance(piece, Deferred):
            self._wait_for(piece, self._use)
            return None
        if piece is None:
            return self._settle() if self._progressed else None
        return self._use(piece)

    def _use(self, piece: Piece | None) -> bytes | None:
        if piece is None:
            return self._settle() if self._progressed else None
        parts: list[bytes] = []
        for wanted, first, stop in self._selection.parts(piece):
            sifted = piece.sift(wanted, first, stop)
            self._passed += sifted.lead
            self._note(sifted)
            if sifted.frames:
                if self._passed:
                    parts.append(encode_skip(self._passed))
                parts.append(sifted.frames)
                self._passed = sifted.trail
        self.position = piece.end
        self._unit = piece.unit
        self._progressed = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _note(self, sifted: Sifted) -> None:
        self._forwarded += sifted.records
        for reason, count in sifted.passed_over.items():
            self._passed_over[self._selection.named(reason)] += count

    def _settle(self) -> bytes:
        """What is still to be counted, and a STATUS."""
        self._progressed = self._status_owed = False
        passed, self._passed = self._passed, 0
        return (encode_skip(passed) if passed else b"") + self._hub.status_frame()

    def tick(self, status: bytes) -> None:
        """See `Stream`. Inside a transaction, and while bytes wait, one STATUS is owed, not one for every tick."""
        if self._ended or self.state is not ConnectionState.STREAMING or self._is_beyond_end():
            return
        if self._outlet.ready and self._unit is None and self._arrived is None:
            self._outlet.send(self._settle())
        else:
            self._status_owed = True

    def _is_beyond_end(self) -> bool:
        """Whether the log stays shorter than the position that is due; the connection is closed then."""
        assert self.position is not None
        now = self._hub.clock.seconds()
        if self.position <= self._hub.feed.length:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since >= PATIENCE:
            self._close(Cause.START_BEYOND_END, self._beyond_end(self.position))
        return self._ended

    def farewell(self) -> bytes:
        """See `Stream`."""
        streams = self.state is ConnectionState.STREAMING and self._unit is None and self._arrived is None
        return self._hub.status_frame() if streams else b""
