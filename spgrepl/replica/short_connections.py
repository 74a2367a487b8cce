"""Short connections to a master: one question each, beside the stream.

A stream can only be asked for from one position on, so what lies far before it needs another connection, which
lets go of the master as soon as the answer is here.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from zlib import crc32

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import PeerError, ServiceStopped
from spgrepl.interfaces.engine import Mark
from spgrepl.pairs.fence import mark_before
from spgrepl.replica.connecting import LinkFactory
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.handshake import FollowerHello, ReplyParser, StreamVersion

ANSWER_SECONDS = 5.0
"""How long a master may take to send the few bytes that are asked for."""

AnyMark = TypeVar("AnyMark")


class ShortReader(Protocol, ABC):
    """Asks for one thing, then lets go of the master. A subclass reads the answer, and calls `end`.

    Args:
        clock: For the deadline.
        hello: What is asked, as it is sent.

    Attributes:
        read: Fires with a CRC-32, or with None where the master did not send what was asked for.
    """

    transport: Any

    def __init__(self, clock: IReactorTime, hello: bytes) -> None:
        self._clock = steady_clock(clock)
        self._hello = hello
        self._deadline: IDelayedCall | None = None
        self._ended = False
        self.read: Deferred[int | None] = Deferred(lambda _: self._hang_up())

    def connectionMade(self) -> None:
        """Ask."""
        self._deadline = self._clock.callLater(ANSWER_SECONDS, self._expired)
        self.transport.write(self._hello)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master."""
        try:
            self.answered(data)
        except PeerError:
            self.end(None)

    @abstractmethod
    def answered(self, data: bytes) -> None:
        """Read bytes of the answer. What a `PeerError` stops is not the answer.

        Args:
            data: The bytes that follow those of the last call.
        """

    def _expired(self) -> None:
        self._deadline = None
        self.end(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master closed before all had come, or this side did."""
        self.end(None)

    def end(self, crc: int | None) -> None:
        """Let go of the master with an answer, the first time; later ones change nothing."""
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


class RangeReader(ShortReader):
    """Reads the CRC-32 of one range of a master's log.

    It speaks V1, in which the log comes at once: masters send all their cold segments first in V2.

    Args:
        clock: For the deadline.
        start: The position of the first byte, above 0.
        stop: The position after the last one.
    """

    def __init__(self, clock: IReactorTime, start: int, stop: int) -> None:
        super().__init__(clock, FollowerHello(StreamVersion.V1, start).encode())
        self._reply = ReplyParser(start)
        self._left = stop - start
        self._crc = 0

    def answered(self, data: bytes) -> None:
        """See `ShortReader`."""
        _, data = self._reply.feed(data)
        data = data[: self._left]
        self._crc = crc32(data, self._crc)
        self._left -= len(data)
        if not self._left:
            self.end(self._crc)


class ShortConnections:
    """Makes short connections to one master, and ends with who asks.

    Args:
        reactor: For deadlines.
        endpoint: The master.
        stopping: Says that the one who asks is being stopped.

    Attributes:
        reactor: The reactor.
        endpoint: The master.
    """

    _log = RoleLogger()

    def __init__(self, reactor: IReactorTime, endpoint: IStreamClientEndpoint, stopping: str) -> None:
        self.reactor = reactor
        self.endpoint = endpoint
        self._stopping = stopping
        self._asking: set[Deferred[int | None]] = set()
        self._stopped = False

    def ask(self, reader: ShortReader) -> Deferred[int | None]:
        """Ask the master.

        Returns:
            A Deferred that fires as `reader.read` does. It fails with `ServiceStopped` after `stop`, and as the
            endpoint does where the master cannot be reached.
        """
        if self._stopped:
            return fail(ServiceStopped(self._stopping))
        connecting = self.endpoint.connect(LinkFactory(lambda: reader))
        asking: Deferred[int | None] = connecting.addCallback(lambda _: reader.read)
        self._asking.add(asking)
        return asking.addBoth(self._asked, asking)

    def _asked(self, result: Any, asking: Deferred[int | None]) -> Any:
        self._asking.discard(asking)
        return fail(ServiceStopped(self._stopping)) if self._stopped else result

    def read_range(self, start: int, stop: int) -> Deferred[int | None]:
        """Ask for the CRC-32 of a range of the master's log; see `ask`."""
        return self.ask(RangeReader(self.reactor, start, stop))

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

        return self.read_range(start, stop).addErrback(_not_there).addCallback(judge)

    def stop(self) -> None:
        """Let go of the master; what is under way fails."""
        self._stopped = True
        for asking in list(self._asking):
            asking.cancel()


def _not_there(failure: Failure) -> Any:
    """A master that cannot be reached just now does not send its log, either."""
    return failure if failure.check(ServiceStopped) else None


class MarkChoice(Generic[AnyMark]):
    """Chooses the mark that is compared: one that differed before, or one taken at random.

    Args:
        choose: Chooses among several; `random.choice` unless a test wants another.
    """

    def __init__(self, choose: Callable[[Sequence[AnyMark]], AnyMark] = random.choice) -> None:
        self._choose = choose
        self._differs: AnyMark | None = None

    def among(self, marks: Sequence[AnyMark]) -> AnyMark:
        """Choose one; there is one at least."""
        if self._differs is not None and self._differs in marks:
            return self._differs
        return self._choose(marks)

    def differs(self, mark: AnyMark) -> None:
        """Another one may fit, and would say nothing about it: this one is compared again."""
        self._differs = mark

    def fits(self) -> None:
        """The mark that was chosen is the master's."""
        self._differs = None
