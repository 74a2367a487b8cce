"""What a follower tells of open transactions, and what it does about those that do not end."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import AmbiguousTransactions
from spgrepl.log.transactions.groups import OnAmbiguity, TransactionChoices
from spgrepl.replica.following.progress import Progress, ReplayTold
from spgrepl.replica.following.replay import Replay
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger


class TransactionWatch:
    """Looks how long transactions have been open.

    Args:
        clock: Tells the time.
        worker: The engine's thread.
        replay: Knows them.
        choices: What is done about them.
        told: Told how far replay has come when they were dropped, or why they could not be.
    """

    _log = RoleLogger()

    def __init__(
        self,
        clock: IReactorTime,
        worker: EngineWorker,
        replay: Replay,
        choices: TransactionChoices,
        told: ReplayTold,
    ) -> None:
        self._clock = clock
        self._worker = worker
        self._replay = replay
        self._drop_after = choices.drop_after
        self._again = choices.ambiguous is OnAmbiguity.RESNAPSHOT
        self._told = told.progressed
        self._failed = told.failed
        self._begin: int | None = None
        self._since = 0.0
        self._dropping = False
        self._strays = 0
        self._met = 0

    def progressed(self, progress: Progress) -> None:
        """Take note of how far replay has come."""
        begin = None if progress.group is None else progress.group.begin
        if begin != self._begin:
            self._begin, self._since = begin, self._clock.seconds()
        met, self._met = self._met, progress.notes.met
        if self._met > met:
            self._log.warn(
                "{statements} in the snapshot at position {base} already, as its rows show, and skipped: "
                "what stands before them in the log and has no key was applied again",
                statements=number_of(self._met - met, "statement of the log was", "statements of the log were"),
                base=progress.base,
            )
        strays, self._strays = self._strays, progress.notes.commits
        if self._strays > strays:
            lost = _begun_before(progress)
            self._log.warn("{error}", error=lost)
            if self._again:
                self._failed(Failure(lost))

    def look(self) -> None:
        """Take transactions for dead that were open for too long; to be called now and then."""
        begin, limit = self._begin, self._drop_after
        if begin is None or limit is None or self._dropping or self._clock.seconds() - self._since < limit:
            return
        self._dropping = True
        self._worker.call(self._replay.drop, begin).addBoth(self._dropped)

    def _dropped(self, result: Progress | Failure) -> None:
        self._dropping = False
        if isinstance(result, Failure):
            self._failed(result)
        else:
            self._told(result)

    def describe(self, progress: Progress | None) -> dict[str, Any] | None:
        """What the status says; None while there is no copy."""
        if progress is None:
            return None
        group, notes = progress.group, progress.notes
        return {
            "open": group
            and {
                "position": group.begin,
                "seconds": round(self._clock.seconds() - self._since, 3),
                "bytes": max(0, progress.durable - group.begin),
                "transactions": group.open,
                "held": group.held,
                "commits": group.commits,
                "rollbacks": group.rollbacks,
            },
            "inside": notes.alone,
            "commits_without_begin": notes.commits,
            "rollbacks_without_begin": notes.rollbacks,
            "merged": notes.merged,
            "dropped": notes.drops,
            "in_snapshot": notes.met,
        }


def _begun_before(progress: Progress) -> AmbiguousTransactions:
    """What it means that a COMMIT has no BEGIN."""
    return AmbiguousTransactions(
        f"a COMMIT has come whose BEGIN is not in the log: the snapshot at position {progress.base} lies inside "
        f"of that transaction, and lacks what it did before",
        progress.applied,
        progress.base,
    )
