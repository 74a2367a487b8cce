"""What all streams of a master share, as one value that is handed to each."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime

from spgrepl.access.policy import Access
from spgrepl.base.steady_clock import steady_clock
from spgrepl.log.source import ILogSource
from spgrepl.master.judged.publisher import Publisher
from spgrepl.master.shared.admission import Admission
from spgrepl.master.shared.connections import Connections
from spgrepl.master.shared.end_reasons import CauseCounts
from spgrepl.master.shared.feed import LogFeed
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.log_rate import LogRate
from spgrepl.master.shared.peers import PeerNames
from spgrepl.master.snapshots.snapshot import SnapshotStore
from spgrepl.segments.outgoing import SegmentRegistry
from spgrepl.segments.outgoing_cursor import SegmentCursor
from spgrepl.text.role_log import RoleLogger, Speaker
from spgrepl.wire.frames import encode_status

_BURST = 8 * 1024 * 1024


@attrs.define(eq=False)
class MasterContext:
    """What a stream needs of its master, whoever made it.

    Attributes:
        clock: The reactor, or a clock; kept as the clock that no change of the time of day can stop.
        log: The log that is served.
        feed: Hands it out.
        snapshots: Hands out snapshots.
        limits: What is allowed.
        wall_clock: Tells the time of day in seconds since the epoch.
        segments: The cold segments; None where there are none to serve.
        publisher: Serves subscribers; None where there are none to serve.
        access: Who may do what.
        names: The names of configured peers.
        connections: The connections there are.
        causes: Why those that are gone have ended.
        admission: Bounds them.
        lines: Writes what the log says of them, at a bounded rate.
        speaker: Whose lines these are; None while nobody said.
    """

    clock: IReactorTime = attrs.field(converter=steady_clock)
    log: ILogSource
    feed: LogFeed
    snapshots: SnapshotStore
    limits: MasterLimits
    wall_clock: Callable[[], float] = time.time
    segments: SegmentRegistry | None = None
    publisher: Publisher | None = None
    access: Access = attrs.field(factory=Access)
    names: PeerNames = attrs.field(factory=PeerNames)
    connections: Connections = attrs.field(factory=Connections, init=False)
    causes: CauseCounts = attrs.field(factory=CauseCounts, init=False)
    admission: Admission = attrs.field(init=False)
    lines: LogRate = attrs.field(init=False)
    speaker: Speaker | None = attrs.field(default=None, init=False)
    _frame: tuple[int, bytes] = attrs.field(default=(-1, b""), init=False)

    @admission.default
    def _admission(self) -> Admission:
        return Admission(self.limits, self.connections)

    @property
    def _speaker(self) -> Speaker | None:
        return self.speaker

    @lines.default
    def _lines(self) -> LogRate:
        return LogRate(self.clock, RoleLogger(__name__, self))

    @property
    def burst(self) -> int:
        """After how many bytes a connection lets the reactor serve the others: less, the more there are."""
        return _BURST // max(1, len(self.connections))

    @property
    def ready(self) -> bool:
        """Whether it is known what is served: before that nobody is answered."""
        return bool(self.log.known)

    def segment_cursor(self) -> SegmentCursor | None:
        """What a new connection sends: all segments, and then those that appear. None where there are none."""
        return None if self.segments is None else SegmentCursor(self.segments)

    def status_frame(self) -> bytes:
        """The STATUS frame for all V2 connections; at most one interval old."""
        length, frame = self._frame
        return frame if length == self.feed.length else self.new_status()

    def new_status(self) -> bytes:
        """A STATUS frame of this moment, which `status_frame` gives from now on."""
        length = self.feed.length
        frame = encode_status(length, int(self.wall_clock() * 1_000_000))
        self._frame = (length, frame)
        return frame
