"""The `counting` engine: applies nothing and counts, for measuring and for checking a stream."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from zope.interface import implementer

from spgrepl.engines.state_file import load_state, save_state
from spgrepl.engines.statement_digest import StatementDigest
from spgrepl.errors import LocalFilesDamaged, SnapshotError
from spgrepl.interfaces.engine import IEngine, ReplayState
from spgrepl.log.format.records import RecordType


@implementer(IEngine)
class CountingEngine:
    """Counts statements and keeps a digest of them.

    The digest is the CRC-32 over ``u32 length ‖ SQL`` of every record of the log that holds SQL, in the log's
    order, since the snapshot. It is stored with the position, so that after any crash it says whether each
    record was counted exactly once.

    Args:
        database: The file of ``--db``: the state lies beside it, the file itself is not made.
    """

    name = "counting"
    applies = False

    def __init__(self, database: Path) -> None:
        self._database = database
        self._attached: set[int] = set()
        self._digest = StatementDigest()

    def open(self) -> ReplayState | None:
        """See `IEngine`."""
        found = load_state(self._database, ("digest",))
        if found is None:
            if os.path.lexists(self._database):
                raise LocalFilesDamaged(
                    f"{self._database} is there and was not made by this copy, which only counts and has no "
                    f"database: it stays as it is; name another file with --db, beside which the count is kept"
                )
            return None
        self._digest.reset(found[1]["digest"])
        return found[0]

    def begin(self) -> None:
        """See `IEngine`."""
        self._digest.rollback()

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        """See `IEngine`."""
        self._digest.add(statements)

    def control(self, statement: bytes) -> None:
        """See `IEngine`."""

    def commit(self, state: ReplayState) -> None:
        """See `IEngine`."""
        save_state(self._database, state, {"digest": self._digest.pending})
        self._digest.commit()

    def rollback(self) -> None:
        """See `IEngine`."""
        self._digest.rollback()

    def check_snapshot_head(self, head: bytes) -> None:
        """See `IEngine`. Every snapshot will do: it is not kept."""

    def check_snapshot(self, path: Path) -> None:
        """See `IEngine`. Every snapshot will do: it is not kept."""

    def install_snapshot(self, path: Path, state: ReplayState) -> None:
        """See `IEngine`. The snapshot is thrown away and the digest begins again."""
        save_state(self._database, state, {"digest": 0})
        self._digest.reset(0)
        path.unlink()

    def save_snapshot(self, path: Path) -> int:
        """See `IEngine`."""
        raise SnapshotError("the engine counting keeps no snapshot; its followers must start above 0")

    def attach_segment(self, segment_id: int, path: Path) -> None:
        """See `IEngine`. Segments are counted."""
        self._attached.add(segment_id)

    def statistics(self) -> Mapping[str, object]:
        """See `IEngine`: ``statements``, ``attached``, and ``digest`` as eight hex digits."""
        return {
            "statements": self._digest.statements,
            "attached": len(self._attached),
            "digest": str(self._digest),
        }

    def interrupt(self) -> None:
        """See `IEngine`. Nothing here takes long."""

    def close(self) -> None:
        """See `IEngine`."""
