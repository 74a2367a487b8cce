"""Whose history a subscription follows: what the master's answers say of it, and what follows from that.

A master closes without an answer on a start that is not a record's first byte, as it does for other reasons, which
pass. So it is asked for its end then, which every master tells that answers at all. Connections are cut for many
reasons: only what happens several times in a row, without an exception, is taken for a different history.
"""

from __future__ import annotations

import attrs

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import HistoryDiverged, LogTruncated, SpgReplError, StartLost
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.settings import FINAL, Subscription
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.subscription import SubscriberReply
from spgrepl.wire.unknown_types import UnknownTypes

_ROUNDS = 4
"""So often in a row a master must answer for its end, and close without an answer on a start."""

_ADVICE = "Point the subscriber at the right master, or make the subscription again"


class MasterHistory:
    """Judges whether the master is still the one that a subscription was made from.

    Args:
        worker: The target's thread.
        applier: Stores what is found.
        subscription: What is subscribed to.

    Attributes:
        asks_end: Whether the next hello is to ask for the master's end, because it did not answer the last one.
        unknown: Which unknown frames the master sends on purpose.
        resnapshot: Whether the rows are to be copied again, because the master's history is another one.
    """

    _log = RoleLogger()

    def __init__(self, worker: EngineWorker, applier: Applier, subscription: Subscription) -> None:
        self._worker = worker
        self._applier = applier
        self._subscription = subscription
        self._answers = False
        self._rounds = 0
        self.asks_end = False
        self.unknown = UnknownTypes()
        self.resnapshot = False

    def opened(self, trusted: bool) -> SubscriptionState | None:
        """Look whether a different history was found before. Blocking, in the target's thread.

        Args:
            trusted: Whether an operator says that the history is the same.

        Returns:
            How far the subscription has come.

        Raises:
            HistoryDiverged: One was found.
            EngineFailed: It could not be stored that the history is the same.
        """
        state = self._applier.state
        if state is None:
            return None
        if trusted:
            self._log.warn(
                "as ordered, the history of the master is taken for the one that this subscription was made from: "
                "it goes on at position {position}",
                position=state.position,
            )
            return self._applier.note(
                attrs.evolve(
                    state,
                    effective_start=state.position,
                    fence=(),
                    marks=(),
                    before_copy=None,
                    master=None,
                    diverged=None,
                )
            )
        if state.diverged is not None:
            error = HistoryDiverged(
                f"{state.diverged}. This was found before, and holds: what the master's log has by now says "
                f"nothing against it"
            )
            if self._replaces(error):
                return state
            raise error
        asked = self._subscription.start
        self._log.info(
            "the subscription {name} goes on at position {position}{note}",
            name=self._subscription.name,
            position=state.position,
            note="" if asked is None else f"; --start {asked} is for one that has not begun",
        )
        return state

    def ends(self, reason: SpgReplError) -> bool:
        """Judge whether a reason ends the subscription. A different history is stored, and may mean a new copy."""
        if not isinstance(reason, FINAL):
            return False
        self._found(reason)
        return not (isinstance(reason, HistoryDiverged) and self._replaces(reason))

    def _replaces(self, error: HistoryDiverged) -> bool:
        """Whether the rows are to be copied again, which is ordered then."""
        if self._subscription.on_divergence is not OnDivergence.RESNAPSHOT:
            return False
        self._log.warn(
            "copying the rows of {name} again, as told by --on-divergence resnapshot: {error}",
            name=self._subscription.name,
            error=error,
        )
        self.resnapshot = True
        return True

    def _found(self, reason: SpgReplError) -> None:
        if isinstance(reason, HistoryDiverged) and not isinstance(reason, StartLost):
            # In the target's thread this comes before the target is closed.
            self._worker.call(self._note, str(reason)).addErrback(
                lambda failure: self._log.failure("a different history cannot be noted", failure)
            )

    def _note(self, reason: str) -> None:
        state = self._applier.state
        if state is not None and state.diverged is None:
            self._applier.note(attrs.evolve(state, diverged=reason))

    def note_master(self, cluster_id: int) -> SubscriptionState:
        """Store whose rows these are. Blocking, in the target's thread.

        Raises:
            EngineFailed: It could not be stored.
        """
        state = self._applier.state
        assert state is not None
        return self._applier.note(attrs.evolve(state, master=cluster_id))

    def closed(self, refused: int | None, reason: SpgReplError | None) -> SpgReplError | None:
        """The connection has ended.

        Args:
            refused: The start on which the master has closed without a byte; None where it ended in another way.
            reason: Why it ended.

        Returns:
            What that means.
        """
        state = self._applier.state
        if refused is None:
            return reason
        if state is None or not state.position or not refused:
            self.asks_end = self._answers = False
            self._rounds = 0
            return reason
        if self._answers:
            self._rounds += 1
        if self._rounds < _ROUNDS:
            self.asks_end, self._answers = True, False
            return reason
        return HistoryDiverged(
            f"the master answers when it is asked for its end, and closes without an answer when it is asked for "
            f"its log from position {refused}: no record begins there, so its history is a different one, as "
            f"after a backup was restored. {_ADVICE}"
        )

    def answered(self, reply: SubscriberReply) -> bool:
        """The master has answered.

        Returns:
            Whether the answer was all that was asked for.

        Raises:
            HistoryDiverged: This is not the master that the subscription was made from, or its log is shorter.
        """
        state = self._applier.state
        if state is not None and state.master is not None and state.master != reply.cluster_id:
            raise HistoryDiverged(
                f"the master's cluster id is {reply.cluster_id:016x}, and it was {state.master:016x} when this "
                f"subscription was made: it was restored without its cluster id, or is a different one. {_ADVICE}"
            )
        if not self.asks_end:
            self._answers = False
            self._rounds = 0
            return False
        self.asks_end = False
        if state is not None and reply.effective_start < state.position:
            raise LogTruncated(
                f"the master's log ends at {reply.effective_start}, before position {state.position} that this "
                f"subscription has reached: it was truncated, reset, or restored from a backup. {_ADVICE}"
            )
        self._answers = True
        return True
