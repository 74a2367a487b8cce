"""Where a feed begins: positions that were stored, that are only numbers, and those that have a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from spgrepl.errors import EngineFailed, ServiceStopped, StartInsideRecord, UsageError
from spgrepl.feed.log_bytes import LogBytes
from spgrepl.feed.units import IUnits, is_mark
from spgrepl.feed.values import FeedPosition, FeedStart
from spgrepl.log.format.parser import RecordParser
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE, rows_begin
from spgrepl.sqlite.session import plain_connection

_PIECE = 1024 * 1024

Start = FeedPosition | FeedStart | int


def find_start(
    log: LogBytes,
    database: Path | None,
    new_units: Callable[[], IUnits],
    start: Start,
    end: int,
    max_record: int,
    stopped: Callable[[], bool],
) -> FeedPosition:
    """See whether a feed can begin where it is to begin. Blocking.

    Args:
        log: The log.
        database: The database that goes with it; None where there is none.
        new_units: Makes what follows the transactions of this kind of log.
        start: Where to begin.
        end: Where the log ends, between two transactions.
        max_record: The most bytes of SQL or payload that a record may have.
        stopped: Whether to give up.

    Raises:
        StartLost: The log begins after it.
        LogTruncated: The log ends before it.
        HistoryDiverged: A stored position belongs to a different log.
        StartInsideRecord: A number is not the first byte of a record.
        UsageError: A number lies inside of a transaction.
        RecordError: The log is damaged before it.
        ServiceStopped: `stopped` said so.
        EngineFailed, OSError: The database or the log cannot be read.
    """
    if isinstance(start, FeedPosition):
        log.compare(start, end)
        return start
    if start is FeedStart.BEGINNING:
        return log.mark(log.base, _rows_at(database, log.base))
    if start is FeedStart.END:
        return log.mark(end, _rows_at(database, end))
    log.require_inside(start, end)
    rows = _walk_to(log, new_units(), start, max_record, stopped)
    return log.mark(start, _rows_at(database, log.base) if rows is None else rows)


def _rows_at(database: Path | None, position: int) -> bool:
    """Whether a log holds rows at a position where nothing has been read yet."""
    if database is None or not database.exists():
        return False
    try:
        connection = plain_connection(database, read_only=True)
        try:
            found = rows_begin(connection)
        finally:
            connection.close()
    except apsw.NotADBError:
        return False  # an engine that keeps something else there, and applies no rows
    except apsw.Error as error:
        raise EngineFailed(f"{database} cannot be read: {error}") from error
    return found is not None and found <= position


def _walk_to(
    log: LogBytes, units: IUnits, position: int, max_record: int, stopped: Callable[[], bool]
) -> bool | None:
    """Read a log up to a position: nothing else tells whether a record starts there, and whether in a transaction.

    Returns:
        Whether the log holds rows there; None where nothing that was read says so.
    """
    parser = RecordParser(log.base, max_record)
    rows: bool | None = None
    read = log.base
    while read < position:
        if stopped():
            raise ServiceStopped("the change feed was stopped while it looked for its start")
        piece = log.read(read, min(_PIECE, position - read))
        read += len(piece)
        parser.feed(piece)
        while (batch := parser.next_batch()) is not None:
            for index in range(len(batch)) if units.marks else batch.special:
                sql = batch.sql[index]
                if sql is not None and is_mark(sql):
                    rows = sql == ROWS_FROM_HERE
                units.take(batch, index)
    if parser.position < position:
        raise StartInsideRecord(position, f"it lies inside of the record that starts at {parser.position}")
    if units.begin is not None:
        raise UsageError(
            f"{log.name}: position {position} lies inside of the transaction that begins at {units.begin}: begin "
            f"the feed there, or after the transaction"
        )
    return rows
