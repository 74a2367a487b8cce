"""What a follower tells of open transactions, and what it does about those that do not end."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import AmbiguousTransactions, EngineFailed
from spgrepl.interfaces.engine import NO_NOTES
from spgrepl.log.transactions.groups import Group, OnAmbiguity, TransactionChoices
from spgrepl.replica.following.progress import Progress, ReplayTold
from spgrepl.replica.following.transaction_watch import TransactionWatch
from spgrepl.testing.stepping import StepReactor


def open_at(begin: int | None, **notes: int) -> Progress:
    group = None if begin is None else Group(begin=begin, opened_by=begin, held=2)
    return Progress(500, 600, 50, group=group, notes=attrs.evolve(NO_NOTES, **notes))


class Rig:
    def __init__(self, ambiguous: OnAmbiguity = OnAmbiguity.STOP, drop_after: float | None = None) -> None:
        self.clock = Clock()
        self.reactor = StepReactor()
        self.worker = EngineWorker(self.reactor, "test")
        self.worker.start()
        self.told: list[Progress] = []
        self.failures: list[Failure] = []
        self.drops: list[int] = []
        self.error: Exception | None = None
        choices = TransactionChoices(ambiguous, drop_after)
        told = ReplayTold(self.told.append, self.failures.append)
        self.watch = TransactionWatch(self.clock, self.worker, self, choices, told)  # type: ignore[arg-type]

    def drop(self, begin: int) -> Progress:
        self.drops.append(begin)
        if self.error is not None:
            raise self.error
        return open_at(None, drops=1)

    def look(self) -> None:
        self.watch.look()
        self.reactor.settle()


def described(rig: Rig, progress: Progress) -> Any:
    told = rig.watch.describe(progress)
    assert told is not None
    return told["open"]


def test_the_status_says_for_how_long_and_how_much() -> None:
    rig = Rig()
    assert rig.watch.describe(None) is None
    progress = open_at(100)
    rig.watch.progressed(progress)
    rig.clock.advance(3)
    rig.watch.progressed(progress)
    assert described(rig, progress) == {
        "position": 100,
        "seconds": 3.0,
        "bytes": 500,
        "transactions": 1,
        "held": 2,
        "commits": 0,
        "rollbacks": 0,
    }
    other = open_at(200)
    rig.watch.progressed(other)
    assert described(rig, other)["seconds"] == 0
    assert described(rig, open_at(None)) is None


def test_what_is_open_for_too_long_is_dropped_once() -> None:
    rig = Rig(drop_after=10)
    rig.watch.progressed(open_at(100))
    rig.clock.advance(9)
    rig.look()
    assert rig.drops == []
    rig.clock.advance(1)
    rig.watch.look()
    rig.look()
    assert rig.drops == [100]
    assert [progress.notes.drops for progress in rig.told] == [1]


def test_nothing_is_dropped_unless_it_was_chosen() -> None:
    rig = Rig()
    rig.watch.progressed(open_at(100))
    rig.clock.advance(10_000)
    rig.look()
    assert rig.drops == []


def test_why_they_could_not_be_dropped_is_told() -> None:
    rig = Rig(drop_after=1)
    rig.error = EngineFailed("the disk is full")
    rig.watch.progressed(open_at(100))
    rig.clock.advance(1)
    rig.look()
    assert [failure.type for failure in rig.failures] == [EngineFailed]


@pytest.mark.parametrize(("choice", "fails"), [(OnAmbiguity.STOP, False), (OnAmbiguity.RESNAPSHOT, True)])
def test_a_commit_without_a_begin_means_that_the_snapshot_lacks_rows(choice: OnAmbiguity, fails: bool) -> None:
    rig = Rig(choice)
    rig.watch.progressed(open_at(None, commits=1))
    rig.watch.progressed(open_at(None, commits=1))
    assert [failure.type for failure in rig.failures] == ([AmbiguousTransactions] if fails else [])
