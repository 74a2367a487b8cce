"""A follower of a server whose clients' transactions stand between each other in the log."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import defer, task

from spgrepl.errors import AmbiguousTransactions
from spgrepl.log.format.records import encode_checkpoint
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.replica.following import executing
from spgrepl.replica.following.states import FollowerState
from tests.spg_master import kit

MARKER_SECONDS = int(os.environ.get("SPGREPL_MARKERS", "2"))
"""For how many seconds 5,000 markers a second are written."""

COPIED = 10_000 if "SPGREPL_MARKERS" in os.environ else 2_000


class TransactionsTest(kit.OwnRowsCases):
    timeout = kit.SpgCase.timeout + 3 * MARKER_SECONDS

    @defer.inlineCallbacks
    def interleaved(self, first: str, second: str, **more: Any) -> Any:
        """Two transactions of which each has rows before and after the other's BEGIN."""
        service = yield self.begin(**more)
        one, two = self.database.client(), self.database.client()
        one.begin()
        one.insert("a", 1)
        two.begin("START TRANSACTION")
        two.insert("b", 1)
        one.insert("a", 2)
        self.database.execute("INSERT INTO b (id, name) VALUES (7, 'alone')")
        getattr(one, first)()
        two.insert("b", 2)
        getattr(two, second)()
        self.database.execute("INSERT INTO b (id, name) VALUES (8, 'after')")
        return service

    @defer.inlineCallbacks
    def test_both_commit(self) -> Any:
        service = yield self.interleaved("commit", "commit")
        yield service.when_applied(self.database.position, 30)
        assert self.database.ids("a") == [1, 2]
        self.assert_equal()
        assert service.status()["transactions"]["inside"] == 1

    @defer.inlineCallbacks
    def test_both_roll_back(self) -> Any:
        service = yield self.interleaved("rollback", "rollback")
        yield service.when_applied(self.database.position, 30)
        assert self.database.ids("b") == [7, 8]
        self.assert_equal()

    @defer.inlineCallbacks
    def test_they_differ(self) -> Any:
        """A named fault: nothing of them is applied, what went before is; and it stays so."""
        service = yield self.interleaved("commit", "rollback")
        yield self.until(lambda: isinstance(service._error, AmbiguousTransactions))
        yield self.until(lambda: len(self.server.starts) > 3)
        assert self.pairs("a") == []
        assert self.pairs("b") == [(7, "alone")]
        error = str(service.status()["error"])
        assert "2 transactions were open at the same time" in error
        assert "1 committed, 1 rolled back" in error
        assert "--ambiguous-transactions resnapshot" in error
        assert self.ended == []

    @defer.inlineCallbacks
    def test_they_differ_and_a_fresh_snapshot_is_taken(self) -> Any:
        choices = TransactionChoices(OnAmbiguity.RESNAPSHOT)
        service = yield self.interleaved("commit", "rollback", transactions=choices)
        yield service.when_applied(self.database.position, 30)
        yield self.until(lambda: service.status()["positions"]["source"] is not None)
        assert self.database.ids("b") == [7, 8]
        self.assert_equal()
        assert self.server.starts.count(0) == 2

    @defer.inlineCallbacks
    def test_they_differ_and_are_merged(self) -> Any:
        service = yield self.interleaved("rollback", "commit", transactions=TransactionChoices(OnAmbiguity.MERGE))
        yield service.when_applied(self.database.position, 30)
        assert [key for key, _ in self.pairs("a")] == [1, 2]
        assert [key for key, _ in self.pairs("b")] == [1, 2, 7, 8]
        assert service.status()["transactions"]["merged"] == 1

    @defer.inlineCallbacks
    def test_a_client_that_dies(self) -> Any:
        """What is committed by itself goes on; the status says what is open, and since when."""
        service = yield self.begin()
        begin = self.database.position
        dying = self.database.client()
        dying.begin()
        dying.insert("a", 1)
        dying.die()
        for key in range(10, 20):
            self.database.execute(f"INSERT INTO a (id, name) VALUES ({key}, 'x')")
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
        opened = service.status()["transactions"]["open"]
        assert (opened["position"], opened["transactions"], opened["held"]) == (begin, 1, 1)
        assert opened["bytes"] == self.database.position - begin
        # Of a later transaction nothing can be told.
        later = self.database.client()
        later.begin()
        later.insert("a", 2)
        later.commit()
        position = self.database.position
        yield self.applied(service, position)
        assert [key for key, _ in self.pairs("a")] == list(range(10, 20))
        # A wait for it does not say that its rows are there.
        waits = service.when_applied(position)
        yield self.applied(service, position)
        assert not waits.called
        waits.addErrback(lambda _: None)
        waits.cancel()

    @defer.inlineCallbacks
    def test_a_client_that_died_is_taken_for_dead(self) -> Any:
        service = yield self.begin(transactions=TransactionChoices(drop_after=0.2))
        dying = self.database.client()
        dying.copy("a", range(100), cut=50)
        self.database.execute("INSERT INTO a (id, name) VALUES (1000, 'x')")
        yield self.until(lambda: service.status()["transactions"]["dropped"] == 1)
        later = self.database.client()
        later.begin()
        later.insert("a", 2)
        later.commit()
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
        assert service.status()["transactions"]["open"] is None

    @defer.inlineCallbacks
    def test_one_that_was_taken_for_dead_and_commits_after_all(self) -> Any:
        service = yield self.begin(transactions=TransactionChoices(drop_after=0.1))
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 1)
        yield self.until(lambda: service.status()["transactions"]["dropped"] == 1)
        slow.insert("a", 2)
        slow.commit()
        yield self.until(lambda: isinstance(service._error, AmbiguousTransactions))
        assert "was committed after all: its first statements are missing" in str(service._error)

    @defer.inlineCallbacks
    def test_a_restart_neither_loses_nor_repeats(self) -> Any:
        """With a transaction open since before, rows applied since, and a cut in mid-record."""
        service = yield self.begin()
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 1, 2)
        for key in range(10, 60):
            self.database.execute(f"INSERT INTO b (id, name) VALUES ({key}, 'x')")
            if key % 10 == 0:
                yield self.caught_up(service)
                yield service.stopService()
                service.startService()
            elif key % 10 == 5:
                self.server.split()
                self.server.heal()
        slow.insert("a", 3)
        yield self.caught_up(service)
        assert self.pairs("a") == []
        slow.commit()
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()
        assert self.server.starts.count(0) == 1

    @defer.inlineCallbacks
    def test_commit_and_chain(self) -> Any:
        service = yield self.begin()
        client = self.database.client()
        client.begin("BEGIN ISOLATION LEVEL SERIALIZABLE")
        client.insert("a", 1)
        client.commit("COMMIT AND CHAIN")
        client.insert("a", 2)
        yield service.when_applied(self.database.position, 30)
        assert self.pairs("a") == [(1, "row 1")]
        yield service.stopService()
        service.startService()
        client.insert("a", 3)
        client.rollback("ABORT AND CHAIN")
        client.insert("a", 4)
        client.commit("END")
        yield service.when_applied(self.database.position, 30)
        assert self.database.ids("a") == [1, 4]
        self.assert_equal()

    @defer.inlineCallbacks
    def test_a_snapshot_inside_of_a_transaction(self) -> Any:
        """The COMMIT without its BEGIN is counted and named; a fresh snapshot heals it where told."""
        slow = self.database.client()
        slow.begin()
        slow.insert("a", 1)
        service = yield self.begin()
        slow.insert("a", 2)
        slow.commit()
        self.database.execute("INSERT INTO b (id, name) VALUES (1, 'x')")
        yield service.when_applied(self.database.position, 30)
        assert service.status()["transactions"]["commits_without_begin"] == 1
        assert [key for key, _ in self.pairs("a")] == [2]
        yield service.stopService()
        again = self.follow(service._endpoint, transactions=TransactionChoices(OnAmbiguity.RESNAPSHOT))
        yield self.until(lambda: self.server.starts.count(0) == 2 and again.state is FollowerState.STREAMING)
        self.assert_equal()
        assert again.status()["transactions"]["commits_without_begin"] == 0

    @defer.inlineCallbacks
    def test_further_on_a_row_that_is_there_is_a_fault(self) -> Any:
        self.patch(executing, "OWN_ROWS_WITHIN", 0)
        self.server.snapshot_position = self.database.position
        self.database.client().insert("a", 1)
        service = self.follow((yield self.serve()))
        yield self.until(lambda: service.status()["error"])
        assert "UNIQUE constraint failed: a.id" in service.status()["error"]

    @defer.inlineCallbacks
    def test_markers_by_the_thousand(self) -> Any:
        """Asynchronous commit: 5,000 markers a second, also inside of a transaction; nothing falls behind."""
        service = yield self.begin()
        client = self.database.client()
        client.begin()
        for key in range(10 * MARKER_SECONDS):
            data, at = b"", self.database.position
            for _ in range(500):
                data += encode_checkpoint(at + len(data))
            self.database.append(data)
            client.insert("a", key)
            self.database.execute(f"INSERT INTO b (id, name) VALUES ({key}, 'x')")
            if MARKER_SECONDS > 2:
                yield task.deferLater(self.reactor, 0.1)
                assert self.database.position - (service.status()["positions"]["applied"] or 0) < 500_000
        client.commit()
        yield service.when_applied(self.database.position, 30)
        self.assert_equal()

    @defer.inlineCallbacks
    def test_rows_of_copy_and_one_that_is_cut(self) -> Any:
        service = yield self.begin()
        self.database.client().copy("a", range(COPIED))
        self.database.client().copy("b", range(COPIED), cut=COPIED // 2)
        self.database.execute("INSERT INTO b (id, name) VALUES (50000, 'x')")
        yield service.when_applied(self.database.position, 30)
        assert len(self.database.rows("a")) == COPIED
        assert self.database.ids("b") == [50000]
        self.assert_equal()


class LateBeginTest(TransactionsTest):
    """The same with a server from 9.0.5 on, which writes BEGIN late, and markers between all records."""

    def make_database(self, **more: Any) -> Any:
        return super().make_database(late_begin=True, asynchronous=True)
