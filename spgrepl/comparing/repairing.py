"""The statements that would make a copy what it should be, in a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from spgrepl.comparing.key_ranges import RowDifference
from spgrepl.disk.files import create_private
from spgrepl.errors import UsageError
from spgrepl.rows.render import render_delete, render_insert

_HEAD = b"""-- What makes the second database hold the rows of the first one, in the tables that were compared.
-- Run it while nobody else writes, where triggers do not fire and foreign keys do not act.
PRAGMA foreign_keys = OFF;
BEGIN;
"""


class RepairFile:
    """Writes statements: first rows go, then rows come, so that no two of them are in each other's way.

    Args:
        path: The file.

    Raises:
        UsageError: It is there already.
    """

    def __init__(self, path: Path) -> None:
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already: name a new file for the statements")
        self._path = path
        self._file: BinaryIO | None = None
        self._rows: BinaryIO | None = None
        self.statements = 0

    def __enter__(self) -> Self:
        self._file = open(create_private(self._path), "wb")
        self._rows = tempfile.TemporaryFile(dir=self._path.parent)
        self._file.write(_HEAD)
        return self

    def add(self, one: RowDifference) -> None:
        """Write what a difference needs."""
        assert self._file is not None
        assert self._rows is not None
        layout = one.layout
        if one.second is not None:
            key, values = (layout.key, one.key) if layout.key else (layout.columns, one.second)
            number = None if layout.key else "rowid"
            self._write(self._file, render_delete(layout.name, key, values, one_of=number))
        if one.first is not None:
            self._write(self._rows, render_insert(layout.name, layout.columns, one.first))

    def _write(self, file: BinaryIO, statement: bytes) -> None:
        file.write(statement + b";\n")
        self.statements += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        assert self._rows is not None
        with self._file, self._rows:
            self._rows.seek(0)
            shutil.copyfileobj(self._rows, self._file)
            self._file.write(b"COMMIT;\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        if kind is not None:
            # Less than all of it would do harm.
            self._path.unlink(missing_ok=True)
