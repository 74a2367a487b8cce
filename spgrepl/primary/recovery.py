"""Bringing a primary's database and its log to agreement after a crash.

The log is fsynced before the database commits, so the log may be ahead and never behind. What it holds beyond the
database's position is run again; what a crash left half written at its end is cut off, and a transaction left
open there is ended with a ROLLBACK, so that nothing that anybody may have read is taken back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

import attrs
from twisted.logger import Logger

from spgrepl.engines.interfaces import Fence, ReplayState
from spgrepl.errors import LocalFilesDamaged, RecordError, StatementFailed, StatementRefused
from spgrepl.follower.fence import crc_of_range
from spgrepl.primary.marks import LoggedMark, SubscriptionMark
from spgrepl.primary.session import WriterSession
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.reader import Damage, iterate_records, scan_log
from spgrepl.wal.records import RecordFormat, encode_v2
from spgrepl.wal.units import Section, UnitCutter, Work
from spgrepl.wal.writer import LogWriter

_log = Logger()

_ADVICE = "restore both from the same moment, or move both away and begin anew"


@attrs.frozen
class LogTail:
    """What a log holds beyond the database's position.

    Attributes:
        whole_end: Where its last whole record ends; what follows was never finished.
        open_transaction: Whether a transaction is open there.
    """

    whole_end: int
    open_transaction: bool


def examine_log(database: Path, wal: Path, state: ReplayState, max_record: int) -> LogTail:
    """Look whether a log is the one that a database stands in, and how it ends. Nothing is changed.

    Args:
        database: The database, for messages.
        wal: The log.
        state: The database's position, with the fence that was stored with it.
        max_record: The most bytes of SQL or payload that a record may have.

    Raises:
        LocalFilesDamaged: The log and the database do not belong together, or the log is damaged.
    """
    length = wal.stat().st_size if wal.exists() else 0
    if length < state.position:
        raise LocalFilesDamaged(
            f"{wal} is {length} bytes long, but {database} holds what stands in it up to position "
            f"{state.position}: the log was truncated or replaced; {_ADVICE}"
        )
    if length == 0:
        return LogTail(0, open_transaction=False)
    _check_fence(database, wal, state)
    report = scan_log(wal, state.position, max_record)
    end = _start_of_zeros(wal, state.position, report.whole_end, length, max_record)
    if end is not None:
        return LogTail(end, report.open_transaction is not None and report.open_transaction < end)
    if report.damage is Damage.BROKEN:
        raise LocalFilesDamaged(
            f"{wal} is broken at position {report.whole_end} of {length}, beyond the position {state.position} of "
            f"{database}: {report.error or 'a record that is not whole'}; {_ADVICE}"
        )
    return LogTail(report.whole_end, report.open_transaction is not None)


def _check_fence(database: Path, wal: Path, state: ReplayState) -> None:
    fence = state.fence
    if fence is None:
        return
    with open(wal, "rb") as file:
        found = crc_of_range(file.fileno(), fence.start, state.position)
    if found != fence.crc:
        raise LocalFilesDamaged(
            f"{wal} has CRC {found:08x} from position {fence.start} to {state.position}, {database} was written "
            f"beside a log with {fence.crc:08x} there: the two do not belong together; {_ADVICE}"
        )


def _start_of_zeros(wal: Path, start: int, whole_end: int, length: int, max_record: int) -> int | None:
    """Where a log goes on with nothing but zeros, which read like empty v1 records.

    A file system that had grown the file before a loss of power, and not yet written it, leaves them.
    """
    with open(wal, "rb") as file:
        if length - start < 4 or os.pread(file.fileno(), 1, length - 1) != b"\0":
            return None
        for batch in iterate_records(wal, start, max_record, end=whole_end):
            for index, sql in enumerate(batch.sql):
                at = batch.start_of(index)
                if sql == b"" and batch.record(index).format is RecordFormat.V1:
                    return at if _is_zero(file.fileno(), at, length) else None
    return None


def _is_zero(handle: int, start: int, stop: int) -> bool:
    while start < stop:
        piece = os.pread(handle, min(1024 * 1024, stop - start), start)
        if not piece or piece.count(0) != len(piece):
            return False
        start += len(piece)
    return True


def mend_tail(log: LogWriter, tail: LogTail) -> None:
    """Cut off what was never finished, and end a transaction that is open at the end.

    Raises:
        OSError: The disk refuses.
    """
    if tail.whole_end < log.length:
        _log.warn(
            "{path}: cut {count} bytes of an unfinished write off at position {position}",
            path=log.path,
            count=log.length - tail.whole_end,
            position=tail.whole_end,
        )
        log.cut(tail.whole_end)
    if tail.open_transaction:
        _log.warn("{path}: ended an unfinished transaction with ROLLBACK", path=log.path)
        log.append(encode_v2(b"ROLLBACK"))
    # The tail may have been read by us and not be on disk yet; from now on we act on it.
    log.sync()


def roll_forward(
    session: WriterSession, log: LogWriter, start: int, max_record: int, marks: Sequence[LoggedMark] = ()
) -> ReplayState:
    """Run what a log holds beyond the database's position.

    Args:
        session: The database's connection; no transaction is open.
        log: The log, which ends outside of any transaction.
        start: The database's position.
        max_record: The most bytes of SQL or payload that a record may have.
        marks: Which parts of the log belong to subscriptions, and how far these come with them.

    Returns:
        The state that the database has now; its position is the log's length.

    Raises:
        LocalFilesDamaged: A statement of the log does not fit the database.
        EngineFailed: The disk refuses; the database stands between two statements or transactions of the log.
    """
    state = ReplayState(start, 0)
    cutter = UnitCutter()
    valid = [mark for mark in marks if mark.crc == crc_of_range(log.fileno(), mark.start, mark.end)]
    try:
        for batch in iterate_records(log.path, start, max_record, end=log.length):
            for section in cutter.cut(batch, len(batch)):
                state = _run_section(session, log.path, batch, section, state, valid)
    except RecordError as error:
        raise LocalFilesDamaged(f"{log.path} is broken {error}; {_ADVICE}") from error
    finally:
        session.rollback()
    if state.position > start:
        _log.info(
            "{path}: brought the database from position {start} to {position}",
            path=log.path,
            start=start,
            position=state.position,
        )
    return state


def _run_section(
    session: WriterSession,
    path: Path,
    batch: RecordBatch,
    section: Section,
    state: ReplayState,
    marks: Sequence[LoggedMark],
) -> ReplayState:
    if section.rolled_back:
        session.rollback()
    if not session.in_transaction:
        session.begin()
    work = section.work
    if work.types:
        raise LocalFilesDamaged(
            f"{path} holds, behind position {state.position}, a record that no primary writes: another program "
            f"wrote there; {_ADVICE}"
        )
    try:
        session.reapply([sql.decode("utf-8") for sql in _in_order(work)])
    except (StatementFailed, StatementRefused, UnicodeDecodeError) as error:
        raise LocalFilesDamaged(
            f"a statement of {path} behind position {state.position} does not fit the database: {error}; {_ADVICE}"
        ) from error
    if not section.complete:
        return state
    position = batch.start_of(section.stop)
    covered = batch.data[: position - batch.position]
    fence = Fence(batch.position, crc32(covered)) if batch.position > 0 else None
    done = ReplayState(position, 0, fence)
    for mark in marks:
        if state.position <= mark.start and mark.end <= position:
            session.write_mark(SubscriptionMark(mark.name, None, mark.state))
    session.write_state(done)
    session.commit()
    return done


def _in_order(work: Work) -> Iterator[bytes]:
    """All statements as they stand in the log: one on the catalogue may stand before a ROLLBACK TO."""
    done = 0
    for control in work.controls:
        yield from work.statements[done : control.before]
        yield control.sql
        done = control.before
    yield from work.statements[done:]
