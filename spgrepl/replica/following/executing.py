"""Running what a batch of the log asks for in an engine's open transaction. Blocking, in the engine's thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from spgrepl.errors import ReplayStopped, SpgReplError, StatementRefused
from spgrepl.errors.shown import shown_bytes
from spgrepl.interfaces.engine import IClocked, IEngine, IOwnRows
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.held import held_work
from spgrepl.log.transactions.steps import stands_alone
from spgrepl.log.transactions.work import Control, Settled, Work
from spgrepl.text.log_words import sql_for_log
from spgrepl.text.role_log import RoleLogger

_log = RoleLogger()

OWN_ROWS_WITHIN = 1024 * 1024
"""In so many bytes of the log after a snapshot there may be records that it holds already."""

ReadLog = Callable[[int, int, int], Iterator[RecordBatch]]
"""Reads from the local log, which begins at a position of the master's, what stands between two others."""


class Refused(Exception):
    """A record cannot be applied.

    Attributes:
        index: The index in the batch at hand of the record, or of the one that made it take effect.
        error: What is told of it.
    """

    def __init__(self, index: int, error: SpgReplError) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error

    @classmethod
    def record(cls, batch: RecordBatch, index: int, reason: str) -> Refused:
        """The engine refuses a record of a batch, for a reason."""
        record = batch.record(index)
        text = (record.sql or b"").decode("utf-8", "replace")
        crc = f"{record.crc:08x}"
        skip = (
            f"`spgrepl skip --db FILE {record.position} {crc}`, or at a start with --skip-at {record.position} "
            f"--skip-crc {crc}"
        )
        return cls(index, ReplayStopped(record.position, record.crc, text, reason, skip))


class Execution:
    """Runs work.

    Args:
        engine: Where.
        read_log: Reads again what transactions hold that have ended.
        skip: Where a record starts that is to be skipped, and its CRC-32.

    Attributes:
        base: The position of the snapshot that the copy began with.
        alone_to: The position before which records that were committed by themselves have taken effect in the
            snapshot; None where there are none.
        master_time: The master's clock at its last STATUS, in microseconds since the epoch; None before the first.
    """

    def __init__(self, engine: IEngine, read_log: ReadLog, skip: tuple[int, int] | None = None) -> None:
        self._engine = engine
        self._read_log = read_log
        self._skip = skip
        self._left_out: set[tuple[int, int]] = set()
        self._own_rows = engine if IOwnRows.providedBy(engine) else None
        self.base = 0
        self.alone_to: int | None = None
        self._clocked: IClocked | None = IClocked(engine, None)
        self.master_time: int | None = None

    def take_met(self) -> int:
        """How many statements the snapshot held already, since this was asked for the last time."""
        return 0 if self._own_rows is None else int(self._own_rows.take_met())

    def leave_out(self, position: int, crc: int) -> None:
        """Skip the record that starts at a position when it comes, once."""
        self._skip = (position, crc)

    def skipped(self, batch: RecordBatch) -> int | None:
        """The index of the record of a batch that is to be skipped; None where it has none."""
        if self._skip is None:
            return None
        index = index_to_skip(batch, *self._skip)
        if index is not None:
            self._left_out.add(self._skip)
        return index

    @property
    def left_out(self) -> int:
        """How many records were left out since the start, as ordered."""
        return len(self._left_out)

    def run(self, batch: RecordBatch, work: Work) -> None:
        """Run some work.

        Args:
            batch: The records that it comes from.
            work: The work.

        Raises:
            Refused: The engine refuses a record.
            EngineFailed: The disk refuses.
        """
        if self.alone_to is not None and batch.position < self.alone_to:
            work.leave_out(lambda record: self._is_held(batch, record))
        if self._own_rows is not None:
            self._own_rows.expect_own_rows(batch.position - self.base < OWN_ROWS_WITHIN)
        done = 0
        events: list[Control | Settled] = [*work.controls, *work.settled]
        for event in sorted(events, key=lambda one: (one.before, one.record)):
            self._execute(batch, work, done, event.before)
            done = event.before
            if isinstance(event, Settled):
                self.settle(event, batch.start_of(event.record + 1))
            else:
                self._control(batch, event)
        self._execute(batch, work, done, len(work.statements))

    def settle(self, settled: Settled, end: int) -> None:
        """Run the statements of transactions that have ended.

        Args:
            settled: The transactions.
            end: The position after the record that ended the last of them.

        Raises:
            Refused: As `run`.
            EngineFailed: As `run`.
        """
        for batch in self._read_log(self.base, settled.group.opened_by, end):
            work = held_work(batch, settled.group.begin, settled.revoked, self.skipped(batch))
            try:
                self.run(batch, work)
            except Refused as refused:
                raise Refused(settled.record, refused.error) from refused

    def _is_held(self, batch: RecordBatch, index: int) -> bool:
        """Whether the snapshot holds what a record did."""
        assert self.alone_to is not None
        return batch.start_of(index) < self.alone_to and stands_alone(batch, index)

    def _control(self, batch: RecordBatch, control: Control) -> None:
        try:
            self._engine.control(control.sql)
        except StatementRefused as refused:
            raise Refused.record(batch, control.record, refused.reason) from refused

    def _execute(self, batch: RecordBatch, work: Work, start: int, stop: int) -> None:
        statements, types = work.statements, work.types
        if start or stop < len(statements):
            statements = statements[start:stop]
            types = {index - start: kind for index, kind in types.items() if start <= index < stop}
        if not statements:
            return
        if self._clocked is not None:
            self._clocked.tell_clock(lambda index: self._time_of(batch, work.origin(start + index)))
        try:
            self._engine.execute(statements, types)
        except StatementRefused as refused:
            raise Refused.record(batch, work.origin(start + refused.index), refused.reason) from refused

    def _time_of(self, batch: RecordBatch, index: int) -> int | None:
        """What time it was at the master at a record: its own word, or the master's last one."""
        stated = batch.record(index).commit_time
        return self.master_time if stated is None else stated


def index_to_skip(batch: RecordBatch, position: int, crc: int) -> int | None:
    """Find the record that is to be skipped, and log what is done about it.

    Args:
        batch: Records of the log.
        position: Where the record starts in the master's log.
        crc: The CRC-32 that it must have, so that no other record is meant.

    Returns:
        The record's index, or None where the batch does not hold exactly this record.
    """
    if not batch.position <= position < batch.end:
        return None
    starts = [0, *batch.ends]
    index = bisect_left(starts, position - batch.position)
    if starts[index] != position - batch.position:
        _log.error("--skip-at {position}: no record starts there; nothing is skipped", position=position)
        return None
    record = batch.record(index)
    if record.crc != crc:
        _log.error(
            "--skip-at {position}: the record there has CRC {found:08x}, not {wanted:08x}; it is not skipped",
            position=position,
            found=record.crc,
            wanted=crc,
        )
        return None
    _log.warn(
        "skipping the record at position {position}, CRC {crc:08x}, as ordered: {sql}",
        position=record.position,
        crc=record.crc,
        sql=sql_for_log(shown_bytes(record.sql or b"")),
    )
    return index
