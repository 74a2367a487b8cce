"""Bringing a primary's database and its log to agreement after a crash.

The log is fsynced before the database commits, so the log may be ahead and never behind. What it holds beyond the
database's position is run again; what a crash left half written at its end is cut off, and a transaction left
open there is ended with a ROLLBACK, so that nothing that anybody may have read is taken back.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

import attrs

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import LocalFilesDamaged, RecordError, StatementFailed, StatementRefused
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.log.durable import DurableLength, durable_path
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordFormat, encode_v2
from spgrepl.log.reader import Damage, LogReport, iterate_records, scan_log
from spgrepl.log.transactions.units import UnitCutter
from spgrepl.log.transactions.work import Section, Work
from spgrepl.log.writer import LogWriter
from spgrepl.pairs.fence import crc_of_range
from spgrepl.pairs.pair import LogBond
from spgrepl.primary.parts.marks import LoggedMark, SubscriptionMark
from spgrepl.primary.running.session import WriterSession
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

_log = RoleLogger()

_RESTORE = "Restore database and log from the same moment"
_ADVICE = "both stay as they are: restore both from the same moment"
_PAGE = 4096
_LEAST_LOST = 8
"""Fewer zeros at the end of a page may be part of a record."""

_SEARCHED = 256 * 1024 * 1024


@attrs.frozen
class LogTail:
    """What a log holds beyond the database's position.

    Attributes:
        whole_end: Where its last whole record ends; what follows was never finished.
        open_transaction: Whether a transaction is open there.
    """

    whole_end: int
    open_transaction: bool


def examine_log(
    paths: DatabasePaths, state: ReplayState, max_record: int, durable: DurableLength | None = None
) -> LogTail:
    """Look how a log ends that is known to be a database's. Nothing is changed.

    Args:
        paths: The database and its log.
        state: The database's position.
        max_record: The most bytes of SQL or payload that a record may have.
        durable: What its last writer said of it: what was durable is never cut. None where nobody knows.

    Raises:
        LocalFilesDamaged: The log is damaged where that loses something.
    """
    wal = paths.wal
    length = wal.stat().st_size if wal.exists() else 0
    if length == 0:
        return LogTail(0, open_transaction=False)
    report = scan_log(wal, state.position, max_record)
    lost = _start_of_zeros(wal, state.position, report.whole_end, length, max_record)
    if lost is not None:
        report = scan_log(wal, state.position, max_record, end=lost)
    elif report.damage is Damage.BROKEN and not _was_never_durable(wal, report, durable):
        raise LocalFilesDamaged(
            f"{wal} is broken at position {report.whole_end} of {length}, beyond the position {state.position} of "
            f"{paths.database}: {report.error or 'a record that is not whole'}. The database holds all rows up to "
            f"its position, the log what came after. {_RESTORE}. To go on without what follows position "
            f"{report.whole_end}, keep a copy of the log, then run: truncate -s {report.whole_end} "
            f"{shlex.quote(str(wal))}"
        )
    if durable is not None and report.whole_end < durable.length:
        raise LocalFilesDamaged(
            f"{wal} can be read up to position {report.whole_end} of {length}, but it was durable up to "
            f"{durable.length}: what was acknowledged is damaged or gone. {_RESTORE}. To go on without it, or "
            f"with a log that was restored from a backup, remove {durable_path(wal)}"
        )
    return LogTail(report.whole_end, report.open_transaction is not None)


def _was_never_durable(wal: Path, report: LogReport, durable: DurableLength | None) -> bool:
    """Whether the damage of a log is in what was being written when the power was lost."""
    if durable is not None and report.whole_end < durable.length:
        return False
    if durable is not None and durable.is_exact:
        return True
    return has_lost_page(wal, report.whole_end, report.next_whole or report.length)


def _start_of_zeros(wal: Path, start: int, whole_end: int, length: int, max_record: int) -> int | None:
    """Where a log goes on with a page of zeros, or with nothing but zeros, which read like empty v1 records.

    A file system that had grown the file before a loss of power, and not yet written all of it, leaves them. Where
    the zeros begin inside of a header, a record reads like one of v1 that is not empty. That form has no checksum,
    and no primary writes it.
    """
    with open(wal, "rb") as file:
        if length - start < 4:
            return None
        for batch in iterate_records(wal, start, max_record, end=whole_end):
            for index, sql in enumerate(batch.sql):
                at = batch.start_of(index)
                if sql is None or batch.record(index).format is not RecordFormat.V1:
                    continue
                lost = sql != b"" or _is_zero(file.fileno(), at, length) or has_lost_page(wal, at, at + _PAGE)
                return at if lost else None
    return None


def has_lost_page(wal: Path, start: int, stop: int) -> bool:
    """Whether a page of a log is all zeros, or its part after a position: it never reached the disk.

    A loss of power in the middle of a write leaves such pages, and may leave the pages after them whole. A page
    that was durable is not lost in this way.

    Args:
        wal: The log.
        start: Where the write began that may have been cut short, in bytes.
        stop: Where to look no further.
    """
    with open(wal, "rb") as file:
        at = start
        while at < min(stop, start + _SEARCHED):
            end = at - at % _PAGE + _PAGE
            page = os.pread(file.fileno(), end - at, at)
            if len(page) >= _LEAST_LOST and not page.strip(b"\0"):
                return True
            at = end
    return False


def _is_zero(handle: int, start: int, stop: int) -> bool:
    while start < stop:
        piece = os.pread(handle, min(1024 * 1024, stop - start), start)
        if not piece or piece.count(0) != len(piece):
            return False
        start += len(piece)
    return True


def repair_tail(log: LogWriter, tail: LogTail, bond: LogBond) -> None:
    """Cut off what was never finished, and end a transaction that is open at the end.

    What is cut off is kept in a file beside the log until the next start at which nothing has to be cut.

    Raises:
        OSError: The disk refuses.
    """
    if tail.whole_end < log.length:
        kept = bond.keep_tail(log.fileno(), tail.whole_end, log.length)
        _log.warn(
            "{path}: cut {length} of an unfinished write off at position {position}; kept in {kept} "
            "until the next clean start",
            path=log.path,
            length=number_of(log.length - tail.whole_end, "byte"),
            position=tail.whole_end,
            kept=str(kept),
        )
        log.cut(tail.whole_end)
    else:
        bond.forget_tails()
    if tail.open_transaction:
        _log.warn("{path}: ended an unfinished transaction with ROLLBACK", path=log.path)
        log.append(encode_v2(b"ROLLBACK"))
    # The tail may have been read by us and not be on disk yet; from now on we act on it.
    log.sync()


def roll_forward(
    session: WriterSession,
    log: LogWriter,
    state: ReplayState,
    max_record: int,
    marks: Sequence[LoggedMark] = (),
    end: int | None = None,
) -> ReplayState:
    """Run what a log holds beyond the database's position.

    Args:
        session: The database's connection; no transaction is open.
        log: The log, which ends outside of any transaction.
        state: The database's state.
        max_record: The most bytes of SQL or payload that a record may have.
        marks: Which parts of the log belong to subscriptions, and how far these come with them.
        end: Where to stop, in bytes; by default at the log's end.

    Returns:
        The state that the database has now; its position is the log's length.

    Raises:
        LocalFilesDamaged: A statement of the log does not fit the database.
        EngineFailed: The disk refuses; the database stands between two statements or transactions of the log.
    """
    start = state.position
    cutter = UnitCutter()
    valid = [mark for mark in marks if mark.crc == crc_of_range(log.fileno(), mark.start, mark.end)]
    try:
        for batch in iterate_records(log.path, start, max_record, end=log.length if end is None else end):
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
    if section.undo:
        session.rollback()
    if not session.in_transaction:
        # A subscription's position may go with it, and that is in no log.
        session.durable = True
        session.begin()
    work = section.work
    if work.types or work.settled or section.opened_by is not None:
        raise LocalFilesDamaged(
            f"{path} holds, after position {state.position}, a record that no primary writes: another program "
            f"wrote there; {_ADVICE}"
        )
    statements = list(_in_order(work))
    try:
        if ROWS_FROM_HERE in statements and not session.holds_rows():
            at = statements.index(ROWS_FROM_HERE)
            session.reapply(statements[:at], rows=False)
            session.note_rows(batch.start_of(batch.sql.index(ROWS_FROM_HERE)))
            del statements[: at + 1]
        session.reapply(statements, rows=session.holds_rows())
    except (StatementFailed, StatementRefused, UnicodeDecodeError) as error:
        raise LocalFilesDamaged(
            f"a statement of {path} after position {state.position} does not fit the database: {error}; {_ADVICE}"
        ) from error
    if not section.complete:
        return state
    position = batch.start_of(section.stop)
    covered = batch.data[: position - batch.position]
    done = attrs.evolve(state, position=position, base=0, fence=Fence(batch.position, crc32(covered)))
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
