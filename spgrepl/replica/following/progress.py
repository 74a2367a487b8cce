"""How far replay has come, and what an operator may order it to do."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.python.failure import Failure

from spgrepl.errors import SnapshotError
from spgrepl.interfaces.engine import NO_NOTES, TransactionNotes
from spgrepl.log.transactions.groups import Group
from spgrepl.log.transactions.work import Section
from spgrepl.text.quantities import number_of

MAX_POSITION = 2**63 - 1
"""Positions are stored as signed 64-bit numbers."""


@attrs.frozen
class SkipRequest:
    """An operator's order to skip one record, once.

    Attributes:
        position: Where the record starts in the master's log.
        crc: Its CRC-32, so that no other record is meant.
    """

    position: int
    crc: int


@attrs.frozen
class Progress:
    """How far replay has come.

    Attributes:
        applied: The position up to which the engine holds everything.
        durable: The position up to which the local log is on disk; ahead of `applied` inside a transaction.
        base: The position at which the local log begins.
        copies: How many snapshots were put in place since the start; each one begins the local log again.
        group: The transactions that are open.
        notes: What was counted of transactions.
        opened: How many transactions have begun and not ended, that of a SAVEPOINT without a BEGIN among them.
    """

    applied: int
    durable: int
    base: int
    copies: int = 0
    group: Group | None = None
    notes: TransactionNotes = NO_NOTES
    opened: int = 0

    @property
    def settled(self) -> int:
        """The position up to which the copy shows all that is committed.

        Where one of several transactions was committed, its rows wait for the others' ends.
        """
        first = None if self.group is None else self.group.first_end
        return self.applied if first is None else min(self.applied, first)


@attrs.frozen
class ReplayTold:
    """Who is told of replay.

    Attributes:
        progressed: Told how far it has come.
        failed: Told why it could not go on.
    """

    progressed: Callable[[Progress], None]
    failed: Callable[[Failure], None]


def check_stated(length: int, position: int) -> None:
    """Judge what a master states of a snapshot.

    Raises:
        SnapshotError: It cannot be.
    """
    if position > MAX_POSITION:
        raise SnapshotError(f"the master's snapshot states position {position}, above 2^63 - 1")
    if length == 0 and position != 0:
        raise SnapshotError(
            f"the master sent an empty snapshot at position {position}; the rows before that position are not "
            f"to be had from it"
        )


def counted(notes: TransactionNotes, section: Section, position: int, met: int = 0) -> TransactionNotes:
    """What there is to know of transactions after a section.

    Args:
        notes: What there was to know before it.
        section: The section.
        position: The position after it.
        met: How many of its statements the snapshot held already.
    """
    tally = section.tally
    alone_to = notes.alone_to if notes.alone_to is not None and notes.alone_to > position else None
    return attrs.evolve(
        notes,
        opened_by=section.opened_by,
        alone=notes.alone + tally.alone,
        commits=notes.commits + tally.commits,
        rollbacks=notes.rollbacks + tally.rollbacks,
        merged=notes.merged + tally.merged,
        met=notes.met + met,
        alone_to=alone_to,
    )


def dropped_text(group: Group, position: int) -> str:
    """What is told of transactions that were taken for dead."""
    became = "took effect as a whole, as --ambiguous-transactions merge says" if group.commits else "were dropped"
    return (
        f"the transactions that were open from position {group.begin} on have not ended in time; at position "
        f"{position} they were taken for dead, as --open-transactions says: their "
        f"{number_of(group.held, 'statement')} {became}"
    )
