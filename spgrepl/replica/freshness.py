"""As of when a copy is: how old its newest change is while others wait, and whether its master is heard at all."""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IReactorTime

from spgrepl.base.worker import EngineWorker
from spgrepl.watch.status import Fresh, Lag, OpenTransactions
from spgrepl.watch.troubles import Complaint
from spgrepl.wire.frames import Status

SILENT_SECONDS = 3.0
"""A master that sends STATUS frames, many a second, and has not been heard for so long is silent."""

DELAYED_SECONDS = 1.0
"""A batch that takes longer than this is said to wait."""

_MOST = 512
"""Lengths of the master's log that are remembered; of more, every second one is forgotten."""

_APART = 0.02
"""Seconds within which two of them count as one."""


class Freshness:
    """Remembers when the master's log had which length, as far as was heard.

    A copy is as of the last moment at which it held all that the master was known to hold then. Its lag is the
    time since. What is forgotten, and what is taken together, makes a lag longer than it is, never shorter.

    Args:
        clock: Where the time comes from, in seconds that only grow.
        worker: The thread that applies what comes.
        where: What it is applied to, for the message that it takes long.
    """

    def __init__(self, clock: IReactorTime, worker: EngineWorker, where: object) -> None:
        self._clock = clock
        self._worker = worker
        self._where = where
        self._lengths: deque[tuple[int, float]] = deque()
        self._applied: int | None = None
        self._as_of: float | None = None
        self._heard: float | None = None
        self._status: float | None = None
        self._moved: float | None = None
        self._opened = 0
        self._open: float | None = None
        self._told = False

    def connected(self) -> None:
        """Begin with a connection, whose silence says nothing before its first STATUS."""
        self._told = False

    def heard(self, length: int | None = None, *, status: bool = False) -> None:
        """Note that the master has sent something.

        Args:
            length: How long its log is, as far as that shows; None where it shows nothing.
            status: Whether it was a STATUS: others follow, many a second.
        """
        now = self._heard = self._clock.seconds()
        if status:
            self._told, self._status = True, now
        if length is None:
            return
        if self._lengths and length < self._lengths[-1][0] and status:
            self._lengths.clear()
        if self._applied is not None and length <= self._applied:
            if not self._lengths:
                self._as_of = now
            return
        if self._lengths:
            last, at = self._lengths[-1]
            if length == last or (length > last and now - at < _APART):
                self._lengths.pop()
        self._lengths.append((length, now))
        if len(self._lengths) > _MOST:
            self._lengths = deque(list(self._lengths)[1::2])

    def applied(self, position: int, opened: int = 0) -> None:
        """Note that the copy holds all up to a position.

        Args:
            position: The position.
            opened: How many transactions of the log are open there: what comes after waits for their ends.
        """
        now = self._clock.seconds()
        if position != self._applied:
            if self._applied is not None:
                self._moved = now
            self._open = None
        self._opened = opened
        if not opened:
            self._open = None
        elif self._open is None:
            self._open = now
        self._applied = position
        while self._lengths and self._lengths[0][0] <= position:
            self._as_of = self._lengths.popleft()[1]

    @property
    def position(self) -> int | None:
        """Up to where everything is applied; None where that is not known."""
        return self._applied

    @property
    def silent(self) -> bool:
        """Whether a master that sends STATUS frames has not been heard for `SILENT_SECONDS`."""
        return self._told and self._heard is not None and self._clock.seconds() - self._heard > SILENT_SECONDS

    def lag(self, connected: bool) -> float | None:
        """How old the newest applied change is, in seconds; 0 while nothing waits, None where that is unknown.

        Args:
            connected: Whether the master sends its log. Where it does not, or is silent, nobody knows whether
                changes wait of which nothing was heard.
        """
        if self._applied is None:
            return None
        if not self._lengths:
            return 0.0 if connected and self._told and not self.silent else None
        return max(0.0, self._clock.seconds() - (self._lengths[0][1] if self._as_of is None else self._as_of))

    @property
    def heard_seconds(self) -> float | None:
        """How long ago the master was last heard; None before it ever was."""
        return None if self._heard is None else max(0.0, self._clock.seconds() - self._heard)

    @property
    def trouble(self) -> str | None:
        """Why a copy that streams does not get on: ``delayed`` or ``silent``; None while it does."""
        if self._worker.busy_seconds > DELAYED_SECONDS:
            return "delayed"
        return "silent" if self.silent else None

    def complaint(self, connected: bool) -> Complaint | None:
        """What to say of a batch that has been in the engine's hands for longer than a second, or of silence.

        Args:
            connected: See `lag`; without a connection there is nothing to say.
        """
        seconds = self._worker.busy_seconds
        if connected and seconds > DELAYED_SECONDS:
            return Complaint(
                "delayed",
                f"a batch of the log has waited for {self._where} for {seconds:.1f} s: another program holds its "
                f"lock, the disk is slow, or a statement takes long",
            )
        if connected and self.silent:
            return Complaint(
                "silent",
                f"the master has said nothing for {self.heard_seconds or 0:.1f} s, not even that it is there: it "
                f"is stopped or overloaded, or the network between is cut",
            )
        return None

    def describe(self, source: Status | None, connected: bool) -> Fresh:
        """What the status says of it.

        Args:
            source: The master's last STATUS.
            connected: See `lag`.
        """
        applied = self._applied
        waiting = max(0, source.length - applied) if source and applied is not None else None
        lag, opened = self.lag(connected), self._since(self._open)
        if lag is None and not waiting:
            # Nothing waits of what was heard, and what was not heard nobody knows.
            waiting = None
        return Fresh(
            Lag(waiting, None if lag is None else round(lag, 3)),
            self._since(self._heard),
            self._since(self._status),
            self._since(self._moved),
            None if opened is None else OpenTransactions(self._opened, opened),
        )

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else round(max(0.0, self._clock.seconds() - moment), 3)
