"""Why connections end: the protocol has no way to tell the peer, so the log and the status do."""

from __future__ import annotations

import enum
from collections import Counter


class Cause(enum.Enum):
    """Why a connection ended; the value is its name in the status."""

    CONNECTION_LIMIT = "connection_limit"
    ADDRESS_LIMIT = "address_limit"
    HANDSHAKE_LIMIT = "handshake_limit"
    NO_DESCRIPTORS = "no_descriptors"
    NOT_ALLOWED = "not_allowed"
    COPY_NOT_ALLOWED = "copy_not_allowed"
    PUBLICATION_NOT_ALLOWED = "publication_not_allowed"
    BAD_HELLO = "bad_hello"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    TLS_FAILED = "tls_failed"
    NOT_READY = "not_ready"
    START_BEYOND_END = "start_beyond_end"
    NO_SNAPSHOT = "no_snapshot"
    WAL_LEVEL_REPLICA = "wal_level_replica"
    REPLICATION_LOOP = "replication_loop"
    UNKNOWN_PUBLICATION = "unknown_publication"
    START_INSIDE_RECORD = "start_inside_record"
    NO_CATALOGUE = "no_catalogue"

    LOG_LOST = "log_lost"
    STALLED = "stalled"
    READ_FAILED = "read_failed"
    FAULT = "fault"
    STOPPED = "stopped"
    PEER_CLOSED = "peer_closed"

    @property
    def is_refusal(self) -> bool:
        """Whether the connection was turned away before anything of the log was sent."""
        return self in _REFUSALS


_REFUSALS = frozenset(
    {
        Cause.CONNECTION_LIMIT,
        Cause.ADDRESS_LIMIT,
        Cause.HANDSHAKE_LIMIT,
        Cause.NO_DESCRIPTORS,
        Cause.NOT_ALLOWED,
        Cause.COPY_NOT_ALLOWED,
        Cause.PUBLICATION_NOT_ALLOWED,
        Cause.BAD_HELLO,
        Cause.HANDSHAKE_TIMEOUT,
        Cause.TLS_FAILED,
        Cause.NOT_READY,
        Cause.START_BEYOND_END,
        Cause.NO_SNAPSHOT,
        Cause.WAL_LEVEL_REPLICA,
        Cause.REPLICATION_LOOP,
        Cause.UNKNOWN_PUBLICATION,
        Cause.START_INSIDE_RECORD,
        Cause.NO_CATALOGUE,
    }
)


class CauseCounts:
    """How often connections have ended for each cause."""

    def __init__(self) -> None:
        self._counts: Counter[Cause] = Counter()

    def count(self, cause: Cause) -> None:
        """Count one connection."""
        self._counts[cause] += 1

    def status(self, refusals: bool) -> dict[str, int]:
        """The refusals, or all other ends, by name; those that have happened."""
        return {cause.value: count for cause, count in self._counts.items() if cause.is_refusal is refusals}
