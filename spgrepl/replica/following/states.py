"""What a follower is doing, and how that is told."""

from __future__ import annotations

import enum
from typing import Any

from spgrepl.base.histories import Histories
from spgrepl.replica.following.connection import LinkState
from spgrepl.replica.following.progress import Progress
from spgrepl.wire.frames import Status


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


def describe_positions(
    progress: Progress | None, received: int | None, source: Status | None, histories: Histories | None
) -> dict[str, Any]:
    """What the status says of positions.

    Args:
        progress: How far replay has come; None where there is no copy yet.
        received: The position behind the last byte that has come.
        source: The master's last STATUS.
        histories: Whose positions these are; None where that is not known yet.
    """
    return {
        "positions": {
            "source": source and source.length,
            "received": received,
            "durable": progress and progress.durable,
            "applied": progress and progress.applied,
        },
        "history": histories and histories.current,
        "base": progress and progress.base,
    }
