"""The engine's thread: one call at a time, in order."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from spgrepl.base.worker import EngineWorker


class EngineWorkerTest(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        # The last thing to happen must not come from a thread: at a test's end trial turns the reactor by hand,
        # which calls again what a thread has called and is not finished with.
        self.addCleanup(lambda: deferLater(reactor, 0))  # type: ignore[arg-type]
        self.worker = EngineWorker(reactor, "test-engine")  # type: ignore[arg-type]
        self.worker.start()
        self.addCleanup(self.worker.stop)

    @inlineCallbacks
    def test_calls_never_overlap_and_keep_their_order(self) -> Any:
        running: list[int] = []
        seen: list[tuple[int, str]] = []

        def work(number: int) -> int:
            running.append(number)
            assert running == [number]
            seen.append((number, threading.current_thread().name))
            running.remove(number)
            return number

        results = yield gatherResults([self.worker.call(work, number) for number in range(50)])
        assert results == list(range(50))
        assert [number for number, _ in seen] == results
        assert len({name for _, name in seen}) == 1
        assert "test-engine" in seen[0][1]

    @inlineCallbacks
    def test_an_error_comes_back_and_ends_nothing(self) -> Any:
        with pytest.raises(ZeroDivisionError):
            yield self.worker.call(lambda: 1 // 0)
        assert (yield self.worker.call(lambda: 7)) == 7

    def test_stopping_waits_for_what_runs(self) -> None:
        done: list[int] = []
        self.worker.call(done.append, 1)
        self.worker.stop()
        self.worker.stop()
        assert done == [1]
