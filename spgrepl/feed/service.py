"""`ChangeFeed`: hands the transactions of a log to a receiver, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from spgrepl.base.reading import thread_runner
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ServiceStopped, SpgReplError
from spgrepl.feed.applied_rows import AppliedRows
from spgrepl.feed.decoding import ChangeDecoder
from spgrepl.feed.keys import TableKeys
from spgrepl.feed.log_bytes import LogBytes
from spgrepl.feed.reader import DEFAULT_LIMITS, FeedLimits, Portion, UnitReader
from spgrepl.feed.run import Run
from spgrepl.feed.source import FeedSource, source_of
from spgrepl.feed.start import Start, find_start
from spgrepl.feed.values import FeedPosition, FeedTransaction
from spgrepl.primary import Primary
from spgrepl.replica.following.service import FollowerService
from spgrepl.server.roles import FollowerRole
from spgrepl.text.role_log import RoleLogger

STOP_SECONDS = 5.0
"""When a feed is stopped, its receiver has so many seconds for what it has in hand; then that is cancelled."""

_TURN_SECONDS = 0.005

Receiver = Callable[[FeedTransaction], Deferred[Any] | Coroutine[Any, Any, Any] | None]
"""Takes a transaction. What it returns says when the next one may come."""


class ChangeFeed(Service):
    """Hands each committed transaction of a database to a program, in the order of the log, at least once.

    The receiver gets one transaction at a time, and the next one only when the Deferred that it has returned has
    fired: then `position` has moved. A program that stores `FeedTransaction.position` in the same transaction as
    what it makes of the changes has each of them exactly once. What is handed out is durable, and applied to the
    database that it comes from: but that may be further already.

    It reads the log, so it may begin anywhere in it, and needs no memory for what a slow receiver has not taken
    yet. It stops by itself

    - when the receiver raises, or its Deferred fails: the transaction counts as not taken;
    - when the log is lost or damaged, or does not go on where the feed is to begin;
    - when a primary that it reads is closed. (A follower or subscription may be stopped and started meanwhile.)

    `when_stopped` tells. Started again, it goes on at `position`.

    Args:
        reactor: The reactor.
        source: Whose transactions: a `Primary` that is open, a `FollowerService` or `FollowerRole`, or the
            `AppliedRows` of a subscription.
        receiver: Is called with each transaction, in the reactor's thread. It may be a coroutine function, and
            return None where it is done at once.
        start: Where to begin: a position that was stored, or a `FeedStart`. A plain number is a position in the
            log between two transactions, such as what `Primary.execute` has answered, for a program that has just
            read the tables: the log is read up to there, to see whether it is one.
        limits: How much of a transaction is handed out at once, and how long a record may be.

    Attributes:
        transactions: How many transactions, and parts of long ones, were taken since it was made.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        source: Primary | FollowerService | FollowerRole | AppliedRows | FeedSource,
        receiver: Receiver,
        start: Start,
        limits: FeedLimits = DEFAULT_LIMITS,
    ) -> None:
        self._reactor = reactor
        self._clock = steady_clock(reactor)
        self._in_thread = thread_runner(reactor)
        self._source = source_of(source)
        self._receiver = receiver
        self._start = start
        self._limits = limits
        self._position: FeedPosition | None = None
        self._failure: Failure | None = None
        self._run: Run | None = None
        self.transactions = 0

    # -- the service ------------------------------------------------------------------------------------------

    @property
    def position(self) -> FeedPosition | None:
        """The position to store: all before it was taken. None before it is known where the feed begins."""
        return self._position

    def startService(self) -> None:
        """Begin, or go on at `position`."""
        Service.startService(self)
        if self._run is not None:
            if self._run.stopping:
                self._run.when_over.wait().addCallback(lambda _: self.startService() if self.running else None)
            return
        self._failure = None
        run = self._run = Run()
        self._source.grew = run.wake
        self._source.ended = run.lose
        done = Deferred.fromCoroutine(self._feed(run))
        done.addBoth(self._ended, run)

    def stopService(self) -> Deferred[None]:
        """Hand out nothing more.

        Returns:
            A Deferred that fires when the receiver is done with what it has, or, after `STOP_SECONDS`, was told
            by a cancelled Deferred to give it up.
        """
        if self.running:
            Service.stopService(self)
        run = self._run
        if run is None:
            return succeed(None)
        run.stop(self._clock, STOP_SECONDS)
        return run.when_over.wait()

    def when_ready(self) -> Deferred[FeedPosition]:
        """Wait until it is known where the feed goes on.

        Returns:
            A Deferred that fires with `position` then, at once where it is known already and the feed runs. It
            fails with what stopped the feed before that, or with `ServiceStopped`.
        """
        if self._run is not None and not self._run.ready.fired:
            return self._run.ready.wait()
        if self._run is not None and self._position is not None:
            return succeed(self._position)
        return fail(self._failure or Failure(self._not_running()))

    def _not_running(self) -> ServiceStopped:
        return ServiceStopped(f"the change feed of {self._source.name} does not run")

    def when_stopped(self) -> Deferred[FeedPosition | None]:
        """Wait until the feed has stopped.

        Returns:
            A Deferred that fires with `position` after a stop that was asked for, or fails with what stopped the
            feed: with what the receiver has failed with, with a `SpgReplError` or an `OSError`. Where the feed
            does not run it tells of the last time, and fires at once.
        """
        if self._run is not None:
            return self._run.stopped.wait()
        return succeed(self._position) if self._failure is None else fail(self._failure)

    def status(self) -> dict[str, Any]:
        """How the feed does, as plain values, for JSON."""
        position = None if self._position is None else self._position.position
        end = self._source.end if self._run is not None and self._source.known else None
        behind = None if position is None or end is None else max(0, end - position)
        return {
            "state": "stopped" if self._run is None else "taking" if self._run.taking is not None else "waiting",
            "position": position,
            "end": end,
            "lag": {"bytes": behind},
            "transactions": self.transactions,
            "error": None if self._failure is None else str(self._failure.value),
        }

    def _ended(self, result: Failure | None, run: Run) -> None:
        """The feed has stopped, for whatever reason."""
        self._source.stop()
        run.over()
        self._run = None
        if isinstance(result, Failure) and not run.explains(result):
            self._failed(result, run.stopped.heard or run.ready.heard)
        if self.running and not run.stopping:
            Service.stopService(self)
        # Each may start the feed again: what is told is what holds now.
        failure = self._failure
        unready = failure or Failure(self._not_running())
        run.stopped.fire(self._position if failure is None else failure)
        run.ready.fire(unready)
        run.when_over.fire(None)

    def _failed(self, failure: Failure, told: bool) -> None:
        """Keep what stopped the feed, and see that somebody learns of it."""
        self._failure = failure
        ours = isinstance(failure.value, SpgReplError)
        if told or ours:
            self._log.error(
                "the change feed of {name} stops at position {position}: {kind}: {error}",
                name=self._source.name,
                position=self._position,
                kind=type(failure.value).__name__,
                error=str(failure.value),
            )
        else:
            self._log.failure("the change feed of {name} stops", failure, name=self._source.name)

    # -- feeding ----------------------------------------------------------------------------------------------

    async def _feed(self, run: Run) -> None:
        source = self._source
        run.reading = source.known
        source.start()
        run.raise_lost()
        while not source.known and not run.stopping:
            await run.change()
        if run.stopping:
            return
        run.reading = True
        log = LogBytes(source.open(), source.base, source.name)
        keys = TableKeys(source.database)
        try:
            reader = await self._open(run, log, keys)
            while not run.stopping:
                portion = await self._in_thread(partial(reader.read, source.end))
                if await self._hand_out(run, portion) and not portion.more:
                    await run.change()
        finally:
            await self._in_thread(keys.close)
            log.close()

    async def _open(self, run: Run, log: LogBytes, keys: TableKeys) -> UnitReader:
        """Find out where to begin, and begin there."""
        source, end = self._source, self._source.end
        wanted = self._position if self._position is not None else self._start
        found = await self._in_thread(
            lambda: find_start(
                log, source.database, source.new_units, wanted, end, self._limits.max_record, lambda: run.stopping
            )
        )
        self._position = found
        run.ready.fire(found)
        decoder = ChangeDecoder(keys, found.rows)
        return UnitReader(log, found, source.new_units, decoder, self._limits)

    async def _hand_out(self, run: Run, portion: Portion) -> bool:
        """Hand out what was read; returns whether all of it was taken."""
        since = self._clock.seconds()
        for transaction in portion.transactions:
            if run.stopping:
                return False
            run.raise_lost()
            run.taking = maybeDeferred(self._receiver, transaction)
            try:
                await run.taking
            finally:
                run.taking = None
            self._position = transaction.position
            self.transactions += 1
            if self._clock.seconds() - since > _TURN_SECONDS:
                await deferLater(self._clock, 0)
                since = self._clock.seconds()
        self._position = portion.position
        return True
