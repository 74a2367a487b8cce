"""Ending statements of a log that take too long."""

from __future__ import annotations

from time import monotonic

import apsw

from spgrepl.disk.limits import ran_too_long

_ASK_EVERY = 500_000
"""After so many steps of SQLite's machine the time is looked at: some milliseconds."""


class TimeLimit:
    """Interrupts what runs on a connection for too long.

    Args:
        connection: The connection.
        seconds: How long one statement may run.

    Attributes:
        passed: Whether the statement that was begun last was interrupted.
    """

    def __init__(self, connection: apsw.Connection, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self.passed = False
        connection.set_progress_handler(self._ask, _ASK_EVERY)

    def begin(self) -> None:
        """A statement begins. Only one that is not soon over is timed."""
        self._since = None
        self.passed = False

    def _ask(self) -> bool:
        now = monotonic()
        if self._since is None:
            self._since = now
        self.passed = now - self._since > self._seconds
        return self.passed

    def __str__(self) -> str:
        return ran_too_long(self._seconds)
