"""One cold segment on its way."""

from __future__ import annotations

from collections.abc import Callable
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
        at_once: Whether steps may be given to the thread at once, because nothing has to end before the first.
        chunks: How many chunks have come to their end.
        received: How many of its bytes have come.
        pieces: What waits to be written.
        gathered: How many bytes that is.
        given_up: Whether the rest of the chain has nothing to do.
        failed: Whether a step has failed, which the thread knows before the chain does.
        told: How many tenths were told in the log.
    """

    id: int
    total: int
    began: float
    chain: Deferred[Any]
    at_once: bool
    chunks: int = 0
    received: int = 0
    pieces: list[memoryview] = attrs.Factory(list)
    gathered: int = 0
    incoming: IncomingSegment | None = None
    given_up: bool = False
    failed: bool = False
    told: int = 0

    def run(self, step: Callable[[], object]) -> None:
        """Take a step, in the thread; none behind one that has failed, whose bytes would be missing."""
        if self.given_up or self.failed:
            return
        try:
            step()
        except BaseException:
            self.failed = True
            raise


def follow_chain(chain: Deferred[Any]) -> Deferred[None]:
    """A Deferred that fires when a chain has come to where it ends now, without taking its result."""
    waiter: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        waiter.callback(None)
        return result

    chain.addBoth(pass_on)
    return waiter
