"""The life of a service: any order of starts, stops and errors, and of what opening and closing come to."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.base.life_cycle import LifeCycle
from spgrepl.errors import EngineFailed, ServiceStopped, SpgReplError
from tests.conftest import LoggedFailures

EXAMPLES = int(os.environ.get("SPGREPL_ORDERS", "60"))


class Parts:
    """What a service opens and closes, when the test says so."""

    def __init__(self) -> None:
        self.opening: Deferred[object] = Deferred()
        self.closing: Deferred[None] = Deferred()
        self.calls: list[str] = []
        self.life = LifeCycle("the thing", self.open_all, self.close_all)

    def open_all(self) -> Deferred[object]:
        self.calls.append("open")
        self.opening = Deferred()
        return self.opening

    def close_all(self) -> Deferred[None]:
        self.calls.append("close")
        self.closing = Deferred()
        return self.closing


def heard(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred comes to, an error as itself."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


BUSY = ("stopping", "failing", "restarting")

NEXT = {
    "start": {"stopped": "starting", "failed": "starting", "stopping": "restarting", "failing": "restarting"},
    "stop": {"starting": "stopping", "running": "stopping", "restarting": "stopping", "failed": "stopped"},
    "fail": {"starting": "failing", "running": "failing"},
    "opened": {"starting": "running"},
    "closed": {"stopping": "stopped", "failing": "failed", "restarting": "starting"},
}
"""Where what happens leads; where nothing is said, nothing changes."""


class LifeMachine(RuleBasedStateMachine):
    """A life cycle beside its table of states."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = Parts()
        self.state = "stopped"
        self.waiting: list[list[Any]] = []
        self.stops: list[list[Any]] = []
        self.error: SpgReplError | None = None
        self.number = 0

    def goes(self, event: str) -> None:
        self.state = NEXT[event].get(self.state, self.state)

    def new_error(self) -> EngineFailed:
        self.number += 1
        error = EngineFailed(f"error {self.number}")
        if self.state in NEXT["fail"]:
            self.error = error
        return error

    @rule()
    def start(self) -> None:
        self.parts.life.start()
        self.goes("start")

    @rule()
    def stop(self) -> None:
        at_once = self.state in ("stopped", "failed")
        told = heard(self.parts.life.stop())
        assert told == ([None] if at_once else [])
        self.stops.append(told)
        self.goes("stop")

    @rule()
    def fail(self) -> None:
        self.parts.life.fail(self.new_error())
        self.goes("fail")

    @rule()
    def wait(self) -> None:
        ready, finished = heard(self.parts.life.when_ready()), heard(self.parts.life.when_finished())
        assert (ready == [None]) == (self.state == "running")
        if self.state == "failed":
            assert ready == finished == [self.error]
        self.waiting += [ready, finished]

    @precondition(lambda self: self.state == "starting")
    @rule()
    def opened(self) -> None:
        ready = heard(self.parts.life.when_ready())
        self.parts.opening.callback("anything")
        assert ready == [None]
        self.goes("opened")

    @precondition(lambda self: self.state == "starting")
    @rule()
    def not_opened(self) -> None:
        self.waiting.append(heard(self.parts.life.when_ready()))
        self.parts.opening.errback(self.new_error())
        self.goes("fail")

    @precondition(lambda self: self.state in BUSY)
    @rule()
    def closed(self) -> None:
        self.parts.closing.callback(None)
        self.goes("closed")
        assert all(told == [None] for told in self.stops)

    @invariant()
    def it_opens_and_closes_in_turn(self) -> None:
        calls = self.parts.calls
        assert set(calls[::2]) <= {"open"}
        assert set(calls[1::2]) <= {"close"}
        ended = len(calls) % 2 == 0 and (not calls or self.parts.closing.called)
        assert ended == (self.state in ("stopped", "failed"))

    @invariant()
    def it_says_what_it_does(self) -> None:
        life = self.parts.life
        assert life.ready == (self.state == "running")
        assert life.ending == (self.state not in ("starting", "running"))
        if self.state in ("failing", "failed"):
            assert life.error is self.error
        if self.state in ("starting", "running"):
            assert life.error is None

    def teardown(self) -> None:
        """Whoever waits is told once, at the end of the next run at the latest."""
        self.stop()
        if self.state in BUSY:
            self.closed()
        self.start()
        self.fail()
        self.closed()
        self.stop()
        assert all(len(told) == 1 for told in self.waiting)
        assert all(told == [None] for told in self.stops)


class TestLife(LifeMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=EXAMPLES, stateful_step_count=15)


def errors_in_log(make: Any) -> list[LogEvent]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        make()
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [event for event in events if event["log_level"].name == "error"]


@pytest.mark.parametrize("waits", [None, "when_ready", "when_finished"])
def test_an_error_that_nobody_waits_for_is_logged(waits: str | None) -> None:
    parts = Parts()
    parts.life.start()
    told = heard(getattr(parts.life, waits)()) if waits is not None else None
    error = EngineFailed("the disk is gone")
    logged = errors_in_log(lambda: parts.opening.errback(error))
    parts.closing.callback(None)
    assert told in (None, [error])
    assert [(event["what"], event["error"]) for event in logged] == (
        [("the thing", error)] if told is None else []
    )


def test_what_nobody_foresaw_is_logged_and_named(logged_failures: LoggedFailures) -> None:
    parts = Parts()
    told = heard(parts.life.when_ready())
    parts.life.start()
    parts.opening.errback(RuntimeError("a bug"))
    parts.closing.errback(ZeroDivisionError())
    assert isinstance(told[0], ServiceStopped)
    assert "a bug" in str(told[0])
    assert len(logged_failures.flush(RuntimeError)) == len(logged_failures.flush(ZeroDivisionError)) == 1


def test_a_stop_cancels_opening() -> None:
    parts = Parts()
    parts.life.start()
    ready = heard(parts.life.when_ready())
    cancelled = parts.opening
    parts.life.stop()
    assert cancelled.called
    parts.closing.callback(None)
    assert isinstance(ready[0], ServiceStopped)


def test_whoever_is_told_may_stop_and_start_it() -> None:
    """From within what they are told."""
    parts = Parts()
    parts.life.when_ready().addCallback(lambda _: parts.life.stop())
    parts.life.start()
    parts.opening.callback(None)
    assert parts.calls == ["open", "close"]
    parts.life.when_finished().addCallback(lambda _: parts.life.start())
    parts.closing.callback(None)
    assert parts.calls == ["open", "close", "open"]
    assert not parts.life.ending


def test_whoever_no_longer_waits_is_not_told() -> None:
    parts = Parts()
    waiting = parts.life.when_ready()
    told = heard(waiting)
    parts.life.start()
    waiting.cancel()
    parts.opening.callback(None)
    assert len(told) == 1
    assert parts.life.ready
