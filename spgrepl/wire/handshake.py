"""The opening bytes of a connection (PROTOCOL section 2)."""

from __future__ import annotations

import enum
import struct

import attrs

from spgrepl.errors import HandshakeError
from spgrepl.text.quantities import number_of
from spgrepl.wire.subscription import MAGIC_SUBSCRIBER, SubscriberHello, SubscriberHelloParser

MAGIC_V1 = b"SPGREPL\x01"
MAGIC_V2 = b"SPGREPL\x02"
MAGIC_SIZE = 8

_U64 = struct.Struct("<Q")


class StreamVersion(enum.Enum):
    """The two forms of the physical stream: raw bytes, or frames."""

    V1 = 1
    V2 = 2


_MAGICS = {MAGIC_V1: StreamVersion.V1, MAGIC_V2: StreamVersion.V2}
_OPENINGS = (*_MAGICS, MAGIC_SUBSCRIBER)
_TLS = b"\x16\x03"
_BY_VERSION = {version: magic for magic, version in _MAGICS.items()}


@attrs.frozen
class FollowerHello:
    """What a follower says first.

    Attributes:
        version: The form of stream that it asks for.
        start: The position that it wants the log from; 0 where it has nothing and needs a snapshot.
    """

    version: StreamVersion
    start: int

    def encode(self) -> bytes:
        """The 16 bytes of this hello."""
        return _BY_VERSION[self.version] + _U64.pack(self.start)


class HelloParser:
    """A push parser for what a connecting side says first."""

    def __init__(self) -> None:
        self._held = b""
        self._subscriber: SubscriberHelloParser | None = None

    def feed(self, data: bytes) -> tuple[FollowerHello | SubscriberHello, bytes] | None:
        """Take bytes as they come.

        Returns:
            The hello and the bytes after it, or None while it is incomplete.

        Raises:
            HandshakeError: The first bytes are the start of no magic that is known, or a subscriber's hello breaks
                the rules. It is raised at the first byte that differs: a stranger is not waited for.
        """
        if self._subscriber is not None:
            return self._subscriber.feed(data)
        self._held += data
        magic = self._held[:MAGIC_SIZE]
        if not any(known.startswith(magic) for known in _OPENINGS):
            hint = ": that is TLS, which this port does not speak" if magic.startswith(_TLS) else ""
            raise HandshakeError(
                f"the connection opens with {magic!r}{hint}, expected {MAGIC_V1!r}, {MAGIC_V2!r} or "
                f"{MAGIC_SUBSCRIBER!r}"
            )
        if magic == MAGIC_SUBSCRIBER:
            held, self._held = self._held, b""
            self._subscriber = SubscriberHelloParser()
            return self._subscriber.feed(held)
        size = MAGIC_SIZE + _U64.size
        if len(self._held) < size:
            return None
        (start,) = _U64.unpack_from(self._held, MAGIC_SIZE)
        return FollowerHello(_MAGICS[magic], start), self._held[size:]


@attrs.frozen
class SnapshotStart:
    """The master's reply begins: `length` bytes of snapshot follow (0: none, the log goes on from the start)."""

    length: int


@attrs.frozen
class SnapshotData:
    """A piece of the snapshot, cut anywhere."""

    data: bytes


@attrs.frozen
class SnapshotEnd:
    """The snapshot is complete and stands at `position` in the master's log."""

    position: int


ReplyEvent = SnapshotStart | SnapshotData | SnapshotEnd


def encode_snapshot_start(length: int) -> bytes:
    """The first 8 bytes of a master's reply: the snapshot's length in bytes, 0 to a start above 0."""
    return _U64.pack(length)


def encode_snapshot_end(position: int) -> bytes:
    """The 8 bytes after a snapshot: the position in the log that it stands at."""
    return _U64.pack(position)


class ReplyParser:
    """A push parser for a master's reply to a follower.

    Snapshot bytes are passed on as they come; nothing of them is kept.

    Args:
        start: The start position that was asked for. With 0, a position follows the snapshot even when that is
            empty; with any other, the reply is its length alone.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._held = b""
        self._left: int | None = None
        self.complete = False

    @property
    def awaits_body(self) -> bool:
        """Whether bytes of the snapshot itself are expected next."""
        return not self.complete and self._left is not None and self._left > 0

    def feed(self, data: bytes) -> tuple[list[ReplyEvent], bytes]:
        """Take bytes as they come.

        Returns:
            The events that they complete, and the bytes after the reply once that is complete.

        Raises:
            HandshakeError: A snapshot is announced to a start above 0.
        """
        events: list[ReplyEvent] = []
        while data and not self.complete:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                events.append(SnapshotData(piece))
                continue
            missing = _U64.size - len(self._held)
            self._held, data = self._held + data[:missing], data[missing:]
            if len(self._held) == _U64.size:
                (value,) = _U64.unpack(self._held)
                self._held = b""
                events.append(self._number(value))
        return events, data

    def _number(self, value: int) -> ReplyEvent:
        if self._left is not None:
            self.complete = True
            return SnapshotEnd(value)
        if self._start and value:
            raise HandshakeError(
                f"the master announces a snapshot of {number_of(value, 'byte')} to a start at "
                f"position {self._start}, expected 0 bytes"
            )
        self._left = value
        self.complete = bool(self._start)
        return SnapshotStart(value)
