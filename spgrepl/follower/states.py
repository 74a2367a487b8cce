"""What a follower is doing, and how that is told."""

from __future__ import annotations

import enum
from typing import Any

from spgrepl.follower.protocol import LinkState
from spgrepl.follower.replay import Progress
from spgrepl.wire.frames import Status


class OnDivergence(enum.Enum):
    """What to do when the master's history is not the one that the copy was made from."""

    STOP = "stop"
    RESNAPSHOT = "resnapshot"


class FollowerState(enum.Enum):
    """What a follower is doing."""

    CONNECTING = "connecting"
    BOOTSTRAPPING = "bootstrapping"
    STREAMING = "streaming"
    WAITING = "waiting"
    STOPPED = "stopped"


BOOTSTRAP_STATES = frozenset({LinkState.SNAPSHOT_BODY, LinkState.SNAPSHOT_POSITION, LinkState.INSTALLING})
"""The states of a connection in which its follower is bootstrapping."""


def describe_positions(
    progress: Progress | None, received: int | None, source: Status | None, silent: float
) -> dict[str, Any]:
    """What the status says of positions and lag.

    Args:
        progress: How far replay has come; None where there is no copy yet.
        received: The position behind the last byte that has come.
        source: The master's last STATUS.
        silent: How many seconds ago that came.
    """
    known = source is not None and progress is not None
    return {
        "positions": {
            "source": source and source.length,
            "received": received,
            "durable": progress and progress.durable,
            "applied": progress and progress.applied,
        },
        "base": progress and progress.base,
        "lag": {
            "bytes": max(0, source.length - progress.applied) if source and progress else None,
            "seconds": round(max(0.0, silent), 3) if known else None,
        },
    }
