"""Those who are told when a primary's log is durable further than it was."""

from __future__ import annotations

from pathlib import Path

from spgrepl.primary.parts.log_listeners import LogListeners
from spgrepl.testing.stepping import StepReactor
from tests.conftest import LoggedFailures


def test_they_are_told_in_the_reactor_once_for_all_that_happened_before() -> None:
    reactor, calls = StepReactor(), list[str]()
    listeners = LogListeners(reactor, Path("main.wal"))
    listeners.tell_soon()
    assert not reactor.step()
    listeners.add(lambda: calls.append("look"))
    for _ in range(3):
        listeners.tell_soon()
    assert calls == []
    reactor.settle()
    assert calls == ["look"]
    listeners.tell_soon()
    reactor.settle()
    assert calls == ["look", "look"]


def test_one_that_fails_keeps_nobody_from_hearing(logged_failures: LoggedFailures) -> None:
    reactor, calls = StepReactor(), list[str]()
    listeners = LogListeners(reactor, Path("main.wal"))

    def bad() -> None:
        raise ZeroDivisionError

    listeners.add(bad)
    listeners.add(lambda: calls.append("look"))
    listeners.tell_soon()
    reactor.settle()
    listeners.remove(bad)
    listeners.remove(bad)
    listeners.tell_soon()
    reactor.settle()
    assert calls == ["look", "look"]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1
