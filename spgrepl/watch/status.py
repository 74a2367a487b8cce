"""What ``/status`` says, as values: one for each role, and the one function that makes JSON of them.

docs/status.schema.json is the same for readers; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

Counts = Mapping[str, int]
Details = Mapping[str, Any]
"""A part that its owner describes, in plain values."""

_FLAT = {"flat": True}
"""Of a field: its own fields stand among those around it."""

_PLAIN = (str, int, float, type(None))


def to_json(value: Any) -> Any:
    """Make plain values of a status, or of a part of one, as JSON has them."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    return _fields(value)[0] if attrs.has(type(value)) else value


def _fields(value: Any) -> tuple[dict[str, Any], set[str]]:
    """The fields of a part, and which of them an engine of somebody's own has added."""
    found: dict[str, Any] = {}
    added: set[str] = set()
    for field in attrs.fields(type(value)):
        one = getattr(value, field.name)
        if field.metadata != _FLAT:
            part, more = {field.name: to_json(one)}, set[str]()
        elif attrs.has(type(one)):
            part, more = _fields(one)
        else:
            part = to_json(one) or {}
            more = set(part)
        for name, inner in part.items():
            # What was added replaces nothing, wherever it stands.
            if name not in found or (name in added and name not in more):
                found[name] = inner
                (added.add if name in more else added.discard)(name)
    return found, added


@attrs.frozen
class Positions:
    """How far the master's log goes, and how far what is here; None where that is unknown."""

    source: int | None = None
    received: int | None = None
    durable: int | None = None
    applied: int | None = None


@attrs.frozen
class Lag:
    """How far a copy is behind; None where that is unknown."""

    bytes: int | None = None
    seconds: float | None = None


@attrs.frozen
class OpenTransactions:
    """Transactions that others wait for: how many, and for how long they have been open."""

    count: int
    seconds: float


@attrs.frozen
class Fault:
    """What is wrong now, if anything."""

    error: str | None = None
    error_kind: str | None = None


NO_FAULT = Fault()


@attrs.frozen
class Upstream:
    """Where what comes is from."""

    address: str


@attrs.frozen
class Applied:
    """What an engine or a target tells of itself: `more` stands beside the two."""

    statements: int | None = None
    digest: str | None = None
    more: Details = attrs.field(metadata=_FLAT, factory=dict)

    @classmethod
    def of(cls, statistics: Mapping[str, object]) -> Applied:
        """Take what `IEngine.statistics` or `ITarget.statistics` says."""
        more: dict[str, Any] = dict(statistics)
        return cls(more.pop("statements", None), more.pop("digest", None), more)


@attrs.frozen
class SubscriberPeer:
    """What is told of a peer that subscribes, beside what is told of every peer."""

    held_up: Any
    publications: tuple[str, ...]
    unknown_publications: tuple[str, ...]
    forwarded: int
    passed_over: Counts


@attrs.frozen(kw_only=True)
class Peer:
    """One who is served; a follower or subscriber."""

    name: str | None
    address: str
    version: int | str | None = None
    state: str
    start: int | None = None
    position: int | None = None
    lag_bytes: int | None = None
    segments: Counts | None = None
    since: float | None = None
    stalled_seconds: float = 0.0


@attrs.frozen(kw_only=True)
class ConnectedPeer(Peer):
    """One who is connected."""

    certificate: str | None
    subscriber: SubscriberPeer | None = attrs.field(metadata=_FLAT)


@attrs.frozen(kw_only=True)
class AwayPeer(Peer):
    """One who is configured and is not connected."""

    away_seconds: float | None


@attrs.frozen
class Sent:
    """What went to subscribers, and what did not, by reason."""

    forwarded: int
    passed_over: Counts


@attrs.frozen
class Nobody:
    """What is told of those who are served, where nobody can be."""

    peers: tuple[Peer, ...] = ()


@attrs.frozen(kw_only=True)
class Serving:
    """What is told of those who are served, and what they are served from."""

    listening: str | None = None
    tls: Details | None = None
    connections: int
    accepted: int
    handshakes: int
    log_lines_left_out: int
    refused: Counts
    dropped: Counts
    peers: tuple[Peer, ...]
    sent: Sent
    snapshots: Counts
    publishing: Details | None
    segments_served: Details | None
    wal: Details


@attrs.frozen
class ServiceStatus:
    """What a master's service tells of itself."""

    serving: Serving = attrs.field(metadata=_FLAT)
    status_seconds: float
    fault: Fault = attrs.field(metadata=_FLAT)


@attrs.frozen
class Fresh:
    """As of when a copy is."""

    lag: Lag
    heard_seconds: float | None
    status_seconds: float | None
    applied_seconds: float | None
    open_transactions: OpenTransactions | None


@attrs.frozen
class Errors:
    """The errors that came: counts, and the last ones, the newest first."""

    by_kind: Counts
    last: tuple[Any, ...]


@attrs.frozen(kw_only=True)
class RoleStatus:
    """What every role tells; the problems that are found in it come last."""

    name: str | None = None
    role: str
    state: str
    engine: str
    positions: Positions
    history: str | None
    applied: Applied = attrs.field(metadata=_FLAT)
    fault: Fault = attrs.field(metadata=_FLAT)
    http: Details | None = None


@attrs.frozen(kw_only=True)
class MasterStatus(RoleStatus):
    """What a master tells."""

    role: str = "master"
    applied: Applied = attrs.field(metadata=_FLAT, factory=Applied)
    histories: tuple[Any, ...]
    lag: Lag = attrs.field(factory=Lag)
    serving: Serving = attrs.field(metadata=_FLAT)
    status_seconds: float
    warning: str | None
    open_transactions: OpenTransactions | None


@attrs.frozen(kw_only=True)
class CopyStatus(RoleStatus):
    """What a follower and a subscriber tell alike."""

    serving: Serving | Nobody = attrs.field(metadata=_FLAT, factory=Nobody)
    fresh: Fresh = attrs.field(metadata=_FLAT)
    reconnects: int
    errors: Errors
    upstream: Upstream | None = None


@attrs.frozen(kw_only=True)
class FollowerStatus(CopyStatus):
    """What a follower tells."""

    role: str = "follower"
    protocol: str | None
    base: int | None
    transactions: Details | None
    segments: Details
    cold_rows: str | None
    bootstrap: Details | None
    skipped: int


@attrs.frozen(kw_only=True)
class SubscriberStatus(CopyStatus):
    """What a subscriber tells."""

    role: str = "subscriber"
    publications: tuple[str, ...]
    effective_start: int | None
    bytes_without_records: int | None
    unknown_publications: tuple[str, ...]
    copy: Details | None
    other_origin: int
