"""Who is at the other end of a connection, as far as the kernel and TLS vouch for it."""

from __future__ import annotations

import socket
import struct
from importlib import import_module
from typing import Any

import attrs

_CREDENTIALS = struct.Struct("3i")


@attrs.frozen
class Client:
    """A client of a server.

    Attributes:
        address: Its address, as Twisted has it.
        names: The names in its certificate; none where it has shown none, or there is no TLS.
        user: The id of the UNIX user at the other end of a UNIX socket; None elsewhere.
    """

    address: object
    names: tuple[str, ...] = ()
    user: int | None = None

    @classmethod
    def of(cls, transport: Any) -> Client:
        """Ask a transport, and those that it is wrapped around."""
        names: tuple[str, ...] = ()
        user: int | None = None
        below: Any = transport
        while below is not None:
            # What a proxy before us sends is TLS inside of what it says of its client: the outermost counts.
            if not names and hasattr(below, "getPeerCertificate"):
                certificate = below.getPeerCertificate()
                if certificate is not None:
                    read = import_module("spgrepl.access.pem").names_of
                    names = tuple(read(certificate.to_cryptography()))
            handle = getattr(below, "socket", None)
            if isinstance(handle, socket.socket) and handle.family == socket.AF_UNIX:
                user = peer_of(handle)[1]
            below = getattr(below, "transport", None)
        return cls(transport.getPeer(), names, user)

    def __str__(self) -> str:
        if self.names:
            return f"the certificate {self.names[0]!r}"
        return "no certificate" if self.user is None else f"the UNIX user {self.user}"


def peer_of(handle: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end of a UNIX socket, as they were when it connected."""
    process, user, _ = _CREDENTIALS.unpack(
        handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return process, user
