"""What a subscriber gets after its hello: the records of the published tables, and counts of all the rest.

STATUS frames come between two transactions, never inside one: a subscriber commits where one has come, and so
shows a transaction whole. One may be late for that, and is never lost.
"""

from __future__ import annotations

import sys
from collections import Counter

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.base.histories import History
from spgrepl.base.reading import PIECE
from spgrepl.errors import (
    ConnectionRefused,
    LogTruncated,
    ReplicationLoop,
    SpgReplError,
    StartInsideRecord,
)
from spgrepl.master.judged.pieces import KnownUnit, Piece, Reason, Sifted
from spgrepl.master.judged.publisher import Catalogue, level_is_replica
from spgrepl.master.judged.selection import Selection
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.socket_out import IOutlet
from spgrepl.master.shared.states import ConnectionState
from spgrepl.master.streams.base import Close, Found, Stream
from spgrepl.master.streams.context import MasterContext
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.shown import shown_names
from spgrepl.watch.status import SubscriberPeer
from spgrepl.wire.frames import (
    RowsBegin,
    encode_histories_frame,
    encode_rows_begin,
    encode_skip,
    encode_unknown,
)
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply

MOST_PARTS = 256
"""From so many parts on they are sent before more is looked for; the kernel takes 1024 at once."""

PATIENCE = 1.0
"""For how many seconds a log may be shorter than its database says: its watcher looks more often than that."""


