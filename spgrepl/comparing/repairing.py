"""The statements that would make a copy what it should be, in a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from spgrepl.disk.files import create_private
from spgrepl.errors import UsageError

SQLITE_HEAD = b"""-- What makes the second database hold the rows of the first one, as far as they were compared.
-- Run it while nobody else writes, where triggers do not fire and foreign keys do not act.
PRAGMA foreign_keys = OFF;
BEGIN;
"""

SERVER_HEAD = b"""-- What makes the tables in PostgreSQL hold the rows of the first database, where they differed.
-- Run it while nobody else writes; as a role that may: SET session_replication_role = replica, so that triggers
-- and foreign keys do not act.
SET standard_conforming_strings = on;
BEGIN;
"""


class Difference(Protocol):
    """A row that is not the same at both ends."""

    def statements(self) -> tuple[bytes | None, bytes | None]:
        """What the second end needs to have the first one's row: how its own goes, how the right one comes."""


class RepairFile:
    """Writes statements: first rows go, then rows come, so that no two of them are in each other's way.

    Args:
        path: The file.
        head: What it begins with; it begins a transaction.

    Raises:
        UsageError: It is there already.
    """

    def __init__(self, path: Path, head: bytes = SQLITE_HEAD) -> None:
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already: name a new file for the statements")
        self._path = path
        self._head = head
        self._file: BinaryIO | None = None
        self._rows: BinaryIO | None = None
        self.statements = 0

    def __enter__(self) -> Self:
        self._rows = tempfile.TemporaryFile(dir=self._path.parent)
        self._file = open(create_private(self._path), "wb")
        self._file.write(self._head)
        return self

    def add(self, one: Difference) -> None:
        """Write what a difference needs."""
        assert self._file is not None
        assert self._rows is not None
        for file, statement in zip((self._file, self._rows), one.statements(), strict=True):
            if statement is not None:
                self._write(file, statement)

    def _write(self, file: BinaryIO, statement: bytes) -> None:
        file.write(statement + b";\n")
        self.statements += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        assert self._rows is not None
        whole = False
        try:
            with self._rows, self._file:
                if kind is None:
                    self._rows.seek(0)
                    shutil.copyfileobj(self._rows, self._file)
                    self._file.write(b"COMMIT;\n")
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    whole = True
        finally:
            if not whole:
                # Less than all of it would do harm.
                self._path.unlink(missing_ok=True)
