"""What a subscription asks for, and what it may be doing."""

from __future__ import annotations

import enum
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import attrs

from spgrepl.disk.limits import DEFAULT_LIMITS, ReplicaLimits
from spgrepl.errors import (
    ConfigurationError,
    CopyRefused,
    DatabaseLocked,
    HistoryDiverged,
    LocalFilesDamaged,
    PeerClosed,
    PositionTooLarge,
    SpgReplError,
    SubscriptionGone,
    TableMismatch,
    UsageError,
)
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.subscribing.origins import Origin
from spgrepl.text.sqltext import quote_name
from spgrepl.text.words import shorten
from spgrepl.wire.frames import DEFAULT_MAX_FRAME
from spgrepl.wire.subscription import check_publications

FINAL = (
    HistoryDiverged,
    ConfigurationError,
    TableMismatch,
    LocalFilesDamaged,
    DatabaseLocked,
    SubscriptionGone,
    CopyRefused,
    PositionTooLarge,
)
"""What trying again does not help."""

_LONGEST_IN_FILE_NAMES = 100
"""How many bytes of a subscription's name go into the names of its files; systems allow 255 for a whole one."""


class SubscriberState(enum.Enum):
    """What a subscription is doing; `DELAYED` and `SILENT` are those of `FollowerState`."""

    CONNECTING = "connecting"
    COPYING = "copying"
    STREAMING = "streaming"
    DELAYED = "delayed"
    SILENT = "silent"
    WAITING = "waiting"
    STOPPED = "stopped"


@attrs.frozen
class Subscription:
    """What is subscribed to, and how.

    Attributes:
        name: The subscription's name; its place in the target is found by it.
        publications: The publications; none at all means every table.
        copy_data: Whether the rows that are there already are copied first.
        start: Where to begin without a copy; None for the master's current end.
        keep_refused: Whether records that the target refuses are put aside, and the others go on.
        skip: A record to skip, once.
        same_history: Whether to go on whatever was found of the master's history, once: an operator says that only
            its publications were changed.
        origin: Which rows are wanted, by where they originated.
        of_catalogue: Whether CREATE SUBSCRIPTION made it, so that SQL is what to say to it.
        max_record: The most bytes of SQL or payload that a record may have.
        max_frame: The longest frame that is accepted, in bytes.
        limits: What is taken from the master.
        on_divergence: What to do when the master's history is another one.

    Raises:
        UsageError: A fresh copy is to be taken where none is made at all.
            More publications, or longer names, than one may ask a master for.
    """

    name: str
    publications: tuple[str, ...]
    copy_data: bool = True
    start: int | None = None
    keep_refused: bool = False
    skip: SkipRequest | None = None
    same_history: bool = False
    origin: Origin = Origin.ANY
    of_catalogue: bool = False
    max_record: int = DEFAULT_MAX_RECORD
    max_frame: int = DEFAULT_MAX_FRAME
    limits: ReplicaLimits = DEFAULT_LIMITS
    on_divergence: OnDivergence = OnDivergence.STOP

    def __attrs_post_init__(self) -> None:
        if self.on_divergence is OnDivergence.RESNAPSHOT and not self.copy_data:
            raise UsageError(
                f"the subscription {shorten(self.name)} begins without a copy of the rows, and cannot take a "
                f"fresh one when the master's history is another one (--on-divergence resnapshot)"
            )
        try:
            check_publications(self.publications)
        except ValueError as error:
            raise UsageError(f"the subscription {shorten(self.name)}: {error}") from error

    def how_to_skip(self, position: int, crc: int) -> str | None:
        """What leaves a record out; None for the command's own options."""
        if not self.of_catalogue:
            return None
        return f"ALTER SUBSCRIPTION {quote_name(self.name)} SKIP (position = {position}, crc = '{crc:08x}')"

    def file_beside(self, path: Path, suffix: str) -> Path:
        """A file of this subscription beside its target, whatever characters its name has."""
        name = quote(self.name, safe="")
        if len(name) > _LONGEST_IN_FILE_NAMES:
            digest = sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            name = f"{name[: _LONGEST_IN_FILE_NAMES - 33]}-{digest}"
        return path.with_name(f"{path.name}.{name}.{suffix}")


def not_given(reason: SpgReplError | None) -> SpgReplError | None:
    """Why a master that serves the stream gave no snapshot, where it closed the connection without a byte."""
    if not isinstance(reason, PeerClosed):
        return reason
    return PeerClosed(
        "the master serves this subscription, and closed the connection without a byte when it was asked for the "
        "snapshot of the initial copy. That holds the whole database, and this client may not be allowed to have "
        "more than publications there: begin without the rows that are there, with --no-copy-data. Otherwise the "
        "master's log says why"
    )
