"""Bytes of a master's log further back, over a short connection of their own.

A stream can only be asked for from one position on, so what lies far before the fence needs another connection. It
speaks V1, in which the log comes at once: masters send all their cold segments first in V2.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import HandshakeError, HistoryDiverged, ServiceStopped
from spgrepl.interfaces.engine import Mark, ReplayState
from spgrepl.pairs.fence import mark_before
from spgrepl.replica.connecting import LinkFactory
from spgrepl.wire.handshake import FollowerHello, ReplyParser, StreamVersion

ANSWER_SECONDS = 5.0
"""How long a master may take to send the few bytes of a mark."""


class RangeReader(Protocol):
    """Reads one range of a master's log, then lets go of the master.

    Args:
        clock: For the deadline.
        start: The position of the first byte, above 0.
        stop: The position after the last one.

    Attributes:
        read: Fires with the range's CRC-32, or with None where the master did not send all of it.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, start: int, stop: int) -> None:
        self._clock = steady_clock(clock)
        self._hello = FollowerHello(StreamVersion.V1, start)
        self._reply = ReplyParser(start)
        self._left = stop - start
        self._crc = 0
        self._deadline: IDelayedCall | None = None
        self.read: Deferred[int | None] = Deferred(lambda _: self._hang_up())

    def connectionMade(self) -> None:
        """Ask for the range."""
        self._deadline = self._clock.callLater(ANSWER_SECONDS, self._expired)
        self.transport.write(self._hello.encode())

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master."""
        try:
            _, data = self._reply.feed(data)
        except HandshakeError:
            self._end(None)
            return
        data = data[: self._left]
        self._crc = crc32(data, self._crc)
        self._left -= len(data)
        if not self._left:
            self._end(self._crc)

    def _expired(self) -> None:
        self._deadline = None
        self._end(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master closed before all had come, or this side did."""
        self._end(None)

    def _end(self, crc: int | None) -> None:
        self._hang_up()
        if not self.read.called:
            self.read.callback(crc)

    def _hang_up(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.transport is not None:
            self.transport.abortConnection()


class MasterHistory:
    """Takes and compares marks of a master's log.

    Args:
        reactor: For deadlines.
        endpoint: The master.
        choose: Chooses the mark that is compared; `random.choice` unless a test wants another.

    Attributes:
        endpoint: The master.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        choose: Callable[[Sequence[Mark]], Mark] = random.choice,
    ) -> None:
        self._reactor = reactor
        self.endpoint = endpoint
        self._choose = choose
        self._differs: Mark | None = None
        self._asking: set[Deferred[int | None]] = set()
        self._stopped = False

    def take(self, position: int) -> Deferred[Mark | None]:
        """Read what stands before a position in the master's log.

        Returns:
            A Deferred that fires with the mark; None where there is nothing before it, or the master does not
            send it. It fails with `ServiceStopped` after `stop`.
        """
        if position <= 1:
            return succeed(None)
        start, stop = mark_before(position)

        def judge(crc: int | None) -> Mark | None:
            if crc is None:
                self._log.warn(
                    "the master does not send its log before position {position}, where its snapshot stands: "
                    "until something is applied, its history cannot be compared with that of this copy",
                    position=position,
                )
                return None
            return Mark(start, stop, crc)

        asking: Deferred[Any] = self._ask(start, stop).addErrback(_not_there)
        return asking.addCallback(judge)

    def compare(self, state: ReplayState | None) -> Deferred[None]:
        """Compare one mark of a state with the master's log: one that differed before, or one taken at random.

        Returns:
            A Deferred that fires when that was done, or when nothing could be compared: what is wrong then shows
            on the next connection. It fails with `HistoryDiverged` where the bytes differ, and as the endpoint
            does where the master cannot be reached.
        """
        marks = [] if state is None else [mark for mark in state.marks if not _in_fence(mark, state)]
        if not marks:
            return succeed(None)
        mark = self._differs if self._differs in marks else self._choose(marks)
        assert mark is not None

        def judge(crc: int | None) -> None:
            if crc is None:
                self._log.info(
                    "the master does not send its log from {start} to {stop}: this is not compared",
                    start=mark.start,
                    stop=mark.stop,
                )
            elif crc != mark.crc:
                self._differs = mark
                raise HistoryDiverged(
                    f"the master's log from position {mark.start} to {mark.stop} is not the one that this copy "
                    f"was made from (CRC {crc:08x}, expected {mark.crc:08x}): its history is a different one. "
                    f"Point the follower at the right master, or take a fresh copy with --on-divergence resnapshot"
                )
            else:
                self._differs = None

        return self._ask(mark.start, mark.stop).addCallback(judge)

    def _ask(self, start: int, stop: int) -> Deferred[int | None]:
        if self._stopped:
            return fail(_stopping())
        reader = RangeReader(self._reactor, start, stop)
        connecting = self.endpoint.connect(LinkFactory(lambda: reader))
        asking: Deferred[int | None] = connecting.addCallback(lambda _: reader.read)
        self._asking.add(asking)
        return asking.addBoth(self._asked, asking)

    def _asked(self, result: Any, asking: Deferred[int | None]) -> Any:
        self._asking.discard(asking)
        return fail(_stopping()) if self._stopped else result

    def stop(self) -> None:
        """Let go of the master; what is under way fails."""
        self._stopped = True
        for asking in list(self._asking):
            asking.cancel()


def _stopping() -> ServiceStopped:
    return ServiceStopped("the follower is being stopped")


def _in_fence(mark: Mark, state: ReplayState) -> bool:
    """Whether the fence covers all of a mark, which is compared then anyway."""
    return state.fence is not None and state.fence.start <= mark.start


def _not_there(failure: Failure) -> Failure | None:
    """A master that cannot be reached just now does not send its log, either."""
    return failure if failure.check(ServiceStopped) else None


@implementer(IStreamClientEndpoint)
class ComparingEndpoint:
    """An endpoint that compares histories first.

    Args:
        history: Compares, and connects.
        state: Says what is known of the master's history; None where it does not matter.
    """

    def __init__(self, history: MasterHistory, state: Callable[[], ReplayState | None]) -> None:
        self._history = history
        self._state = state

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        comparing = self._history.compare(self._state())
        return comparing.addCallback(lambda _: self._history.endpoint.connect(protocolFactory))
