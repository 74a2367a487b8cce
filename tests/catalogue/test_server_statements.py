"""Statements for a server: the WAL level and waiting."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base.results import QueryResult
from spgrepl.catalogue.server_statements import ServerStatements
from spgrepl.errors import ServiceStopped, StatementFailed, WaitTimeout
from spgrepl.log.wal_level import Level, WalLevel

LEVEL = "effective_wal_level"


class ServerStatementsTests(SynchronousTestCase):
    """A server whose waits the test answers itself."""

    def setUp(self) -> None:
        """Nothing was asked for yet."""
        self.level = WalLevel()
        self.asked: list[tuple[int, float | None]] = []
        self.waits: list[Deferred[int]] = []
        self.statements = ServerStatements(self.level, self._set, self._wait)

    def _set(self, level: Level) -> Deferred[None]:
        self.level.set(level)
        return succeed(None)

    def _wait(self, position: int, timeout: float | None) -> Deferred[int]:
        self.asked.append((position, timeout))
        self.waits.append(Deferred())
        return self.waits[-1]

    def test_the_level_is_shown_and_set(self) -> None:
        """SET has no rows; SHOW has one."""
        assert self.successResultOf(self.statements.run(f"SHOW {LEVEL}")).rows == [("replica",)]
        assert self.successResultOf(self.statements.run(f"SET {LEVEL} TO logical")) == QueryResult((), [])
        assert self.level.value == "logical"
        shown = self.successResultOf(self.statements.run(f" show {LEVEL};"))
        assert shown == QueryResult((LEVEL,), [("logical",)])

    def test_a_position_that_is_reached(self) -> None:
        """The row comes when it is."""
        waiting = self.statements.run("WAIT FOR WAL POSITION 622")
        self.assertNoResult(waiting)
        assert self.asked == [(622, None)]
        self.waits[0].callback(700)
        assert self.successResultOf(waiting) == QueryResult(("reached",), [(1,)])

    def test_a_position_that_is_not_reached_in_time(self) -> None:
        """It is not a failure."""
        waiting = self.statements.run("WAIT FOR WAL POSITION 622 WITH TIMEOUT 1500")
        assert self.asked == [(622, 1.5)]
        self.waits[0].errback(WaitTimeout("position 622 was not reached"))
        assert self.successResultOf(waiting) == QueryResult(("reached",), [(0,)])

    def test_a_wait_that_ends_otherwise(self) -> None:
        """The reason is passed on; a cancelled wait cancels what was waited for."""
        waiting = self.statements.run("WAIT FOR WAL POSITION 622")
        self.waits[0].errback(ServiceStopped("gone"))
        self.failureResultOf(waiting, ServiceStopped)
        waiting = self.statements.run("WAIT FOR WAL POSITION 622")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        assert self.waits[1].called

    def test_what_is_not_for_a_server(self) -> None:
        """It is refused, and so is what cannot be read."""
        for sql in ("SELECT 1", "SHOW PUBLICATIONS", "CREATE PUBLICATION p", "", "'\udc80'"):
            failure = self.failureResultOf(self.statements.run(sql), StatementFailed)
            assert "spgrepl exec" in str(failure.value)
        failure = self.failureResultOf(self.statements.run(f"SET {LEVEL} = 'x'"), StatementFailed)
        assert "expected 'replica' or 'logical'" in str(failure.value)
        assert (self.level.value, self.asked) == ("replica", [])


@pytest.mark.parametrize("level", ["replica", "logical"])
def test_the_level_given_at_the_start_is_shown(level: str) -> None:
    found: list[QueryResult] = []
    statements = ServerStatements(WalLevel(level), lambda _: Deferred(), lambda *_: Deferred())
    statements.run(f"SHOW {LEVEL}").addCallback(found.append)
    assert found[0].rows == [(level,)]
