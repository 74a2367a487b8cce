"""The `archive` engine: keeps snapshot and log byte for byte, and applies nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from zope.interface import implementer

from spgrepl.disk.files import create_private
from spgrepl.engines.state_file import SNAPSHOT_LENGTH, adopt_installed, install_with_state, load_state, save_state
from spgrepl.errors import LocalFilesDamaged, SnapshotError
from spgrepl.interfaces.engine import IEngine, ReplayState
from spgrepl.log.file_kinds import FileKind, what_it_looks_like
from spgrepl.log.format.records import RecordType
from spgrepl.text.quantities import number_of

_BLOCK = 1024 * 1024


@implementer(IEngine)
class ArchiveEngine:
    """Keeps the master's snapshot as it came, in the file of ``--db``; the log is kept by replay itself.

    Args:
        database: Where the snapshot is kept.
    """

    name = "archive"
    applies = False

    def __init__(self, database: Path) -> None:
        self._database = database
        self._statements = 0
        self._attached: set[int] = set()
        self._pending = 0
        self._length = 0
        self._kept = False

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        adopt_installed(self._database)
        found = load_state(self._database, optional=(SNAPSHOT_LENGTH,))
        if found is None:
            self._refuse_file_of_another()
            return None
        if not self._database.exists():
            raise LocalFilesDamaged(
                f"{self._database}, the snapshot of this archive, is missing; its log is there. Put the file "
                "back, or "
                f"begin a new archive under another --db: the log alone tells nothing of the rows before it"
            )
        length = self._database.stat().st_size
        if found[1].get(SNAPSHOT_LENGTH, length) != length:
            raise LocalFilesDamaged(
                f"{self._database} has {number_of(length, 'byte')}, the snapshot of this archive had "
                f"{found[1][SNAPSHOT_LENGTH]}: it was replaced or damaged. Put the snapshot back; this file stays"
            )
        self._length = length
        self._kept = True
        return found[0]

    def _refuse_file_of_another(self) -> None:
        """A file without the archive's state beside it was not put there by an archive.

        Raises:
            LocalFilesDamaged: There is one.
        """
        kind = what_it_looks_like(self._database)
        if kind is not FileKind.MISSING:
            raise LocalFilesDamaged(
                f"{self._database} is there and was not made by this archive: it is {kind}. It stays as it is: "
                "name "
                f"another file with --db, or move this one away"
            )

    def begin(self) -> None:
        """See `IEngine`."""
        self._pending = 0

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        """See `IEngine`."""
        self._pending += len(statements)

    def control(self, statement: bytes) -> None:
        """See `IEngine`."""

    def commit(self, state: ReplayState) -> None:
        """See `IEngine`."""
        save_state(self._database, state, {SNAPSHOT_LENGTH: self._length})
        self._statements += self._pending

    def rollback(self) -> None:
        """See `IEngine`."""
        self._pending = 0

    def check_snapshot_head(self, head: bytes) -> None:
        """See `IEngine`. Every snapshot will do: they are opaque to an archive."""

    def check_snapshot(self, path: Path) -> None:
        """See `IEngine`. Every snapshot will do: they are opaque to an archive."""

    def install_snapshot(self, path: Path, state: ReplayState) -> None:
        """See `IEngine`.

        Two files cannot be renamed as one: `install_with_state` leaves a trace by which `open` ends what a crash
        has interrupted.
        """
        if not self._kept:
            # Since `open` somebody may have put a file there.
            self._refuse_file_of_another()
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        length = os.stat(path).st_size
        install_with_state(path, self._database, state)
        self._length = length
        self._kept = True

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`. The snapshot stands where the local log begins."""
        if not self._database.exists():
            raise SnapshotError(f"{self._database} does not exist yet: this archive has no snapshot to give")
        with open(self._database, "rb") as kept, open(create_private(path), "wb") as copy:
            shutil.copyfileobj(kept, copy, _BLOCK)
        return 0

    def attach_segment(self, segment_id: int, path: Path) -> None:
        """See `IEngine`. The file itself is what is kept."""
        self._attached.add(segment_id)

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`."""
        return {"statements": self._statements, "attached": len(self._attached)}

    def interrupt(self) -> None:
        """See `IEngine`. Nothing here takes long."""

    def close(self) -> None:
        """See `IEngine`."""
