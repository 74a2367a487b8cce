"""Sparse marks of a subscription: records far before its position, one of which is compared at each resume.

A stream can only be asked for from one position on, and begins with the fence. What lies further back needs a
connection of its own, which asks for the log from a mark on and lets go after the first record.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import HistoryDiverged, PeerError, ServiceStopped
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.replica.connecting import LinkFactory
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.wire.record_frames import RecordFrameParser, RecordFrames
from spgrepl.wire.subscription import SubscriberHello, SubscriberReplyParser

MARK_EVERY = 64 * 1024 * 1024
"""The first record after each multiple of this is a mark, and the first one of all."""

MOST_MARKS = 64
"""Where there would be more, the older ones are thinned out: they are stored again with each position."""

ANSWER_SECONDS = 5.0
"""How long a master may take to send the record of a mark."""


def further_marks(
    before: tuple[FenceRecord, ...], parts: Sequence[tuple[RecordFrames, int, int]]
) -> tuple[FenceRecord, ...]:
    """The marks after some runs of records, which follow each other.

    Args:
        before: The marks before them.
        parts: For each run where it is, the index of its first record, and the index after its last one.
    """
    marks = list(before)
    for frames, first, stop in parts:
        at = first
        while at < stop:
            # Position 0 cannot be asked for.
            due = (marks[-1].position // MARK_EVERY + 1) * MARK_EVERY if marks else 1
            if frames.start_of(stop - 1) < due:
                break
            at += bisect_left(range(at, stop), due, key=frames.start_of)
            marks.append(FenceRecord(frames.start_of(at), crc32(frames.record(at))))
    while len(marks) > MOST_MARKS:
        # The first one, after the start, stays.
        del marks[1 : len(marks) // 2 : 2]
    return before if len(marks) == len(before) else tuple(marks)


class MarkReader(Protocol):
    """Reads the first record from a position on, then lets go of the master.

    Args:
        clock: For the deadline.
        hello: What to ask for.
        wanted: The limits.

    Attributes:
        read: Fires with the CRC-32 of the record that starts there, or with None where none came.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, hello: SubscriberHello, wanted: Subscription) -> None:
        self._clock = steady_clock(clock)
        self._hello = hello
        self._reply = SubscriberReplyParser()
        self._replied = self._ended = False
        self._frames = RecordFrameParser(hello.start, wanted.max_frame, wanted.max_record)
        self._deadline: IDelayedCall | None = None
        self.read: Deferred[int | None] = Deferred(lambda _: self._hang_up())

    def connectionMade(self) -> None:
        """Ask for the log."""
        self._deadline = self._clock.callLater(ANSWER_SECONDS, self._expired)
        self.transport.write(self._hello.encode())

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master."""
        try:
            if not self._replied:
                found = self._reply.feed(data)
                if found is None:
                    return
                reply, data = found
                self._replied = True
                if reply.effective_start != self._hello.start:
                    self._end(None)
                    return
            self._take(data)
        except PeerError:
            self._end(None)

    def _take(self, data: bytes) -> None:
        frames = self._frames.feed(data)
        if frames is not None and len(frames):
            there = frames.start_of(0) == self._hello.start
            self._end(crc32(frames.record(0)) if there else None)
        elif frames is not None and frames.end > frames.position:
            # It is not published any more.
            self._end(None)

    def _expired(self) -> None:
        self._deadline = None
        self._end(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master closed before a record had come, or this side did."""
        self._end(None)

    def _end(self, crc: int | None) -> None:
        ended, self._ended = self._ended, True
        self._hang_up()
        if not ended and not self.read.called:
            self.read.callback(crc)

    def _hang_up(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.transport is not None:
            self.transport.abortConnection()


class MarkComparison:
    """Compares marks with a master's log.

    Args:
        reactor: For deadlines.
        endpoint: The master.
        wanted: What is subscribed to.
        choose: Chooses the mark that is compared; `random.choice` unless a test wants another.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        wanted: Subscription,
        choose: Callable[[Sequence[FenceRecord]], FenceRecord] = random.choice,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._wanted = wanted
        self._choose = choose
        self._differs: FenceRecord | None = None
        self._asking: Deferred[Any] | None = None
        self._stopped = False

    def compare(self, state: SubscriptionState | None, own: int) -> Deferred[None]:
        """Compare one mark of a state, taken at random; where one differed before, that one again.

        Args:
            state: How far the subscription has come; None where nothing is compared.
            own: This side's cluster id.

        Returns:
            A Deferred that fires when that was done, or when nothing could be compared: what is wrong then shows
            on the next connection. It fails with `HistoryDiverged` where the record is a different one, and as the
            endpoint does where the master cannot be reached.
        """
        marks = [] if state is None or state.publications != self._wanted.publications else _further_back(state)
        if not marks:
            return succeed(None)
        if self._stopped:
            return fail(ServiceStopped("the subscription is being stopped"))
        mark = self._differs if self._differs in marks else self._choose(marks)
        assert mark is not None
        hello = SubscriberHello(mark.position, self._wanted.publications, own)
        reader = MarkReader(self._reactor, hello, self._wanted)
        connecting = self._endpoint.connect(LinkFactory(lambda: reader))
        asking: Deferred[Any] = connecting.addCallback(lambda _: reader.read)
        self._asking = asking
        return asking.addBoth(self._asked).addCallback(self._judge, mark)

    def _asked(self, result: Any) -> Any:
        self._asking = None
        return fail(ServiceStopped("the subscription is being stopped")) if self._stopped else result

    def _judge(self, crc: int | None, mark: FenceRecord) -> None:
        if crc is None:
            self._log.info(
                "the master does not send its record at position {position}: this is not compared",
                position=mark.position,
            )
        elif crc != mark.crc:
            self._differs = mark
            raise HistoryDiverged(
                f"the master's record at position {mark.position}, far before the position of this subscription, "
                f"is not the one that it was given (CRC {crc:08x}, expected {mark.crc:08x}): its history is a "
                f"different one. Point the subscriber at the right master, or make the subscription again"
            )
        else:
            self._differs = None

    def stop(self) -> None:
        """Let go of the master; what is under way fails."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()


def _further_back(state: SubscriptionState) -> list[FenceRecord]:
    """The marks that the fence does not cover, which is compared then anyway."""
    fence = state.fence[0].position if state.fence else state.position
    return [mark for mark in state.marks if mark.position < fence]
