"""A master, and a copy of it in PostgreSQL: real processes."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.conftest import Server, until
from tests.postgresql.conftest import Database


def copying(role: str, master: str, engine: str) -> list[str]:
    """The words of a follower, or of a subscriber to the publication ``p``."""
    more = ["--name", "s", "--publication", "p"] if role == "subscriber" else []
    return [role, "--master", master, "--engine", engine, *more]


class Pair:
    """A master, and a follower or subscriber that keeps its copy in a server."""

    def __init__(self, folder: Path, database: Database, role: str) -> None:
        self.database = database
        self._folder = folder
        self._role = role
        self.master = Server(folder, "master", "master", "--listen", "tcp:0:interface=127.0.0.1")
        self._copy: Server | None = None

    @property
    def copy(self) -> Server:
        assert self._copy is not None, "it was not started"
        return self._copy

    def start(self) -> Server:
        """Start both; returns the copy's process."""
        return self.prepare().start()

    def prepare(self) -> Server:
        """Start the master; returns what starts the copy."""
        self.master.start("--wal-level", "logical")
        words = copying(self._role, f"127.0.0.1:{self.master.port()}", self.database.url)
        self._copy = Server(self._folder, self._role, *words)
        return self._copy

    def settle(self, position: int) -> None:
        """Wait until the copy is there."""
        until(
            lambda: (self.copy.applied() or 0) >= position,
            lambda: (self.copy.status(), self.copy.output()[-3000:]),
        )

    def stop(self) -> None:
        for server in (self.master, self._copy):
            if server is not None:
                server.clean_up()
