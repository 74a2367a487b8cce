"""What a master allows its peers."""

from __future__ import annotations

import attrs

from spgrepl.access.descriptors import RESERVE


@attrs.frozen
class MasterLimits:
    """Limits and deadlines of a master; times in seconds.

    Attributes:
        connections: How many connections are served at once; one more is refused.
        of_one_address: How many of them may come from one IP address, or from one /64 of IPv6 addresses.
        handshakes: How many of them may not have said their hello yet; of one more, the oldest is closed of those
            that come from the address with the most.
        descriptors: How many of the process's descriptors are kept from connections.
        snapshots: How many snapshots may exist at once, being made or being sent. At the limit the youngest is
            shared, whatever its age: a master never holds more copies of its database than this.
        snapshot_age: For how long a snapshot that is still being sent is handed to newcomers too.
        handshake: How long a connection may take for its opening bytes.
        not_ready: How long a connection waits, after its opening bytes, for a server that does not know its log
            yet: one that is starting, or whose log is missing. It is closed without an answer then.
        stalled: How long bytes may wait for a reader that takes none.
        farewell: How long a connection that is being closed may take for what was sent to it already.
        status_interval: The time between two STATUS frames.
        cache_bytes: How much of the log is held for connections that read the same part of it. Little, so that it
            stays in the processor's own cache: to read a chunk again costs less than to send it from cold memory.
        keepalive_idle: Silence after which the kernel asks whether the peer still lives.
        keepalive_interval: The time between two such questions.
        keepalive_count: How many of them may stay unanswered.
    """

    connections: int = 1000
    of_one_address: int = 100
    handshakes: int = 100
    descriptors: int = RESERVE
    snapshots: int = 2
    snapshot_age: float = 30.0
    handshake: float = 10.0
    not_ready: float = 60.0
    stalled: float = 60.0
    farewell: float = 10.0
    status_interval: float = 0.05
    cache_bytes: int = 1024 * 1024
    keepalive_idle: int = 30
    keepalive_interval: int = 10
    keepalive_count: int = 3
