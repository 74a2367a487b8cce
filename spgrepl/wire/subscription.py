"""The opening bytes of a subscriber's connection (PROTOCOL section 2, logical subscriber)."""

from __future__ import annotations

import struct

import attrs

from spgrepl.errors import HandshakeError

MAGIC_SUBSCRIBER = b"SPGSUB\x01\0"

MAX_HELLO = 256 * 1024
"""The most bytes that a subscriber's hello may have: thousands of publications."""

_HEAD = struct.Struct("<8sQH")
_NAME = struct.Struct("<H")
_CLUSTER = struct.Struct("<Q")
_REPLY = struct.Struct("<QQ")


@attrs.frozen
class SubscriberHello:
    """What a subscriber says first.

    Attributes:
        start: The position that it wants the log from; 0 for the master's current end.
        publications: The publications that it asks for; none at all means every table.
        cluster_id: Its cluster id, by which a loop is noticed.
    """

    start: int
    publications: tuple[str, ...]
    cluster_id: int

    def encode(self) -> bytes:
        """The bytes of this hello.

        Raises:
            ValueError: More publications, or longer names, than the protocol can carry.
        """
        names = [name.encode("utf-8") for name in self.publications]
        if len(names) > 0xFFFF or any(len(name) > 0xFFFF for name in names):
            raise ValueError("a subscriber's hello carries 65535 publications, of 65535 bytes each, at most")
        parts = [_HEAD.pack(MAGIC_SUBSCRIBER, self.start, len(names))]
        for name in names:
            parts += (_NAME.pack(len(name)), name)
        parts.append(_CLUSTER.pack(self.cluster_id))
        return b"".join(parts)


def decode_subscriber_hello(data: bytes) -> tuple[SubscriberHello, int] | None:
    """Read a hello whose magic has been found right.

    Args:
        data: The connection's first bytes.

    Returns:
        The hello and how many bytes it has, or None while it is incomplete.

    Raises:
        HandshakeError: A name is not UTF-8, or the hello is longer than `MAX_HELLO`. The length is judged as soon
            as it is known, before the names are waited for.
    """
    if len(data) < _HEAD.size:
        return None
    _, start, count = _HEAD.unpack_from(data)
    names: list[str] = []
    at: int = _HEAD.size
    while len(names) < count:
        _check_length(at + (count - len(names)) * _NAME.size + _CLUSTER.size)
        if len(data) < at + _NAME.size:
            return None
        (length,) = _NAME.unpack_from(data, at)
        at += _NAME.size
        _check_length(at + length)
        if len(data) < at + length:
            return None
        try:
            names.append(data[at : at + length].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise HandshakeError(f"publication {len(names) + 1} of a subscriber's hello is not UTF-8") from error
        at += length
    if len(data) < at + _CLUSTER.size:
        return None
    (cluster_id,) = _CLUSTER.unpack_from(data, at)
    return SubscriberHello(start, tuple(names), cluster_id), at + _CLUSTER.size


def _check_length(length: int) -> None:
    if length > MAX_HELLO:
        raise HandshakeError(f"a subscriber's hello states {length} bytes or more, the limit is {MAX_HELLO}")


@attrs.frozen
class SubscriberReply:
    """What a master answers.

    Attributes:
        effective_start: The position that the stream begins at.
        cluster_id: The master's cluster id.
    """

    effective_start: int
    cluster_id: int

    def encode(self) -> bytes:
        """The 16 bytes of this reply."""
        return _REPLY.pack(self.effective_start, self.cluster_id)


class SubscriberReplyParser:
    """A push parser for a master's reply to a subscriber."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> tuple[SubscriberReply, bytes] | None:
        """Take bytes as they come.

        Returns:
            The reply and the bytes behind it, or None while it is incomplete.
        """
        self._held += data
        if len(self._held) < _REPLY.size:
            return None
        return SubscriberReply(*_REPLY.unpack_from(self._held)), self._held[_REPLY.size :]
