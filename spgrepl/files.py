"""Files beside a database: their names, and how to replace one so that a crash leaves the old or the new."""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
from pathlib import Path

import attrs

from spgrepl.errors import DatabaseLocked, LocalFilesDamaged

_U64 = struct.Struct("<Q")


@attrs.frozen
class DatabasePaths:
    """The files that belong to one database (PROTOCOL section 6).

    Attributes:
        database: The database itself.
        wal: Its log.
    """

    database: Path
    wal: Path

    @classmethod
    def of(cls, database: str | Path, wal: str | Path | None = None) -> DatabasePaths:
        """Name the files of a database; the log defaults to the database's name with ``.wal``."""
        path = Path(database)
        return cls(path, Path(wal) if wal is not None else path.with_suffix(".wal"))

    @property
    def applied_position(self) -> Path:
        """The sidecar with the applied position: a copy, for other programs."""
        return self.wal.with_name(self.wal.name + ".applied_pos")

    @property
    def cluster_id(self) -> Path:
        """The sidecar with the cluster id, made at first start and never changed."""
        return self.wal.with_name(self.wal.name + ".cluster_id")

    @property
    def writer_lock(self) -> Path:
        """The file that the one process locks which writes the log."""
        return self.wal.with_name(self.wal.name + ".lock")

    @property
    def subscription_marks(self) -> Path:
        """The file by which a primary's subscriptions stay in agreement with its log."""
        return self.wal.with_name(self.wal.name + ".subscriptions")

    @property
    def control_socket(self) -> Path:
        """The UNIX socket where the running server takes statements."""
        return self.wal.with_name(self.wal.name + ".control")

    @property
    def folder(self) -> Path:
        """The folder of cold segments and manifest, named after the database's stem."""
        return self.database.with_name(self.database.stem + ".spg")

    @property
    def manifest(self) -> Path:
        """The manifest of cold segments."""
        return self.folder / "manifest.v10"

    @property
    def segments(self) -> Path:
        """The folder of the cold segments' files."""
        return self.folder / "segments"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed there."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file beside its place and rename it there, so that no reader ever sees a part.

    Args:
        path: The file to replace or create.
        content: Its new content.
        durable: Whether content and name must survive a loss of power when this returns.
    """
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.rename(temporary, path)
    if durable:
        sync_folder(path.parent)


def write_applied_position(paths: DatabasePaths, position: int) -> None:
    """Write the sidecar with the applied position. It is a copy only, so it is not fsynced."""
    replace_file(paths.applied_position, _U64.pack(position), durable=False)


def load_cluster_id(paths: DatabasePaths) -> int:
    """Read the cluster id, or make one at first start.

    Returns:
        A number from 1 to 2⁶⁴ − 1.

    Raises:
        LocalFilesDamaged: The file is not 8 bytes long. It is never replaced: another id would hide a loop.
    """
    try:
        content = paths.cluster_id.read_bytes()
    except FileNotFoundError:
        made = secrets.randbits(64) or 1
        replace_file(paths.cluster_id, _U64.pack(made))
        return made
    if len(content) != _U64.size:
        raise LocalFilesDamaged(
            f"{paths.cluster_id} holds {len(content)} bytes, expected 8; restore it, or remove it to get a new id"
        )
    return int(_U64.unpack(content)[0])


class LockFile:
    """An exclusive lock that the kernel releases when its process ends, however it ends.

    Args:
        path: The lock file. It stays behind, empty of meaning, when the lock is released.
        purpose: What the holder does, for the error that a second one gets.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            DatabaseLocked: Somebody else has it; the message names the file, the process and its purpose.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise DatabaseLocked(
                f"{self._path} is held by {holder}; one process writes a database at a time: stop that one, or "
                f"wait for it"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} ({self._purpose})\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
