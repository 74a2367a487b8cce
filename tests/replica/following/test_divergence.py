"""What a follower does about a different history."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import (
    AmbiguousTransactions,
    EngineFailed,
    HistoryDiverged,
    SnapshotError,
    SnapshotUnusable,
    SpgReplError,
    UnknownSpgVersion,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.transactions.groups import OnAmbiguity
from spgrepl.replica.following.divergence import Divergence, DivergencePolicy
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.retry import RetryPlan
from spgrepl.testing.stepping import StepReactor
from tests.conftest import LoggedFailures

ERROR = HistoryDiverged("another history")


class Rig:
    def __init__(self, policy: DivergencePolicy | None = None) -> None:
        self.reactor = StepReactor()
        self.worker = EngineWorker(self.reactor, "test")
        self.worker.start()
        self.notes: list[str] = []
        self.ends: list[SpgReplError] = []
        self.state: ReplayState | None = None
        self.fails = False
        retries = RetryPlan(self.reactor)
        self.divergence = Divergence(
            policy or DivergencePolicy(),
            self.worker,
            self,
            retries,
            self.ends.append,  # type: ignore[arg-type]
        )

    def note_divergence(self, text: str) -> None:
        if self.fails:
            raise EngineFailed("no")
        self.notes.append(text)


RESNAPSHOT = DivergencePolicy(OnDivergence.RESNAPSHOT, OnAmbiguity.RESNAPSHOT)


def test_it_is_written_down_and_ends_the_follower() -> None:
    rig = Rig()
    rig.divergence.found(ERROR)
    rig.reactor.settle()
    assert (rig.notes, rig.ends, rig.divergence.resnapshot) == (["another history"], [ERROR], False)


def test_or_a_fresh_snapshot_is_taken_as_told() -> None:
    rig = Rig(RESNAPSHOT)
    rig.divergence.found(ERROR)
    rig.reactor.settle()
    assert (rig.notes, rig.ends, rig.divergence.resnapshot) == (["another history"], [], True)
    assert rig.divergence.known is None


def test_a_note_that_cannot_be_written_is_logged(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.fails = True
    rig.divergence.found(ERROR)
    rig.reactor.settle()
    assert rig.ends == [ERROR]
    assert len(logged_failures.flush(EngineFailed)) == 1


@pytest.mark.parametrize("policy", [DivergencePolicy(), RESNAPSHOT])
def test_what_an_earlier_start_found_still_holds(policy: DivergencePolicy) -> None:
    rig = Rig(policy)
    rig.divergence.opened(None)
    assert not rig.divergence.resnapshot
    state = ReplayState(100, 0)
    rig.divergence.opened(state)
    found = attrs.evolve(state, diverged="another history")
    if policy is RESNAPSHOT:
        rig.divergence.opened(found)
        assert rig.divergence.resnapshot
    else:
        with pytest.raises(HistoryDiverged, match="found at an earlier start"):
            rig.divergence.opened(found)


@pytest.mark.parametrize(("policy", "taken"), [(DivergencePolicy(), False), (RESNAPSHOT, True)])
def test_transactions_that_nothing_can_tell(policy: DivergencePolicy, taken: bool) -> None:
    rig = Rig(policy)
    rig.divergence.ambiguous(EngineFailed("no"))
    assert not rig.divergence.resnapshot
    rig.divergence.ambiguous(AmbiguousTransactions("who knows", 7, 5))
    assert rig.divergence.resnapshot is taken


def unusable(text: str, cause: Exception | None = None) -> SnapshotError:
    error = SnapshotError(text)
    error.__cause__ = cause
    return error


def test_a_second_snapshot_that_is_the_same_is_the_last() -> None:
    rig = Rig()
    cause = UnknownSpgVersion.__new__(UnknownSpgVersion)
    assert rig.divergence.useless(unusable("bad", cause)) is None
    assert isinstance(rig.divergence.useless(unusable("bad", cause)), SnapshotUnusable)
    assert rig.divergence.useless(unusable("worse", cause)) is None
    assert rig.divergence.useless(unusable("bad")) is None
    assert rig.divergence.useless(unusable("worse", cause)) is None
