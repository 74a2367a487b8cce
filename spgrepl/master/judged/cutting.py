"""Cutting a log into judged pieces, step by step: whoever wants a piece reads what the cutter asks for.

A piece ends where no transaction is open, so all in it may be given out; only a transaction that is longer than a
piece is cut, once its end is known. Until then it is followed without being kept: its bytes are read again. Pieces
end near the multiples of `BLOCK`, so that subscribers who started at different positions soon share them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

import attrs

from spgrepl.catalogue.owners.owner import PUT_OFF, Owner, OwnerJudge, judge_apart
from spgrepl.compiled.core import CORE
from spgrepl.errors import RecordError, StartInsideRecord
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import IN_REACTOR, RecordType, stated_length
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, Revoked, TransactionChoices, judge_of
from spgrepl.log.transactions.walk import TransactionWalk, first_step
from spgrepl.log.transactions.words import StatementKind
from spgrepl.master.judged.pieces import KnownUnit, Piece
from spgrepl.text.role_log import RoleLogger

BLOCK = 256 * 1024 if CORE else 128 * 1024
"""How many bytes are read and judged at a time, which takes a few milliseconds at most."""

LOOK_AHEAD = 4 * 1024 * 1024
"""How far to look, from a start that may be inside a transaction, for what says whether it is.

