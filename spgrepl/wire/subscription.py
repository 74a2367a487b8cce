"""The opening bytes of a subscriber's connection (PROTOCOL section 2, logical subscriber)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs

from spgrepl.errors import HandshakeError
from spgrepl.text.quantities import number_of

MAGIC_SUBSCRIBER = b"SPGSUB\x01\0"

MAX_HELLO = 64 * 1024
"""The most bytes that a subscriber's hello may have."""

MAX_PUBLICATIONS = 1000
"""The most publications that it may ask for."""

FROM_ZERO = b"/* spgrepl: from position 0 */"
"""The last name of a hello that means position 0 by its start of 0, and not the master's end."""

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
        from_zero: Whether a start of 0 means position 0. Masters of this package alone know that: to others it is
            one more publication, which does not exist, and they answer with their end.
    """

    start: int
    publications: tuple[str, ...]
    cluster_id: int
    from_zero: bool = False

    def encode(self) -> bytes:
        """The bytes of this hello. Where there is no room to say `from_zero`, it is not said.

        Raises:
            ValueError: See `check_publications`.
        """
        names = check_publications(self.publications)
        if self.from_zero and not self.start and _has_room([*names, FROM_ZERO]):
            names.append(FROM_ZERO)
        parts = [_HEAD.pack(MAGIC_SUBSCRIBER, self.start, len(names))]
        for name in names:
            parts += (_NAME.pack(len(name)), name)
        parts.append(_CLUSTER.pack(self.cluster_id))
        return b"".join(parts)


def check_publications(publications: tuple[str, ...]) -> list[bytes]:
    """Judge whether one hello can ask for some publications.

    Returns:
        Their names in UTF-8.

    Raises:
        ValueError: They are more, or have longer names, than the protocol carries or a master of ours takes.
    """
    try:
        names = [name.encode("utf-8") for name in publications]
    except UnicodeEncodeError as error:
        raise ValueError(f"a publication's name is not Unicode text: {error}") from error
    if len(names) > MAX_PUBLICATIONS:
        raise ValueError(
            f"{number_of(len(names), 'publication is', 'publications are')} asked for, and one hello "
            f"can ask for {MAX_PUBLICATIONS}"
        )
    length = _length_with(names)
    if length > MAX_HELLO:
        raise ValueError(
            f"the names of its {number_of(len(names), 'publication')} make a hello of "
            f"{number_of(length, 'byte')}, and masters take "
            f"{MAX_HELLO} at most: ask for fewer, or give them shorter names"
        )
    return names


def _length_with(names: Sequence[bytes]) -> int:
    return _HEAD.size + sum(_NAME.size + len(name) for name in names) + _CLUSTER.size


def _has_room(names: Sequence[bytes]) -> bool:
    return len(names) <= MAX_PUBLICATIONS and _length_with(names) <= MAX_HELLO


class SubscriberHelloParser:
    """A push parser for a hello whose magic is right. Each byte is looked at once, however it comes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._start = 0
        self._count: int | None = None
        self._length: int | None = None
        self._names: list[str] = []

    def feed(self, data: bytes) -> tuple[SubscriberHello, bytes] | None:
        """Take bytes as they come.

        Returns:
            The hello and the bytes after it, or None while it is incomplete.

        Raises:
            HandshakeError: A name is not UTF-8, or the hello is longer than `MAX_HELLO`, or asks for more than
                `MAX_PUBLICATIONS`. Both are judged as soon as they are known, before the names are waited for.
        """
        self._held += data
        if self._count is None:
            if not self._has(_HEAD.size):
                return None
            _, self._start, self._count = _HEAD.unpack_from(self._held)
            self._at = _HEAD.size
            if self._count > MAX_PUBLICATIONS:
                raise HandshakeError(
                    f"a subscriber's hello asks for {number_of(self._count, 'publication')}, the "
                    f"limit is {MAX_PUBLICATIONS}"
                )
        while len(self._names) < self._count:
            if not self._take_name(self._count):
                return None
        if not self._has(_CLUSTER.size):
            return None
        (cluster_id,) = _CLUSTER.unpack_from(self._held, self._at)
        rest = bytes(self._held[self._at + _CLUSTER.size :])
        names = self._names
        from_zero = not self._start and names[-1:] == [FROM_ZERO.decode()]
        publications = tuple(names[:-1] if from_zero else names)
        return SubscriberHello(self._start, publications, cluster_id, from_zero), rest

    def _has(self, size: int) -> bool:
        return len(self._held) >= self._at + size

    def _take_name(self, count: int) -> bool:
        if self._length is None:
            self._check_length((count - len(self._names)) * _NAME.size + _CLUSTER.size)
            if not self._has(_NAME.size):
                return False
            (self._length,) = _NAME.unpack_from(self._held, self._at)
            self._at += _NAME.size
            self._check_length(self._length)
        if not self._has(self._length):
            return False
        try:
            self._names.append(self._held[self._at : self._at + self._length].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise HandshakeError(
                f"publication {len(self._names) + 1} of a subscriber's hello is not UTF-8"
            ) from error
        self._at += self._length
        self._length = None
        return True

    def _check_length(self, more: int) -> None:
        if self._at + more > MAX_HELLO:
            raise HandshakeError(
                f"a subscriber's hello states {number_of(self._at + more, 'byte')} or more, "
                f"the limit is {MAX_HELLO}"
            )


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
            The reply and the bytes after it, or None while it is incomplete.
        """
        self._held += data
        if len(self._held) < _REPLY.size:
            return None
        return SubscriberReply(*_REPLY.unpack_from(self._held)), self._held[_REPLY.size :]