class SubscriberStream(Stream):
    """The stream of one subscriber.

    Args:
        context: What all connections share.
        outlet: Where the bytes leave.
        close: Ends the connection for a reason.
        hello: What the subscriber said.
    """

    version: int | str = "SUB"
    logical = True
    _log = RoleLogger()

    def __init__(self, context: MasterContext, outlet: IOutlet, close: Close, hello: SubscriberHello) -> None:
        super().__init__(context, outlet, close)
        self.start = hello.start
        self._from_zero = hello.from_zero
        self.state = ConnectionState.CATALOGUE
        self.position: int | None = None
        self._cluster_id = hello.cluster_id
        # Kept once, however often they are asked for: the same name of all subscribers is one text.
        self._names = tuple(dict.fromkeys(map(sys.intern, hello.publications)))
        self._selection = Selection(self._names)
        self._told_unknown: tuple[str, ...] = ()
        self._unit: KnownUnit | None = None
        self._passed = 0
        self._progressed = True
        self._status_owed = False
        self._waits_since: float | None = None
        self._forwarded = 0
        self._rows_from: int | None = None
        self._of_spg = False
        self._origin = 0
        self._histories: tuple[History, ...] = ()
        self._passed_over: Counter[Reason] = Counter()

    # -- the handshake ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `Stream`."""
        publisher = self._context.publisher
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
        start = 0 if self._from_zero else self.start or catalogue.position
        reply = SubscriberReply(start, catalogue.cluster_id).encode()
        if self._cluster_id == catalogue.cluster_id:
            self._outlet.send(reply)
            self._close(
                Cause.REPLICATION_LOOP,
                ReplicationLoop(
                    f"REPLICATION_LOOP: the subscriber has this master's own cluster id "
                    f"{catalogue.cluster_id:016x}: a database cannot subscribe to itself"
                ),
            )
            return None
        self._rows_from, self._origin = catalogue.rows_from, catalogue.origin
        self._histories = catalogue.histories
        self._of_spg = catalogue.of_spg
        self._selection.begin(catalogue.publications, catalogue.position)
        self._told_unknown = self._selection.unknown
        if self._selection.unknown and self._records_are_refused():
            return None
        # The database may know of more than the log's watcher has seen of it yet.
        if start > max(self._context.feed.length, catalogue.position):
            self._outlet.send(reply + self._context.status_frame())
            self._close(Cause.START_BEYOND_END, self._beyond_end(start))
            return None
        return self._check_start(start, catalogue.position, reply)

    def _beyond_end(self, start: int) -> LogTruncated:
        return LogTruncated(
            f"the subscriber asks for the log from position {start}, which ends at "
            f"{self._context.feed.length}: the log was truncated or replaced, or is another one; the subscription "
            f"has to be made again"
        )

    def _records_are_refused(self) -> bool:
        """Whether this master turns those away who ask for an unknown publication; they are warned of if not."""
        names = ", ".join(shown_names(self._selection.unknown))
        assert self._context.publisher is not None
        if self._context.publisher.strict:
            self._close(
                Cause.UNKNOWN_PUBLICATION,
                ConnectionRefused(f"unknown publications: {names}; make them with CREATE PUBLICATION"),
            )
            return True
        self._context.lines.repeated(
            "{peer} asks for unknown publications, which add nothing: {reason}{again}",
            peer=self.peer,
            reason=names,
        )
        return False

    def _check_start(self, start: int, boundary: int, reply: bytes) -> Deferred[None] | None:
        assert self._context.publisher is not None
        try:
            checked = self._context.publisher.records.check_start(start, boundary)
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
        self._arrived = reply if self._rows_from is None else reply + self._rows_frame(self._rows_from)
        if self._histories:
            self._arrived += encode_histories_frame(self._histories) + self._word_on_unknown(first=True)
        self.resume()

    def _refuse(self, error: SpgReplError) -> None:
        cause = Cause.START_INSIDE_RECORD if isinstance(error, StartInsideRecord) else Cause.READ_FAILED
        self._close(cause, error)

    @property
    def subscriber(self) -> SubscriberPeer:
        """See `Stream`."""
        held = None
        if self._context.publisher is not None and self.position is not None:
            held = self._context.publisher.records.held_up(self.position)
        return SubscriberPeer(
            held,
            tuple(shown_names(self._names)),
            tuple(shown_names(self._selection.unknown)),
            self._forwarded,
            {reason.value: count for reason, count in self._passed_over.items()},
        )

    # -- sending ----------------------------------------------------------------------------------------------

    def _find(self) -> Found | None:
        if self.position is None:
            return None
        if self._status_owed and self._unit is None:
            return self._counts_and_status()
        assert self._context.publisher is not None
        piece = self._context.publisher.records.piece(self.position, self._unit)
        if isinstance(piece, Deferred):
            self._wait_for(piece, self._use)
            return None
        return self._use(piece)

    def _use(self, piece: Piece | None) -> Found | None:
        """What is sent of a piece, and of those after it that were made for others."""
        if piece is None:
            return self._counts_and_status() if self._progressed else None
        assert self._context.publisher is not None
        found: list[bytes] = []
        size = 0
        while piece is not None and size < PIECE and len(found) < MOST_PARTS:
            parts = self._parts_of(piece)
            if self._ended:
                return None
            found += parts
            size += piece.end - piece.start
            piece = self._context.publisher.records.held(piece.end)
        if piece is None and self._unit is None and self.position == self._context.feed.length:
            # Nothing follows it but this, which goes with it: by itself it costs as much as all of them.
            found.append(self._counts_and_status())
        return found

    def _parts_of(self, piece: Piece) -> list[bytes]:
        """What is sent of a piece: the frames that are the same for all with the same filter, as they are."""
        parts = self._word_on_rows(piece)
        for wanted, first, stop in self._selection.parts(piece):
            sifted = piece.sift(wanted, first, stop, self._cluster_id, self._rows_from)
            self._passed += sifted.lead
            self._note(sifted)
            if sifted.frames:
                if self._passed:
                    parts.append(encode_skip(self._passed))
                parts.append(sifted.frames)
                self._passed = sifted.trail
        self.position = piece.end
        self._unit = piece.unit
        if piece.changes and piece.unit is None and self._selection.unknown != self._told_unknown:
            self._told_unknown = self._selection.unknown
            if self._selection.unknown and self._records_are_refused():
                return []
            parts.append(self._word_on_unknown())
        self._progressed = True
        return parts

    def _word_on_unknown(self, first: bool = False) -> bytes:
        """Say which publications are unknown; of an SPG server's log only is said what such a server says."""
        return encode_unknown(self._told_unknown) if self._histories and (self._told_unknown or not first) else b""

    def _word_on_rows(self, piece: Piece) -> list[bytes]:
        """Say where rows begin, if that is in a piece: the database may have known of it some records later."""
        found = None
        if not self._of_spg and (self._rows_from is None or piece.start < self._rows_from):
            found = piece.rows_from
        if found is None:
            return []
        self._rows_from = found
        return [self._rows_frame(found)]

    def _rows_frame(self, position: int) -> bytes:
        return encode_rows_begin(RowsBegin(position, self._origin))

    def _note(self, sifted: Sifted) -> None:
        self._forwarded += sifted.records
        for reason, count in sifted.passed_over.items():
            self._passed_over[self._selection.named(reason)] += count

    def _counts_and_status(self) -> bytes:
        """What is still to be counted, and a STATUS."""
        self._progressed = self._status_owed = False
        passed, self._passed = self._passed, 0
        return (encode_skip(passed) if passed else b"") + self._context.status_frame()

    def tick(self, status: bytes) -> None:
        """See `Stream`. Inside a transaction, and while bytes wait, one STATUS is owed, not one for every tick."""
        if self._ended or self.state is not ConnectionState.STREAMING or self._is_beyond_end():
            return
        assert self._context.publisher is not None
        assert self.position is not None
        if self._context.publisher.records.is_overdue(self.position):
            self.resume()
        if self._outlet.ready and self._unit is None and self._arrived is None:
            self._outlet.send(self._counts_and_status())
        else:
            self._status_owed = True

    def _is_beyond_end(self) -> bool:
        """Whether the log stays shorter than the position that is due; the connection is closed then."""
        assert self.position is not None
        now = self._context.clock.seconds()
        if self.position <= self._context.feed.length:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since >= PATIENCE:
            self._close(Cause.START_BEYOND_END, self._beyond_end(self.position))
        return self._ended

    def farewell(self) -> bytes:
        """See `Stream`."""
        streams = self.state is ConnectionState.STREAMING and self._unit is None and self._arrived is None
        return self._context.status_frame() if streams and self._context.ready else b""
