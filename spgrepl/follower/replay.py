"""Replay: bytes of the log in, whole records on disk, rows in the engine. Blocking, in the engine's thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import attrs
from twisted.logger import Logger

from spgrepl.engines.interfaces import IEngine, ReplayState
from spgrepl.errors import (
    ConfigurationError,
    EngineFailed,
    ReplayStopped,
    ServiceStopped,
    SnapshotError,
    StatementRefused,
)
from spgrepl.files import DatabasePaths, LockFile, load_cluster_id, write_applied_position
from spgrepl.follower.fence import FENCE_SPAN, FenceKeeper, check_log
from spgrepl.follower.skip import index_to_skip
from spgrepl.wal.parser import RecordBatch, RecordParser
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal.units import MixedTransaction, Section, UnitCutter, Work
from spgrepl.wal.writer import LogWriter

MAX_POSITION = 2**63 - 1
"""Positions are stored as signed 64-bit numbers."""

SYNC_BESIDE_FROM = 128 * 1024
"""Appends of this many bytes are fsynced in a thread of their own; for fewer, the hand-over would cost more."""


@attrs.frozen
class SkipRequest:
    """An operator's order to pass over one record, once.

    Attributes:
        position: Where the record starts in the master's log.
        crc: Its CRC-32, so that no other record is meant.
    """

    position: int
    crc: int


@attrs.frozen
class Progress:
    """How far replay has come.

    Attributes:
        applied: The position up to which the engine holds everything.
        durable: The position up to which the local log is on disk; ahead of `applied` inside a transaction.
        base: The position at which the local log begins.
        copies: How many snapshots were put in place since the start; each one begins the local log anew.
    """

    applied: int
    durable: int
    base: int
    copies: int = 0


class Replay:
    """Takes the master's log, record by record, into the local log and the engine.

    Args:
        engine: Where the log is applied.
        paths: The database's files.
        max_record: The most bytes of SQL or payload that a record may have.
        skip: A record to pass over.
    """

    _log = Logger()

    def __init__(
        self,
        engine: IEngine,
        paths: DatabasePaths,
        max_record: int = DEFAULT_MAX_RECORD,
        skip: SkipRequest | None = None,
    ) -> None:
        self._engine = engine
        self._paths = paths
        self._max_record = max_record
        self._skip = skip
        self._lock = LockFile(paths.writer_lock, "follower")
        self._writer = LogWriter(paths.wal)
        self._cutter = UnitCutter(every=not engine.applies)
        self._state: ReplayState | None = None
        self._parser = RecordParser()
        self._fences = FenceKeeper(ReplayState(0, 0))
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
        """
        try:
            self._lock.acquire()
            self._opened = True
            self._remove_snapshot()
            load_cluster_id(self._paths)
            self._state = self._engine.open()
            self._writer.open()
            check_log(self._paths, self._writer.fileno(), self._writer.length, self._state)
        except OSError as error:
            self.close()
            raise ConfigurationError(
                f"{error.filename or self._paths.wal} cannot be used: {error.strerror or error}; a follower keeps "
                f"{self._paths.database} and {self._paths.wal}, whose folders must exist and be writable"
            ) from error
        except BaseException:
            self.close()
            raise
        return self._state

    @property
    def snapshot_path(self) -> Path:
        """Where a snapshot is gathered before it is put in place."""
        return self._paths.database.with_name(self._paths.database.name + ".incoming")

    def _remove_snapshot(self) -> None:
        """Remove what is left of a bootstrap that did not come to its end."""
        for suffix in ("", "-wal", "-shm", "-journal", "-refitted"):
            # SQLite would take a log that lies beside the next snapshot for that one's own.
            self.snapshot_path.with_name(self.snapshot_path.name + suffix).unlink(missing_ok=True)

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
            self._writer.close()
            self._lock.release()

    # -- the stream -------------------------------------------------------------------------------------------

    def resume(self) -> ReplayState | None:
        """Go back to the applied position: the stream begins anew from there.

        Returns:
            The state to resume from; None where a snapshot is needed.

        Raises:
            EngineFailed: The disk refused.
        """
        self._require_open()
        self._rollback()
        self._cutter.reset()
        state = self._state
        if state is not None:
            if self._writer.length > state.position - state.base:
                try:
                    self._writer.cut(state.position - state.base)
                except OSError as error:
                    raise EngineFailed(f"{self._paths.wal} cannot be cut back: {error}") from error
            self._parser = RecordParser(state.position, self._max_record)
            self._fences = FenceKeeper(state)
        return state

    def _require_open(self) -> None:
        if not self._opened:
            raise ServiceStopped(f"the copy in {self._paths.database} is closed")

    def _rollback(self) -> None:
        if self._syncing is not None:
            # Whether it succeeds no longer matters: what it wrote is cut back.
            wait([self._syncing])
            self._syncing = None
        self._undo()

    def _undo(self) -> None:
        """Undo what the engine has not committed; the local log stays, on its way to the disk."""
        if self._transacting:
            self._transacting = False
            self._engine.rollback()

    def install(self, length: int, position: int) -> Progress:
        """Put the snapshot that was gathered at `snapshot_path` in place.

        Args:
            length: How many bytes it has.
            position: The position in the master's log that it stands at.

        Raises:
            SnapshotError: It cannot be used. The old copy is whole.
            EngineFailed: The disk refused. The old copy is whole.
        """
        self._require_open()
        if position > MAX_POSITION:
            raise SnapshotError(f"the master's snapshot states position {position}, above 2^63 - 1")
        if length == 0 and position != 0:
            raise SnapshotError(
                f"the master sent an empty snapshot at position {position}; the rows before that position are not "
                f"to be had from it"
            )
        state = ReplayState(position, position)
        self._rollback()
        try:
            if length:
                self._engine.check_snapshot(self.snapshot_path)
            self._engine.install_snapshot(self.snapshot_path, state)
            # From here on the engine is the truth: a crash before the next lines leaves a log that `open` accepts
            # and `resume` cuts.
            self._state = state
            self._copies += 1
            self._writer.replace()
            self.resume()
            write_applied_position(self._paths, position)
        except OSError as error:
            raise EngineFailed(f"the snapshot cannot be put in place: {error}") from error
        finally:
            self._remove_snapshot()
        return self.progress()

    def progress(self) -> Progress:
        """How far replay has come."""
        state = self._state
        if state is None:
            return Progress(0, 0, 0, self._copies)
        return Progress(state.position, state.base + self._writer.length, state.base, self._copies)

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
        except OSError as error:
            self._rollback()
            raise EngineFailed(f"{self._paths.wal} or its sidecars cannot be written: {error}") from error
        except BaseException:
            self._rollback()
            raise
        return self.progress()

    def _write(self, data: bytes) -> None:
        """Append to the local log and have it fsynced: beside the engine's work where that takes long."""
        self._writer.append(data)
        if len(data) >= SYNC_BESIDE_FROM:
            self._syncing = self._syncer.submit(self._writer.sync)
        else:
            self._writer.sync()

    def _await_sync(self) -> None:
        """Wait until the local log is durable: nothing is committed before."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()

    def _apply_batch(self, batch: RecordBatch) -> None:
        continues = self._cutter.open
        stop = len(batch)
        refused: _Refused | None = None
        while stop:
            try:
                self._apply_sections(batch, stop)
                break
            except _Refused as error:
                self._undo()
                refused = error
            if continues or self.progress().applied != batch.position:
                break
            self._cutter.reset()
            # What stands before the unit of the refused record is complete: keep it.
            stop = refused.index
        if refused is not None:
            record = batch.record(refused.index)
            text = (record.sql or b"").decode("utf-8", "replace")
            raise ReplayStopped(record.position, record.crc, text, refused.reason) from refused

    def _apply_sections(self, batch: RecordBatch, stop: int) -> None:
        wanted = self._skip
        skip = None if wanted is None else index_to_skip(batch, wanted.position, wanted.crc)
        try:
            sections = self._cutter.cut(batch, stop, skip)
        except MixedTransaction as mixed:
            raise _Refused(mixed.index, str(mixed)) from mixed
        for warning in self._cutter.warnings:
            self._log.warn("{database}: {warning}", database=self._paths.database, warning=warning)
        self._cutter.warnings.clear()
        done = 0
        for section in sections:
            self._apply_section(batch, section, done)
            done = section.stop

    def _apply_section(self, batch: RecordBatch, section: Section, start: int) -> None:
        engine, work = self._engine, section.work
        if section.rolled_back:
            self._undo()
        if not self._transacting:
            engine.begin()
            self._transacting = True
        done = 0
        for control in work.controls:
            self._execute(work, done, control.before)
            done = control.before
            try:
                engine.control(control.sql)
            except StatementRefused as refused:
                raise _Refused(control.record, refused.reason) from refused
        self._execute(work, done, len(work.statements))
        position = batch.start_of(section.stop)
        # Only the last starts matter, and a record has 4 bytes at least.
        first = max(start, section.stop - FENCE_SPAN // 4)
        self._fences.note([batch.start_of(index) for index in range(first, section.stop)], position)
        if section.complete:
            self._commit(position)

    def _execute(self, work: Work, start: int, stop: int) -> None:
        statements, types = work.statements, work.types
        if start or stop < len(statements):
            statements = statements[start:stop]
            types = {index - start: kind for index, kind in types.items() if start <= index < stop}
        if not statements:
            return
        try:
            self._engine.execute(statements, types)
        except StatementRefused as refused:
            raise _Refused(work.origin(start + refused.index), refused.reason) from refused

    def _commit(self, position: int) -> None:
        assert self._state is not None
        self._await_sync()
        state = ReplayState(position, self._state.base, self._fences.fence(self._writer.fileno(), position))
        self._engine.commit(state)
        self._transacting = False
        self._state = state
        write_applied_position(self._paths, position)


class _Refused(Exception):
    """The record of an index in the batch at hand cannot be applied."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason
