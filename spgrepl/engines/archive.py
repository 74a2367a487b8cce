"""The `archive` engine: keeps snapshot and log byte for byte, and applies nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from zope.interface import implementer

from spgrepl.engines.interfaces import IEngine, ReplayState
from spgrepl.engines.state_file import adopt_installed, install_with_state, load_state, save_state
from spgrepl.errors import SnapshotError
from spgrepl.wal.records import RecordType


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

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        adopt_installed(self._database)
        found = load_state(self._database)
        return None if found is None else found[0]

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
        save_state(self._database, state, {})
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
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        install_with_state(path, self._database, state)

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`. The snapshot stands where the local log begins."""
        if not self._database.exists():
            raise SnapshotError(f"{self._database} does not exist yet: this archive has no snapshot to give")
        shutil.copyfile(self._database, path)
        return 0

    def attach_segment(self, segment_id: int, path: Path) -> None:
        """See `IEngine`. The file itself is what is kept."""
        self._attached.add(segment_id)

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`."""
        return {"statements": self._statements, "attached": len(self._attached)}

    def close(self) -> None:
        """See `IEngine`."""
