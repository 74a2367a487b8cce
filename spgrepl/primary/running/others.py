"""Whether another program writes a primary's database, as SQLite tells its connections."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from spgrepl.primary.parts.connection import changed_by_others


class OthersWatch:
    """Notices what others commit while a primary has its database open. Blocking; of the writer's thread.

    Args:
        connection: The connection that writes.
        database: Its file.

    Attributes:
        warning: What was noticed; None while nothing was.
        version: A number that changes when others commit, and not when the connection does, at the last look.
    """

    def __init__(self, connection: apsw.Connection, database: Path) -> None:
        self._connection = connection
        self._database = database
        self.warning: str | None = None
        self.version: int | None = None

    def look(self) -> None:
        """Look; the first look is what later ones are compared with."""
        before = self.version
        self.version = self._connection.execute("PRAGMA data_version").get
        if before not in (None, self.version):
            self.warning = changed_by_others(self._database)

    def look_where_idle(self) -> None:
        """Look, outside of a transaction. Where others hold the lock, a later look sees what they did."""
        with contextlib.suppress(apsw.BusyError):
            self.look()
