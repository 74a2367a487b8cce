"""A record that takes longer to read than the reactor's thread has time for."""

from __future__ import annotations

from spgrepl.errors import RecordError
from spgrepl.log.format.records import Record, decode_record


class LongRecord:
    """A whole record that takes long to read: it is called in a thread, and then the parser is fed again.

    Args:
        data: The record.
        position: Where it stands in the master's log.
        limit: The most bytes of SQL or payload that it may have.

    Attributes:
        read: Whether it was called.
    """

    def __init__(self, data: bytes, position: int, limit: int) -> None:
        self._data, self._position, self._limit = data, position, limit
        self._found: Record | RecordError | None = None
        self.read = False

    def __call__(self) -> None:
        """Read the record. An error of it is raised by the parser, in its turn."""
        try:
            self._found = decode_record(self._data, 0, self._position, self._limit)
        except RecordError as error:
            self._found = error
        self.read = True

    def result(self) -> Record | None:
        """What was read; None for a record that is not whole.

        Raises:
            RecordError: The record is broken.
        """
        if isinstance(self._found, RecordError):
            raise self._found
        return self._found
