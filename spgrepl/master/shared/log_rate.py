"""Lines of a log that strangers can cause: as many as one can read, and how many more there were."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel

from spgrepl.base.steady_clock import steady_clock
from spgrepl.text.role_log import RoleLogger

BURST = 100
"""So many lines are written at once."""

PER_SECOND = 5.0
"""So many more are written in a second."""


class LogRate:
    """Writes lines to a log, at a bounded rate.

    Args:
        clock: The reactor, or a clock.
        log: The log.

    Attributes:
        left_out: How many lines were not written since the start.
    """

    def __init__(self, clock: IReactorTime, log: RoleLogger) -> None:
        self._clock = steady_clock(clock)
        self._log = log
        self._room = float(BURST)
        self._looked = self._clock.seconds()
        self._untold = 0
        self.left_out = 0

    def info(self, text: str, **values: object) -> None:
        """Write a line of the level ``info``, if there is room."""
        self._write(LogLevel.info, text, values)

    def warn(self, text: str, **values: object) -> None:
        """Write a line of the level ``warn``, if there is room."""
        self._write(LogLevel.warn, text, values)

    def _write(self, level: LogLevel, text: str, values: dict[str, object]) -> None:
        now = self._clock.seconds()
        self._room = min(float(BURST), self._room + (now - self._looked) * PER_SECOND)
        self._looked = now
        if self._room < 1:
            self.left_out += 1
            self._untold += 1
            return
        self._room -= 1
        if self._untold:
            self._log.warn("{count} lines about connections were left out before this one", count=self._untold)
            self._untold = 0
        self._log.emit(level, text, **values)
