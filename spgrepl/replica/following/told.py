"""What is told of a follower: its state and its status."""

from __future__ import annotations

from typing import Any

from spgrepl.interfaces.engine import IEngine
from spgrepl.replica.following.cold_gate import ColdRowsGate
from spgrepl.replica.following.progress import Progress
from spgrepl.replica.following.states import FollowerState, describe_positions
from spgrepl.replica.following.transaction_watch import TransactionWatch
from spgrepl.replica.phases import Phase
from spgrepl.replica.service import ReplicaService
from spgrepl.replica.snapshot_receiver import IncomingSnapshot
from spgrepl.segments.incoming import SegmentAssembler


class FollowerTold(ReplicaService):
    """The side of a follower that is asked and changes nothing; its owner keeps what is told."""

    _cold: ColdRowsGate
    _engine: IEngine
    _incoming: IncomingSnapshot | None
    _progress: Progress | None
    _received: int | None
    _segments: SegmentAssembler
    _transactions: TransactionWatch

    @property
    def engine_name(self) -> str:
        """What the log is applied by."""
        name: str = self._engine.name
        return name

    @property
    def state(self) -> FollowerState:
        """What the follower is doing."""
        streams = self._phase is Phase.STREAMING
        if self._phase is Phase.FILLING or (streams and self._cold.waiting):
            return FollowerState.BOOTSTRAPPING
        return FollowerState(self._fresh.trouble or "streaming" if streams else self._phase.value)

    def status(self) -> dict[str, Any]:
        """What `/status` shows: plain values, for JSON."""
        incoming, source, progress = self._incoming, self._source, self._progress
        return {
            "role": "follower",
            "state": self.state.value,
            "engine": self._engine.name,
            "protocol": self._link and self._link.connection.version.name,
            **describe_positions(progress, self._received, source, self._waiters.histories),
            **self._freshness_status(),
            "transactions": self._transactions.describe(progress),
            "segments": self._segments.status(),
            "cold_rows": self._cold.missing,
            "bootstrap": incoming and {"received": incoming.received, "length": incoming.length},
            **self._trouble_status(),
            **self._engine.statistics(),
        }
