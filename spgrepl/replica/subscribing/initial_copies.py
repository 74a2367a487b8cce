"""The initial copy of a subscription, as often as it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import CopyRefused, SnapshotError, SpgReplError, StartLost
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.link import MasterLink
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.copy_link import CopyLink, CopyOwner
from spgrepl.wire.handshake import StreamVersion

_MOST_AT_ZERO = 3
"""So many copies in a row may stand at position 0 of a log that has grown since: after a CHECKPOINT one may."""


class InitialCopies:
    """The initial copy of a subscription: ordered, then made over a connection of its own, as often as it takes.

    Args:
        reactor: For deadlines of the connection.
        worker: The target's thread.
        applier: Puts the rows in place.
        path: Where a snapshot is gathered; None where nothing is ever copied.
        owner: The subscription.

    Attributes:
        due: Whether the next connection is to be one for the rows.
        asks_zero: Whether the next hello is to mean position 0 by a start of 0, and not the master's end.
        fresh: Whether a copy was made, and no stream has followed it yet.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        worker: EngineWorker,
        applier: Applier,
        path: Path | None,
        owner: CopyOwner,
    ) -> None:
        self._reactor = reactor
        self._worker = worker
        self._applier = applier
        self._path = path
        self._owner = owner
        self._last: CopyLink | None = None
        self._damage: str | None = None
        self._in_vain = 0
        self.due = False
        self.asks_zero = self.fresh = False

    def at_zero(self, end: int, copy_data: bool) -> bool:
        """The subscription stands at position 0, from where nothing shows which log that is of.

        Only right after a copy it goes on from there. A master of this package can be asked for position 0 where
        its log has grown. In all other cases the rows are copied again: nothing has been applied to them.

        Args:
            end: What the master has answered: position 0, or its end.
            copy_data: Whether rows are copied.

        Returns:
            Whether the stream follows; if not, the next connection is another one.

        Raises:
            StartLost: No copy is of any use.
        """
        if not end and (self.fresh or not copy_data):
            self._in_vain, self.fresh = 0, False
            return True
        if not copy_data:
            raise start_lost(end, "begin with the rows, without --no-copy-data")
        if self.fresh and not self.asks_zero:
            self.asks_zero = True
            return False
        self._in_vain += self.fresh
        self.asks_zero = self.fresh = False
        if self._in_vain >= _MOST_AT_ZERO:
            self._in_vain = 0
            raise start_lost(end, "begin without the rows, with --no-copy-data")
        self.due = True
        return False

    def build_link(self) -> MasterLink[FollowerConnection]:
        """The connection for the rows."""
        assert self._path is not None
        self.due = False
        owner = attrs.evolve(self._owner, failed=self._not_in_place)
        self._last = CopyLink(self._reactor, self._worker, self._applier, self._path, owner)
        connection = FollowerConnection(StreamVersion.V2, max_frame=self._applier.subscription.max_frame)
        link = MasterLink(self._reactor, self._last, connection)
        return self._last.attach(link)

    def _not_in_place(self, error: SpgReplError) -> None:
        """A snapshot may have been damaged on its way, once."""
        if isinstance(error, SnapshotError) and not isinstance(error, CopyRefused):
            if str(error) == self._damage:
                error = CopyRefused(f"{error}; a second snapshot was the same: check the master's database")
            self._damage = str(error)
        self._owner.failed(error)

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far a snapshot has come, and then its rows, for the status."""
        return None if self._last is None else self._last.progress

    @property
    def copying(self) -> bool:
        """Whether a snapshot is here, and its rows are being put in place."""
        return self._last is not None and self._last.copying

    def when_done(self) -> Deferred[None]:
        """Wait until nothing is being copied; see `CopyLink.when_ended`. A failure is told once."""
        last = self._last
        return succeed(None) if last is None else last.when_ended().addBoth(self._forget)

    def _forget(self, result: Any) -> Any:
        self._last = None
        return result


def start_lost(end: int, advice: str) -> StartLost:
    """The error that a subscription stands at position 0, where it cannot go on.

    Args:
        end: Where the master's log ends.
        advice: What to do.
    """
    return StartLost(
        f"this subscription stands at position 0, and the master's log has grown to {end}: position 0 cannot "
        f"be asked for, because 0 means the master's end; {advice}"
    )
