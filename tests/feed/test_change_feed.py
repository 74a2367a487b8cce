"""`ChangeFeed` on a primary in this process: order, back-pressure, stops and starts, and what ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

import spgrepl.feed.service as service_module
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import HistoryDiverged, LogTruncated, ServiceStopped, UsageError
from spgrepl.feed.reader import FeedLimits
from spgrepl.feed.service import ChangeFeed
from spgrepl.feed.values import FeedKind, FeedPosition, FeedStart, FeedTransaction
from spgrepl.primary import Primary

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


class Taker:
    """A receiver that keeps what it gets, and waits where it is told to."""

    def __init__(self) -> None:
        self.taken: list[FeedTransaction] = []
        self.answers: list[Deferred[None]] = []
        self.patient = False
        self._wanted = 0
        self._waiter: Deferred[None] | None = None

    def __call__(self, transaction: FeedTransaction) -> Deferred[None] | None:
        """Take a transaction."""
        self.taken.append(transaction)
        answer: Deferred[None] | None = None
        if self.patient:
            answer = Deferred()
            self.answers.append(answer)
        if self._waiter is not None and len(self.taken) >= self._wanted:
            waiter, self._waiter = self._waiter, None
            waiter.callback(None)
        return answer

    def wait(self, count: int) -> Deferred[None]:
        """Wait until so many have been taken in all."""
        waiter: Deferred[None] = Deferred()
        if len(self.taken) >= count:
            waiter.callback(None)
        else:
            self._wanted, self._waiter = count, waiter
        return waiter

    def numbers(self) -> list[object]:
        """The ids of the rows that were inserted."""
        return [
            change.after["id"]
            for one in self.taken
            for change in one.changes
            if change.kind is FeedKind.INSERT and change.after is not None
        ]


class ChangeFeedTests(TestCase):
    """A feed of a primary."""

    timeout = 60

    def setUp(self) -> Deferred[Any]:
        """Open a new database."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.paths = DatabasePaths.of(folder / "primary.db")
        self.primary = Primary(reactor, self.paths)
        self.taker = Taker()
        self.addCleanup(deferLater, reactor, 0, lambda: None)
        self.addCleanup(self.primary.close)
        return self.primary.open().addCallback(lambda _: self.primary.execute(TABLE))

    def feed(self, start: Any = FeedStart.BEGINNING, **more: Any) -> ChangeFeed:
        """A feed that runs, until the test ends at the latest."""
        feed = ChangeFeed(reactor, self.primary, self.taker, start, **more)
        feed.startService()
        self.addCleanup(feed.stopService)
        return feed

    @inlineCallbacks
    def test_what_is_committed_is_handed_out_in_order(self) -> Any:
        """What was there before comes first, then what is written meanwhile; rolled-back work never."""
        position = yield self.primary.execute("INSERT INTO t VALUES (1, 'x')")
        feed = self.feed()
        yield self.taker.wait(2)
        assert [str(change.kind) for one in self.taker.taken for change in one.changes] == ["statement", "insert"]
        assert self.taker.taken[1].changes[0].key == ("id",)
        assert self.taker.taken[1].position.position == position
        yield self.primary.transaction(
            [
                "INSERT INTO t VALUES (2, 1)",
                "SAVEPOINT s",
                "DELETE FROM t",
                "ROLLBACK TO s",
                "UPDATE t SET a = NULL",
            ]
        )
        yield self.taker.wait(3)
        assert [str(change.kind) for change in self.taker.taken[2].changes] == ["insert", "update", "update"]
        yield feed.stopService()
        assert feed.position == self.taker.taken[2].position
        assert (yield feed.when_stopped()) == feed.position
        yield self.primary.execute("INSERT INTO t VALUES (3, 'x')")
        assert len(self.taker.taken) == 3

    @inlineCallbacks
    def test_one_transaction_at_a_time(self) -> Any:
        """The next one comes when the Deferred of the one before has fired; the position moves with it."""
        yield self.primary.execute_many("INSERT INTO t VALUES (?, ?)", [(1, "x")])
        yield self.primary.execute("INSERT INTO t VALUES (2, 'x')")
        self.taker.patient = True
        feed = self.feed(FeedStart.BEGINNING)
        for count in (1, 2, 3):
            yield self.taker.wait(count)
            yield deferLater(reactor, 0)
            assert len(self.taker.taken) == count
            assert feed.status()["state"] == "taking"
            assert feed.position is not None
            before = self.taker.taken[count - 2].position if count > 1 else None
            assert before is None or feed.position == before
            self.taker.answers[count - 1].callback(None)
        assert self.taker.numbers() == [1, 2]

    @inlineCallbacks
    def test_a_feed_goes_on_where_it_was(self) -> Any:
        """Whatever was not taken before a stop comes again, to a new feed as well, and nothing else does."""
        for number in range(4):
            yield self.primary.execute("INSERT INTO t VALUES (?, NULL)", (number,))
        self.taker.patient = True
        feed = self.feed()
        yield self.taker.wait(1)
        self.taker.answers[0].callback(None)
        yield self.taker.wait(2)
        self.patch(service_module, "STOP_SECONDS", 0.01)
        yield feed.stopService()
        assert feed.position == self.taker.taken[0].position
        self.taker.patient = False
        feed.startService()
        yield self.taker.wait(6)
        yield feed.stopService()
        assert self.taker.numbers() == [0, 0, 1, 2, 3]
        stored = FeedPosition.parse(str(self.taker.taken[3].position))
        self.taker = Taker()
        self.feed(stored)
        yield self.taker.wait(2)
        assert self.taker.numbers() == [2, 3]

    @inlineCallbacks
    def test_a_feed_that_is_stopped_and_started_at_once_goes_on(self) -> Any:
        """A start that comes while the feed stops is not lost."""
        feed = self.feed()
        stopped = feed.stopService()
        feed.startService()
        yield stopped
        yield self.taker.wait(1)
        assert feed.running

    @inlineCallbacks
    def test_only_what_comes(self) -> Any:
        """From the end, and from a position that a write was answered with."""
        position = yield self.primary.execute("INSERT INTO t VALUES (1, NULL)")
        feed = self.feed(FeedStart.END)
        ready = yield feed.when_ready()
        assert ready == feed.position == (yield feed.when_ready())
        yield self.primary.execute("INSERT INTO t VALUES (2, NULL)")
        yield self.taker.wait(1)
        yield feed.stopService()
        yield self.assertFailure(feed.when_ready(), ServiceStopped)
        self.feed(position)
        yield self.taker.wait(2)
        assert self.taker.numbers() == [2, 2]

    @inlineCallbacks
    def test_a_long_transaction_comes_in_parts(self) -> Any:
        """The position to store stands before it until its last part."""
        yield self.primary.execute_many(
            "INSERT INTO t VALUES (?, ?)", [(number, "x" * 50) for number in range(500)]
        )
        self.feed(limits=FeedLimits(part_size=5000))
        yield self.taker.wait(2)
        while not self.taker.taken[-1].complete:
            yield self.taker.wait(len(self.taker.taken) + 1)
        parts = self.taker.taken[1:]
        assert len(parts) > 5
        assert self.taker.numbers() == list(range(500))
        assert {part.position for part in parts[:-1]} == {self.taker.taken[0].position}
        assert [part.number for part in parts] == list(range(len(parts)))
        assert parts[-1].position.position == self.primary.position

    @inlineCallbacks
    def test_a_receiver_that_fails_stops_the_feed(self) -> Any:
        """The failure is told, and the transaction comes again after a start."""

        async def fail_once(transaction: FeedTransaction) -> None:
            self.taker(transaction)
            if len(self.taker.taken) == 1:
                raise KeyError("a bug")

        feed = ChangeFeed(reactor, self.primary, fail_once, FeedStart.BEGINNING)
        feed.startService()
        self.addCleanup(feed.stopService)
        yield self.assertFailure(feed.when_stopped(), KeyError)
        yield self.assertFailure(feed.when_stopped(), KeyError)
        assert not feed.running
        assert "a bug" in feed.status()["error"]
        feed.startService()
        yield self.taker.wait(2)
        assert self.taker.taken[0] == self.taker.taken[1]
        assert feed.status()["error"] is None

    @inlineCallbacks
    def test_a_failure_that_nobody_waits_for_is_logged(self) -> Any:
        """A receiver's own error, with its traceback."""

        def fail(_: FeedTransaction) -> None:
            raise KeyError("a bug")

        feed = ChangeFeed(reactor, self.primary, fail, FeedStart.BEGINNING)
        feed.startService()
        while feed.running:
            yield deferLater(reactor, 0.01)
        assert len(self.flushLoggedErrors(KeyError)) == 1

    @inlineCallbacks
    def test_a_primary_that_is_closed_ends_the_feed(self) -> Any:
        """And one that is not open is not waited for."""
        feed = self.feed()
        yield self.taker.wait(1)
        ended = self.assertFailure(feed.when_stopped(), ServiceStopped)
        yield self.primary.close()
        yield ended
        feed.startService()
        yield self.assertFailure(feed.when_stopped(), ServiceStopped)
        yield self.primary.open()
        yield self.primary.execute("INSERT INTO t VALUES (1, NULL)")
        feed.startService()
        yield self.taker.wait(2)
        assert self.taker.numbers() == [1]

    @inlineCallbacks
    def test_a_start_that_does_not_fit_is_named(self) -> Any:
        """A different history, a position after the end, a place inside of a transaction."""
        position = yield self.primary.transaction(["INSERT INTO t VALUES (1, NULL)", "DELETE FROM t"])
        wrong = FeedPosition(position, rows=True, compared_from=position - 10, crc=1)
        for start, error in ((wrong, HistoryDiverged), (position + 1, LogTruncated), (position - 14, UsageError)):
            feed = self.feed(start)
            yield self.assertFailure(feed.when_ready(), error)
            yield self.assertFailure(feed.when_stopped(), error)
        assert self.taker.taken == []

    @inlineCallbacks
    def test_the_status_says_how_far_it_is(self) -> Any:
        """Positions, and what lies between them."""
        feed = self.feed(FeedStart.END)
        yield feed.when_ready()
        assert feed.status() == {
            "state": "waiting",
            "position": self.primary.position,
            "end": self.primary.position,
            "lag": {"bytes": 0},
            "transactions": 0,
            "error": None,
        }
