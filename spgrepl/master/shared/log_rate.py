"""Lines of a log that strangers can cause: as many as one can read, and how many more there were."""

from __future__ import annotations

import re

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel

from spgrepl.base.steady_clock import steady_clock
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

BURST = 100
"""So many lines are written at once."""

PER_SECOND = 5.0
"""So many more are written in a second."""


REPEAT_SECONDS = 600.0
"""A line that is like one before it is a repetition for so long."""

_MOST_REMEMBERED = 200
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


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
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}

    def repeated(self, text: str, **values: object) -> None:
        """Write a line of the level ``warn`` that the same peer may cause again and again.

        One like it within `REPEAT_SECONDS` is only counted; after 10, 100, 1,000 of them a line says how many.

        Args:
            text: The line; it takes ``again``.
            values: What it says; ``reason`` and ``peer`` make it like another one, whatever numbers are in them.
        """
        now = self._clock.seconds()
        key = (text, *(_NUMBERS.sub("#", str(values.get(name))) for name in ("peer", "reason")))
        last, times = self._told.pop(key, (now, 0))
        times = times + 1 if now - last <= REPEAT_SECONDS else 1
        self._told[key] = (now, times)
        if len(self._told) > _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        if times == 1 or str(times).strip("0") == "1":
            again = f" ({times} times)" if times > 1 else ""
            self._write(LogLevel.warn, text, {**values, "times": times, "again": again})
        else:
            self.left_out += 1

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
            self._log.warn(
                "{left} left out before this one",
                left=number_of(self._untold, "line about connections was", "lines about connections were"),
            )
            self._untold = 0
        self._log.emit(level, text, **values)
