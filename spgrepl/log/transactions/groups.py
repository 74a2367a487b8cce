"""Transactions that are open at the same time, and what their ends say of them (PROTOCOL section 1).

The log has no transaction ids. From the first BEGIN on, until no transaction is open, its statements are one
group. Where all ends are a COMMIT all of them take effect, where all are a ROLLBACK none does, whoever is who.
Where the ends differ nothing in the log can tell.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from spgrepl.errors import AmbiguousTransactions
from spgrepl.text.quantities import number_of


@attrs.frozen
class Revoked:
    """Records that never took effect: those that start in a range, and do not stand alone (`record_steps`).

    Attributes:
        start: The first position.
        end: The position after the last record, that of the ROLLBACK itself.
    """

    start: int
    end: int


class OnAmbiguity(enum.Enum):
    """What to do about a group of transactions of which some were committed and others rolled back."""

    STOP = "stop"
    RESNAPSHOT = "resnapshot"
    MERGE = "merge"


@attrs.define
class Group:
    """A group of transactions that is open, or has just ended.

    Attributes:
        begin: Where it begins.
        opened_by: Where the record starts that opened it: `begin`, but for an end that ended ``AND CHAIN``.
        implicit: Whether no BEGIN opened it but a SAVEPOINT.
        open: How many transactions have begun in it and not ended.
        most: How many were open at the same time.
        commits: How many were committed.
        rollbacks: How many were rolled back, or dropped.
        held: How many statements wait for its end, or waited.
        alone: How many records stand in it that were committed by themselves.
        changed: The position from which on the same transactions are open.
        first_end: Where the first record starts that ended one of several.
        last_held: Where the last record starts of those that wait.
        unclear: Where a ROLLBACK TO stands of which it is not known what it took back.
    """

    begin: int
    opened_by: int
    implicit: bool = False
    open: int = 1
    most: int = 1
    commits: int = 0
    rollbacks: int = 0
    held: int = 0
    alone: int = 0
    changed: int = 0
    first_end: int | None = None
    last_held: int | None = None
    unclear: int | None = None

    def __attrs_post_init__(self) -> None:
        self.changed = max(self.changed, self.begin)

    @property
    def takes_effect(self) -> bool:
        """Whether its statements do, once it has ended and its ends do not differ."""
        return self.commits > 0

    @property
    def differs(self) -> bool:
        """Whether it cannot be told which of its statements took effect."""
        return self.held > 0 and self.commits > 0 and (self.rollbacks > 0 or self.unclear is not None)

    def begin_another(self, end: int) -> None:
        """Another transaction begins; its record ends at a position."""
        self.open += 1
        self.most = max(self.most, self.open)
        self.changed = end

    def end_one(self, committed: bool, start: int, end: int) -> None:
        """One of its transactions ends with the record between two positions."""
        self.open -= 1
        self.changed = end
        if committed:
            self.commits += 1
        else:
            self.rollbacks += 1
        if self.open and self.first_end is None:
            self.first_end = start

    def dropped(self) -> Group:
        """The group with those that are open taken for dead."""
        return attrs.evolve(self, open=0, rollbacks=self.rollbacks + self.open)

    def is_one_since(self, start: int) -> bool:
        """Whether one and the same transaction was the only one that was open from a position on."""
        return self.open == 1 and start >= self.changed

    def describe(self) -> str:
        """What is wrong where it `differs`, for errors."""
        ends = f"{self.commits} committed, {self.rollbacks} rolled back or dropped"
        if not self.rollbacks:
            ends += f", and one went back to a savepoint at {self.unclear}"
        return (
            f"{number_of(self.most, 'transaction')} were open at the same time from position "
            f"{self.begin} on ({ends}), and "
            f"the log does not say to which of them the {number_of(self.held, 'statement')} "
            f"{'belongs' if self.held == 1 else 'belong'}"
        )


@attrs.frozen
class Ended:
    """A group that has ended.

    Attributes:
        group: The group.
        takes_effect: Whether its statements do, but for what was taken back.
        revoked: What was taken back of it, in rising order.
    """

    group: Group
    takes_effect: bool
    revoked: tuple[Revoked, ...]


@attrs.frozen
class TransactionChoices:
    """What an operator chooses about transactions that the log cannot tell.

    Attributes:
        ambiguous: What becomes of transactions that were open at the same time and ended in different ways.
        drop_after: After how many seconds transactions that are open are taken for dead; None for never.
    """

    ambiguous: OnAmbiguity = OnAmbiguity.STOP
    drop_after: float | None = None


DEFAULT_CHOICES = TransactionChoices()

Judge = Callable[[Group, int], bool]
"""Says whether a group whose ends differ takes effect as a whole; it ends with the record at the position.

Raises:
    AmbiguousTransactions: Nobody chose.
"""


def committed_after_all(dropped: int, position: int) -> AmbiguousTransactions:
    """What it means that an end has no BEGIN after transactions were taken for dead."""
    return AmbiguousTransactions(
        f"transactions that were open from position {dropped} on were taken for dead (--open-transactions), and "
        f"one of them was committed after all: its first statements are missing",
        position,
        dropped,
    )


def refuse(group: Group, position: int) -> bool:
    """The judge that never guesses."""
    raise AmbiguousTransactions(group.describe(), position, group.begin)


def merge(_group: Group, _position: int) -> bool:
    """The judge that lets all of a group take effect."""
    return True


def judge_of(choice: OnAmbiguity) -> Judge:
    """The judge that an operator chose; a fresh snapshot is taken by whoever is told of the refusal."""
    return merge if choice is OnAmbiguity.MERGE else refuse
