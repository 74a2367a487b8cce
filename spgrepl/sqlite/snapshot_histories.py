"""Whose positions a snapshot brings along."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from spgrepl.base.histories import History, shifted
from spgrepl.errors import LocalFilesDamaged
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import SQLITE_MAGIC
from spgrepl.sqlite.session import plain_connection


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
    try:
        with open(snapshot, "rb") as file:
            if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
                return ()
        with contextlib.closing(plain_connection(snapshot, immutable=True)) as connection:
            stored = sqlite_state.read_state(connection)
        if stored is None:
            return ()
        return shifted(stored.served, stored.replay.position - stored.replay.base - position)
    except (OSError, apsw.Error, LocalFilesDamaged, TypeError, OverflowError):
        return ()
