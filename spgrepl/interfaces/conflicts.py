"""Counts of rows that did not find what they had to find."""

from __future__ import annotations

from spgrepl.errors import StatementRefused


class ConflictCounts:
    """Counts conflicts by kind; one record that is tried again and again is one conflict."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._last = b""

    def note(self, refused: StatementRefused) -> None:
        """Count what was refused, if it is a conflict."""
        if refused.conflict is not None and refused.sql != self._last:
            self._last = refused.sql
            self._counts[refused.conflict] = self._counts.get(refused.conflict, 0) + 1

    def went_on(self) -> None:
        """Records were applied, or put aside: what is refused from now on is another one."""
        self._last = b""

    def as_values(self) -> dict[str, int]:
        """How many conflicts of each kind there were: ``{"insert_exists": 1}``."""
        return dict(self._counts)
