"""A snapshot that is being received: straight to a file, in constant memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.engines.worker import EngineWorker
from spgrepl.errors import EngineFailed, SnapshotError

HEAD_BYTES = 16
"""How much of a snapshot tells its kind."""

WRITE_BYTES = 1024 * 1024
"""What is gathered for one write."""

HIGH_WATER = 4 * 1024 * 1024

TELL_FROM = 64 * 1024 * 1024
"""Snapshots below this many bytes arrive before anybody asks how far they are."""

_MIB = 1024 * 1024


class IncomingSnapshot:
    """Gathers a snapshot in a file, written in the engine's thread.

    Args:
        worker: The engine's thread.
        path: The file. One that is there already is written over.
        length: How many bytes will come.
        check: Judges the first bytes; see `IEngine.check_snapshot_head`.

    Attributes:
        crc: The CRC-32 of all bytes that were written; whole once `finish` has fired.

    Raises:
        SnapshotError: The disk has no room for so many bytes.
    """

    _log = Logger()

    def __init__(self, worker: EngineWorker, path: Path, length: int, check: Callable[[bytes], None]) -> None:
        free = shutil.disk_usage(path.parent).free
        if length > free:
            raise SnapshotError(
                f"the master announces a snapshot of {length} bytes, and {path.parent} has room for {free}"
            )
        self._check: Callable[[bytes], None] | None = check
        self._worker = worker
        self._path = path
        self._handle = -1
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._waiting = 0
        self._told = 0
        self._head = b""
        self.length = length
        self.received = 0
        self.crc = 0
        self.failure: Failure | None = None
        self._call(self._create)

    @property
    def full(self) -> bool:
        """Whether the disk is behind, so that nothing more should be read from the master."""
        return self._waiting >= HIGH_WATER

    def add(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            SnapshotError: The first ones show that the engine cannot use this snapshot.
        """
        if self._check is not None:
            self._head += data[: HEAD_BYTES - len(self._head)]
            if len(self._head) >= min(HEAD_BYTES, self.length):
                self._check(self._head)
                self._check = None
        self.received += len(data)
        self._waiting += len(data)
        self._gathered += len(data)
        self._pieces.append(data)
        if self._gathered >= WRITE_BYTES:
            self._flush()
        self._tell()

    def _flush(self) -> None:
        pieces, size = self._pieces, self._gathered
        self._pieces, self._gathered = [], 0
        if pieces:
            self._call(self._write, pieces).addCallback(self._written, size)

    def _written(self, _: None, size: int) -> None:
        self._waiting -= size

    def _call(self, function: object, *args: object) -> Deferred[None]:
        done: Deferred[None] = self._worker.call(function, *args)  # type: ignore[arg-type]
        return done.addErrback(self._note_failure)

    def _note_failure(self, failure: Failure) -> None:
        self.failure = self.failure or failure

    def _create(self) -> None:
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.crc = crc32(piece, self.crc)
            view = memoryview(piece)
            while view:
                view = view[os.write(self._handle, view) :]

    def _close(self) -> None:
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            os.close(handle)

    def finish(self) -> Deferred[None]:
        """Write what remains and close the file.

        Returns:
            A Deferred that fires when the file is complete.

        Raises:
            EngineFailed: (through the Deferred) The disk refused.
        """
        self._flush()
        return self._call(self._close).addCallback(self._raise_failure)

    def _raise_failure(self, _: None) -> None:
        if self.failure is not None:
            raise EngineFailed(f"{self._path} cannot be written: {self.failure.getErrorMessage()}")

    def discard(self) -> Deferred[None]:
        """Give the snapshot up: close and remove the file.

        Returns:
            A Deferred that fires when the file is gone.
        """
        self._pieces = []
        return self._call(self._remove)

    def _remove(self) -> None:
        self._close()
        self._path.unlink(missing_ok=True)

    def _tell(self) -> None:
        """Log each tenth of the way, so that a long bootstrap is seen to go on."""
        if self.length < TELL_FROM:
            return
        tenth = self.received * 10 // self.length
        if tenth > self._told:
            self._told = tenth
            self._log.info(
                "snapshot: {received} of {length} MiB ({percent} %)",
                received=self.received // _MIB,
                length=self.length // _MIB,
                percent=tenth * 10,
            )
