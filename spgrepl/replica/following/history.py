"""Whether a master's log is, further back too, the one that a copy was made from."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from spgrepl.errors import HistoryDiverged, PeerTimeout
from spgrepl.interfaces.engine import Mark, ReplayState
from spgrepl.replica.short_connections import MarkChoice, ShortConnections
from spgrepl.text.quantities import in_seconds
from spgrepl.text.role_log import RoleLogger

PATIENCE = 5.0
"""Seconds for which no more of a record may come. A writer writes one at once."""


class MasterHistory:
    """Compares marks of a copy with its master's log.

    Args:
        asking: Asks the master.
        choice: Chooses the mark that is compared.
    """

    _log = RoleLogger()

    def __init__(self, asking: ShortConnections, choice: MarkChoice[Mark]) -> None:
        self._asking = asking
        self._choice = choice

    def compare(self, state: ReplayState | None) -> Deferred[None]:
        """Compare one mark of a state with the master's log.

        Returns:
            A Deferred that fires when that was done, or when nothing could be compared: what is wrong then shows
            on the next connection. It fails with `HistoryDiverged` where the bytes differ, and as the endpoint
            does where the master cannot be reached.
        """
        marks = [] if state is None else [mark for mark in state.marks if not _in_fence(mark, state)]
        if not marks:
            return succeed(None)
        mark = self._choice.among(marks)

        def judge(crc: int | None) -> None:
            if crc is None:
                self._log.info(
                    "the master does not send its log from {start} to {stop}: this is not compared",
                    start=mark.start,
                    stop=mark.stop,
                )
            elif crc != mark.crc:
                self._choice.differs(mark)
                raise HistoryDiverged(
                    f"the master's log from position {mark.start} to {mark.stop} is not the one that this copy "
                    f"was made from (CRC {crc:08x}, expected {mark.crc:08x}): its history is a different one. "
                    f"Point the follower at the right master, or take a fresh copy with --on-divergence resnapshot"
                )
            else:
                self._choice.fits()

        return self._asking.read_range(mark.start, mark.stop).addCallback(judge)


def _in_fence(mark: Mark, state: ReplayState) -> bool:
    """Whether the fence covers all of a mark, which is compared then anyway."""
    return state.fence is not None and state.fence.start <= mark.start


class HalfRecord:
    """Judges whether a log that ends inside of a record, for longer than a writer takes, is still the same.

    One that was cut, and has grown again unseen, leaves the stream inside of a record of the new one: what stands
    there is taken for the head of a record, which may say any length. So the log is asked for again, once for each
    record, and compared.

    Args:
        seconds: A monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._at = 0
        self._asked: int | None = None

    def judge(self, whole: int, received: int, length: int) -> PeerTimeout | None:
        """Look at a STATUS, while nothing is being applied.

        Args:
            whole: Up to where whole records have come.
            received: Up to where bytes have come.
            length: How long the master's log is.

        Returns:
            Why the log is asked for again; None where it is not.
        """
        if whole == self._asked:
            return None
        if received <= whole or length > received:
            self._since = None
            return None
        now = self._seconds()
        if self._since is None or whole != self._at:
            self._since, self._at = now, whole
        if now - self._since < PATIENCE:
            return None
        self._since, self._asked = None, whole
        return PeerTimeout(
            f"the master's log ends at {length}, inside of the record that begins at {whole}, and no more of it "
            f"has come for {in_seconds(PATIENCE)}: it may have been cut, and have grown again. It is asked for "
            f"once more, and compared"
        )
