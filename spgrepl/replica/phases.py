"""What a replica does about its master."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """What a replica is doing about its master; what is told beyond that each kind adds."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    FILLING = "filling"
    """It gets the rows that are there already."""
    STREAMING = "streaming"
    WAITING = "waiting"
