"""A snapshot that is being received: straight to a file, in constant memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.worker import EngineWorker
from spgrepl.disk.files import create_private
from spgrepl.disk.limits import DEFAULT_LIMITS, ReplicaLimits
from spgrepl.disk.unnamed_files import create_unnamed, unnamed_path
from spgrepl.errors import EngineFailed
from spgrepl.interfaces.store import IStore
from spgrepl.text.placing import PlacingBoard, snapshot_values
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.shown import shown_left

HEAD_BYTES = 16
"""How much of a snapshot tells its kind."""

WRITE_BYTES = 1024 * 1024
"""What is gathered for one write."""

HIGH_WATER = 4 * 1024 * 1024

TELL_FROM = 64 * 1024 * 1024
"""Snapshots below this many bytes arrive before anybody asks how far they are."""

_MIB = 1024 * 1024


@attrs.frozen
class SnapshotPlace:
    """Where a snapshot is gathered.

    Attributes:
        path: The file; nothing is there yet. With `unnamed` the name is not used, only its folder.
        unnamed: Whether it is a file without a name, which lives until `IncomingSnapshot.discard`.
        limits: How long it may be, and what room it has to leave.
    """

    path: Path
    unnamed: bool = False
    limits: ReplicaLimits = DEFAULT_LIMITS


def shown_snapshot(incoming: IncomingSnapshot | None, board: PlacingBoard | None) -> dict[str, Any] | None:
    """What the status shows of the snapshot that there is.

    Args:
        incoming: One that comes; None where none does.
        board: What is done with one that is here.
    """
    if incoming is not None:
        return snapshot_values(incoming.received, incoming.length)
    return None if board is None else board.as_values()


@implementer(IStore)
class IncomingSnapshot:
    """Gathers a snapshot in a file, written in the engine's thread.

    Args:
        worker: The engine's thread.
        place: Where it is gathered.
        length: How many bytes will come.
        check: Judges the first bytes; see `IEngine.check_snapshot_head`.

    Attributes:
        path: How the file is reached once `finish` has fired.
        written: Called when something was written.
        crc: The CRC-32 of all bytes that were written; whole once `finish` has fired.

    Raises:
        LimitReached: It is too long, or the disk has no room for so many bytes.
    """

    _log = RoleLogger()

    def __init__(
        self,
        worker: EngineWorker,
        place: SnapshotPlace,
        length: int,
        check: Callable[[bytes], None],
    ) -> None:
        place.limits.check_snapshot(length)
        place.limits.check_room(place.path.parent, length)
        self._limits = place.limits
        self._folder = place.path.parent
        self._check: Callable[[bytes], None] | None = check
        self._worker = worker
        self.path = place.path
        self._unnamed = place.unnamed
        self._handle = -1
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._waiting = 0
        self._told = 0
        self._began = time.monotonic()
        self._head = b""
        self.length = length
        self.received = 0
        self.crc = 0
        self.failure: Failure | None = None
        self.written: Callable[[], None] = lambda: None
        self._call(self._create)

    @property
    def full(self) -> bool:
        """Whether the disk is behind, so that nothing more should be read from the master."""
        return self._waiting >= HIGH_WATER

    @property
    def drained(self) -> bool:
        """Whether the disk has caught up."""
        return self._waiting < WRITE_BYTES

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
        self._log_progress()

    def _flush(self) -> None:
        pieces, size = self._pieces, self._gathered
        self._pieces, self._gathered = [], 0
        if pieces:
            self._call(self._write, pieces).addCallback(self._written, size)

    def _written(self, _: None, size: int) -> None:
        self._waiting -= size
        self.written()

    def _call(self, function: object, *args: object) -> Deferred[None]:
        done: Deferred[None] = self._worker.call(function, *args)  # type: ignore[arg-type]
        return done.addErrback(self._note_failure)

    def _note_failure(self, failure: Failure) -> None:
        self.failure = self.failure or failure

    def _create(self) -> None:
        if self._unnamed:
            self._handle = create_unnamed(self.path.parent)
            self.path = unnamed_path(self._handle)
        else:
            self._handle = create_private(self.path)

    def _write(self, pieces: list[bytes]) -> None:
        self._limits.check_room(self._folder)
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
        return self._call(self._written_out).addCallback(self._raise_failure)

    def _written_out(self) -> None:
        if not self._unnamed:
            self._close()

    def _raise_failure(self, _: None) -> None:
        if self.failure is not None:
            raise EngineFailed(f"{self.path} cannot be written: {self.failure.getErrorMessage()}")

    def discard(self) -> Deferred[None]:
        """Give the snapshot up: close and remove the file.

        Returns:
            A Deferred that fires when the file is gone.
        """
        self._pieces = []
        return self._call(self._remove)

    def _remove(self) -> None:
        self._close()
        if not self._unnamed:
            self.path.unlink(missing_ok=True)

    def _log_progress(self) -> None:
        """Log each tenth of the way, so that a long bootstrap is seen to go on."""
        if self.length < TELL_FROM:
            return
        tenth = self.received * 10 // self.length
        if tenth > self._told:
            self._told = tenth
            seconds = max(time.monotonic() - self._began, 1e-3)
            self._log.info(
                "snapshot: {received} of {length} MiB ({percent} %), {rate:.1f} MB/s, {left}",
                received=self.received // _MIB,
                length=self.length // _MIB,
                percent=tenth * 10,
                rate=self.received / seconds / 1e6,
                left=shown_left(self.received, self.length, seconds),
            )
