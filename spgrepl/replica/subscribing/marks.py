"""Sparse marks of a subscription, far before its position, one of which is compared at each resume.

They are records that it was given, and the bytes before the snapshot that its rows were copied from. Whoever may
have the snapshot may have those, in the stream of a follower: the stream of a subscriber has no bytes between
records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, succeed

from spgrepl.base.reading import thread_runner
from spgrepl.errors import HistoryDiverged
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.log.format.records import IN_REACTOR
from spgrepl.replica.short_connections import MarkChoice, ShortConnections, ShortReader
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.record_frames import RecordFrameParser, RecordFrames
from spgrepl.wire.subscription import SubscriberHello, SubscriberReplyParser

MARK_EVERY = 64 * 1024 * 1024
"""The first record after each multiple of this is a mark, and the first one of all."""

MOST_MARKS = 64
"""Where there would be more, the older ones are thinned out: they are stored again with each position."""


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


class MarkReader(ShortReader):
    """Reads the CRC-32 of the record that starts at a position.

    Args:
        reactor: For the deadline, and the thread that reads a long record.
        hello: What to ask for.
        wanted: The limits.
    """

    def __init__(self, reactor: Any, hello: SubscriberHello, wanted: Subscription) -> None:
        super().__init__(reactor, hello.encode())
        self._reactor = reactor
        self._start = hello.start
        self._reply = SubscriberReplyParser()
        self._replied = False
        self._frames = RecordFrameParser(hello.start, wanted.max_frame, wanted.max_record)
        self._frames.at_once = IN_REACTOR

    def answered(self, data: bytes) -> None:
        """See `ShortReader`."""
        if not self._replied:
            found = self._reply.feed(data)
            if found is None:
                return
            reply, data = found
            self._replied = True
            if reply.effective_start != self._start:
                self.end(None)
                return
        self._take(data)

    def _take(self, data: bytes) -> None:
        frames = self._frames.feed(data)
        if frames is not None and len(frames):
            there = frames.start_of(0) == self._start
            self.end(crc32(frames.record(0)) if there else None)
        elif frames is not None and frames.end > frames.position:
            # It is not published any more.
            self.end(None)
        elif frames is not None and self._frames.long is not None:
            self.transport.pauseProducing()
            thread_runner(self._reactor)(self._frames.long).addCallback(self._long_read)

    def _long_read(self, _: None) -> None:
        if not self.read.called:
            self.transport.resumeProducing()
            self.dataReceived(b"")


class MarkComparison:
    """Compares marks with a master's log.

    Args:
        asking: Asks the master.
        wanted: What is subscribed to.
        choice: Chooses the mark that is compared.
    """

    _log = RoleLogger()

    def __init__(
        self, asking: ShortConnections, wanted: Subscription, choice: MarkChoice[FenceRecord | Mark]
    ) -> None:
        self._asking = asking
        self._wanted = wanted
        self._choice = choice

    def compare(self, state: SubscriptionState | None, own: int) -> Deferred[None]:
        """Compare one mark of a state.

        Args:
            state: How far the subscription has come; None where nothing is compared.
            own: This side's cluster id.

        Returns:
            A Deferred that fires when that was done, or when nothing could be compared: what is wrong then shows
            on the next connection. It fails with `HistoryDiverged` where the record is a different one, and as the
            endpoint does where the master cannot be reached.
        """
        marks = [] if state is None else self._further_back(state)
        if not marks:
            return succeed(None)
        mark = self._choice.among(marks)
        if isinstance(mark, Mark):
            asked = self._asking.read_range(mark.start, mark.stop)
        else:
            hello = SubscriberHello(mark.position, self._wanted.publications, own)
            asked = self._asking.ask(MarkReader(self._asking.reactor, hello, self._wanted))
        return asked.addCallback(self._judge, mark)

    def _further_back(self, state: SubscriptionState) -> list[FenceRecord | Mark]:
        """The marks that the fence does not cover, which is compared then anyway."""
        found: list[FenceRecord | Mark] = [] if state.before_copy is None else [state.before_copy]
        if state.publications == self._wanted.publications:
            fence = state.fence[0].position if state.fence else state.position
            found += [mark for mark in state.marks if mark.position < fence]
        return found

    def _judge(self, crc: int | None, mark: FenceRecord | Mark) -> None:
        if isinstance(mark, Mark):
            what = f"log from position {mark.start} to {mark.stop}, where the copied rows were taken"
            given = "that they were taken from"
        else:
            what = f"record at position {mark.position}, far before the position of this subscription"
            given = "that it was given"
        if crc is None:
            self._log.info("the master does not send its {what}: this is not compared", what=what)
        elif crc != mark.crc:
            self._choice.differs(mark)
            raise HistoryDiverged(
                f"the master's {what}, is not the one {given} (CRC {crc:08x}, expected {mark.crc:08x}): its "
                f"history is a different one. Point the subscriber at the right master, or make the subscription "
                f"again"
            )
        else:
            self._choice.fits()
