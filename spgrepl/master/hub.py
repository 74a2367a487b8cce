"""What happens to all connections of a master at once: growth of the log, STATUS, deadlines, the end."""

from __future__ import annotations

from operator import methodcaller

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from spgrepl.base.beat import Beat
from spgrepl.errors import LogTruncated, ServiceStopped
from spgrepl.log.source import ILogListener
from spgrepl.master.shared.connections import IConnection
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.status_cadence import StatusCadence
from spgrepl.master.streams.context import MasterContext
from spgrepl.watch.status import Serving

_GOODBYE_SECONDS = 2.0
_SWEEPS_PER_DEADLINE = 10
_WAKE_SECONDS = 0.005


@implementer(ILogListener)
class MasterHub:
    """Tells the connections what happens, and keeps their deadlines with one clock.

    Args:
        context: What the connections share.
    """

    def __init__(self, context: MasterContext) -> None:
        self.context = context
        self._to_wake: dict[IConnection, None] = {}
        self._waking: IDelayedCall | None = None
        self._cadence = StatusCadence(context.connections, context.limits.status_interval)
        self._loops = (
            Beat(context.clock, self._tick, context.limits.status_interval),
            Beat(context.clock, self._sweep, _sweep_interval(context.limits)),
        )

    # -- running --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the log and to keep the deadlines."""
        self.context.log.add_listener(self)
        for loop in self._loops:
            loop.start()
        if self.context.segments is not None:
            self.context.segments.start(self._segments_changed)
        if self.context.publisher is not None:
            self.context.publisher.start(self._level_lowered)
        if self.context.connections and self.context.ready:
            # Those who came while only the port was open.
            self.log_grew(self.context.feed.length)

    def stop(self) -> Deferred[None]:
        """Close all connections; the Deferred fires when the last one is gone."""
        self.context.log.remove_listener(self)
        for loop in self._loops:
            loop.stop()
        self._to_wake.clear()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        if self.context.segments is not None:
            self.context.segments.stop()
        if self.context.publisher is not None:
            self.context.publisher.stop()
        connections = self.context.connections
        if not connections:
            return succeed(None)
        gone = connections.all_gone()
        error = ServiceStopped("this master is being stopped")
        connections.each(methodcaller("close", Cause.STOPPED, error))
        impatience = self.context.clock.callLater(_GOODBYE_SECONDS, connections.each, methodcaller("hang_up"))

        def done(_: None) -> None:
            if impatience.active():
                impatience.cancel()

        return gone.addCallback(done)

    # -- the log --------------------------------------------------------------------------------------------

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        self.context.new_status()
        self._cadence.grew()
        self.context.snapshots.log_grew()
        self._to_wake.update(dict.fromkeys(self.context.connections))
        if self._waking is None:
            self._wake_some()

    def _wake_some(self) -> None:
        """Tell connections of growth, and let the reactor do other work when that takes long."""
        self._waking = None
        until = self.context.clock.seconds() + _WAKE_SECONDS
        while self._to_wake:
            connection = next(iter(self._to_wake))
            del self._to_wake[connection]
            if connection in self.context.connections:
                self.context.connections.guarded(connection, methodcaller("go_on"))
            if self._to_wake and self.context.clock.seconds() > until:
                self._waking = self.context.clock.callLater(0, self._wake_some)
                return

    def log_lost(self, reason: LogTruncated) -> None:
        """See `ILogListener`. Nothing of the old log is sent any more; newcomers get the new one."""
        self.context.feed.reset()
        self.context.new_status()
        self.context.connections.each(methodcaller("log_lost", reason))
        if self.context.publisher is not None:
            self.context.publisher.reset()
        self.context.snapshots.invalidate(reason)

    def _segments_changed(self) -> None:
        self.context.connections.each(methodcaller("go_on"))

    def _level_lowered(self) -> None:
        self.context.connections.each(methodcaller("level_lowered"))

    # -- the loops ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        frame = self.context.new_status()
        self._cadence.tick(methodcaller("tick", frame))

    def _sweep(self) -> None:
        now = self.context.clock.seconds()
        self.context.connections.each(methodcaller("check_deadlines", now))

    # -- the status -----------------------------------------------------------------------------------------

    @property
    def status_seconds(self) -> float:
        """How long a STATUS to everybody takes."""
        return round(self._cadence.seconds, 3)

    def describe(self) -> Serving:
        """What the status says of connections, snapshots and log."""
        context, connections = self.context, self.context.connections
        path = getattr(context.log, "path", None)
        peers = tuple(connection.describe() for connection in connections)
        return Serving(
            connections=len(connections),
            accepted=connections.accepted,
            handshakes=context.admission.handshakes,
            log_lines_left_out=context.lines.left_out,
            refused=context.causes.status(refusals=True),
            dropped=context.causes.status(refusals=False),
            peers=(*peers, *context.names.away(peers, context.clock.seconds())),
            sent=connections.sent.with_those(peers),
            snapshots=context.snapshots.status(),
            publishing=None if context.publisher is None else context.publisher.status(),
            segments_served=None if context.segments is None else context.segments.status(),
            wal={"path": None if path is None else str(path), "length": context.feed.length},
        )


def _sweep_interval(limits: MasterLimits) -> float:
    """Often enough that a deadline is missed by a tenth of itself, and by a second at most."""
    shortest = min(limits.handshake, limits.stalled, limits.farewell)
    return min(1.0, shortest / _SWEEPS_PER_DEADLINE)
