"""The log, cut into pieces of whole records that all subscribers share, each record judged once.

A piece ends where no transaction is open, so all in it may be given out; only a transaction that is longer than a
piece is cut, once its end is known. Until then it is followed without being kept: its bytes are read again. Pieces
end near the multiples of 128 KiB, so that subscribers who started at different positions soon share them.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Generator

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from spgrepl.errors import RecordError, StartInsideRecord
from spgrepl.master.pieces import KnownUnit, Piece
from spgrepl.master.reading import FileReader, RunInThread
from spgrepl.publications.owner import OwnerJudge
from spgrepl.wal.parser import RecordBatch, cut_records
from spgrepl.wal.records import DEFAULT_MAX_RECORD, stated_length
from spgrepl.wal.source import ILogSource
from spgrepl.wal.transaction_walk import TransactionWalk, first_step
from spgrepl.wal.transactions import StatementKind

BLOCK = 128 * 1024
"""How many bytes are read and judged at a time, which takes a few milliseconds."""

CACHE_BYTES = 2 * 1024 * 1024
"""How much of the log is held, judged, for subscribers that read the same part of it."""

LOOK_AHEAD = 4 * 1024 * 1024
"""How far to look, from a start that may be inside a transaction, for what says whether it is."""

_MOST_SCANS = 100

_Wanted = tuple[int, int]
_Work = Generator[_Wanted, bytearray, "Piece | None"]
Answer = Piece | Deferred["Piece | None"] | None


@attrs.define
class _Scan:
    """An open transaction that is being followed to its end."""

    walk: TransactionWalk
    position: int


class RecordFeed:
    """Hands out the log in judged pieces.

    Args:
        clock: The reactor, or a clock.
        log: The log.
        in_thread: Runs reads that have to wait for the disk.
        max_record: The most bytes of SQL or payload that a record may have.
        cache_bytes: How much of the log to hold.

    Attributes:
        built: How many pieces were cut and judged.
    """

    def __init__(
        self,
        clock: IReactorTime,
        log: ILogSource,
        in_thread: RunInThread,
        max_record: int = DEFAULT_MAX_RECORD,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._clock = clock
        self._log = log
        self._in_thread = in_thread
        self._max_record = max_record
        self._limit = cache_bytes
        self._judge = OwnerJudge()
        self._held: OrderedDict[int, Piece] = OrderedDict()
        self._held_bytes = 0
        self._scans: dict[int, _Scan] = {}
        self._waiting: dict[int, list[Deferred[Piece | None]]] = {}
        self._reader: FileReader | None = None
        self.built = 0

    @property
    def length(self) -> int:
        """The published length of the log."""
        return int(self._log.length)

    # -- asking -----------------------------------------------------------------------------------------------

    def piece(self, start: int, unit: KnownUnit | None = None) -> Answer:
        """Give the piece that begins at a position.

        Args:
            start: A record's first byte: between two units, or inside `unit`.
            unit: The transaction that `start` is inside of, as the piece before told it.

        Returns:
            The piece; a Deferred of it where that takes time; None, at once or through the Deferred, while the
            log holds nothing whole from there on: ask again when it has grown. The Deferred stays silent after
            `reset`.

        Raises:
            RecordError: (or through the Deferred) The record at `start` is broken.
            MixedTransaction: (or through the Deferred) A record is on both sides of a transaction's end.
            OSError: (or through the Deferred) The log cannot be read.
        """
        held = self._held.get(start)
        if held is not None:
            self._held.move_to_end(start)
            return held
        scan = self._scans.get(start)
        if start >= self.length or (scan is not None and scan.position >= self.length):
            return None
        return self._ask(start, self._build(start, unit))

    def check_start(self, start: int, boundary: int) -> Deferred[None] | None:
        """Find out whether a position that a stranger names is a record's first byte, and inside a transaction.

        The answer is remembered: `piece` follows such a transaction to its end first.

        Args:
            start: The position, within the log.
            boundary: A position between two units.

        Returns:
            None, or a Deferred of it where that takes time.

        Raises:
            StartInsideRecord: (or through the Deferred) No record starts there.
        """
        if start in (0, boundary) or start == self.length:
            return None
        found = self._ask(start, self._look_ahead(start, boundary))
        return found.addCallback(lambda _: None) if isinstance(found, Deferred) else None

    def reset(self) -> None:
        """Forget everything: the log is lost, or serving ends. What is under way comes to nothing."""
        self._held.clear()
        self._held_bytes = 0
        self._scans.clear()
        self._waiting.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # -- running what takes several reads -----------------------------------------------------------------------

    def _ask(self, start: int, work: _Work) -> Answer:
        """Do some work for all who ask for the same; at once, where its first read is enough."""
        waiting = self._waiting.get(start)
        asked: Deferred[Piece | None] = Deferred()
        if waiting is not None:
            work.close()
            waiting.append(asked)
            return asked
        try:
            wanted = next(work)
            data = self._open().read_now(*wanted)
            if data is not None:
                wanted = work.send(data)
        except StopIteration as done:
            return self._hold(done.value)
        mine = self._waiting[start] = [asked]
        self._go_on(start, mine, work, wanted, data is not None)
        return asked

    def _go_on(
        self, start: int, waiting: list[Deferred[Piece | None]], work: _Work, wanted: _Wanted, rest: bool
    ) -> None:
        """Read what some work wants next, in a later turn of the reactor, so that others have theirs."""

        def arrived(data: bytearray) -> None:
            if self._waiting.get(start) is not waiting:
                return
            try:
                following = work.send(data)
            except StopIteration as done:
                self._tell(start, self._hold(done.value))
            else:
                self._go_on(start, waiting, work, following, rest=True)

        def failed(failure: Failure) -> None:
            if self._waiting.get(start) is waiting:
                self._tell(start, failure)

        def read() -> None:
            if self._waiting.get(start) is not waiting:
                return
            reader = self._open()
            try:
                data = reader.read_now(*wanted)
            except OSError:
                failed(Failure())
                return
            if data is None:
                reader.read_later(*wanted).addCallback(arrived).addErrback(failed)
                return
            try:
                arrived(data)
            except Exception:  # noqa: BLE001 - told to whoever asked
                failed(Failure())

        if rest:
            self._clock.callLater(0, read)
        else:
            self._open().read_later(*wanted).addCallback(arrived).addErrback(failed)

    def _tell(self, start: int, result: Piece | Failure | None) -> None:
        for asked in self._waiting.pop(start):
            asked.callback(result)

    def _open(self) -> FileReader:
        """Our own descriptor of the file, so that none is closed, and its number given anew, under a read."""
        if self._reader is None:
            self._reader = FileReader(os.dup(self._log.fileno()), "the log", self._in_thread)
        return self._reader

    def _hold(self, piece: Piece | None) -> Piece | None:
        if piece is None:
            return None
        self.built += 1
        self._scans.pop(piece.start, None)
        self._held[piece.start] = piece
        self._held_bytes += piece.end - piece.start
        while self._held_bytes > self._limit and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= dropped.end - dropped.start
        return piece

    # -- cutting ------------------------------------------------------------------------------------------------

    def _build(self, start: int, unit: KnownUnit | None) -> _Work:
        """Make the piece at a position; yields what to read."""
        if unit is None:
            scan = self._scans.get(start)
            if scan is None:
                batch = yield from self._read_records(start, self.length)
                if batch is None:
                    return None
                walk = TransactionWalk()
                walk.walk(batch)
                end = batch.end if walk.begin is None else walk.begin
                if end > start:
                    return self._piece(batch, end, walk, None)
                scan = _Scan(walk, batch.end)
                self._remember(start, scan)
            unit = yield from self._follow(start, scan)
            if unit is None:
                return None
        batch = yield from self._read_records(start, unit.end)
        if batch is None:
            raise RecordError("the log has changed while a transaction was followed", start)
        return self._piece(batch, batch.end, None, unit)

    def _remember(self, start: int, scan: _Scan) -> None:
        self._scans[start] = scan
        if len(self._scans) > _MOST_SCANS:
            # Whoever still needs it follows that transaction anew.
            del self._scans[next(iter(self._scans))]

    def _follow(self, start: int, scan: _Scan) -> Generator[_Wanted, bytearray, KnownUnit | None]:
        """Walk on to the end of an open transaction; None where the log does not hold it yet."""
        while scan.walk.begin is not None:
            batch = yield from self._read_records(scan.position, self.length)
            if batch is None:
                return None
            scan.position = batch.start_of(scan.walk.walk(batch, until_closed=True))
        return KnownUnit(start, scan.position, tuple(scan.walk.revoked))

    def _piece(self, batch: RecordBatch, end: int, walk: TransactionWalk | None, unit: KnownUnit | None) -> Piece:
        if end < batch.end:
            batch = _front(batch, end)
        revoked = tuple(walk.revoked) if walk is not None else ()
        if unit is not None:
            revoked = unit.revoked
            unit = unit if end < unit.end else None
        return Piece(batch, self._judge.owners(batch), revoked, unit)

    def _read_records(self, start: int, stop: int) -> Generator[_Wanted, bytearray, RecordBatch | None]:
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

    def _look_ahead(self, start: int, boundary: int) -> _Work:
        """Look for what says where a start lies; remembers a transaction that it is inside of."""
        position, stop = start, min(start + LOOK_AHEAD, self.length)
        while position < stop:
            try:
                batch = yield from self._read_records(position, self.length)
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


def _front(batch: RecordBatch, end: int) -> RecordBatch:
    """The records of a batch up to a position, which is the end of one of them."""
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
