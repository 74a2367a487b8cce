"""When each record of a log takes effect, for people who read it."""

from __future__ import annotations

import enum

import attrs

from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import merge
from spgrepl.log.transactions.walk import TransactionWalk


class Effect(enum.Enum):
    """When a record takes effect; the value is its name in what is printed."""

    NOW = "now"
    """Where it stands; no transaction is open."""

    ALONE = "alone"
    """Where it stands, though a transaction is open."""

    HELD = "held"
    """With the transactions that are open, if these are committed."""

    CONTROL = "control"
    """It begins, divides or ends a transaction."""

    NONE = "none"
    """Never: it holds no statement, or cannot be put on either side of a transaction's end."""


@attrs.frozen
class Place:
    """Where a record stands.

    Attributes:
        effect: When it takes effect.
        begin: Where the transactions begin that are open there, the record included; None without any.
    """

    effect: Effect
    begin: int | None


class RecordPlaces:
    """Follows the transactions of a log from batch to batch."""

    def __init__(self) -> None:
        self._walk = TransactionWalk(judge=merge)

    def of(self, batch: RecordBatch) -> list[Place]:
        """The places of records that follow those of the last call."""
        found = [self._place(batch, index) for index in range(len(batch))]
        self._walk.revoked.clear()
        return found

    def _place(self, batch: RecordBatch, index: int) -> Place:
        walk = self._walk
        before, waited = walk.begin, 0 if walk.group is None else walk.group.held
        if batch.sql[index] is None:
            return Place(Effect.NONE, before)
        try:
            control = walk.take(batch, index)
        except RecordError:
            return Place(Effect.NONE, before)
        if control:
            return Place(Effect.CONTROL, walk.begin if before is None else before)
        if walk.group is None:
            return Place(Effect.NOW, None)
        return Place(Effect.HELD if walk.group.held > waited else Effect.ALONE, before)
