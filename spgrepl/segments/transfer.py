"""One cold segment on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from spgrepl.errors import SpgReplError
from spgrepl.segments.store import IncomingSegment, StoredSegment
from spgrepl.text.shown import shown_left

TELL_FROM = 64 * 1024 * 1024
"""From how many bytes on the way of a segment is told in the log."""


@attrs.frozen
class ChunkStream:
    """What an assembler asks of the connection that brings chunks.

    Attributes:
        read_on: Called when more may be read from the master, after `SegmentAssembler.full` was true.
        drop: Called with an error for which the connection has to be closed.
    """

    read_on: Callable[[], None]
    drop: Callable[[SpgReplError], None]


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
        """Take a step, in the thread; none after one that has failed, whose bytes would be missing."""
        if self.given_up or self.failed:
            return
        try:
            step()
        except BaseException:
            self.failed = True
            raise

    def finish(self) -> StoredSegment | None:
        """Check what has come and put it in place, in the thread; nothing where it was given up."""
        if self.given_up:
            return None
        assert self.incoming is not None
        return self.incoming.finish()

    def rate(self, now: float) -> float:
        """Bytes a second since it began."""
        return self.received / max(now - self.began, 1e-3)

    def tell(self, log: Logger, now: float) -> None:
        """Log each tenth of a big segment, so that a long transfer is seen to go on."""
        tenth = self.chunks * 10 // self.total
        if self.received >= TELL_FROM and tenth > self.told:
            self.told = tenth
            log.info(
                "segment {id}: {received} MiB, chunk {chunks} of {total}, {rate:.1f} MB/s, {left}",
                id=self.id,
                received=self.received >> 20,
                chunks=self.chunks,
                total=self.total,
                left=shown_left(self.chunks, self.total, max(now - self.began, 1e-3)),
                rate=self.rate(now) / 1e6,
            )


def follow_chain(chain: Deferred[Any]) -> Deferred[None]:
    """A Deferred that fires when a chain has come to where it ends now, without taking its result."""
    waiter: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        waiter.callback(None)
        return result

    chain.addBoth(pass_on)
    return waiter