It holds where all that is found takes effect where it stands. Where a statement may be one of a transaction, the
log is read to the end of that, or up to a position that is known to be outside.
"""

TURN_SECONDS = 0.003
"""For how long a cutter works before it lets the reactor serve the others."""

_MOST_SCANS = 100

MOST_STARTS = 100_000
"""How many starts inside of transactions are remembered: one for each subscriber that was cut off in one."""

_V3_BITS = 0xC0

_JUDGED_AT_ONCE = 128
"""How many records are judged before the clock is looked at: each takes 50 µs where its SQL has to be read."""

Cut = tuple[RecordBatch, RecordError | None]
"""What `cut_records` returns."""

Wanted = tuple[int, int] | Callable[[], list[Owner] | Cut]
"""What is to be read: the position of its first byte, and how many bytes; none where only time is up. Or what is
to be called in a thread, because it takes long."""

Brought = bytes | bytearray | list[Owner] | Cut
"""What was read, or what the call returned."""

Work = Generator[Wanted, Brought, "Piece | None"]
"""Yields what it wants, and takes it."""


def work_through(work: Work, read: Callable[[int, int], bytes]) -> Piece | None:
    """Do some work at once, with a function that reads.

    Raises:
        RecordError: As the work does.
    """
    try:
        wanted = next(work)
        while True:
            wanted = work.send(wanted() if callable(wanted) else read(*wanted))
    except StopIteration as done:
        found: Piece | None = done.value
        return found


@attrs.define
class _Scan:
    """Open transactions that are being followed to their end."""

    walk: TransactionWalk
    position: int
    since: float | None = None


@attrs.frozen
class HeldUp:
    """What keeps the log from being given out.

    Attributes:
        position: Where the transactions begin that have not ended.
        seconds: For how long they have been seen to be open.
        bytes: How much of the log waits.
        transactions: How many are open.
        held: How many statements of theirs wait.
    """

    position: int
    seconds: float
    bytes: int
    transactions: int
    held: int


class PieceCutter:
    """Cuts one log, and remembers the open transactions that it has met.

    Args:
        length: Tells the log's length, which may grow.
        max_record: The most bytes of SQL or payload that a record may have.
        seconds: Tells the time; without it the work is never interrupted.
        choices: What is done about transactions that the log cannot tell.
        dropped: Transactions that were taken for dead: where they begin, and the position from which on the log
            goes on without them. More are added.
    """

    _log = RoleLogger()

    def __init__(
        self,
        length: Callable[[], int],
        max_record: int,
        seconds: Callable[[], float] = lambda: 0.0,
        choices: TransactionChoices = DEFAULT_CHOICES,
        dropped: dict[int, int] | None = None,
    ) -> None:
        self._length = length
        self._max_record = max_record
        self._seconds = seconds
        self._choices = choices
        self._judge_of_ends = judge_of(choices.ambiguous)
        self._judge = OwnerJudge(put_off=True)
        self._dropped: dict[int, int] = {} if dropped is None else dropped
        self._inside: set[int] = set()
        self._scans: dict[int, _Scan] = {}

    def may_find(self, start: int) -> bool:
        """Whether it is worth looking for a piece at a position, or the log has to grow first."""
        scan = self._scans.get(start)
        return self._length() > (start if scan is None else scan.position) or self.is_overdue(start)

    def held_up(self, start: int) -> HeldUp | None:
        """What keeps the log from being given out from a position on; None where nothing is known to."""
        scan = self._scans.get(start)
        group = None if scan is None else scan.walk.group
        if scan is None or group is None or scan.since is None:
            return None
        waits = self._length() - start
        return HeldUp(group.begin, round(self._seconds() - scan.since, 3), waits, group.open, group.held)

    def is_overdue(self, start: int) -> bool:
        """Whether the transactions that begin at a position were open for too long."""
        limit, scan = self._choices.drop_after, self._scans.get(start)
        if scan is None or limit is None or scan.since is None:
            return False
        return self._seconds() - scan.since >= limit

    def reset(self) -> None:
        """Forget the open transactions: the log is another one."""
        self._scans.clear()
        self._inside.clear()
        self._dropped.clear()

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
            if scan is None and start in self._inside:
                scan = _Scan(TransactionWalk(start, self._judge_of_ends), start)
                self._remember(start, scan)
            if scan is None:
                batch = yield from self._read_records(start, self._length())
                if batch is None:
                    return None
                walk = TransactionWalk(judge=self._judge_of_ends)
                end = _walk_front(walk, batch)
                if end > start:
                    return (yield from self._judged(batch.front(end), tuple(walk.revoked)))
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
            # Whoever still needs it follows that transaction again.
            del self._scans[next(iter(self._scans))]

    def _note_inside(self, start: int) -> None:
        """Remember that a position is inside of a transaction. That never changes, so it is never forgotten."""
        if len(self._inside) >= MOST_STARTS and start not in self._inside:
            raise RecordError(
                f"more than {MOST_STARTS} subscribers have begun inside of transactions of this log; start the "
                f"master again",
                start,
            )
        self._inside.add(start)

    def _follow(self, start: int, scan: _Scan) -> Generator[Wanted, Brought, KnownUnit | None]:
        """Walk on to the end of an open transaction; None where the log does not hold it yet."""
        group = scan.walk.group
        while scan.walk.group is group:
            until = self._dropped.get(scan.walk.begin or 0)
            batch = yield from self._read_records(scan.position, self._length() if until is None else until)
            if batch is None and until is None and not self.is_overdue(start):
                if scan.since is None:
                    scan.since = self._seconds()
                return None
            try:
                if batch is None:
                    self._drop(scan)
                else:
                    scan.position = batch.start_of(scan.walk.walk(batch, until_closed=True))
            except RecordError:
                # Whoever asks again follows it from its start: what was taken of this batch is not known.
                self._scans.pop(start, None)
                raise
        if scan.walk.group is not None:
            # An end that ended AND CHAIN: the next piece begins inside of a transaction.
            self._note_inside(scan.position)
        return KnownUnit(start, scan.position, tuple(scan.walk.revoked))

    def _drop(self, scan: _Scan) -> None:
        """Take the transactions that are followed for dead."""
        begin = scan.walk.begin
        assert begin is not None
        scan.walk.drop(scan.position)
        if begin not in self._dropped:
            self._log.warn(
                "the transactions that are open from position {begin} on have not ended in time; the log goes on "
                "at {position} without them, as --open-transactions says",
                begin=begin,
                position=scan.position,
            )
        self._dropped[begin] = scan.position

    def _judged(
        self, batch: RecordBatch, revoked: tuple[Revoked, ...], unit: KnownUnit | None = None
    ) -> Generator[Wanted, Brought, Piece]:
        """Make a piece of records, and let the others have their turn where that takes long."""
        judge = self._judge
        owners = judge.known_owners(batch, 0)
        until = self._seconds() + TURN_SECONDS
        while len(owners) < len(batch):
            if self._seconds() > until:
                yield batch.position, 0
                until = self._seconds() + TURN_SECONDS
            owners += judge.owners(batch, len(owners), len(owners) + _JUDGED_AT_ONCE)
            owners += judge.known_owners(batch, len(owners))
        if PUT_OFF in owners:
            late = [index for index, owner in enumerate(owners) if owner is PUT_OFF]
            found = yield partial(judge_apart, batch, late)
            assert isinstance(found, list)
            for index, owner in zip(late, found, strict=True):
                assert isinstance(owner, Owner)
                owners[index] = judge.same(owner)
        return Piece(batch, owners, revoked, unit)

    def _read_records(self, start: int, stop: int) -> Generator[Wanted, Brought, RecordBatch | None]:
        """Read whole records: one at least, none beyond `stop`; None where there is none that is whole.

        Raises:
            RecordError: The first one is broken.
        """
        end = min(stop, ((start + BLOCK // 2) // BLOCK + 1) * BLOCK)
        while end > start:
            brought = yield start, end - start
            assert isinstance(brought, (bytes, bytearray))
            data = bytes(brought)
            batch, error = yield from self._cut(data, start)
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

    def _cut(self, data: bytes, start: int) -> Generator[Wanted, Brought, Cut]:
        """Cut records from the front of some bytes; in a thread where that takes long."""
        if len(data) <= IN_REACTOR.record:
            batch, error = cut_records(data, start, self._max_record, compressed=IN_REACTOR.compressed)
            length = None if len(batch) or error else stated_length(data, 0, start, self._max_record)
            if length is None or length > len(data):
                return batch, error
        found = yield partial(cut_records, data, start, self._max_record)
        assert isinstance(found, tuple)
        return found

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
            RecordError: (from the work) A bound is crossed: too many starts are inside of transactions.
        """
        position, held = start, False
        while position < (self._length() if held else min(start + LOOK_AHEAD, self._length())):
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
                    self._note_inside(start)
                return None
            held = held or _may_be_held(batch)
            if batch.end >= boundary > start:
                return None
            position = batch.end
        return None


def _may_be_held(batch: RecordBatch) -> bool:
    """Whether a record may belong to a transaction: one of format v1 or v2, or of MySQL's dialect."""
    starts = (0, *batch.ends[:-1])
    return RecordType.MYSQL in batch.types.values() or any(
        batch.data[start + 3] & _V3_BITS != _V3_BITS for start in starts
    )


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


def _steps_over(batch: RecordBatch, boundary: int) -> bool:
    """Whether a position lies inside of a batch and is the start of none of its records."""
    return batch.position < boundary < batch.end and boundary - batch.position not in batch.ends
