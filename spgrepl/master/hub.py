"""What all connections of a master share: the log, the snapshots, one STATUS, one clock for all deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import methodcaller
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from spgrepl.beat import Beat
from spgrepl.errors import LogTruncated, ServiceStopped, SpgReplError
from spgrepl.master.causes import Cause, CauseCounts
from spgrepl.master.feed import LogFeed
from spgrepl.master.limits import MasterLimits
from spgrepl.master.protocol import MasterProtocol
from spgrepl.master.publisher import Publisher
from spgrepl.master.segments import SegmentRegistry
from spgrepl.master.snapshot import SnapshotStore
from spgrepl.wal.source import ILogListener, ILogSource
from spgrepl.wire.frames import encode_status

_GOODBYE_SECONDS = 2.0
_SWEEPS_PER_DEADLINE = 10
_WAKE_SECONDS = 0.005
_BURST = 8 * 1024 * 1024


@implementer(ILogListener)
class MasterHub:
    """Knows the connections, and tells them what happens.

    Args:
        clock: The reactor, or a clock.
        log: The log that is served.
        feed: Hands it out.
        snapshots: Hands out snapshots.
        limits: What is allowed.
        wall_clock: Tells the time of day in seconds since the epoch.
        segments: The cold segments; None where there are none to serve.
        publisher: Serves subscribers; None where there are none to serve.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        log: ILogSource,
        feed: LogFeed,
        snapshots: SnapshotStore,
        limits: MasterLimits,
        wall_clock: Callable[[], float] = time.time,
        segments: SegmentRegistry | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        self.clock = clock
        self.feed = feed
        self.snapshots = snapshots
        self.limits = limits
        self.segments = segments
        self.publisher = publisher
        self.wall_clock = wall_clock
        self.causes = CauseCounts()
        self.accepted = 0
        self._wal = log
        self._connections: dict[MasterProtocol, None] = {}
        self._frame: tuple[int, bytes] = (-1, b"")
        self._empty: Deferred[None] | None = None
        self._to_wake: dict[MasterProtocol, None] = {}
        self._waking: IDelayedCall | None = None
        self._loops = (
            Beat(clock, self._tick, limits.status_interval),
            Beat(clock, self._sweep, _sweep_interval(limits)),
        )

    @property
    def burst(self) -> int:
        """After how many bytes a connection lets the reactor serve the others: less, the more there are."""
        return _BURST // max(1, len(self._connections))

    @property
    def connection_count(self) -> int:
        """How many connections there are, in any state."""
        return len(self._connections)

    # -- running --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the log and to keep the deadlines."""
        self._wal.add_listener(self)
        for loop in self._loops:
            loop.start()
        if self.segments is not None:
            self.segments.start(self._segments_changed)
        if self.publisher is not None:
            self.publisher.start(self._level_lowered)

    def stop(self) -> Deferred[None]:
        """Close all connections; the Deferred fires when the last one is gone."""
        self._wal.remove_listener(self)
        for loop in self._loops:
            loop.stop()
        self._to_wake.clear()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if self.segments is not None:
            self.segments.stop()
        if self.publisher is not None:
            self.publisher.stop()
        if not self._connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._empty = gone
        error = ServiceStopped("this master is being stopped")
        self._each(methodcaller("close", Cause.STOPPED, error))
        impatience = self.clock.callLater(_GOODBYE_SECONDS, self._each, MasterProtocol.hang_up)

        def done(_: None) -> None:
            if impatience.active():
                impatience.cancel()

        return gone.addCallback(done)

    def add(self, connection: MasterProtocol) -> None:
        """A connection has been made."""
        self.accepted += 1
        self._connections[connection] = None

    def remove(self, connection: MasterProtocol) -> None:
        """A connection is gone."""
        self._connections.pop(connection, None)
        self._to_wake.pop(connection, None)
        if not self._connections and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    # -- the log --------------------------------------------------------------------------------------------

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        self._build_status()
        self.snapshots.log_grew()
        self._to_wake.update(self._connections)
        if self._waking is None:
            self._wake_some()

    def _wake_some(self) -> None:
        """Tell connections of growth, and let the reactor do other work when that takes long."""
        self._waking = None
        until = self.clock.seconds() + _WAKE_SECONDS
        while self._to_wake:
            connection = next(iter(self._to_wake))
            del self._to_wake[connection]
            self._guarded(connection, MasterProtocol.go_on)
            if self._to_wake and self.clock.seconds() > until:
                self._waking = self.clock.callLater(0, self._wake_some)
                return

    def log_lost(self, reason: LogTruncated) -> None:
        """See `ILogListener`. Nothing of the old log is sent any more; newcomers get the new one."""
        self.feed.reset()
        self._build_status()
        self._each(methodcaller("log_lost", reason))
        if self.publisher is not None:
            self.publisher.reset()
        self.snapshots.invalidate(reason)

    def _segments_changed(self) -> None:
        self._each(MasterProtocol.go_on)

    def _level_lowered(self) -> None:
        self._each(MasterProtocol.level_lowered)

    # -- the loops ------------------------------------------------------------------------------------------

    def status_frame(self) -> bytes:
        """The STATUS frame for all V2 connections; at most one interval old."""
        length, frame = self._frame
        return frame if length == self.feed.length else self._build_status()

    def _build_status(self) -> bytes:
        length = self.feed.length
        frame = encode_status(length, int(self.wall_clock() * 1_000_000))
        self._frame = (length, frame)
        return frame

    def _tick(self) -> None:
        frame = self._build_status()
        self._each(methodcaller("tick", frame))

    def _sweep(self) -> None:
        now = self.clock.seconds()
        self._each(methodcaller("check_deadlines", now))

    def _each(self, call: Callable[[MasterProtocol], None]) -> None:
        for connection in tuple(self._connections):
            self._guarded(connection, call)

    def _guarded(self, connection: MasterProtocol, call: Callable[[MasterProtocol], None]) -> None:
        """Call something for a connection; a fault ends that one and is no other's concern."""
        try:
            call(connection)
        except Exception as error:  # noqa: BLE001 - logged, and the connection is ended
            self._log.failure("a connection of {address} failed", address=connection.address)
            connection.abort(Cause.FAULT, SpgReplError(f"an error of this program: {error!r}"))

    # -- the status -----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What the status says of connections, snapshots and log; made of what JSON has."""
        path = getattr(self._wal, "path", None)
        return {
            "connections": len(self._connections),
            "accepted": self.accepted,
            "refused": self.causes.status(refusals=True),
            "dropped": self.causes.status(refusals=False),
            "peers": [connection.status() for connection in self._connections],
            "snapshots": self.snapshots.status(),
            "publishing": None if self.publisher is None else self.publisher.status(),
            "segments_served": None if self.segments is None else self.segments.status(),
            "wal": {"path": None if path is None else str(path), "length": self.feed.length},
        }


def _sweep_interval(limits: MasterLimits) -> float:
    """Often enough that a deadline is missed by a tenth of itself, and by a second at most."""
    shortest = min(limits.handshake, limits.stalled, limits.farewell)
    return min(1.0, shortest / _SWEEPS_PER_DEADLINE)
