"""A copy that another process keeps is looked after while nothing is applied to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import EngineFailed
from spgrepl.interfaces.engine import IRemote
from spgrepl.replica.remote_watch import REMOTE_INTERVAL, RemoteWatch
from spgrepl.testing.stepping import StepReactor


@implementer(IRemote)
class Remote:
    """A copy whose connection is lost when a test says so; looked at once, that is forgotten."""

    def __init__(self) -> None:
        self.looks = 0
        self.lost = False

    def look(self) -> None:
        self.looks += 1
        if self.lost:
            self.lost = False
            raise EngineFailed("lost")


class Rig:
    """A watch of a copy, on a reactor that a test steps."""

    def __init__(self, copy: object) -> None:
        self.reactor = StepReactor()
        self.worker = EngineWorker(self.reactor, "test")
        self.worker.start()
        self.told: list[Failure] = []
        self.watch = RemoteWatch(self.reactor, self.worker, copy, self.told.append)
        self.watch.start()


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def rig(remote: Remote) -> Iterator[Rig]:
    made = Rig(remote)
    yield made
    made.watch.stop()
    made.worker.stop()


def test_a_loss_is_told_once_within_the_interval(rig: Rig, remote: Remote) -> None:
    rig.reactor.pass_time(3 * REMOTE_INTERVAL)
    assert remote.looks >= 1
    assert rig.told == []
    remote.lost = True
    rig.reactor.pass_time(REMOTE_INTERVAL)
    rig.reactor.pass_time(REMOTE_INTERVAL)
    assert [str(failure.value) for failure in rig.told] == ["lost"]


def test_a_look_waits_for_the_one_before_it(rig: Rig, remote: Remote) -> None:
    """What is applied goes before it, in the same thread: looks do not gather behind that."""
    for _ in range(5):
        rig.reactor.advance(REMOTE_INTERVAL)
    rig.reactor.settle()
    assert remote.looks <= 2


def test_what_is_found_after_the_end_is_told_to_nobody(rig: Rig, remote: Remote) -> None:
    remote.lost = True
    rig.reactor.advance(REMOTE_INTERVAL)
    rig.watch.stop()
    rig.reactor.settle()
    rig.reactor.pass_time(5 * REMOTE_INTERVAL)
    assert rig.told == []


def test_other_copies_are_not_looked_at() -> None:
    rig = Rig(object())
    assert not rig.reactor.getDelayedCalls()
    rig.worker.stop()
