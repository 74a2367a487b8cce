"""What a master can make a copy take of its machine: room on disks, and time for a statement."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from spgrepl.errors import LimitReached
from spgrepl.text.quantities import in_seconds, number_of

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


@attrs.frozen
class ReplicaLimits:
    """What a copy takes from its master.

    Attributes:
        snapshot_bytes: The longest snapshot, in bytes.
        free_bytes: So much room is left on the disks that the copy's files are on.
        open_segment_bytes: So many bytes of cold segments may be here that are not whole yet.
        statement_seconds: So long a statement may run.
    """

    snapshot_bytes: int = 1024 * _GIB
    free_bytes: int = 64 * _MIB
    open_segment_bytes: int = 16 * _GIB
    statement_seconds: float = 600.0

    def check_snapshot(self, length: int) -> None:
        """Judge a snapshot by the length that a master announces.

        Raises:
            LimitReached: It is longer than a snapshot may be.
        """
        if length > self.snapshot_bytes:
            raise LimitReached(
                f"the master announces a snapshot of {number_of(length, 'byte')}, and "
                f"{self.snapshot_bytes} are accepted (--max-snapshot-bytes)"
            )

    def check_room(self, folder: Path, more: int = 0) -> None:
        """See that a disk has room, for some bytes and for what is left free on it.

        Raises:
            LimitReached: It has not.
        """
        found = os.statvfs(folder)
        free = found.f_bavail * found.f_frsize
        if free < more + self.free_bytes:
            needed = f"{number_of(more, 'byte is', 'bytes are')} to come, and " if more else ""
            raise LimitReached(
                f"the disk of {folder} has {number_of(free, 'byte')} free: {needed}{self.free_bytes} "
                f"are left free on it (--min-free-bytes)"
            )


def ran_too_long(seconds: float) -> str:
    """Why a statement was ended that may run so long."""
    return f"it ran for {in_seconds(seconds)}, which is the limit (--max-statement-seconds)"


DEFAULT_LIMITS = ReplicaLimits()
