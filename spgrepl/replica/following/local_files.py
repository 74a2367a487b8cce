"""The files of a follower's copy: locked, known to belong together, watched. Blocking, in the engine's thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.file_watch import FileWatch
from spgrepl.disk.files import DatabasePaths, own_name, remove_own, remove_temporaries
from spgrepl.disk.limits import DEFAULT_LIMITS
from spgrepl.disk.sidecars import check_applied_position, load_cluster_id
from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import IEngine, IRemoteEngine, ReplayState
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.reader import iterate_records
from spgrepl.log.writer import LogWriter
from spgrepl.pairs.copied_by import SQLITE, refuse_copy_of_another_engine
from spgrepl.pairs.pair import LogBond
from spgrepl.pairs.texts import Owner

_SNAPSHOT = "incoming"
_SNAPSHOT_FILES = ("", "-wal", "-shm", "-journal", "-refitted", "-converted")


def reopened(engine: IEngine, state: ReplayState | None) -> ReplayState | None:
    """How far a copy has come, before a stream is asked for; one that another process keeps is asked again.

    Args:
        engine: Whose copy it is.
        state: How far it is known to have come.

    Raises:
        EngineFailed: The copy cannot be reached at present.
        LocalFilesDamaged: It is not there any more.
    """
    if state is None or not IRemoteEngine.providedBy(engine):
        return state
    found: ReplayState | None = engine.reopen()
    if found is None:
        raise LocalFilesDamaged(f"the copy that stood at {state.position} is gone: its tables were dropped")
    return attrs.evolve(found, pair=state.pair)


class LocalFiles:
    """Opens, locks and watches what a follower keeps.

    Args:
        paths: The copy and its local log.
        engine: Whose copy it is.
        max_record: The most bytes of SQL or payload that a record may have.

    Attributes:
        log: The local log.
        limits: What room is left on the disk.
        watch: Which files are in use; its methods may be called from any thread.
        snapshot: Where a snapshot is gathered before it is put in place. No file of anybody else has such a name.
        kept: Where what was cut off the log at this opening is; None where nothing was.
    """

    def __init__(self, paths: DatabasePaths, engine: IEngine, max_record: int) -> None:
        self._paths = paths
        self._engine = engine
        self._max_record = max_record
        self.limits = DEFAULT_LIMITS
        self._lock = LockFile(paths.writer_lock, "follower")
        owner = Owner.COPY if engine.name == SQLITE else Owner.ARCHIVE
        self._bond = LogBond(paths, owner, max_record, engine.name)
        self.log = LogWriter(paths.wal)
        self.watch = FileWatch()
        self.snapshot: Path = own_name(paths.database, _SNAPSHOT)
        self.kept: Path | None = None

    @property
    def pair(self) -> str:
        """The id by which the log is known to be the copy's."""
        return self._bond.id

    def open(self) -> ReplayState | None:
        """Lock and open everything, and see that the log is the copy's; what is beyond the copy is cut off.

        Returns:
            What the engine says of itself, with the pair's id; None where there is no copy.

        Raises:
            DatabaseLocked: Another process uses these files.
            LocalFilesDamaged: They cannot be used, or do not belong together.
            UsageError: Two of them are one file.
            ConfigurationError: They are those of a copy that another engine keeps.
            OSError: One of them cannot be opened.
        """
        self._paths.require_distinct()
        self._lock.acquire()
        try:
            return self._open()
        except BaseException:
            self.log.close()
            self._lock.withdraw()
            raise

    def _open(self) -> ReplayState | None:
        refuse_copy_of_another_engine(self._paths, self._engine.name)
        self.remove_snapshot()
        remove_temporaries(self._paths.all_files())
        if self._paths.wal.exists():
            self.log.open()
        state: ReplayState | None = self._engine.open()
        self._bond.judge(state)
        check_applied_position(self._paths)
        load_cluster_id(self._paths)
        if not self.log.is_open:
            self.log.open()
        pair = self._bond.settle(state)
        state = None if state is None else attrs.evolve(state, pair=pair)
        self._cut_tail(state)
        self.watch.expect(self._paths.database, self._paths.wal)
        return state

    def _cut_tail(self, state: ReplayState | None) -> None:
        """Cut off what a killed process has left beyond the applied position, and keep it until a clean start."""
        held = 0 if state is None else state.position - state.base
        if self.log.length > held == 0:
            # As long as it may be: a crash just after a fresh snapshot leaves the log of the copy before.
            self.kept = self._bond.keep_all(self.log)
        elif self.log.length > held:
            self.kept = self._bond.keep_tail(self.log.fileno(), held, self.log.length)
            self.log.cut(held)
        else:
            self._bond.forget_tails()

    def require_in_place(self) -> None:
        """See that copy and log are where they were opened, and that there is room.

        Raises:
            FileLost: One is not; nothing more may be written.
            LimitReached: The disk has less room than what is left free on it.
        """
        self.limits.check_room(self._paths.wal.parent)
        self.watch.require_in_place()
        self.log.require_in_place()

    def read_log(self, base: int, start: int, stop: int) -> Iterator[RecordBatch]:
        """Read again what stands between two positions of the master's log, from the local one.

        Args:
            base: The position at which the local log begins.
            start: A record's first byte.
            stop: The position after the last record.

        Raises:
            RecordError: A record is broken.
            LocalFilesDamaged: The log is shorter.
        """
        for batch in iterate_records(self._paths.wal, start - base, self._max_record, stop - base):
            yield attrs.evolve(batch, position=batch.position + base)

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """While copy and log are replaced from here, nobody takes that for the work of another program."""
        watched = self.watch.forget()
        try:
            yield
        except BaseException:
            # What was not there before may be somebody else's now.
            self.watch.expect(*watched)
            raise
        self.watch.expect(self._paths.database, self._paths.wal)

    def remove_snapshot(self) -> None:
        """Remove what is left of a bootstrap that did not come to its end."""
        # SQLite would take a log that lies beside the next snapshot for that one's own.
        remove_own(self._paths.database, _SNAPSHOT, _SNAPSHOT_FILES)

    def close(self) -> None:
        """Close and unlock everything; nothing happens when nothing is open."""
        self.watch.forget()
        self.log.close()
        self._lock.release()
