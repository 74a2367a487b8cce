"""One cold segment on its way."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from spgrepl.follower.segment_store import IncomingSegment


@attrs.define(eq=False)
class SegmentTransfer:
    """One segment under way.

    Attributes:
        id: Its id.
        total: How many chunks it has.
        began: When it began, by the reactor's clock.
        chain: What is done with it, step by step. It fires with None at the end, whatever the end is.
        chunks: How many chunks have come to their end.
        received: How many of its bytes have come.
        pieces: What waits to be written.
        gathered: How many bytes that is.
        given_up: Whether the rest of the chain has nothing to do.
        told: How many tenths were told in the log.
    """

    id: int
    total: int
    began: float
    chain: Deferred[Any]
    chunks: int = 0
    received: int = 0
    pieces: list[bytes] = attrs.Factory(list)
    gathered: int = 0
    incoming: IncomingSegment | None = None
    given_up: bool = False
    told: int = 0


def follow_chain(chain: Deferred[Any]) -> Deferred[None]:
    """A Deferred that fires when a chain has come to where it ends now, without taking its result."""
    waiter: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        waiter.callback(None)
        return result

    chain.addBoth(pass_on)
    return waiter
