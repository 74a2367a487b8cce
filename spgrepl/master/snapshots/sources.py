"""Where a master's snapshots come from."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import attrs
from zope.interface import Interface, implementer

from spgrepl.disk.files import create_private
from spgrepl.errors import SnapshotError
from spgrepl.log.source import ILogSource
from spgrepl.segments.manifest import read_manifest
from spgrepl.sqlite.database_copy import save_database
from spgrepl.sqlite.session import Patience

_BLOCK = 1024 * 1024
_ATTEMPTS = 3
_BETWEEN_ATTEMPTS = 0.2


class ISnapshotSource(Interface):
    """Makes snapshots."""

    def save(path: Path) -> int:
        """Write a snapshot; blocking, called in a thread, from several threads at a time.

        A source whose snapshot is a file already, and one that is only ever replaced as a whole, may link it to
        the path: the file is opened at once, then its name `path` is removed.

        Args:
            path: The file to write; it does not exist. It need not be durable.

        Returns:
            The position in the log that the snapshot stands at. Everything from there on is sent after it.

        Raises:
            SnapshotError: There is none to give; the message says why and what to do.
            LocalError: The database cannot be used.
            OSError: The disk refuses.
        """


@attrs.frozen
class LoggedDatabase:
    """A log, and the database that it belongs to.

    Attributes:
        log: The log.
        snapshots: Makes snapshots of the database.
    """

    log: ILogSource
    snapshots: ISnapshotSource


@implementer(ISnapshotSource)
class SqliteSnapshotSource:
    """Copies a SQLite database with SQLite's own backup, while others write it.

    Args:
        database: A database that stores its position (`spgrepl.sqlite.state`).
        patience: Waits for locks, and ends the copying when it is stopped; None for one of its own.
    """

    def __init__(self, database: Path, patience: Patience | None = None) -> None:
        self._database = database
        self._patience = patience or Patience()

    def save(self, path: Path) -> int:
        """See `ISnapshotSource`."""
        if not self._database.exists():
            raise SnapshotError(f"there is no database {self._database}: make one, with `spgrepl exec --create`")
        return save_database(self._database, path, self._patience)


@implementer(ISnapshotSource)
class FileSnapshotSource:
    """Serves a file that some other program, such as a live SPG server, keeps: as it is, byte for byte.

    Without a manifest the file stands where the log begins. With one it stands at the manifest's WAL baseline,
    and must have the CRC-32 that the manifest states of it: a baseline that belongs to another snapshot would
    make a copy that differs in silence.

    Args:
        database: The file.
        manifest: The manifest, which may be missing.
    """

    def __init__(self, database: Path, manifest: Path) -> None:
        self._database = database
        self._manifest = manifest
        self._known: tuple[tuple[int, ...], int] | None = None

    def save(self, path: Path) -> int:
        """See `ISnapshotSource`."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                # Whoever replaces snapshot and manifest does so one after the other.
                time.sleep(_BETWEEN_ATTEMPTS)
            manifest = read_manifest(self._manifest)
            with self._open() as file:
                fits = manifest is None or self._crc(file) == manifest.snapshot_crc
                if fits and read_manifest(self._manifest) == manifest:
                    self._put(file, path)
                    return 0 if manifest is None else manifest.wal_baseline
        raise SnapshotError(
            f"the CRC-32 of {self._database} is not the one that {self._manifest} states of it: they belong to "
            f"different snapshots; restore the one that was damaged, or let their writer make both again"
        )

    def _open(self) -> BinaryIO:
        try:
            file = open(self._database, "rb")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            raise SnapshotError(
                f"there is no file {self._database} to serve as the snapshot; its writer has not made it yet, or "
                f"--db names another"
            ) from None
        if not os.fstat(file.fileno()).st_size:
            file.close()
            raise SnapshotError(f"{self._database} is empty; an empty snapshot cannot be served")
        return file

    def _crc(self, file: BinaryIO) -> int:
        """The file's CRC-32; read once for as long as the file stays the same."""
        identity = _identity(os.fstat(file.fileno()))
        known = self._known
        if known is not None and known[0] == identity:
            return known[1]
        crc = 0
        while block := file.read(_BLOCK):
            crc = crc32(block, crc)
        file.seek(0)
        self._known = (identity, crc)
        return crc

    def _put(self, file: BinaryIO, path: Path) -> None:
        """Give the open file another name, or copy it where that cannot be (another file system)."""
        with contextlib.suppress(OSError):
            os.link(self._database, path)
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return
            path.unlink()
        with open(create_private(path), "wb") as copy:
            shutil.copyfileobj(file, copy, _BLOCK)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
