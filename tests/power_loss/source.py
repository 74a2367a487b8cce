"""What copies are made of: a real primary's log, and a snapshot that stands in its midst."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs

from spgrepl.sqlite.database_copy import save_database
from tests.end_to_end.kills.primary_writer import SCHEMA, statements
from tests.primary.copying import opened
from tests.replica.subscribing.kit import Rig, running

EVERY = "CREATE PUBLICATION every FOR ALL TABLES"
_REQUESTS = 60


@attrs.frozen
class Source:
    """A primary that is closed.

    Attributes:
        database: Its database.
        snapshot: A snapshot of it.
        position: Where that stands.
        log: The whole log.
    """

    database: Path
    snapshot: Path
    position: int
    log: bytes

    @classmethod
    def of(cls, folder: Path) -> Source:
        """Read what `make` has made."""
        (snapshot,) = folder.glob("snapshot-*")
        log = (folder / "primary.wal").read_bytes()
        return cls(folder / "primary.db", snapshot, int(snapshot.name.partition("-")[2]), log)


def make(folder: Path) -> Source:
    """Make a primary, with triggers, transactions, and requests that fail."""
    folder.mkdir()
    with opened(folder, *SCHEMA, "INSERT INTO totals VALUES (1, 0), (2, 0)", EVERY) as writer:
        for number in range(1, _REQUESTS + 1):
            for one in (1, 2):
                writer.transaction(*statements(one, number))
            if number % 7 == 0:
                writer.execute(f"DELETE FROM entries WHERE number = {number} AND part = 0")
                writer.execute(f"UPDATE totals SET entries = entries - 1 WHERE writer = {number % 2}")
            if number == _REQUESTS // 3:
                position = save_database(writer.paths.database, folder / "snapshot")
                (folder / "snapshot").rename(folder / f"snapshot-{position}")
    return Source.of(folder)


@contextlib.contextmanager
def subscription(folder: Path, source: Source, log: bytes) -> Iterator[Rig]:
    """A subscription to all tables, in a folder where there may be one already; its master has a log."""

    def save(path: Path) -> int:
        shutil.copyfile(source.snapshot, path)
        return source.position

    with running(folder, tables=(), publications=(EVERY,), log=log) as rig:
        rig.master.catalog.rows_from = 0  # as a master reads it from its database
        rig.master.source.save = save
        rig.start("every")
        rig.settle(0.1)
        yield rig
