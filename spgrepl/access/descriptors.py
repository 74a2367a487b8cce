"""What a port takes: strangers may use up neither the descriptors that files need, nor a turn of the reactor."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet.interfaces import IListeningPort

RESERVE = 64
"""So many descriptors are kept from connections."""

ACCEPTED_AT_ONCE = 8
"""So many connections are accepted in one turn of the reactor."""


def is_in_reserve(transport: Any, reserve: int = RESERVE) -> bool:
    """Whether the descriptor of a new connection is one of the last that this process may have.

    The kernel gives each new descriptor the lowest number that is free: all below it are in use.

    Args:
        transport: The transport of the connection, around which others may be wrapped.
        reserve: How many descriptors are kept.
    """
    while transport is not None and not hasattr(transport, "fileno"):
        transport = getattr(transport, "transport", None)
    number: int = -1 if transport is None else transport.fileno()
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and number >= limit - min(reserve, limit // 4)


def accept_few(port: IListeningPort) -> None:
    """Let a port accept few connections in one turn of the reactor, however many wait.

    A port of Twisted takes 100 at first, and 20 more after each turn in which there were as many: those who are
    served would wait for all of these handshakes.

    Args:
        port: A port that listens; one that is not a socket of this process is left alone.
    """
    accept = getattr(port, "doRead", None)
    if accept is None or not hasattr(port, "numberAccepts"):
        return

    def accept_at_most() -> Any:
        port.numberAccepts = min(port.numberAccepts, ACCEPTED_AT_ONCE)
        return accept()

    port.doRead = accept_at_most  # type: ignore[attr-defined]
