"""`Primary`: many callers, one writer, and an end to all of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

import spgrepl.primary.writing.writer as writer_module
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import (
    DatabaseLocked,
    EngineFailed,
    FileLost,
    Overloaded,
    ServiceStopped,
    StatementFailed,
    UsageError,
)
from spgrepl.log.reader import Damage, scan_log
from spgrepl.log.wal_level import WalLevel
from spgrepl.primary import Position, Primary, QueryResult
from spgrepl.primary.writing.request_queue import PrimaryLimits
from tests.primary.copying import logged

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


class PrimaryTests(TestCase):
    """A primary in this process, with its threads."""

    timeout = 60

    def setUp(self) -> Deferred[Any]:
        """Open a new database."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.paths = DatabasePaths.of(folder / "primary.db")
        self.primary = Primary(reactor, self.paths)
        # The last to run, so that a test ends in a turn of the reactor of its own and not in the middle of what a
        # thread handed over: the clean-up of trial, which turns the reactor, would find that a second time.
        self.addCleanup(deferLater, reactor, 0, lambda: None)
        self.addCleanup(self.primary.close)
        return self.primary.open()

    @inlineCallbacks
    def test_a_database_that_is_taken_away_is_noticed_while_nobody_writes(self) -> Any:
        """It is named, and nothing is acknowledged any more."""
        assert self.primary.error is None
        database = self.primary.paths.database
        database.rename(database.with_name("away"))
        while self.primary.error is None:
            yield deferLater(reactor, 0.02)
        assert f"{database} was moved away" in str(self.primary.error)
        yield self.assertFailure(self.primary.execute(TABLE), FileLost)

    @inlineCallbacks
    def test_write_and_read(self) -> Any:
        """A row that was acknowledged is seen by the next query, and is in the log."""
        first = yield self.primary.execute(TABLE)
        second = yield self.primary.transaction(["INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b')"])
        found = yield self.primary.query("SELECT a FROM t WHERE id > ?", (1,))
        assert found == QueryResult(("a",), [("b",)])
        assert second == self.paths.wal.stat().st_size
        assert self.primary.position == second
        assert first < second

    @inlineCallbacks
    def test_concurrent_callers_share_fsyncs(self) -> Any:
        """Requests that come while others are written go together, in the order in which they came."""
        yield self.primary.execute(TABLE)
        synced: list[int] = []
        real = os.fdatasync
        self.patch(os, "fdatasync", lambda handle: (synced.append(handle), real(handle)))
        positions = yield gatherResults(
            [self.primary.execute(f"INSERT INTO t VALUES ({number}, 'x')") for number in range(1000)]
        )
        assert positions == sorted(positions)
        assert len(synced) < 10
        assert logged(self.paths.wal)[1:] == [f"INSERT INTO t(id,a)VALUES({number},'x')" for number in range(1000)]

    @inlineCallbacks
    def test_each_caller_gets_their_own_answer(self) -> Any:
        """Failures go to those who asked for what failed."""
        yield self.primary.execute(TABLE)
        results = yield DeferredList(
            [
                self.primary.execute("INSERT INTO t VALUES (1, 'a')"),
                self.primary.execute("INSERT INTO t VALUES (1, 'again')"),
                self.primary.transaction(["INSERT INTO t VALUES (2, 'b')", "UPDATE t SET a = nowhere()"]),
                self.primary.execute("INSERT INTO t VALUES (3, 'c')"),
            ],
            consumeErrors=True,
        )
        assert [success for success, _ in results] == [True, False, False, True]
        assert isinstance(results[1][1].value, StatementFailed)
        assert isinstance(results[2][1].value, StatementFailed)
        assert results[2][1].value.number == 2
        found = yield self.primary.query("SELECT id FROM t")
        assert found.rows == [(1,), (3,)]

    @inlineCallbacks
    def test_closing_finishes_what_was_asked_for(self) -> Any:
        """All that was asked for before is done; what is asked for afterwards fails at once."""
        yield self.primary.execute(TABLE)
        asked = [self.primary.execute(f"INSERT INTO t VALUES ({number}, 'x')") for number in range(2000)]
        query = self.primary.query("SELECT count(*) FROM t")
        closing = [self.primary.close(), self.primary.close()]
        for late in (
            self.primary.execute("DELETE FROM t"),
            self.primary.transaction(["DELETE FROM t"]),
            self.primary.query("SELECT 1"),
        ):
            self.failureResultOf(late, ServiceStopped)
        positions = yield gatherResults(asked)
        yield query
        yield gatherResults(closing)
        yield self.primary.close()
        assert positions[-1] == self.paths.wal.stat().st_size
        assert self.primary.pending == 0
        assert scan_log(self.paths.wal).damage == Damage.NONE

    @inlineCallbacks
    def test_open_again(self) -> Any:
        """A primary that was closed may be opened again."""
        yield self.primary.execute(TABLE)
        yield self.primary.close()
        position = yield self.primary.open()
        assert position == self.paths.wal.stat().st_size
        yield self.primary.execute("INSERT INTO t VALUES (1, 'a')")

    @inlineCallbacks
    def test_close_while_opening(self) -> Any:
        """Closing waits until opening has ended; nobody is left waiting."""
        yield self.primary.close()
        opening = self.primary.open()
        yield gatherResults([self.primary.close(), self.primary.close()])
        assert self.successResultOf(opening) == 0
        self.failureResultOf(self.primary.execute(TABLE), ServiceStopped)

    @inlineCallbacks
    def test_a_second_primary(self) -> Any:
        """It is refused, may be closed all the same, and opens when the first has gone."""
        second = Primary(reactor, self.paths)
        opening = second.open()
        closing = second.close()
        yield self.assertFailure(opening, DatabaseLocked)
        yield closing
        yield self.primary.close()
        yield second.open()
        yield second.close()

    def test_opening_twice(self) -> None:
        """It is open already."""
        self.failureResultOf(self.primary.open(), UsageError)

    def test_what_is_no_transaction(self) -> None:
        """A list is asked for, with something in it."""
        self.failureResultOf(self.primary.transaction([]), UsageError)
        self.failureResultOf(self.primary.transaction("DELETE FROM t"), UsageError)
        self.failureResultOf(self.primary.transaction([b"DELETE FROM t"]), UsageError)  # type: ignore[list-item]
        self.failureResultOf(self.primary.query(b"SELECT 1"), UsageError)  # type: ignore[arg-type]

    @inlineCallbacks
    def test_a_request_that_waits_is_cancelled(self) -> Any:
        """It is left out; one that is under way is carried out, and only its answer is lost."""
        yield self.primary.execute(TABLE)
        yield deferLater(reactor, 0)  # whoever asks while answers are given shares a group with the others who do
        first = self.primary.execute("INSERT INTO t VALUES (1, 'a')")
        second = self.primary.execute("INSERT INTO t VALUES (2, 'b')")
        third = self.primary.execute("INSERT INTO t VALUES (3, 'c')")
        first.cancel()
        second.cancel()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(second, CancelledError)
        yield third
        found = yield self.primary.query("SELECT id FROM t")
        assert found.rows == [(1,), (3,)]

    @inlineCallbacks
    def test_all_waiting_requests_are_cancelled(self) -> Any:
        """Closing does not wait for what is not there any more."""
        first = self.primary.execute(TABLE)
        second = self.primary.execute("INSERT INTO t VALUES (2, 'b')")
        closing = self.primary.close()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        yield first
        yield closing

    @inlineCallbacks
    def test_a_query_is_interrupted(self) -> Any:
        """Queries that would take for ever end when they are cancelled, begun or not; others go on."""
        endless = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
        running = [self.primary.query(endless) for _ in range(3)]
        other = yield self.primary.query("SELECT 1")
        assert other.rows == [(1,)]
        running += [self.primary.query(endless) for _ in range(10)]
        for query in running:
            query.cancel()
            self.failureResultOf(query, CancelledError)
        yield self.primary.close()

    @inlineCallbacks
    def test_what_statements_return(self) -> Any:
        """The position carries the rows of RETURNING and SHOW."""
        created = yield self.primary.execute(TABLE)
        assert (type(created), created.results) == (Position, ())
        inserted = yield self.primary.execute("INSERT INTO t VALUES (1, 'a') RETURNING a")
        assert inserted.results == (QueryResult(("a",), [("a",)]),)
        position = yield self.primary.transaction(
            ["CREATE PUBLICATION p FOR TABLE t", "SHOW PUBLICATIONS", "DELETE FROM t RETURNING id"]
        )
        assert [result.rows for result in position.results] == [[("p", "FOR TABLE t", 1)], [(1,)]]
        asked = [self.primary.execute(sql) for sql in ("CREATE PUBLICATION q", "SHOW PUBLICATIONS")]
        written, shown = yield gatherResults(asked)
        assert (written, shown.results[0].rows[1]) == (shown, ("q", "FOR ALL TABLES", None))
        found = yield self.primary.query("SHOW PUBLICATIONS")
        assert found == shown.results[0]
        yield self.assertFailure(self.primary.execute("DROP PUBLICATION r"), StatementFailed)

    @inlineCallbacks
    def test_a_listener_that_raises_is_logged_and_keeps_nobody_from_anything(self) -> Any:
        """Neither the others, nor the writer's answers, nor the end."""
        told: list[str] = []

        def fails() -> None:
            told.append("fails")
            raise RuntimeError("a listener's own fault")

        self.primary.add_catalogue_listener(fails)
        self.primary.add_catalogue_listener(lambda: told.append("other"))
        yield self.primary.execute("CREATE PUBLICATION p")
        assert told == ["fails", "other"]
        yield self.primary.close()
        yield self.primary.open()
        assert told == ["fails", "other"] * 2
        yield self.primary.close()
        assert len(self.flushLoggedErrors(RuntimeError)) == told.count("fails")

    @inlineCallbacks
    def test_the_wal_level(self) -> Any:
        """It is set and shown, tells whoever shares it, and is neither logged nor kept."""
        told: list[str] = []
        self.primary.wal_level.add_listener(told.append)
        show = "SHOW effective_wal_level"
        position = yield self.primary.execute("SET effective_wal_level = 'logical'")
        assert (position, position.results, told) == (0, (), ["logical"])
        shown = yield self.primary.execute(show)
        assert shown.results == (QueryResult(("effective_wal_level",), [("logical",)]),)
        found = yield self.primary.query(show)
        assert found == shown.results[0]
        assert self.paths.wal.stat().st_size == 0
        for refused in (
            self.primary.execute("SET effective_wal_level = 'minimal'"),
            self.primary.transaction(["SET effective_wal_level TO replica"]),
            self.primary.query("SET effective_wal_level TO replica"),
            self.primary.query(show, (1,)),
        ):
            yield self.assertFailure(refused, StatementFailed)
        assert self.primary.wal_level.value == "logical"
        shared = WalLevel("logical")
        assert Primary(reactor, self.paths, wal_level=shared).wal_level is shared
        assert Primary(reactor, self.paths).wal_level.value == "replica"

    @inlineCallbacks
    def test_waiting_for_a_position(self) -> Any:
        """The row comes when the position is durable, or when the time is over; others go on meanwhile."""
        reached, missed = QueryResult(("reached",), [(1,)]), QueryResult(("reached",), [(0,)])
        position = yield self.primary.execute(TABLE)
        at_once = yield self.primary.query(f"WAIT FOR WAL POSITION {position}")
        assert at_once == reached
        waiting = self.primary.execute(f"WAIT FOR WAL POSITION {position + 1}")
        too_long = yield self.primary.query(f"WAIT FOR WAL POSITION {position + 1} WITH TIMEOUT 10")
        assert too_long == missed
        self.assertNoResult(waiting)
        later = yield self.primary.execute("INSERT INTO t VALUES (1, 'a')")
        answer = yield waiting
        assert (answer, answer.results) == (later, (reached,))

    @inlineCallbacks
    def test_waiting_ends_with_the_primary(self) -> Any:
        """What was asked for before comes first; a cancelled wait is forgotten."""
        position = yield self.primary.execute(TABLE)
        cancelled = self.primary.query("WAIT FOR WAL POSITION 1000000")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        never = self.primary.query("WAIT FOR WAL POSITION 1000000 WITH TIMEOUT 3600000")
        soon = self.primary.query(f"WAIT FOR WAL POSITION {position + 1}")
        last = self.primary.execute("INSERT INTO t VALUES (1, 'a')")
        closing = self.primary.close()
        self.failureResultOf(self.primary.query("WAIT FOR WAL POSITION 1"), ServiceStopped)
        yield gatherResults([last, soon])
        yield self.assertFailure(never, ServiceStopped)
        yield closing
        yield self.primary.open()
        again = yield self.primary.query("WAIT FOR WAL POSITION 1")
        assert again.rows == [(1,)]

    @inlineCallbacks
    def test_many_queries(self) -> Any:
        """More than there are threads wait their turn, and a failing one harms nobody."""
        queries = [self.primary.query("SELECT ?", (number,)) for number in range(50)]
        broken = self.primary.query("SELECT FROM")
        found = yield gatherResults(queries)
        assert [result.rows for result in found] == [[(number,)] for number in range(50)]
        yield self.assertFailure(broken, StatementFailed)

    @inlineCallbacks
    def test_too_much_at_once(self) -> Any:
        """Beyond the bound a request fails at once, and those before it are done."""
        yield self.primary.close()
        small = Primary(reactor, self.paths, limits=PrimaryLimits(requests=3))
        yield small.open()
        asked = [small.execute(f"CREATE TABLE t{number} (a)") for number in range(3)]
        self.failureResultOf(small.execute(TABLE), Overloaded)
        queries = [small.query("SELECT 1") for _ in range(3)]
        self.failureResultOf(small.query("SELECT 1"), Overloaded)
        yield gatherResults([gatherResults(asked), gatherResults(queries)])
        yield small.execute(TABLE)
        yield small.close()
        narrow = Primary(reactor, self.paths, limits=PrimaryLimits(size=20))
        yield narrow.open()
        asked = [narrow.execute("DELETE FROM t -- a long one") for _ in range(2)]
        self.failureResultOf(narrow.execute("DELETE FROM t"), Overloaded)
        yield gatherResults(asked)
        yield narrow.close()

    @inlineCallbacks
    def test_a_defect_in_the_writer(self) -> Any:
        """Everybody is answered, it is logged, and the next group finds database and log in agreement."""
        yield self.primary.execute(TABLE)
        yield deferLater(reactor, 0)  # so that the two are not one group

        def explode(*_arguments: object) -> None:
            raise ZeroDivisionError("a defect")

        patched = self.patch(writer_module.DatabaseWriter, "_make_durable", explode)
        first = self.primary.execute("INSERT INTO t VALUES (1, 'a')")
        second = self.primary.execute("INSERT INTO t VALUES (2, 'b')")
        yield self.assertFailure(first, ZeroDivisionError)
        yield self.assertFailure(second, ZeroDivisionError)
        patched.restore()
        yield self.primary.execute("INSERT INTO t VALUES (3, 'c')")
        found = yield self.primary.query("SELECT id FROM t")
        assert found.rows == [(3,)]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2

    @inlineCallbacks
    def test_a_disk_that_refuses_for_a_while(self) -> Any:
        """The request fails, and the primary goes on."""
        yield self.primary.execute(TABLE)

        def refuse(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        patched = self.patch(os, "fdatasync", refuse)
        yield self.assertFailure(self.primary.execute("INSERT INTO t VALUES (1, 'a')"), EngineFailed)
        patched.restore()
        yield self.primary.execute("INSERT INTO t VALUES (2, 'b')")
        found = [sql for sql in logged(self.paths.wal) if not sql.startswith("/* spgrepl: ")]
        assert found == [TABLE, "INSERT INTO t(id,a)VALUES(2,'b')"]
