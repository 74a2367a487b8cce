"""Descriptors in reserve: strangers' connections may not use up what logs, snapshots and segments need."""

from __future__ import annotations

import resource
from typing import Any

RESERVE = 64
"""So many descriptors are kept from connections."""


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
