"""A subscriber's hello by the letter of the protocol, from all of its bytes at once."""

from __future__ import annotations

import struct

from spgrepl.errors import HandshakeError
from spgrepl.wire.subscription import MAX_HELLO, MAX_PUBLICATIONS, SubscriberHello


def decode_subscriber_hello(data: bytes) -> tuple[SubscriberHello, int] | None:
    """Read a hello whose magic is right; returns it and its length, or None while it is incomplete."""
    if len(data) < 18:
        return None
    _, start, count = struct.unpack_from("<8sQH", data)
    if count > MAX_PUBLICATIONS:
        raise HandshakeError("it asks for too many")
    names: list[str] = []
    at = 18
    while len(names) < count:
        if at + (count - len(names)) * 2 + 8 > MAX_HELLO:
            raise HandshakeError("it is too long")
        if len(data) < at + 2:
            return None
        (length,) = struct.unpack_from("<H", data, at)
        at += 2
        if at + length > MAX_HELLO:
            raise HandshakeError("it is too long")
        if len(data) < at + length:
            return None
        try:
            names.append(data[at : at + length].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise HandshakeError("it is not UTF-8") from error
        at += length
    if len(data) < at + 8:
        return None
    return SubscriberHello(start, tuple(names), struct.unpack_from("<Q", data, at)[0]), at + 8
