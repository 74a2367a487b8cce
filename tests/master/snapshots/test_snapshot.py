"""Who gets which snapshot, and how each one ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.errors import ConnectionRefused, LogTruncated, ServiceStopped, SnapshotError
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.snapshots.snapshot import SETTLE_SECONDS, OpenSnapshot, SnapshotTicket
from tests.master.kit import Master


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.master = Master(self.folder, bytes(100), MasterLimits(snapshots=2, snapshot_age=30))
        self.store = self.master.store
        self.threads = self.master.threads
        self.addCleanup(self.master.close)
        self.results: dict[SnapshotTicket, OpenSnapshot] = {}

    def opened(self, ticket: SnapshotTicket) -> OpenSnapshot:
        if ticket not in self.results:
            self.results[ticket] = self.successResultOf(ticket.ready)
        assert isinstance(self.results[ticket], OpenSnapshot)
        return self.results[ticket]

    def spooled(self) -> list[str]:
        return [path.name for path in self.folder.glob("spool/*/*") if path.name != "lock"]

    def test_made_and_without_a_name(self) -> None:
        ticket = self.store.obtain()
        snapshot = self.opened(ticket)
        assert (snapshot.length, snapshot.position) == (8, 0)
        assert self.spooled() == []
        assert self.store.status() == {"made": 1, "shared": 0, "failed": 0, "making": 0, "open": 1}
        ticket.release()
        ticket.release()
        assert self.store.status()["open"] == 0

    def test_no_descriptor_is_left(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            self.store.obtain().release()
        # The lock of the spool folder stays.
        assert len(os.listdir("/proc/self/fd")) == before + 1

    def test_shared_while_it_is_made(self) -> None:
        self.threads.hold()
        tickets = [self.store.obtain() for _ in range(3)]
        self.master.clock.advance(1000)
        tickets.append(self.store.obtain())
        self.threads.release()
        assert len({id(self.opened(ticket)) for ticket in tickets}) == 1
        assert self.master.source.saved == 1
        assert self.store.status()["shared"] == 3

    def test_shared_while_it_is_young(self) -> None:
        first = self.store.obtain()
        self.master.clock.advance(29)
        second = self.store.obtain()
        assert self.opened(first) is self.opened(second)
        self.master.clock.advance(2)
        third = self.store.obtain()
        assert self.opened(third) is not self.opened(second)
        assert self.master.source.saved == 2

    def test_open_for_as_long_as_somebody_reads_it(self) -> None:
        first, second = self.store.obtain(), self.store.obtain()
        snapshot = self.opened(first)
        first.release()
        assert self.successResultOf(snapshot.reader.read_later(0, 8)) == b"SNAPSHOT"
        self.opened(second)
        second.release()
        assert self.store.status()["open"] == 0

    def test_not_shared_when_nobody_reads_it_any_more(self) -> None:
        self.store.obtain().release()
        self.opened(self.store.obtain())
        assert self.master.source.saved == 2

    def test_at_the_limit_the_youngest_is_shared(self) -> None:
        first = self.store.obtain()
        self.master.clock.advance(31)
        second = self.store.obtain()
        self.master.clock.advance(31)
        third = self.store.obtain()
        assert self.master.source.saved == 2
        assert self.opened(third) is self.opened(second) is not self.opened(first)

    def test_given_back_while_it_is_made(self) -> None:
        self.threads.hold()
        ticket = self.store.obtain()
        ticket.release()
        self.threads.release()
        self.assertNoResult(ticket.ready)
        assert self.store.status() == {"made": 1, "shared": 0, "failed": 0, "making": 0, "open": 0}

    def test_one_of_two_given_back_while_it_is_made(self) -> None:
        self.threads.hold()
        first, second = self.store.obtain(), self.store.obtain()
        first.release()
        self.threads.release()
        self.assertNoResult(first.ready)
        self.opened(second)

    def test_failure(self) -> None:
        for error, words in (
            (SnapshotError("no state row"), "no state row"),
            (OSError(28, "No space left on device"), "No space left"),
            (ValueError("a fault of the source"), "a fault of the source"),
        ):
            self.master.source.error = error
            failure = self.failureResultOf(self.store.obtain().ready, SnapshotError)
            assert words in str(failure.value)
            assert self.spooled() == [], "no part is left"
        assert len(self.flushLoggedErrors(ValueError)) == 1
        assert self.store.status() == {"made": 0, "shared": 0, "failed": 3, "making": 0, "open": 0}

    def test_each_holder_is_told_of_a_failure(self) -> None:
        self.threads.hold()
        tickets = [self.store.obtain() for _ in range(3)]
        self.master.source.error = SnapshotError("none")
        self.threads.release()
        for ticket in tickets:
            self.failureResultOf(ticket.ready, SnapshotError)
            ticket.release()
        assert self.store.status()["failed"] == 1

    def test_source_that_returns_no_position(self) -> None:
        self.master.source.position = None  # type: ignore[assignment]
        self.failureResultOf(self.store.obtain().ready, SnapshotError)
        assert len(self.flushLoggedErrors(TypeError)) == 1
        assert self.store.status() == {"made": 1, "shared": 0, "failed": 1, "making": 0, "open": 0}

    def test_source_that_writes_nothing(self) -> None:
        self.master.source.save = lambda path: 0  # type: ignore[method-assign]
        failure = self.failureResultOf(self.store.obtain().ready, SnapshotError)
        assert "No such file" in str(failure.value)

    def test_empty(self) -> None:
        self.master.source.content = b""
        failure = self.failureResultOf(self.store.obtain().ready, SnapshotError)
        assert "empty" in str(failure.value)
        assert self.store.status()["open"] == 0

    def test_waits_for_the_log_to_be_published(self) -> None:
        """The snapshot may see a commit whose log bytes the tailer has not looked at yet."""
        self.master.source.position = 105
        first, second = self.store.obtain(), self.store.obtain()
        self.master.log.grow(bytes(4))
        self.assertNoResult(first.ready)
        self.master.log.grow(bytes(1))
        assert self.opened(first).position == 105
        assert self.opened(first) is self.opened(second)
        self.master.clock.advance(SETTLE_SECONDS)
        self.opened(self.store.obtain())

    def test_position_that_the_log_has_not_got(self) -> None:
        self.master.source.position = 105
        first, second = self.store.obtain(), self.store.obtain()
        self.master.clock.advance(SETTLE_SECONDS)
        for ticket in (first, second):
            failure = self.failureResultOf(ticket.ready, SnapshotError)
            assert "position 105, the log ends at 100" in str(failure.value)
        assert self.store.status()["failed"] == 1
        first.release()

    def test_given_back_while_the_log_is_waited_for(self) -> None:
        self.master.source.position = 105
        calls = len(self.master.clock.getDelayedCalls())
        ticket = self.store.obtain()
        ticket.release()
        assert len(self.master.clock.getDelayedCalls()) == calls
        assert self.store.status() == {"made": 1, "shared": 0, "failed": 0, "making": 0, "open": 0}

    def test_log_lost_in_each_state(self) -> None:
        opened = self.store.obtain()
        snapshot = self.opened(opened)
        self.master.clock.advance(31)
        self.threads.hold()
        making = self.store.obtain()
        reason = LogTruncated("it was truncated")
        self.store.invalidate(reason)
        assert self.failureResultOf(making.ready, LogTruncated).value is reason
        with pytest.raises(ConnectionRefused, match="2 snapshots belong, as many as may exist at once"):
            self.store.obtain()
        opened.release()
        fresh = self.store.obtain()
        self.threads.release()
        assert self.opened(fresh) is not snapshot
        assert self.store.status()["open"] == 1

    def test_log_lost_while_it_is_waited_for(self) -> None:
        self.master.source.position = 105
        ticket = self.store.obtain()
        self.store.invalidate(LogTruncated("it was truncated"))
        self.failureResultOf(ticket.ready, LogTruncated)
        assert self.store.status()["open"] == self.store.status()["making"] == 0

    def test_failure_after_the_log_was_lost(self) -> None:
        self.threads.hold()
        ticket = self.store.obtain()
        self.store.invalidate(LogTruncated("it was truncated"))
        self.failureResultOf(ticket.ready, LogTruncated)
        self.master.source.error = SnapshotError("none")
        self.threads.release()
        assert self.store.status() == {"made": 0, "shared": 0, "failed": 0, "making": 0, "open": 0}

    def test_close(self) -> None:
        self.opened(self.store.obtain())
        self.master.clock.advance(31)
        self.threads.hold()
        ticket = self.store.obtain()
        closed = self.store.close()
        self.failureResultOf(ticket.ready, ServiceStopped)
        self.threads.release()
        self.successResultOf(closed)
        assert list((self.folder / "spool").iterdir()) == []
