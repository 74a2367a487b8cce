"""What is told of a follower: its state and its status."""

from __future__ import annotations

from spgrepl.interfaces.engine import IEngine
from spgrepl.replica.following.cold_gate import ColdRowsGate
from spgrepl.replica.following.connection import FollowerConnection
from spgrepl.replica.following.progress import Progress
from spgrepl.replica.following.replay import Replay
from spgrepl.replica.following.states import FollowerState
from spgrepl.replica.following.transaction_watch import TransactionWatch
from spgrepl.replica.link import MasterLink
from spgrepl.replica.phases import Phase
from spgrepl.replica.service import ReplicaService
from spgrepl.replica.snapshot_receiver import IncomingSnapshot, shown_snapshot
from spgrepl.segments.incoming import SegmentAssembler
from spgrepl.text.placing import PlacingBoard
from spgrepl.watch.status import Applied, FollowerStatus, Positions


class FollowerTold(ReplicaService):
    """The side of a follower that is asked and changes nothing; its owner keeps what is told."""

    _cold: ColdRowsGate
    _engine: IEngine
    _incoming: IncomingSnapshot | None
    _link: MasterLink[FollowerConnection] | None
    _placing: PlacingBoard | None
    _progress: Progress | None
    _replay: Replay
    _segments: SegmentAssembler
    _transactions: TransactionWatch

    @property
    def engine_name(self) -> str:
        """What the log is applied by."""
        name: str = self._engine.name
        return name

    @property
    def _received(self) -> int | None:
        """Up to where the log has come over the connection that there is; None while it does not come."""
        link = self._link
        return link.connection.received if link is not None and link.connection.log_follows else None

    @property
    def state(self) -> FollowerState:
        """What the follower is doing."""
        streams = self._phase is Phase.STREAMING
        if self._phase is Phase.FILLING or (streams and self._cold.waiting):
            return FollowerState.BOOTSTRAPPING
        return FollowerState(self._fresh.trouble or "streaming" if streams else self._phase.value)

    def describe(self) -> FollowerStatus:
        """See `ReplicaService`."""
        progress, histories, link = self._progress, self._waiters.histories, self._link
        return FollowerStatus(
            state=self.state.value,
            engine=self._engine.name,
            protocol=None if link is None else link.connection.version.name,
            positions=Positions(
                None if self._source is None else self._source.length,
                self._received,
                None if progress is None else progress.durable,
                None if progress is None else progress.applied,
            ),
            history=None if histories is None else histories.current,
            base=None if progress is None else progress.base,
            transactions=self._transactions.describe(progress),
            segments=self._segments.status(),
            cold_rows=self._cold.missing,
            bootstrap=shown_snapshot(self._incoming, self._placing),
            skipped=self._replay.execution.left_out,
            applied=Applied.of(self._engine.statistics()),
            **self._describe_copy(),
        )
