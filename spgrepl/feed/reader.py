"""Reading a log from a position on, transaction by transaction. Blocking; for one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from spgrepl.errors import SpgReplError
from spgrepl.feed.decoding import ChangeDecoder
from spgrepl.feed.log_bytes import LogBytes
from spgrepl.feed.units import Content, IUnits, is_revoked
from spgrepl.feed.values import FeedPosition, FeedTransaction
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.steps import records_to_look_at, stands_alone

_PIECE = 256 * 1024
_PORTION = 256 * 1024


@attrs.frozen
class FeedLimits:
    """What is handed out at once, and what a log may hold.

    Attributes:
        part_size: A transaction with more bytes of SQL than this is handed out in parts.
        max_record: The most bytes of SQL or payload that a record may have.
    """

    part_size: int = 1024 * 1024
    max_record: int = DEFAULT_MAX_RECORD


DEFAULT_LIMITS = FeedLimits()


@attrs.frozen
class Portion:
    """What was read at once.

    Attributes:
        transactions: Transactions, or parts of one.
        position: How far the log has been dealt with, when all of them have been.
        more: Whether there is more to read at once.
    """

    transactions: Sequence[FeedTransaction]
    position: FeedPosition
    more: bool


@attrs.define
class _Unit:
    """A transaction that is being gathered.

    Attributes:
        start: Where it begins.
        contents: What it holds so far, with the position of each record; None where that is too much, and is
            read again when the transaction has been committed.
        size: How many bytes of SQL that is.
    """

    start: int
    contents: list[tuple[int, Content]] | None = attrs.Factory(list)
    size: int = 0

    def add(self, start: int, contents: Sequence[Content], most: int) -> None:
        if self.contents is None:
            return
        self.contents += [(start, one) for one in contents]
        self.size += sum(len(one.sql) for one in contents)
        if self.size > most:
            self.contents = None


class UnitReader:
    """Reads transactions.

    Memory is bounded: by what is handed out at once, a piece of the log, and the longest record.

    Args:
        log: The log.
        start: Where to begin, between two transactions.
        new_units: Makes what follows the transactions of this kind of log.
        decoder: Makes changes of statements; it stands at `start`.
        limits: What is handed out at once, and how long a record may be.
    """

    def __init__(
        self,
        log: LogBytes,
        start: FeedPosition,
        new_units: Callable[[], IUnits],
        decoder: ChangeDecoder,
        limits: FeedLimits = DEFAULT_LIMITS,
    ) -> None:
        self._log = log
        self._units = new_units()
        self._decoder = decoder
        self._part_size = limits.part_size
        self._max_record = limits.max_record
        self._parser = RecordParser(start.position, limits.max_record)
        self._read_to = start.position
        self._position = start
        self._records: Iterator[tuple[RecordBatch, int, bool]] = iter(())
        self._unit: _Unit | None = None
        self._parts: Iterator[FeedTransaction] = iter(())
        self._error: Exception | None = None

    def read(self, end: int) -> Portion:
        """Read what has been committed, a bounded amount of it.

        Args:
            end: How far the log may be read, in bytes.

        Raises:
            RecordError: A record is bad. What stands before it has been handed out.
            LogTruncated: The log is shorter than it should be.
            EngineFailed: The keys of the tables cannot be read.
            OSError: The disk refuses.
        """
        if self._error is not None:
            raise self._error
        found: list[FeedTransaction] = []
        more = True
        try:
            self._decoder.refresh()
            more = self._read(end, found)
        except (SpgReplError, OSError) as error:
            self._error = error
            if not found:
                raise
        return Portion(found, self._position, more)

    def _read(self, end: int, found: list[FeedTransaction]) -> bool:
        """Read a portion; returns whether there is more."""
        size = 0
        while size < _PORTION:
            part = next(self._parts, None)
            if part is not None:
                found.append(part)
                size += self._part_size
                continue
            record = self._next_record(end)
            if record is None:
                return False
            batch, index, special = record
            self._take(batch, index, special, found)
            size += batch.start_of(index + 1) - batch.start_of(index)
        return True

    # -- records ----------------------------------------------------------------------------------------------

    def _next_record(self, end: int) -> tuple[RecordBatch, int, bool] | None:
        """The next record, and whether it may do something to transactions; None where there is no whole one."""
        while (record := next(self._records, None)) is None:
            batch = self._parser.next_batch()
            if batch is not None:
                special = set(records_to_look_at(batch, len(batch)))
                self._records = ((batch, index, index in special) for index in range(len(batch)))
            elif self._read_to < end:
                piece = self._log.read(self._read_to, min(_PIECE, end - self._read_to))
                self._read_to += len(piece)
                self._parser.feed(piece)
            else:
                return None
        return record

    def _take(self, batch: RecordBatch, index: int, special: bool, found: list[FeedTransaction]) -> None:
        """Take a record into the transaction that it belongs to, and hand that out where it ends."""
        start = batch.start_of(index)
        ended = self._units.take(batch, index) if special or self._units.marks else False
        unit = self._unit
        if unit is None:
            unit = self._unit = _Unit(start)
        if special:
            contents = self._units.content(batch, index)
        else:
            contents = [Content(batch.sql[index] or b"", alone=stands_alone(batch, index))]
        unit.add(start, contents, self._part_size)
        if ended or self._units.begin is None:
            self._unit = None
            self._end(unit, batch.start_of(index + 1), found)

    # -- transactions -----------------------------------------------------------------------------------------

    def _end(self, unit: _Unit, end: int, found: list[FeedTransaction]) -> None:
        """Hand out a transaction that has ended, or what of it was not rolled back."""
        revoked = self._units.take_revoked()
        if unit.contents is None:
            self._parts = self._read_again(unit.start, end, revoked)
            return
        changes = self._decoder.decode(
            one for at, one in unit.contents if one.alone or not is_revoked(revoked, at)
        )
        self._position = self._log.mark(end, self._decoder.rows)
        if changes:
            found.append(FeedTransaction(self._position, unit.start, changes))

    def _read_again(self, start: int, end: int, revoked: Sequence[Revoked]) -> Iterator[FeedTransaction]:
        """Hand out a long transaction in parts."""
        before, number = self._position, 0
        for contents in self._gather(start, end, revoked):
            changes = self._decoder.decode(contents)
            if changes:
                yield FeedTransaction(before, start, changes, number, complete=False)
                number += 1
        self._position = self._log.mark(end, self._decoder.rows)
        if number:
            yield FeedTransaction(self._position, start, (), number)

    def _gather(self, start: int, end: int, revoked: Sequence[Revoked]) -> Iterator[list[Content]]:
        """Read the statements of a long transaction once more, so many at a time."""
        gathered: list[Content] = []
        size = 0
        for batch in self._batches(start, end):
            for index in range(len(batch)):
                contents = self._units.content(batch, index)
                if is_revoked(revoked, batch.start_of(index)):
                    contents = [one for one in contents if one.alone]
                gathered += contents
                size += sum(len(one.sql) for one in contents)
                if size >= self._part_size:
                    yield gathered
                    gathered, size = [], 0
        if gathered:
            yield gathered

    def _batches(self, start: int, end: int) -> Iterator[RecordBatch]:
        parser = RecordParser(start, self._max_record)
        while start < end:
            piece = self._log.read(start, min(_PIECE, end - start))
            start += len(piece)
            parser.feed(piece)
            while (batch := parser.next_batch()) is not None:
                yield batch
