"""Which rows a subscription takes, by where they originated, so that rows do not go around in circles.

A master of this package leaves out what originated at the subscriber. Others do not, and no master can be asked
for its own rows alone: what is not wanted is left out here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

from spgrepl.compiled.texts import part_of
from spgrepl.errors import ReplicationLoop
from spgrepl.rows.origins import origins_in
from spgrepl.wire.record_frames import RecordFrames


class Origin(enum.Enum):
    """Which rows are wanted, as PostgreSQL names it."""

    ANY = "any"
    NONE = "none"


class _Stretch(Protocol):
    """Some records of a stream."""

    @property
    def frames(self) -> RecordFrames:
        """Where they are."""

    @property
    def first(self) -> int:
        """The index of the first one."""

    @property
    def stop(self) -> int:
        """The index after the last one."""


class OriginFilter:
    """Leaves out rows that originated here, and on demand those that did not originate at the master.

    Args:
        own: This side's cluster id.
        wanted: Which rows are wanted.

    Attributes:
        own: This side's cluster id.
        master: The id of the cluster where rows originated that state no origin: the master's own, or, where that
            serves a copy, the primary's of which it is one. Of the last connection; None before the first one.
        left_out: How many records were left out.
    """

    def __init__(self, own: int, wanted: Origin = Origin.ANY) -> None:
        self.own = own
        self._wanted = wanted
        self.master: int | None = None
        self.left_out = 0

    def greeted(self, master: int) -> None:
        """Take the master's cluster id.

        Raises:
            ReplicationLoop: It is this side's own.
        """
        if master == self.own:
            raise ReplicationLoop(
                f"REPLICATION_LOOP: the master's cluster id {master:016x} is this side's own: a database cannot "
                f"subscribe to itself. Name another master, or another target"
            )
        self.master = master

    def told(self, origin: int) -> None:
        """Take the master's word on where rows originated that state no origin.

        Raises:
            ReplicationLoop: Here: the master is a copy of this database.
        """
        if origin == self.own:
            raise ReplicationLoop(
                f"REPLICATION_LOOP: the master serves a copy of this side's own database, cluster id "
                f"{origin:016x}: there is nothing to get from it. Name another master, or another target"
            )
        self.master = origin

    def sift(self, portions: Iterable[_Stretch]) -> None:
        """Take the SQL away from the records that are not wanted: their bytes stay, for the fence."""
        for portion in portions:
            # Only rows state an origin: a client of an SPG server may end its statements with any comment.
            first = portion.frames.first_row(portion.first, portion.stop)
            found = origins_in(part_of(portion.frames.sql, first, portion.stop))
            for index, origin in found.items():
                if origin == self.own or (self._wanted is Origin.NONE and origin != self.master):
                    portion.frames.sql[first + index] = b""
                    self.left_out += 1
