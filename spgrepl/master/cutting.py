"""Cutting a log into judged pieces, step by step: whoever wants a piece reads what the cutter asks for.

A piece ends where no transaction is open, so all in it may be given out; only a transaction that is longer than a
piece is cut, once its end is known. Until then it is followed without being kept: its bytes are read again. Pieces
end near the multiples of 128 KiB, so that subscribers who started at different positions soon share them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import attrs

from spgrepl.errors import RecordError, StartInsideRecord
from spgrepl.master.pieces import KnownUnit, Piece
from spgrepl.publications.owner import Owner, OwnerJudge
from spgrepl.wal.parser import RecordBatch, cut_records
from spgrepl.wal.records import stated_length
from spgrepl.wal.transaction_walk import Revoked, TransactionWalk, first_step
from spgrepl.wal.transactions import StatementKind

BLOCK = 128 * 1024
"""How many bytes are read and judged at a time, which takes a few milliseconds."""

LOOK_AHEAD = 4 * 1024 * 1024
"""How far to look, from a start that may be inside a transaction, for what says whether it is."""

TURN_SECONDS = 0.003
"""For how long a cutter works before it lets the reactor serve the others."""

_MOST_SCANS = 100

_JUDGED_AT_ONCE = 128
"""How many records are judged before the clock is looked at: each takes 50 µs where its SQL has to be read."""

Wanted = tuple[int, int]
"""What is to be read: the position of its first byte, and how many bytes; none where only time is up."""

Work = Generator[Wanted, bytes | bytearray, "Piece | None"]
"""Yields what it wants to read, and takes it."""


def work_through(work: Work, read: Callable[[int, int], bytes]) -> Piece | None:
    """Do some work at once, with a function that reads."""
    try:
        wanted = next(work)
        while True:
            wanted = work.send(read(*wanted))
    except StopIteration as done:
        found: Piece | None = done.value
        return found


@attrs.define
class _Scan:
    """An open transaction that is being followed to its end."""

    walk: TransactionWalk
    position: int


class PieceCutter:
    """Cuts one log, and remembers the open transactions that it has met.

    Args:
        length: Tells the log's length, which may grow.
        max_record: The most bytes of SQL or payload that a record may have.
        seconds: Tells the time; without it the work is never interrupted.
    """

    def __init__(
        self, length: Callable[[], int], max_record: int, seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._length = length
        self._max_record = max_record
        self._seconds = seconds
        self._judge = OwnerJudge()
        self._scans: dict[int, _Scan] = {}

    def may_find(self, start: int) -> bool:
        """Whether it is worth looking for a piece at a position, or the log has to grow first."""
        scan = self._scans.get(start)
        return self._length() > (start if scan is None else scan.position)

    def reset(self) -> None:
        """Forget the open transactions: the log is another one."""
        self._scans.clear()

    def build(self, start: int, unit: KnownUnit | None = None) -> Work:
        """Make the piece that begins at a position.

        Args:
            start: A record's first byte: between two units, or inside `unit`.
            unit: The transaction that `start` is inside of, as the piece before told it.

        Returns:
            (when the work is done) The piece; None while the log holds nothing whole from there on.

        Raises:
            RecordError: (from the work) The record at `start` is broken, or one of the transaction that begins
                there.
        """
        if unit is None:
            scan = self._scans.get(start)
            if scan is None:
                batch = yield from self._read_records(start, self._length())
                if batch is None:
                    return None
                walk = TransactionWalk()
                end = _walk_front(walk, batch)
                if end > start:
                    return (yield from self._judged(_front(batch, end), tuple(walk.revoked)))
                scan = _Scan(walk, batch.end)
                self._remember(start, scan)
            unit = yield from self._follow(start, scan)
            if unit is None:
                return None
        batch = yield from self._read_records(start, unit.end)
        if batch is None:
            raise RecordError("the log has changed while a transaction was followed", start)
        self._scans.pop(start, None)
        return (yield from self._judged(batch, unit.revoked, unit if batch.end < unit.end else None))

    def _remember(self, start: int, scan: _Scan) -> None:
        self._scans[start] = scan
        if len(self._scans) > _MOST_SCANS:
            # Whoever still needs it follows that transaction anew.
            del self._scans[next(iter(self._scans))]

    def _follow(self, start: int, scan: _Scan) -> Generator[Wanted, bytes | bytearray, KnownUnit | None]:
        """Walk on to the end of an open transaction; None where the log does not hold it yet."""
        while scan.walk.begin is not None:
            batch = yield from self._read_records(scan.position, self._length())
            if batch is None:
                return None
            scan.position = batch.start_of(scan.walk.walk(batch, until_closed=True))
        return KnownUnit(start, scan.position, tuple(scan.walk.revoked))

    def _judged(
        self, batch: RecordBatch, revoked: tuple[Revoked, ...], unit: KnownUnit | None = None
    ) -> Generator[Wanted, bytes | bytearray, Piece]:
        """Make a piece of records, and let the others have their turn where that takes long."""
        owners: list[Owner] = []
        until = self._seconds() + TURN_SECONDS
        for first in range(0, len(batch), _JUDGED_AT_ONCE):
            if self._seconds() > until:
                yield batch.position, 0
                until = self._seconds() + TURN_SECONDS
            owners += self._judge.owners(batch, first, first + _JUDGED_AT_ONCE)
        return Piece(batch, owners, revoked, unit)

    def _read_records(self, start: int, stop: int) -> Generator[Wanted, bytes | bytearray, RecordBatch | None]:
        """Read whole records: one at least, none beyond `stop`; None where there is none that is whole.

        Raises:
            RecordError: The first one is broken.
        """
        end = min(stop, ((start + BLOCK // 2) // BLOCK + 1) * BLOCK)
        while end > start:
            data = bytes((yield start, end - start))
            batch, error = cut_records(data, start, self._max_record)
            if len(batch):
                return batch
            if error is not None:
                raise error
            length = stated_length(data, 0, start, self._max_record)
            needed = start + (length if length is not None else len(data) + 16)
            if end >= stop or needed > stop:
                return None
            end = needed
        return None

    def look_ahead(self, start: int, boundary: int) -> Work:
        """Find out whether a position that a stranger names is a record's first byte, and inside a transaction.

        Such a transaction is remembered: `build` follows it to its end first.

        Args:
            start: The position.
            boundary: A position between two units.

        Returns:
            (when the work is done) None.

        Raises:
            StartInsideRecord: (from the work) No record starts there.
        """
        position, stop = start, min(start + LOOK_AHEAD, self._length())
        while position < stop:
            try:
                batch = yield from self._read_records(position, self._length())
            except RecordError as error:
                if position > start:
                    return None
                raise StartInsideRecord(start, str(error)) from error
            beyond = batch is None and position < boundary
            if beyond or (batch is not None and _steps_over(batch, boundary)):
                raise StartInsideRecord(start, f"what is read from there does not meet the records at {boundary}")
            if batch is None:
                return None
            kind = first_step(batch)
            if kind is not None:
                if kind is not StatementKind.BEGIN:
                    self._remember(start, _Scan(TransactionWalk(begin=start), start))
                return None
            if batch.end >= boundary > start:
                return None
            position = batch.end
        return None


def _walk_front(walk: TransactionWalk, batch: RecordBatch) -> int:
    """Walk through records; returns up to where they may be given out.

    Raises:
        RecordError: Nothing may be, because of a fault in the unit that they begin with. What stands in front of
            a fault is given out first.
    """
    fault: RecordError | None = None
    behind = batch.end
    try:
        walk.walk(batch)
    except RecordError as error:
        fault, behind = error, error.position
    end = behind if walk.begin is None else walk.begin
    if fault is not None and end == batch.position:
        raise fault
    return end


def _front(batch: RecordBatch, end: int) -> RecordBatch:
    """The records of a batch up to a position, which is the end of one of them."""
    if end == batch.end:
        return batch
    size = end - batch.position
    count = batch.ends.index(size) + 1
    return RecordBatch(
        batch.position,
        batch.data[:size],
        batch.ends[:count],
        batch.sql[:count],
        [index for index in batch.special if index < count],
        {index: kind for index, kind in batch.types.items() if index < count},
    )


def _steps_over(batch: RecordBatch, boundary: int) -> bool:
    """Whether a position lies inside of a batch and is the start of none of its records."""
    return batch.position < boundary < batch.end and boundary - batch.position not in batch.ends
