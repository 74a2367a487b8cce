"""What a connection of a master can be doing."""

from __future__ import annotations

import enum


class ConnectionState(enum.Enum):
    """What a master's connection is doing; the value is its name in the status."""

    HELLO = "hello"
    STARTING = "starting"
    CATALOGUE = "catalogue"
    SNAPSHOT = "snapshot"
    STREAMING = "streaming"
    CLOSING = "closing"
    CLOSED = "closed"
