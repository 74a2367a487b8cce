"""What a snapshot brings along beside its rows: where it stands, whose positions those are, and what is open."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from spgrepl.base.histories import History, shifted
from spgrepl.errors import LocalFilesDamaged, SnapshotError
from spgrepl.interfaces.engine import NO_NOTES, TransactionNotes
from spgrepl.sqlite import snapshot_digest
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import SQLITE_MAGIC
from spgrepl.sqlite.session import plain_connection


def check_place(snapshot: Path, position: int) -> None:
    """Judge the position that a master states of a snapshot by what the snapshot itself says. Blocking.

    The position comes without a checksum; the snapshot of a master of this package has one, and holds where it
    stands in its master's log, or in the log of that one's master. One that is kept as it came stands where the
    log begins.

    Args:
        snapshot: The file, which was found sound.
        position: The position that its master states of it.

    Raises:
        SnapshotError: It stands elsewhere.
    """
    stored = _stored(snapshot)
    if stored is None or not _has_digest(snapshot):
        return
    own = stored.replay.resumes_at
    if position not in (0, own, own - stored.replay.base):
        raise SnapshotError(
            f"the master states position {position} of its snapshot, which stands at {own - stored.replay.base}: "
            f"the position was damaged on its way; it is asked for again"
        )


def _has_digest(snapshot: Path) -> bool:
    with contextlib.closing(plain_connection(snapshot, immutable=True)) as connection:
        return snapshot_digest.is_there(connection)


def notes_in(snapshot: Path, position: int) -> TransactionNotes:
    """Read what a snapshot says of transactions that were open when it was taken. Blocking.

    Args:
        snapshot: The file.
        position: The position that its master states of it, where these transactions begin.

    Returns:
        What there is to know for a copy that begins with it, as the positions count there.
    """
    stored = _stored(snapshot)
    if stored is None:
        return NO_NOTES
    replay = stored.replay
    beyond = replay.alone_to - replay.resumes_at
    opened_by = None if replay.notes.opened_by is None else position
    return TransactionNotes(opened_by, alone_to=position + beyond if beyond > 0 else None)


def histories_in(snapshot: Path, position: int) -> tuple[History, ...]:
    """Read the histories that a snapshot of a master of this package brings along. Blocking.

    Args:
        snapshot: The file.
        position: The position that its master states of it. Where the snapshot is one that a master has received
            itself, the database in it counts in another way.

    Returns:
        The histories, as they count for whoever gets this master's log from there; none where it is another kind
        of snapshot, or its row cannot be read: then nothing is known.
    """
    stored = _stored(snapshot)
    try:
        if stored is None:
            return ()
        return shifted(stored.served, stored.replay.resumes_at - stored.replay.base - position)
    except (TypeError, OverflowError):
        return ()


def _stored(snapshot: Path) -> sqlite_state.StoredState | None:
    """The state row of a snapshot; None where it is another kind of snapshot, or its row cannot be read."""
    try:
        with open(snapshot, "rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                return None
        with contextlib.closing(plain_connection(snapshot, immutable=True)) as connection:
            return sqlite_state.read_state(connection)
    except (OSError, apsw.Error, LocalFilesDamaged, TypeError, OverflowError):
        return None
