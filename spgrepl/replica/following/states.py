"""What a follower is asked to do, and what it is doing."""

from __future__ import annotations

import enum

import attrs

from spgrepl.disk.limits import DEFAULT_LIMITS, ReplicaLimits
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices
from spgrepl.replica.following.connection import LinkState, LinkTimeouts
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.wire.frames import DEFAULT_MAX_FRAME


class OnDivergence(enum.Enum):
    """What to do when the master's history is not the one that the copy was made from."""

    STOP = "stop"
    RESNAPSHOT = "resnapshot"


@attrs.frozen
class Following:
    """How a follower follows.

    Attributes:
        on_divergence: What to do when the master's history is different.
        skip: A record to skip, once.
        timeouts: Deadlines of the connection.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.
        without_cold_rows: Whether to do without rows of an SPG snapshot whose cold segments never come.
        transactions: What is done about transactions that the log cannot tell.
        limits: What is taken from the master.
    """

    on_divergence: OnDivergence = OnDivergence.STOP
    skip: SkipRequest | None = None
    timeouts: LinkTimeouts = attrs.Factory(LinkTimeouts)
    max_record: int = DEFAULT_MAX_RECORD
    max_frame: int = DEFAULT_MAX_FRAME
    without_cold_rows: bool = False
    transactions: TransactionChoices = DEFAULT_CHOICES
    limits: ReplicaLimits = DEFAULT_LIMITS


DEFAULT = Following()


class FollowerState(enum.Enum):
    """What a follower is doing.

    It is `DELAYED` while it streams and a batch takes longer than a second, and `SILENT` while its master does not
    say anything, not even that it is there, as it does many times a second.
    """

    CONNECTING = "connecting"
    BOOTSTRAPPING = "bootstrapping"
    STREAMING = "streaming"
    DELAYED = "delayed"
    SILENT = "silent"
    WAITING = "waiting"
    STOPPED = "stopped"


BOOTSTRAP_STATES = frozenset({LinkState.SNAPSHOT_BODY, LinkState.SNAPSHOT_POSITION, LinkState.INSTALLING})
"""The states of a connection in which its follower is bootstrapping."""
