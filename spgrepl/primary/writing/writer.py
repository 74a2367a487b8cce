"""The heart of a primary: groups of requests, applied to the database and written to the log as one.

The order is what makes a crash harmless: the statements run in a transaction of the database; their records are
appended to the log and fsynced; only then the database commits, together with the position that it has now. The
log is never behind. Where it is ahead, because the commit did not come about, its tail is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw
import attrs

from spgrepl.base.histories import Histories, served
from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.file_watch import FileWatch
from spgrepl.disk.files import DatabasePaths, make_private, refuse_orphaned_journal, remove_temporaries
from spgrepl.disk.sidecars import load_cluster_id
from spgrepl.errors import (
    ConfigurationError,
    EngineFailed,
    FileLost,
    LocalError,
    LocalFilesDamaged,
    OutcomeUnknown,
    SpgReplError,
    WritesRefused,
)
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.pairs.copied_by import refuse_copy_of_another_engine
from spgrepl.pairs.pair import LogBond
from spgrepl.pairs.texts import Owner
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.parts.connection import Setup, changed_by_others, writes_refused
from spgrepl.primary.parts.marks import LoggedMark, MarkFile
from spgrepl.primary.parts.requests import Answer, Applied, Request, Written
from spgrepl.primary.parts.settings import is_drained, note_subscribers
from spgrepl.primary.running.group import apply_all
from spgrepl.primary.running.logged_marks import marks_of
from spgrepl.primary.running.session import WriterSession
from spgrepl.primary.running.statement_runner import Control
from spgrepl.primary.writing.answers import answers_of, applied_later
from spgrepl.primary.writing.draining import store_drained
from spgrepl.primary.writing.left_state import LeftState
from spgrepl.primary.writing.other_roles import refuse_other_roles
from spgrepl.primary.writing.primary_log import PrimaryLog
from spgrepl.primary.writing.recovery import LogTail, examine_log, repair_tail, roll_forward
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE, forget_rows, note_origin, origin_of_rows, rows_begin
from spgrepl.sqlite.session import cannot_open


class DatabaseWriter:
    """The one writer of a primary's database and log. Blocking; used by one thread at a time.

    Args:
        paths: The database and its log.
        max_record: The most bytes of SQL that a record may have.
        setup: Registers functions and collations of the embedding program; None where there are none.
        log_grew: Called when the log is durable further than it was.

    Attributes:
        control: Ends statements early, and tells how far they are.
        files: The database and the log while they are open; its methods may be called from any thread.
    """

    def __init__(
        self,
        paths: DatabasePaths,
        max_record: int = DEFAULT_MAX_RECORD,
        setup: Setup | None = None,
        log_grew: Callable[[], None] = lambda: None,
    ) -> None:
        self._paths = paths
        self._max_record = max_record
        self._setup = setup
        self.control = Control()
        self._lock = LockFile(paths.writer_lock, f"writes {paths.database}")
        self._log = PrimaryLog(paths.wal, max_record, log_grew)
        self.sync_seconds = self._log.sync_seconds
        self._bond = LogBond(paths, Owner.PRIMARY, max_record)
        self.files = FileWatch()
        self._marks = MarkFile(paths.subscription_marks)
        self._left = LeftState(paths)
        self._opened: WriterSession | None = None
        self._state = ReplayState(0, 0)
        self._unusable: LocalError | None = None
        # Whether the log must say, before anything else, that it holds rows from there on.
        self._mark_due = True
        self._drained = False
        # How many bytes of a group stand before that.
        self._before_rows = 0

    @property
    def position(self) -> int:
        """The position in the log that the database stands at, in bytes."""
        return self._state.position

    @property
    def histories(self) -> Histories:
        """Whose positions its own are: first the one of its log, then those that this one follows on."""
        return Histories(served(self._state.pair, 0, self._state.histories, at_head=True))

    @property
    def warning(self) -> str | None:
        """What is wrong with the database or its log, though it goes on; None where nothing is known to be."""
        return self._log.warning or (None if self._opened is None else self._opened.others.warning)

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock and open the files, make those that are missing, and bring database and log to agreement.

        Raises:
            DatabaseLocked: Another process or object writes this database.
            ConfigurationError: The folder does not exist, or the database or the log is a follower's.
            LocalFilesDamaged: Database and log do not belong together, or one is damaged. Nothing was changed.
            EngineFailed: The disk refuses, or another program holds the database.
        """
        for folder in (self._paths.database.parent, self._paths.wal.parent):
            if not folder.is_dir():
                raise ConfigurationError(f"{folder} is not a folder: make it, or name another place")
        try:
            self._paths.require_distinct()
            self._lock.acquire()
            self._open()
        except apsw.Error as error:
            self._refused()
            raise cannot_open(error, self._paths.database, "restore it, or move it away") from error
        except OSError as error:
            self._refused()
            raise EngineFailed(f"{self._paths.wal} cannot be written: {error}") from error
        except SpgReplError:
            self._refused()
            raise

    def _refused(self) -> None:
        """Close everything, and leave no file that was made for the lock alone."""
        self._close_files()
        self._lock.withdraw()

    def _open(self) -> None:
        database = self._paths.database
        stored = None
        refuse_copy_of_another_engine(self._paths)
        remove_temporaries(self._paths.all_files())
        if self._paths.wal.exists():
            # The lock on the log comes before SQLite touches the database: under two names it would be damaged.
            self._log.open()
        changed = self._left.was_changed()
        if database.exists():
            self._opened = WriterSession(database, self._max_record, self.control, self._setup)
            stored = sqlite_state.read_state(self._opened.connection)
        else:
            refuse_orphaned_journal(database)
        tail = self._examine(stored)
        self._left.begin()
        if not self._log.is_open:
            self._log.open()
        if self._opened is None:
            make_private(database)
            self._opened = WriterSession(database, self._max_record, self.control, self._setup)
        self._opened.prepare()
        self._drained = is_drained(self._opened.connection)
        self.files.expect(database, self._paths.wal)
        cluster_id = load_cluster_id(self._paths)
        self._marks.read()  # a file of somebody else is not written over later
        self._pair_with_log(self._opened, stored, cluster_id)
        self._log.begin(self._state.position)
        repair_tail(self._log, tail, self._bond)
        self._log.in_order()
        if changed:
            self._opened.others.warning = changed_by_others(database)
            self._log.tell_foreign()
        self._catch_up()

    def _examine(self, stored: sqlite_state.StoredState | None) -> LogTail:
        """Look, before anything is changed, whether database and log can be used together."""
        connection = None if self._opened is None else self._opened.connection
        refuse_other_roles(self._paths.database, stored, connection)
        self._bond.judge(None if stored is None else stored.replay)
        durable = self._log.find_durable()
        if stored is None:
            return LogTail(0, open_transaction=False)
        return examine_log(self._paths, stored.replay, self._max_record, durable)

    def _pair_with_log(
        self, session: WriterSession, stored: sqlite_state.StoredState | None, cluster_id: int
    ) -> None:
        """Let database and log know each other, and copies of the database whose rows they have."""
        state = None if stored is None else stored.replay
        tables = session.connection.execute("SELECT count(*) FROM sqlite_master").get
        pair = self._bond.settle(state, from_empty=tables == 0)
        self._state = attrs.evolve(state or ReplayState(0, 0), pair=pair)
        known = origin_of_rows(session.connection) == cluster_id and not self.control.each_row()
        if self._state != state or not known:
            session.durable = True
            session.begin()
            sqlite_state.ensure_table(session.connection)
            session.write_state(self._state)
            note_origin(session.connection, cluster_id)
            if self.control.each_row():
                note_subscribers(session.connection)
            if state is None:
                # What it says is of another log: it was a copy once.
                forget_rows(session.connection)
            session.commit()

    def close(self) -> None:
        """Close the files and release the lock; nothing happens when nothing is open."""
        self._close_files()
        self._lock.release()

    def _close_files(self) -> None:
        if self._opened is not None:
            session, self._opened = self._opened, None
            session.close()
            self._left.end()
        self.files.forget()
        self._log.close()

    def look_for_others(self) -> None:
        """See whether another program has written the database, where no request does: it is named at once."""
        if self._opened is not None and self._unusable is None:
            self._opened.others.look_where_idle()
            self._tell_of_others(self._opened)

    def _tell_of_others(self, session: WriterSession) -> None:
        if session.others.warning is not None:
            self._log.tell_foreign()

    # -- requests ---------------------------------------------------------------------------------------------

    def drain(self, on: bool) -> int:
        """Refuse all further writes, durably, or take them again; returns the position that all ends at."""
        self._require_in_place()
        self._catch_up()
        store_drained(self._session(), on)
        self._drained = on
        return self.position

    def run(self, requests: Sequence[Request], stop_at_failure: bool = False) -> list[Answer]:
        """Run requests in order, with one fsync for all; one that fails leaves the others alone.

        Args:
            requests: What to do.
            stop_at_failure: Whether to leave out what follows a request that fails.

        Returns:
            What became of each, in order: fewer where `stop_at_failure` left some out, one and the same error for
            all where the whole group failed. What is answered with a position is durable.
        """
        try:
            return self._run_group(requests, stop_at_failure)
        except (EngineFailed, FileLost, LocalFilesDamaged, WritesRefused) as error:
            return [error for _ in requests]

    def _run_group(self, requests: Sequence[Request], stop_at_failure: bool) -> list[Answer]:
        session = self.start_group(durable=any(request.mark is not None for request in requests))
        try:
            return self.finish_group(session, apply_all(session, requests, stop_at_failure))
        finally:
            session.rollback()

    def start_group(self, durable: bool) -> WriterSession:
        """Begin the transaction of a group of requests; whoever does must call `finish_group`, or roll it back.

        Args:
            durable: Whether its commit has to survive a loss of power by itself, without the log.

        Raises:
            EngineFailed: Another program holds the lock, or the disk refuses.
            LocalFilesDamaged: Nothing can be written any more.
        """
        self._require_in_place()
        if self._drained:
            raise writes_refused(self._paths.database, self.position)
        self._catch_up()
        session = self._session()
        # How durable a commit is belongs to the group: however often its transaction is begun, it is the same.
        session.durable = durable
        session.begin_group()
        self._tell_of_others(session)
        if (refusal := self._log.mark) is not None:
            session.recording.begin_with(refusal)
        self._before_rows = session.recording.length
        if self._mark_due:
            session.recording.begin_with(ROWS_FROM_HERE)
        return session

    def finish_group(self, session: WriterSession, outcomes: Sequence[Applied | SpgReplError]) -> list[Answer]:
        """Log what the requests of a group did, commit it, and answer in order; raises as `start_group`."""
        if not any(isinstance(outcome, Applied) for outcome in outcomes):
            session.rollback()
            return [outcome for outcome in outcomes if not isinstance(outcome, Applied)]
        session.finish()
        return self._make_durable(session, outcomes)

    def _make_durable(self, session: WriterSession, outcomes: Sequence[Applied | SpgReplError]) -> list[Answer]:
        """Log what was applied, make it durable, commit it, and answer."""
        start = self._log.length
        recording = session.recording
        applied = [outcome for outcome in outcomes if isinstance(outcome, Applied)]
        if recording.is_empty:
            if any(one.mark is not None or one.settings for one in applied):
                session.commit()
            return [Written(start, one.results) if isinstance(one, Applied) else one for one in outcomes]
        answers = answers_of(outcomes, start)
        position = start + recording.length
        state = self._state.moved(position, Fence(start, recording.crc()))
        if self._mark_due:
            session.note_rows(start + self._before_rows)
        if self.control.each_row():
            note_subscribers(session.connection)
        session.write_state(state, moved=True)
        self._write_marks(marks_of(start, recording, applied))
        self._append(recording)
        try:
            session.commit()
            self._state = state
        except EngineFailed as error:
            return self._applied_later(session, outcomes, answers, error)
        self._mark_due = False
        return answers

    def _write_marks(self, marks: list[LoggedMark]) -> None:
        try:
            if marks:
                self._marks.write(marks)
        except OSError as error:
            raise EngineFailed(f"{self._paths.subscription_marks} cannot be written: {error}") from error

    def _append(self, records: Recording) -> None:
        """Append to the log, make it durable and let it be served, or put a mark in its place."""
        start = self._log.length
        try:
            self._log.add(records.pieces(), self.control.logging)
        except OSError as error:
            raise EngineFailed(f"{self._paths.wal} cannot be written at present: {error}") from error
        except OutcomeUnknown as error:
            self._unusable = error
            raise
        try:
            self._require_in_place()
        except FileLost:
            self._log.take_back(start)
            raise
        self._log.publish()

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
            return applied_later(outcomes, answers, error)
        return answers

    def _catch_up(self) -> None:
        """Run what the log holds beyond the database's position."""
        session = self._session()
        if self._state.position < self._log.length:
            marks = self._marks.read()
            self._state = roll_forward(session, self._log, self._state, self._max_record, marks)
        # Once the log has said so, it has.
        self._mark_due = self._mark_due and rows_begin(session.connection) is None

    def _require_in_place(self) -> None:
        """See that log and database are where they were opened: what is written elsewhere is lost.

        Raises:
            FileLost: One is not. Nothing is written any more, whatever comes back.
        """
        self._session()
        try:
            self._log.require_in_place()
            self.files.require_in_place()
        except FileLost as error:
            self._unusable = error
            raise

    def _session(self) -> WriterSession:
        if self._unusable is not None:
            raise self._unusable
        if self._opened is None:
            raise LocalFilesDamaged(f"{self._paths.database} is not open")
        return self._opened
