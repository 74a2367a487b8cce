"""Targets that are a whole connection to a master: hello, reply, comparison, stream."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from fuzz.promises import Broken, cut, equal, ways_to_cut
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.replica.connection import Broken as Ended
from spgrepl.replica.connection import Connection, Entered, UnknownFrames
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.subscribing.connection import Received, SubscriberConnection
from spgrepl.wire.frames import ChunkBytes, Status, WalBytes
from spgrepl.wire.handshake import SnapshotData, SnapshotEnd, StreamVersion
from spgrepl.wire.subscription import SubscriberHello, SubscriberReply

MAX_FRAME = 4096
HELD = bytes(range(64))
"""What a copy holds that resumes; it is compared first."""


def follower_connection(data: bytes) -> None:
    """Be a follower of a master that sends anything, in every cut: the same happens, or the connection ends."""
    states = (None, ReplayState(1064, 0, Fence(1000, crc32(HELD))))
    for version in StreamVersion:
        for state in states:
            _in_every_cut(data, lambda version=version: FollowerConnection(version, max_frame=MAX_FRAME), state)


def subscriber_connection(data: bytes) -> None:
    """Be a subscriber of a master that sends anything, in every cut: the same happens, or the connection ends."""
    for start in (0, 40):
        hello = SubscriberHello(start, ("p",), 7)
        _in_every_cut(data, lambda: SubscriberConnection(max_frame=MAX_FRAME, max_record=MAX_FRAME), hello)


def _in_every_cut(data: bytes, make: Any, prepared: object) -> None:
    stream, ways = ways_to_cut(data)
    expected, _ = _happened(make(), prepared, cut(stream, 1))
    for pieces in ways:
        found, ended = _happened(make(), prepared, pieces)
        # What stands in the same piece as a fault need not be told: the connection ends there.
        for kind, what in found.items():
            equal(kind, expected[kind][: len(what)] if ended else expected[kind], what)


def _happened(
    connection: Connection[Any], prepared: object, pieces: list[bytes]
) -> tuple[dict[str, bytes | list[object]], bool]:
    """What was handed on of the log, of records and so on, and whether the connection was to be ended."""
    events = connection.begin(prepared, 0.0)
    if not connection.bytes_to_send():
        raise Broken("no hello")
    for number, piece in enumerate(pieces):
        events += connection.receive_bytes(piece, number / 1000)
        if events and isinstance(events[-1], connection.asks):
            events += connection.answer(_answer(events[-1]), number / 1000)
        if events and isinstance(events[-1], Ended):
            break
    ended = bool(events) and isinstance(events[-1], Ended)
    if not ended and connection.deadline is None and connection.state.name not in ("INSTALLING", "STREAMING"):
        raise Broken(f"no deadline while {connection.state.value}")
    return _gathered(events), ended


def _answer(event: object) -> object:
    if isinstance(event, SnapshotEnd):
        return None
    assert isinstance(event, SubscriberReply)
    return SubscriptionState(("p",), event.effective_start, event.effective_start)


def _gathered(events: list[Any]) -> dict[str, bytes | list[object]]:
    found: dict[str, Any] = {"log": b"", "snapshot": b"", "chunks": b"", "records": [], "others": []}
    for event in events:
        if isinstance(event, WalBytes):
            found["log"] += event.data
        elif isinstance(event, SnapshotData):
            found["snapshot"] += event.data
        elif isinstance(event, ChunkBytes):
            found["chunks"] += event.data
        elif isinstance(event, Received):
            frames = event.frames
            found["records"] += [frames.record(index) for index in range(event.first, len(frames))]
        elif not isinstance(event, Ended | UnknownFrames | Entered | Status):
            # How many of several STATUS in one piece are told is left open, and states may be passed within one.
            found["others"].append(event)
    return found
