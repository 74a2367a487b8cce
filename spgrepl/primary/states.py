"""What a primary is doing."""

from __future__ import annotations

import enum


class PrimaryState(enum.Enum):
    """What a primary is doing."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
