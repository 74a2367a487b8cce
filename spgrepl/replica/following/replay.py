"""Replay: bytes of the log in, whole records on disk, rows in the engine. Blocking, in the engine's thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import attrs

from spgrepl.disk.files import DatabasePaths
from spgrepl.disk.sidecars import write_applied_position
from spgrepl.errors import EngineFailed, RecordError, ServiceStopped, SpgReplError, unusable_file
from spgrepl.interfaces.engine import NO_NOTES, Fence, IEngine, IRemoteEngine, Mark, ReplayState, TransactionNotes
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices, judge_of
from spgrepl.log.transactions.units import UnitCutter
from spgrepl.log.transactions.work import NotFollowed, Section, Settled
from spgrepl.pairs.fence import FENCE_SPAN, FenceKeeper, further_marks, unreadable_start
from spgrepl.pairs.turns import PendingTurns
from spgrepl.replica.following.executing import Execution, Refused
from spgrepl.replica.following.local_files import LocalFiles, reopened
from spgrepl.replica.following.progress import Progress, SkipRequest, check_stated, counted, dropped_text
from spgrepl.sqlite.snapshot_histories import check_place, histories_in, notes_in
from spgrepl.text.role_log import RoleLogger

SYNC_BESIDE_FROM = 128 * 1024
"""From so many bytes on appends are fsynced in a thread of their own; all, where the engine waits for a server."""


class Replay:
    """Takes the master's log, record by record, into the local log and the engine.

    Args:
        engine: Where the log is applied.
        paths: The database's files.
        max_record: The most bytes of SQL or payload that a record may have.
        skip: A record to skip.
        choices: What is done about transactions that the log cannot tell.
    """

    _log = RoleLogger()

    def __init__(
        self,
        engine: IEngine,
        paths: DatabasePaths,
        max_record: int = DEFAULT_MAX_RECORD,
        skip: SkipRequest | None = None,
        choices: TransactionChoices = DEFAULT_CHOICES,
    ) -> None:
        self._engine = engine
        self._paths = paths
        self._max_record = max_record
        self.files = LocalFiles(paths, engine, max_record)
        self._writer = self.files.log
        self._cutter = UnitCutter(not engine.applies, judge_of(choices.ambiguous))
        self.execution = Execution(engine, self.files.read_log, None if skip is None else attrs.astuple(skip))
        self.leave_out = self.execution.leave_out
        self._failed = self._doubtful = False
        self._state: ReplayState | None = None
        self._unproven: int | None = None
        self._parser = RecordParser()
        self._fences = FenceKeeper(ReplayState(0, 0))
        self._turns = PendingTurns()
        self._transacting = False
        self._copies = 0
        self._opened = False
        self._syncer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spgrepl-sync")
        self._syncing: Future[None] | None = None

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> ReplayState | None:
        """Lock and open everything, and bring the local log and the engine into agreement.

        Returns:
            How far the copy has come; None where there is none yet.

        Raises:
            DatabaseLocked: Another process uses these files.
            LocalFilesDamaged: They cannot be used, or do not belong together.
            ConfigurationError: Their folder is missing, or may not be written.
            EngineFailed: The disk refuses.
        """
        try:
            self._opened = True
            self._state = self.files.open()
        except OSError as error:
            self.close()
            kept = f"a follower keeps {self._paths.database} and {self._paths.wal} in folders that it may write"
            raise unusable_file(error, f"{kept}; {error.filename or 'one'} cannot be used") from error
        except BaseException:
            self.close()
            raise
        return self._state

    @property
    def state(self) -> ReplayState | None:
        """How far the copy has come; may be read in any thread."""
        return self._state

    @property
    def snapshot_path(self) -> Path:
        """Where a snapshot is gathered before it is put in place."""
        return self.files.snapshot

    def close(self) -> None:
        """Undo what is not committed, and close and unlock everything."""
        if not self._opened:
            return
        self._opened = False
        try:
            self._rollback()
            self._engine.close()
        finally:
            self._syncer.shutdown()
            self.files.close()

    # -- the stream -------------------------------------------------------------------------------------------

    def resume(self) -> ReplayState | None:
        """Go back to the applied position: the stream begins again from there.

        Returns:
            The state to resume from; None where a snapshot is needed.

        Raises:
            EngineFailed: The disk refused.
        """
        self._require_open()
        self._rollback()
        self.files.require_in_place()
        self._failed = False
        state = self._state = reopened(self._engine, self._state)
        if state is not None:
            if self._doubtful:
                # A commit that failed may stand in SQLite's log, and count after a crash: another takes its place.
                self._engine.begin()
                self._transacting = True
                self._commit_state(state)
            if self._writer.length > state.position - state.base:
                try:
                    self._writer.cut(state.position - state.base)
                except OSError as error:
                    raise EngineFailed(f"{self._paths.wal} cannot be cut back: {error}") from error
            self._unproven = state.position if state.fence is None else None
            self._parser = RecordParser(state.position, self._max_record)
            self._fences = FenceKeeper(state)
        self._rewind()
        self._turns.clear()
        return state

    def _require_open(self) -> None:
        if not self._opened:
            raise ServiceStopped(f"the copy in {self._paths.database} is closed")

    def _rollback(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            wait([syncing])  # Whether it succeeds no longer matters: what it wrote is cut back.
        self._undo()

    def _undo(self) -> None:
        """Undo what the engine has not committed; the local log stays, on its way to the disk."""
        if self._transacting:
            self._transacting = False
            self._engine.rollback()
            self.execution.take_met()

    def note_divergence(self, reason: str) -> None:
        """Store that the master's history is a different one; only a fresh snapshot makes that good.

        Raises:
            EngineFailed: The disk refused.
        """
        self._require_open()
        self._rollback()
        if self._state is not None and self._state.diverged is None:
            self._transacting = True
            self._engine.begin()
            self._commit_state(attrs.evolve(self._state, diverged=reason))

    def install(self, length: int, position: int, before: Mark | None = None) -> Progress:
        """Put the snapshot that was gathered at `snapshot_path` in place.

        Args:
            length: How many bytes it has.
            position: The position in the master's log that it stands at.
            before: What stands before it in the master's log; None where that is not known.

        Raises:
            SnapshotError: It cannot be used. The old copy is whole.
            EngineFailed: The disk refused. The old copy is whole.
        """
        self._require_open()
        check_stated(length, position)
        fence = None if before is None else Fence(before.start, before.crc)
        marks = () if before is None else (before,)
        self._rollback()
        self.files.require_in_place()
        try:
            if length:
                self._engine.check_snapshot(self.snapshot_path)
                check_place(self.snapshot_path, position)
            known, notes = histories_in(self.snapshot_path, position), notes_in(self.snapshot_path, position)
            state = ReplayState(position, position, fence, self.files.pair, marks, histories=known, notes=notes)
            with self.files.replacing():
                self._engine.install_snapshot(self.snapshot_path, state)
                # From here on the engine is the truth: a crash before the next lines leaves a log that `open`
                # accepts and puts aside.
                self._state = state
                self._copies += 1
                self._writer.replace()
            self.resume()
            write_applied_position(self._paths, position)
        except OSError as error:
            raise EngineFailed(f"the snapshot cannot be put in place: {error}") from error
        finally:
            self.files.remove_snapshot()
        return self.progress()

    def progress(self) -> Progress:
        """How far replay has come."""
        state = self._state
        if state is None:
            return Progress(0, 0, 0, self._copies)
        group = None if self._failed else self._cutter.walk.group
        open_group = None if group is None or group.implicit else attrs.evolve(group)
        far = state.position, state.base + self._writer.length, state.base
        return Progress(*far, self._copies, open_group, state.notes, group.open if group else 0)

    def apply(self, pieces: Sequence[bytes]) -> Progress:
        """Take bytes of the log: all whole records among them are written, fsynced and applied.

        Args:
            pieces: The bytes, which follow those of the last call.

        Returns:
            How far replay has come.

        Raises:
            ReplayStopped: The engine refuses a record.
            RecordError: A record is broken.
            EngineFailed: The disk refused.

        After an error everything before it is kept as far as it was complete, and the stream has to be resumed.
        """
        self._require_open()
        try:
            for piece in pieces:
                self._parser.feed(piece)
            while (batch := self._parser.next_batch()) is not None:
                self._write(batch.data)
                self._apply_batch(batch)
                self._await_sync()
        except BaseException as error:
            self._failed = True
            self._rollback()
            if isinstance(error, OSError):
                raise EngineFailed(f"{self._paths.wal} or its sidecars cannot be written: {error}") from error
            if isinstance(error, RecordError) and error.position == self._unproven:
                raise unreadable_start(error) from error
            raise
        return self.progress()

    def _write(self, data: bytes) -> None:
        """Append to the local log and have it fsynced: beside the engine's work, where either takes long."""
        self.files.require_in_place()
        self._writer.append(data)
        if len(data) >= SYNC_BESIDE_FROM or IRemoteEngine.providedBy(self._engine):
            self._syncing = self._syncer.submit(self._writer.sync)
        else:
            self._writer.sync()

    def _await_sync(self) -> None:
        """Wait until the local log is durable: nothing is committed before."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()

    def _apply_batch(self, batch: RecordBatch) -> None:
        continues = self._cutter.streams
        self._turns.note(batch)
        stop = len(batch)
        refused: Refused | None = None
        while stop:
            try:
                self._apply_sections(batch, stop)
                break
            except Refused as error:
                self._undo()
                refused = error
            if continues or self.progress().applied != batch.position:
                break
            self._rewind()
            # What stands before the unit of the refused record is complete: keep it.
            stop = refused.index
        if refused is not None:
            raise refused.error from refused

    def _rewind(self) -> None:
        """Bring what is known of transactions to the applied position."""
        state = self._state
        notes = NO_NOTES if state is None else state.notes
        self._cutter.reset(notes.opened_by, notes.dropped)
        self.execution.base = self.progress().base
        self.execution.alone_to = notes.alone_to
        if state is not None and notes.opened_by is not None:
            for batch in self.files.read_log(state.base, notes.opened_by, state.position):
                self._cutter.skim(batch)

    def _apply_sections(self, batch: RecordBatch, stop: int) -> None:
        try:
            sections = self._cutter.cut(batch, stop, self.execution.skipped(batch))
        except NotFollowed as not_followed:
            if not_followed.ambiguous is not None:
                raise Refused(not_followed.index, not_followed.ambiguous) from not_followed
            raise Refused.record(batch, not_followed.index, str(not_followed)) from not_followed
        for warning in self._cutter.warnings:
            self._log.warn("{database}: {what}", database=self._paths.database, what=warning)
        self._cutter.warnings.clear()
        done = 0
        for section in sections:
            self._apply_section(batch, section, done)
            done = section.stop

    def _apply_section(self, batch: RecordBatch, section: Section, start: int) -> None:
        if section.undo:
            self._undo()
        if not self._transacting:
            self._engine.begin()
            self._transacting = True
        self.execution.run(batch, section.work)
        position = batch.start_of(section.stop)
        # Only the last starts matter, and a record has 4 bytes at least.
        first = max(start, section.stop - FENCE_SPAN // 4)
        self._fences.note([batch.start_of(index) for index in range(first, section.stop)], position)
        if section.complete:
            assert self._state is not None
            self._commit(position, counted(self._state.notes, section, position, self.execution.take_met()))

    def _commit(self, position: int, notes: TransactionNotes) -> None:
        assert self._state is not None
        self._await_sync()
        fence = self._fences.fence(self._writer.fileno(), position)
        marks = further_marks(self._state, self._writer.fileno(), position)
        known = self._turns.taken(self._state.histories, position)
        state = attrs.evolve(self._state, position=position, fence=fence, marks=marks, histories=known)
        self._commit_state(attrs.evolve(state, notes=notes))
        write_applied_position(self._paths, position)

    def _commit_state(self, state: ReplayState) -> None:
        self._doubtful = True
        self._engine.commit(state)
        self._doubtful = self._transacting = False
        self._state = state

    # -- transactions that do not end -------------------------------------------------------------------------

    def drop(self, begin: int) -> Progress:
        """Take the transactions that are open for dead: none of their statements takes effect.

        Args:
            begin: Where the first of them begins; others that are open by now are left alone.

        Raises:
            AmbiguousTransactions: Others that were open beside them were committed.
            ReplayStopped: They take effect, as an operator chose for this case, and a statement is refused.
            EngineFailed: The disk refused.
        """
        self._require_open()
        group, state = self._cutter.walk.group, self._state
        if group is None or group.begin != begin or state is None or self._failed:
            return self.progress()
        self._undo()
        self._failed = True
        end = state.base + self._writer.length
        try:
            ended = self._cutter.walk.drop(end)
            assert ended is not None
            self._cutter.streams = False
            self._engine.begin()
            self._transacting = True
            if ended.takes_effect:
                self.execution.settle(Settled(0, 0, ended.group, ended.revoked), end)
            notes = state.notes
            self._commit(end, attrs.evolve(notes, opened_by=None, dropped=begin, drops=notes.drops + 1))
        except Refused as refused:
            self._rollback()
            raise refused.error from refused
        except (SpgReplError, OSError):
            self._rollback()
            raise
        self._failed = False
        self._log.warn("{database}: {what}", database=self._paths.database, what=dropped_text(ended.group, end))
        return self.progress()
