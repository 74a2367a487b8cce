"""Waiting, beside a server, for the position that its database stores."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from spgrepl.base.histories import Histories, History
from spgrepl.base.small_files import read_regular
from spgrepl.catalogue.statements import WaitForPosition
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.state_file import load_state, state_path
from spgrepl.errors import ConfigurationError, LocalFilesDamaged
from spgrepl.log.file_kinds import what_it_looks_like
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import SQLITE_MAGIC
from spgrepl.text.quantities import number_of

_LOOK_EVERY = 0.02
_U64_SIZE = 8


def wait_for_position(paths: DatabasePaths, statement: WaitForPosition) -> bool:
    """Wait until a primary's or a follower's database stands at a position, without keeping its writer from it.

    Args:
        paths: The database and its log.
        statement: The position, and how long to wait.

    Returns:
        Whether it was reached in time.

    Raises:
        ConfigurationError: Nothing there has a position.
        EngineFailed: The database cannot be read.
        LocalFilesDamaged: The file with the position is damaged.
        DifferentHistory: The position is of a history that the database does not hold.
    """
    deadline = None if statement.timeout is None else time.monotonic() + statement.timeout
    with contextlib.closing(_StoredPosition(paths)) as stored:
        if stored.read() is None:
            raise ConfigurationError(
                f"neither {paths.database} ({what_it_looks_like(paths.database)}) nor {paths.applied_position} "
                f"holds a position: name the database of a primary or of a follower with --db, and its log with "
                f"--wal"
            )
        while True:
            position = stored.read()
            # Each time: a fresh snapshot may bring along a different history.
            wanted = Histories(stored.histories).place(statement.position, str(paths.database))
            if position is not None and position >= wanted:
                return True
            left = _LOOK_EVERY if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _LOOK_EVERY))


class _StoredPosition:
    """The position that a database stands at, read again and again.

    Attributes:
        histories: Whose positions these are, when it was last read.
    """

    def __init__(self, paths: DatabasePaths) -> None:
        self._paths = paths
        self._reader: DatabaseReader | None = None
        self.histories: tuple[History, ...] = ()

    def read(self) -> int | None:
        """Read it; None where there is none."""
        database = self._paths.database
        # What an archive has there is its master's snapshot, which stands still.
        if self._reader is None and not state_path(database).exists() and _is_sqlite(database):
            self._reader = DatabaseReader(database)
        # Once SQLite has the file open nobody else opens it here: closing it would drop SQLite's locks.
        if self._reader is not None:
            stored = self._reader.read(sqlite_state.read_state)
            if stored is not None:
                primary = stored.role == sqlite_state.ROLE_PRIMARY
                self.histories = stored.served if primary else stored.replay.histories
                return stored.replay.position
        return self._from_sidecar()

    def _from_sidecar(self) -> int | None:
        found = load_state(self._paths.database)
        self.histories = () if found is None else found[0].histories
        path = self._paths.applied_position
        try:
            content = read_regular(path)
        except FileNotFoundError:
            return None
        if len(content) != _U64_SIZE:
            raise LocalFilesDamaged(
                f"{path} holds {number_of(len(content), 'byte')}, a position has {_U64_SIZE}: remove it"
            )
        return int.from_bytes(content, "little")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def _is_sqlite(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except FileNotFoundError:
        return False
