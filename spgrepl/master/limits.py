"""What a master allows its peers."""

from __future__ import annotations

import attrs


@attrs.frozen
class MasterLimits:
    """Limits and deadlines of a master; times in seconds.

    Attributes:
        connections: How many connections are served at once; one more is refused.
        snapshots: How many snapshots may exist at once, being made or being sent. At the limit the youngest is
            shared, whatever its age: a master never holds more copies of its database than this.
        snapshot_age: For how long a snapshot that is still being sent is handed to newcomers too.
        handshake: How long a connection may take for its opening bytes.
        stalled: How long bytes may wait for a reader that takes none.
        farewell: How long a connection that is being closed may take for what was sent to it already.
        status_interval: The time between two STATUS frames.
        cache_bytes: How much of the log is held for connections that read the same part of it. Little, so that it
            stays in the processor's own cache: to read a chunk anew costs less than to send it from cold memory.
        keepalive_idle: Silence after which the kernel asks whether the peer still lives.
        keepalive_interval: The time between two such questions.
        keepalive_count: How many of them may stay unanswered.
    """

    connections: int = 1000
    snapshots: int = 2
    snapshot_age: float = 30.0
    handshake: float = 10.0
    stalled: float = 60.0
    farewell: float = 10.0
    status_interval: float = 0.05
    cache_bytes: int = 1024 * 1024
    keepalive_idle: int = 30
    keepalive_interval: int = 10
    keepalive_count: int = 3
