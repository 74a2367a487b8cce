"""The heart of a primary: groups of requests, applied to the database and written to the log as one.

The order is what makes a crash harmless: the statements run in a transaction of the database; their records are
appended to the log and fsynced; only then the database commits, together with the position that it has now. The
log is never behind. Where it is ahead, because the commit did not come about, its tail is run again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zlib import crc32

import attrs

from spgrepl.engines import sqlite_state
from spgrepl.engines.interfaces import Fence, ReplayState
from spgrepl.errors import (
    ConfigurationError,
    EngineFailed,
    LocalError,
    LocalFilesDamaged,
    LoggedNotApplied,
    NotReplayable,
    SpgReplError,
)
from spgrepl.files import DatabasePaths, LockFile, load_cluster_id
from spgrepl.primary.marks import LoggedMark, MarkFile, logged
from spgrepl.primary.recovery import LogTail, examine_log, mend_tail, roll_forward
from spgrepl.primary.session import Applied, Request, WriterSession
from spgrepl.results import QueryResult
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal.writer import LogWriter


@attrs.frozen
class Written:
    """A request that was applied, logged and made durable.

    Attributes:
        position: The position in the log behind it, in bytes; where it only looked, the position that it saw.
        results: What its statements returned, those that return rows.
    """

    position: int
    results: tuple[QueryResult, ...]


Answer = Written | SpgReplError
"""What became of a request."""


class DatabaseWriter:
    """The one writer of a primary's database and log. Blocking; used by one thread at a time.

    Args:
        paths: The database and its log.
        max_record: The most bytes of SQL that a statement may have.
        clock: Tells the time, in seconds since the epoch.
    """

    def __init__(
        self,
        paths: DatabasePaths,
        max_record: int = DEFAULT_MAX_RECORD,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._paths = paths
        self._max_record = max_record
        self._clock = clock
        self._lock = LockFile(paths.writer_lock, f"writes {paths.database}")
        self._log = LogWriter(paths.wal)
        self._marks = MarkFile(paths.subscription_marks)
        self._opened: WriterSession | None = None
        self._state = ReplayState(0, 0)
        self._unusable: LocalError | None = None

    @property
    def position(self) -> int:
        """The position in the log that the database stands at, in bytes."""
        return self._state.position

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock and open the files, make those that are missing, and bring database and log to agreement.

        Raises:
            DatabaseLocked: Another process or object writes this database.
            ConfigurationError: The folder does not exist, or the database is a follower's.
            LocalFilesDamaged: Database and log do not belong together, or one is damaged. Nothing was changed.
            EngineFailed: The disk refuses, or another program holds the database.
        """
        for folder in (self._paths.database.parent, self._paths.wal.parent):
            if not folder.is_dir():
                raise ConfigurationError(f"{folder} is no folder: make it, or name another place")
        self._lock.acquire()
        try:
            self._open()
        except sqlite3.Error as error:
            self.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise EngineFailed(f"another program holds {self._paths.database}: {error}") from error
            raise LocalFilesDamaged(
                f"{self._paths.database} cannot be used as a SQLite database: {error}; restore it, or move it away"
            ) from error
        except OSError as error:
            self.close()
            raise EngineFailed(f"{self._paths.wal} cannot be written: {error}") from error
        except SpgReplError:
            self.close()
            raise

    def _open(self) -> None:
        wal, database = self._paths.wal, self._paths.database
        logged = wal.stat().st_size if wal.exists() else 0
        if logged and not database.exists():
            raise LocalFilesDamaged(
                f"{wal} holds {logged} bytes, but its database {database} is missing: restore that, or move the "
                f"log away to begin anew"
            )
        session = self._opened = WriterSession(database, self._max_record)
        stored = sqlite_state.read_state(session.connection)
        tail = self._examine(stored, logged)
        session.prepare()
        self._log.open()
        load_cluster_id(self._paths)
        if stored is None:
            session.begin()
            sqlite_state.ensure_table(session.connection)
            session.write_state(self._state)
            session.commit()
        else:
            self._state = stored.replay
        mend_tail(self._log, tail)
        self._catch_up()

    def _examine(self, stored: sqlite_state.StoredState | None, logged: int) -> LogTail:
        """Look, before anything is changed, whether database and log can be used together."""
        database, wal = self._paths.database, self._paths.wal
        if stored is None:
            if logged:
                raise LocalFilesDamaged(
                    f"{wal} holds {logged} bytes, but {database} was not written beside it: move the log away to "
                    f"begin a new one with this database, or name the log's own database"
                )
            return LogTail(0, open_transaction=False)
        if stored.role != sqlite_state.ROLE_PRIMARY:
            raise ConfigurationError(
                f"{database} is a follower's copy, whose rows come from its master: write there, or copy the file "
                f"and drop the table spgrepl_replay in the copy to make a database of its own"
            )
        return examine_log(database, wal, stored.replay, self._max_record)

    def close(self) -> None:
        """Close the files and release the lock; nothing happens when nothing is open."""
        if self._opened is not None:
            session, self._opened = self._opened, None
            session.close()
        self._log.close()
        self._lock.release()

    # -- requests ---------------------------------------------------------------------------------------------

    def run(self, requests: Sequence[Request], stop_at_failure: bool = False) -> list[Answer]:
        """Run requests in order, with one fsync for all.

        Each is all or nothing for itself: one that fails leaves the others alone.

        Args:
            requests: What to do.
            stop_at_failure: Whether to leave out what follows a request that fails.

        Returns:
            What became of each, in order; fewer where `stop_at_failure` left some out. What is answered with a
            position is durable.
        """
        try:
            self._catch_up()
            return self._run_group(requests, stop_at_failure)
        except (EngineFailed, LocalFilesDamaged) as error:
            return [error for _ in requests[: 1 if stop_at_failure else None]]

    def _run_group(self, requests: Sequence[Request], stop_at_failure: bool) -> list[Answer]:
        session = self._session()
        session.begin(durable=any(request.mark is not None for request in requests))
        try:
            outcomes = self._apply_all(session, requests, stop_at_failure)
            table = session.table_with_last_rowid()
            if table is not None:
                session.rollback()
                return self._without_last_rowid(table, requests, stop_at_failure)
            if not any(isinstance(outcome, Applied) for outcome in outcomes):
                session.rollback()
                return [outcome for outcome in outcomes if not isinstance(outcome, Applied)]
            return self._make_durable(session, outcomes)
        finally:
            session.rollback()

    def _apply_all(
        self, session: WriterSession, requests: Sequence[Request], stop_at_failure: bool
    ) -> list[Applied | SpgReplError]:
        outcomes: list[Applied | SpgReplError] = []
        for request in requests:
            try:
                outcomes.append(session.apply(request, self._instant()))
            except SpgReplError as error:
                if isinstance(error, EngineFailed) or not session.in_transaction:
                    # The failure took the transaction with it, as INSERT OR ROLLBACK does, or may have.
                    self._apply_again(session, [done for done in outcomes if isinstance(done, Applied)])
                outcomes.append(error)
                if stop_at_failure:
                    break
        return outcomes

    @staticmethod
    def _apply_again(session: WriterSession, done: list[Applied]) -> None:
        session.rollback()
        session.begin()
        for applied in done:
            session.reapply(applied.statements)
            if applied.mark is not None:
                session.write_mark(applied.mark)

    def _without_last_rowid(self, table: str, requests: Sequence[Request], stop_at_failure: bool) -> list[Answer]:
        """Run requests singly, to refuse the one that wrote the highest row number, or met it."""
        if len(requests) == 1:
            return [
                NotReplayable(
                    f"table {table} would hold the row number {2**63 - 1}, behind which SQLite numbers rows at "
                    f"random: give that row a lower number",
                    requests[0].statements[0],
                )
            ]
        answers: list[Answer] = []
        for request in requests:
            answers += self._run_group([request], stop_at_failure)
            if stop_at_failure and not isinstance(answers[-1], Written):
                break
        return answers

    def _make_durable(self, session: WriterSession, outcomes: Sequence[Applied | SpgReplError]) -> list[Answer]:
        """Log what was applied, make it durable, commit it, and answer."""
        start = self._log.length
        answers: list[Answer] = []
        position = start
        for outcome in outcomes:
            if isinstance(outcome, Applied):
                position += len(outcome.records)
                answers.append(Written(position, outcome.results))
            else:
                answers.append(outcome)
        records = b"".join(outcome.records for outcome in outcomes if isinstance(outcome, Applied))
        if not records:
            if any(isinstance(outcome, Applied) and outcome.mark is not None for outcome in outcomes):
                session.commit()
            return answers
        state = ReplayState(position, 0, Fence(start, crc32(records)) if start > 0 else None)
        session.write_state(state)
        self._write_marks(start, outcomes)
        self._append(records)
        try:
            session.commit()
            self._state = state
        except EngineFailed as error:
            return self._applied_later(session, outcomes, answers, error)
        return answers

    def _write_marks(self, start: int, outcomes: Sequence[Applied | SpgReplError]) -> None:
        """Say which part of the log will hold rows of subscriptions, before they are there."""
        marks: list[LoggedMark] = []
        for outcome in outcomes:
            if isinstance(outcome, Applied):
                if outcome.mark is not None and outcome.records:
                    marks.append(logged(outcome.mark, outcome.records, start))
                start += len(outcome.records)
        if marks:
            try:
                self._marks.write(marks)
            except OSError as error:
                raise EngineFailed(f"{self._paths.subscription_marks} cannot be written: {error}") from error

    def _append(self, records: bytes) -> None:
        """Append to the log and make it durable, or leave it as it was."""
        start = self._log.length
        try:
            self._log.append(records)
            self._log.sync()
        except OSError as error:
            self._cut_back(start)
            raise EngineFailed(f"{self._paths.wal} cannot be written at present: {error}") from error

    def _cut_back(self, length: int) -> None:
        try:
            self._log.cut(length)
        except OSError as error:
            # What stands there was not acknowledged, but would be taken for part of the log.
            self._unusable = LocalFilesDamaged(
                f"{self._paths.wal} could not be written, and not be cut back to position {length} either "
                f"({error}): mend the disk and open the database again"
            )
            raise self._unusable from error

    def _applied_later(
        self,
        session: WriterSession,
        outcomes: Sequence[Applied | SpgReplError],
        answers: list[Answer],
        error: EngineFailed,
    ) -> list[Answer]:
        """The log holds what the database could not commit: run it again now, or else before the next group."""
        try:
            session.rollback()
            self._catch_up()
        except (EngineFailed, LocalFilesDamaged):
            return [
                LoggedNotApplied(
                    f"the statement is in the log and durable, but {error}; it is applied as soon as that "
                    f"is over: do not repeat it",
                    answer.position,
                )
                if isinstance(outcome, Applied) and isinstance(answer, Written) and outcome.records
                else answer
                for outcome, answer in zip(outcomes, answers, strict=True)
            ]
        return answers

    def _catch_up(self) -> None:
        """Run what the log holds beyond the database's position."""
        session = self._session()
        if self._state.position < self._log.length:
            marks = self._marks.read()
            self._state = roll_forward(session, self._log, self._state.position, self._max_record, marks)

    def _session(self) -> WriterSession:
        if self._unusable is not None:
            raise self._unusable
        if self._opened is None:
            raise LocalFilesDamaged(f"{self._paths.database} is not open")
        return self._opened

    def _instant(self) -> str:
        moment = datetime.fromtimestamp(self._clock(), UTC)
        return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")
