"""Loops on a common beat."""

from __future__ import annotations

from twisted.internet import task
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base.beat import Beat


class BeatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = task.Clock()
        self.calls: list[tuple[str, float]] = []

    def beat(self, name: str, interval: float = 0.5) -> Beat:
        made = Beat(self.clock, lambda: self.calls.append((name, self.clock.seconds())), interval)
        self.addCleanup(made.stop)
        return made

    def test_loops_that_begin_apart_are_called_together(self) -> None:
        first, second = self.beat("a"), self.beat("b")
        self.clock.advance(0.25)
        first.start()
        self.clock.advance(0.125)
        second.start()
        self.clock.advance(0.125)
        self.clock.advance(0.5)
        assert self.calls == [("a", 0.5), ("b", 0.5), ("a", 1.0), ("b", 1.0)]

    def test_started_on_the_beat(self) -> None:
        self.beat("a").start()
        assert self.calls == []
        self.clock.advance(0.5)
        assert self.calls == [("a", 0.5)]

    def test_started_twice_is_started_once(self) -> None:
        beat = self.beat("a")
        beat.start()
        beat.start()
        self.clock.advance(0.5)
        beat.start()
        self.clock.advance(0.5)
        assert len(self.calls) == 2

    def test_stopped_before_and_after_the_first_call(self) -> None:
        beat = self.beat("a")
        beat.stop()
        for wait in (0.1, 1.0):
            beat.start()
            assert beat.running
            self.clock.advance(wait)
            beat.stop()
            assert not beat.running
            assert self.clock.getDelayedCalls() == []

    def test_error_is_logged(self) -> None:
        beat = Beat(self.clock, lambda: 1 // 0, 0.5)  # type: ignore[arg-type, return-value]
        beat.start()
        self.clock.advance(0.5)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert not beat.running
