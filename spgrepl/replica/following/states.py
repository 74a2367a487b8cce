"""What a follower is doing, and how that is told."""

from __future__ import annotations

import enum

from spgrepl.replica.following.connection import LinkState


class OnDivergence(enum.Enum):
    """What to do when the master's history is not the one that the copy was made from."""

    STOP = "stop"
    RESNAPSHOT = "resnapshot"


class FollowerState(enum.Enum):
    """What a follower is doing.

    It is `DELAYED` while it streams and a batch takes longer than a second, and `SILENT` while its master does not
    say anything, not even that it is there, as it does many times a second.
    """

    CONNECTING = "connecting"
    BOOTSTRAPPING = "bootstrapping"
    STREAMING = "streaming"
    DELAYED = "delayed"
    SILENT = "silent"
    WAITING = "waiting"
    STOPPED = "stopped"


BOOTSTRAP_STATES = frozenset({LinkState.SNAPSHOT_BODY, LinkState.SNAPSHOT_POSITION, LinkState.INSTALLING})
"""The states of a connection in which its follower is bootstrapping."""
