"""A follower's process goes on as a master, or ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.base.results import Position
from spgrepl.failover.promotion import Promoted
from spgrepl.server import promoted
from spgrepl.server.exit_code import ExitCode
from spgrepl.server.promoted import go_on_when_promoted, successor
from spgrepl.testing.stepping import StepReactor
from spgrepl.text.role_log import Speaker, began, ended, speaking

DONE = Promoted(Position(9, history="a" * 32), (Position(5, history="b" * 32),), None)


class Reactor(StepReactor):
    """Notes when it is to stop."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class Follower:
    """A follower that is promoted when a test says so."""

    def __init__(self, serves: bool) -> None:
        self.promoted: Deferred[Promoted] = Deferred()
        self.serves = serves
        self.parent: Any = self
        self.removed: list[Any] = []

    def speaking(self) -> Any:
        return speaking(Speaker("follower", "copy"))

    def when_promoted(self) -> Deferred[Promoted]:
        return self.promoted

    def as_master(self) -> Any:
        return "settings" if self.serves else None

    def removeService(self, service: Any) -> Deferred[None]:
        self.removed.append(service)
        return succeed(None)


class Master:
    """What takes its place."""

    def __init__(self, _reactor: Any, settings: Any) -> None:
        assert settings == "settings"
        self.finished: Deferred[None] = Deferred()
        self.parent: Any = None

    def setServiceParent(self, parent: Any) -> None:
        self.parent = parent


@pytest.fixture(autouse=True)
def masters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promoted, "MasterRole", Master)


def run(follower: Any) -> tuple[Reactor, list[Any]]:
    reactor, replaced = Reactor(), list[Any]()
    go_on_when_promoted(reactor, follower, ExitCode(), replaced.append)
    assert replaced == []
    follower.promoted.callback(DONE)
    reactor.pass_time(0.1)
    return reactor, replaced


def test_a_master_takes_the_place_of_one_that_served() -> None:
    follower = Follower(serves=True)
    reactor, (master,) = run(follower)
    assert (follower.removed, master.parent, reactor.stopped) == ([follower], follower, 0)


@pytest.mark.parametrize(("serves", "parent"), [(False, True), (True, False)])
def test_else_the_process_ends_after_the_answer_was_sent(serves: bool, parent: bool) -> None:
    follower = Follower(serves)
    if not parent:
        follower.parent = None
    reactor, replaced = run(follower)
    assert (follower.removed, replaced, reactor.stopped) == ([], [], 1)


def test_what_happened_is_said(logged: list[str]) -> None:
    serving: Any = Follower(serves=True)
    assert successor(Reactor(), DONE, serving) is not None
    assert logged[: len(DONE.lines())] == [f"follower copy: {line}" for line in DONE.lines()]
    assert "going on as a master" in logged[-1]
    alone: Any = Follower(serves=False)
    assert successor(Reactor(), DONE, alone) is None
    assert "served nobody" in logged[-1]


@pytest.mark.parametrize("serves", [True, False])
def test_what_is_said_of_it_is_not_said_of_the_only_role_that_is_left(serves: bool) -> None:
    other, events = Follower(serves), list[LogEvent]()
    globalLogPublisher.addObserver(observe := events.append)
    began(other, Speaker("follower", "other"))
    try:
        successor(Reactor(), DONE, Follower(serves))  # type: ignore[arg-type]
    finally:
        ended(other)
        globalLogPublisher.removeObserver(observe)
    said = [formatEvent(event) for event in events]
    assert len(said) == len([*DONE.lines()]) + 1
    assert all(line.startswith("follower copy: ") for line in said), said
