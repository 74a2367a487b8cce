"""What a follower does about a different history: it is written down, and holds until a fresh snapshot."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import (
    AmbiguousTransactions,
    HistoryDiverged,
    SnapshotError,
    SnapshotUnusable,
    SpgFileError,
    SpgReplError,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.transactions.groups import OnAmbiguity
from spgrepl.replica.following.replay import Replay
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.retry import RetryPlan
from spgrepl.text.role_log import RoleLogger


@attrs.frozen
class DivergencePolicy:
    """What a follower does where it cannot simply go on.

    Attributes:
        on_divergence: What to do about a different history.
        on_ambiguity: What to do about transactions that the log cannot tell.
    """

    on_divergence: OnDivergence = OnDivergence.STOP
    on_ambiguity: OnAmbiguity = OnAmbiguity.STOP


class Divergence:
    """Judges a history that differs, now or at an earlier start.

    Args:
        policy: What to do about it, and about transactions that the log cannot tell.
        worker: The engine's thread.
        replay: Writes it down.
        retries: Told of it.
        end: Ends the follower.

    Attributes:
        resnapshot: Whether the next stream is to begin with a fresh snapshot.
    """

    _log = RoleLogger()

    def __init__(
        self,
        policy: DivergencePolicy,
        worker: EngineWorker,
        replay: Replay,
        retries: RetryPlan,
        end: Callable[[SpgReplError], None],
    ) -> None:
        self._policy = policy.on_divergence
        self._worker = worker
        self._replay = replay
        self._retries = retries
        self._end = end
        self._on_ambiguity = policy.on_ambiguity
        self.resnapshot = False
        self._useless: str | None = None

    @property
    def known(self) -> ReplayState | None:
        """What is known of the master's history; None where it does not matter any more."""
        return None if self.resnapshot else self._replay.state

    def useless(self, error: SpgReplError) -> SpgReplError | None:
        """Judge a snapshot that could not be put in place.

        Returns:
            Why no other one is fetched: it was damaged or is of a form that is not known, and so was the one
            before. None where it was the first one, which may have been damaged on its way, or can get better.
        """
        if not isinstance(error, SnapshotError) or not isinstance(error.__cause__, SpgFileError):
            self._useless = None
            return None
        if str(error) != self._useless:
            self._useless = str(error)
            return None
        return SnapshotUnusable(
            f"{error}. A second snapshot was the same, so no other one is fetched: check the master's database, "
            f"and start the follower again"
        )

    def opened(self, state: ReplayState | None) -> None:
        """Look whether a divergence was found at an earlier start.

        Args:
            state: What the copy says of itself.

        Raises:
            HistoryDiverged: One was, and no fresh snapshot is to be taken.
        """
        if state is None or state.diverged is None:
            return
        error = HistoryDiverged(
            f"{state.diverged}. This was found at an earlier start, and holds until a fresh snapshot has replaced "
            f"the copy: what the master's log has by now says nothing against it"
        )
        if not self._replaces(error):
            raise error

    def found(self, error: HistoryDiverged) -> None:
        """The master's history is a different one: that is stored, then the follower ends or begins afresh."""
        # In the engine's thread this comes before the copy is closed, or asked where it stands.
        self._worker.call(self._replay.note_divergence, str(error)).addErrback(
            lambda failure: self._log.failure("a different history cannot be noted in the copy", failure)
        )
        if self._replaces(error):
            self._retries.diverged()
        else:
            self._end(error)

    def ambiguous(self, error: BaseException | None) -> None:
        """The log cannot tell which rows are the master's; a fresh snapshot has them, where that was chosen."""
        if self._on_ambiguity is OnAmbiguity.RESNAPSHOT and isinstance(error, AmbiguousTransactions):
            self._log.warn(
                "taking a fresh snapshot, as told by --ambiguous-transactions resnapshot: {error}", error=error
            )
            self.resnapshot = True

    def _replaces(self, error: HistoryDiverged) -> bool:
        """Whether a fresh snapshot is to be taken, which is ordered then."""
        if self._policy is OnDivergence.STOP:
            return False
        self._log.warn("taking a fresh snapshot, as told by --on-divergence resnapshot: {error}", error=error)
        self.resnapshot = True
        return True
