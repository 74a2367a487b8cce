"""What a subscription asks for, and what it may be doing."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from spgrepl.follower.replay import SkipRequest
from spgrepl.subscriber.interfaces import SubscriptionState
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wire.frames import DEFAULT_MAX_FRAME, Status


class SubscriberState(enum.Enum):
    """What a subscription is doing."""

    CONNECTING = "connecting"
    COPYING = "copying"
    STREAMING = "streaming"
    WAITING = "waiting"
    STOPPED = "stopped"


@attrs.frozen
class Subscription:
    """What is subscribed to, and how.

    Attributes:
        name: The subscription's name; its place in the target is found by it.
        publications: The publications; none at all means every table.
        copy_data: Whether the rows that are there already are copied first.
        start: Where to begin without a copy; None for the master's current end.
        keep_refused: Whether records that the target refuses are put aside, and the others go on.
        skip: A record to pass over, once.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.
    """

    name: str
    publications: tuple[str, ...]
    copy_data: bool = True
    start: int | None = None
    keep_refused: bool = False
    skip: SkipRequest | None = None
    max_record: int = DEFAULT_MAX_RECORD
    max_frame: int = DEFAULT_MAX_FRAME

    def file_beside(self, path: Path, suffix: str) -> Path:
        """A file of this subscription beside its target, whatever characters its name has."""
        return path.with_name(f"{path.name}.{quote(self.name, safe='')}.{suffix}")


def describe_positions(
    state: SubscriptionState | None, received: int | None, source: Status | None, silent: float
) -> dict[str, Any]:
    """What the status says of positions and lag.

    Args:
        state: How far the subscription has come; None where it has not begun.
        received: The position behind what has come; None while there is no stream.
        source: The master's last STATUS.
        silent: How many seconds ago that came.
    """
    applied = None if state is None else state.position
    known = source is not None and applied is not None
    return {
        "positions": {
            "source": source and source.length,
            "received": received,
            "durable": applied,
            "applied": applied,
        },
        "effective_start": None if state is None else state.effective_start,
        "lag": {
            "bytes": max(0, source.length - applied) if source and applied is not None else None,
            "seconds": round(max(0.0, silent), 3) if known else None,
        },
    }
