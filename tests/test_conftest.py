"""The net under all tests: a failure that nobody waits for fails the test that caused it."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from tests.conftest import LoggedFailures

pytest_plugins = ["pytester"]

LOST = """
    from twisted.internet.defer import fail
    from twisted.trial.unittest import SynchronousTestCase

    def test_lost():
        fail(RuntimeError("nobody waits for this"))

    class LostInTrial(SynchronousTestCase):
        def test_lost(self):
            cycle = [fail(RuntimeError("nor for this"))]
            cycle.append(cycle)

        def test_flushed(self):
            fail(RuntimeError("this one is expected"))
            self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
"""


def test_a_deferred_that_fails_unseen_fails_its_test(
    pytester: pytest.Pytester, request: pytest.FixtureRequest
) -> None:
    pytester.makeconftest((request.config.rootpath / "tests" / "conftest.py").read_text())
    pytester.makepyfile(LOST)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    # The failure is found after the test, while its fixtures are taken down: an error in pytest's words.
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*nobody waits for this*"])
    result.stdout.fnmatch_lines(["*nor for this*"])


def test_an_expected_failure_is_flushed(logged_failures: LoggedFailures) -> None:
    fail(ValueError("expected"))
    Logger().failure("also expected", Failure(KeyError("a")))
    assert len(logged_failures.flush(ValueError)) == 1
    assert len(logged_failures.flush()) == 1


@pytest_twisted.ensureDeferred
async def test_the_reactor_runs_while_a_coroutine_waits() -> None:
    from twisted.internet import reactor

    later: Deferred[str] = Deferred()
    reactor.callLater(0, later.callback, "called")  # type: ignore[attr-defined]
    assert await later == "called"
