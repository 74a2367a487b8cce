"""Leaving out a record that a subscription has stopped at, as an operator orders."""

from __future__ import annotations

from spgrepl.errors import ReplayStopped, SpgReplError, UsageError
from spgrepl.replica.following.progress import SkipRequest


class StoppedAt:
    """The record that a subscription has stopped at, so that no other one is left out.

    Args:
        name: The subscription, for errors.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._record: ReplayStopped | None = None

    def failed(self, error: SpgReplError) -> None:
        """Records could not be applied."""
        if isinstance(error, ReplayStopped):
            self._record = error

    def reached(self, position: int) -> None:
        """Everything up to a position is applied."""
        if self._record is not None and position > self._record.position:
            self._record = None

    def order(self, position: int, crc: int) -> SkipRequest:
        """Make the order to leave a record out.

        Raises:
            UsageError: The subscription has not stopped at this record.
        """
        at = self._record
        if at is None:
            raise UsageError(f"the subscription {self._name!r} has not stopped at a record: nothing is skipped")
        if (at.position, at.crc) != (position, crc):
            raise UsageError(
                f"the subscription {self._name!r} has stopped at position {at.position}, CRC {at.crc:08x}, not at "
                f"position {position}, CRC {crc:08x}: nothing is skipped"
            )
        return SkipRequest(position, crc)
