"""What holds for every test: nothing fails unseen, and the same run gives the same result.

A Deferred that fails while nobody waits for it is only logged, when it is collected as garbage. pytest-twisted
does not look for that, so `logged_failures` does: it collects garbage after each test and fails the test on
anything that was logged as a failure. Trial's own TestCases do so themselves, but for the garbage.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Iterator

import pytest
import pytest_twisted
from hypothesis import settings
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

settings.register_profile("same", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=int(os.environ.get("SPGREPL_EXAMPLES", "5000")))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


class LoggedFailures:
    """Collects what is logged as a failure."""

    def __init__(self) -> None:
        self._found: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        """Take an event of the log."""
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            self._found.append(failure)

    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """Take out the failures that a test expected, so that they do not fail it.

        Args:
            kinds: The errors to take out; without any, all of them.
        """
        gc.collect()
        taken = [failure for failure in self._found if not kinds or failure.check(*kinds)]
        self._found = [failure for failure in self._found if failure not in taken]
        return taken


@pytest.fixture(autouse=True)
def logged_failures(request: pytest.FixtureRequest) -> Iterator[LoggedFailures]:
    """What the test logged as a failure; what it does not flush fails it."""
    found = LoggedFailures()
    of_trial = isinstance(request.instance, SynchronousTestCase)
    if of_trial:
        yield found  # trial has an observer of its own while the test runs
    globalLogPublisher.addObserver(found)
    try:
        if not of_trial:
            yield found
        left = found.flush()
    finally:
        globalLogPublisher.removeObserver(found)
    if left:
        shown = "\n".join(failure.getTraceback() for failure in left)
        pytest.fail(f"{len(left)} failures were logged that the test did not expect:\n{shown}", pytrace=False)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The texts of all that is logged as a warning or worse."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.warn:
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.fixture(autouse=True)
def trial_files_apart(request: pytest.FixtureRequest) -> None:
    """Give trial's TestCases temporary names in pytest's folder instead of the one where pytest was started."""
    if isinstance(request.instance, SynchronousTestCase):
        folder = request.getfixturevalue("tmp_path")
        names = (str(folder / f"temporary-{number}") for number in itertools.count())
        request.instance.mktemp = lambda: next(names)


@pytest.fixture(autouse=True, scope="session")
def trial_waits_in_the_running_reactor(twisted_greenlet: object) -> Iterator[None]:
    """Let trial's asynchronous TestCases wait in pytest-twisted's reactor instead of running it a second time."""

    from twisted.internet import reactor

    def wait(case: TestCase, waited_for: Deferred[object]) -> None:
        if not waited_for.called or waited_for.paused:
            pytest_twisted.blockon(waited_for)
        # What ended this wait, or one of the test before, may be a call from a thread, of a batch that the reactor
        # has begun and trial's own turns of the reactor would begin again. After a timer the batch is done.
        pytest_twisted.blockon(deferLater(reactor, 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestCase, "_wait", wait)
        yield


def pytest_collection_finish() -> None:
    """Leave what exists before the first test out of the garbage collections after each test."""
    leave_out_what_is_alive()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out what a file's tests left alive, mostly caches: each collection would look at it again."""
    if nextitem is not None and nextitem.path != item.path:
        leave_out_what_is_alive()


def leave_out_what_is_alive() -> None:
    """Collect garbage once, and let later collections look at nothing that exists now."""
    gc.collect()
    gc.freeze()
