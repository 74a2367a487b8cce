"""Where the transactions of a log begin and end, and what of them was taken back, without keeping any of it.

Replay of one transaction leaves savepoints to the database. Whoever hands the log on record by record has to know
them: what stands between SAVEPOINT and ROLLBACK TO never happened.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import Ended, Group, Judge, Revoked, committed_after_all, refuse
from spgrepl.log.transactions.savepoints import Savepoints, TooManySavepoints
from spgrepl.log.transactions.steps import Step, all_alone, records_to_look_at, stands_alone, steps_of
from spgrepl.log.transactions.words import StatementKind

MAX_REVOKED = 100_000
"""How many stretches of one transaction may be rolled back, with others between them that are not."""


class TransactionWalk:
    """Follows the transactions of a log from batch to batch.

    Args:
        begin: Where an open transaction has begun; None outside of one.
        judge: Says what becomes of transactions that were open at the same time and ended in different ways.

    Attributes:
        group: The transactions that are open; None outside of one.
        revoked: What was taken back so far, in rising order; ranges do not overlap.
        strays: How many ends had no BEGIN, and how many of them were a COMMIT.
        last_stray: Where the last of them starts.
        dropped: Where transactions began that were taken for dead last; None while there were none.
    """

    def __init__(self, begin: int | None = None, judge: Judge = refuse) -> None:
        self.group = None if begin is None else Group(begin, begin)
        self.revoked: list[Revoked] = []
        self.strays = [0, 0]
        self.last_stray: int | None = None
        self.dropped: int | None = None
        self._judge = judge
        self._chained: int | None = None
        self._savepoints = Savepoints()

    @property
    def begin(self) -> int | None:
        """Where the open transactions begin; None outside of one."""
        return None if self.group is None else self.group.begin

    @property
    def savepoints(self) -> int:
        """How many savepoints are set."""
        return len(self._savepoints)

    def resume(self, opened_by: int) -> None:
        """Begin with the record that opened what is open: it may be one that ended another AND CHAIN."""
        self._chained = opened_by

    # -- records ----------------------------------------------------------------------------------------------

    def walk(self, batch: RecordBatch, until_closed: bool = False) -> int:
        """Take records that follow those of the last call.

        Args:
            batch: The records.
            until_closed: Whether to stop after the record that ends the open transactions.

        Returns:
            How many records were taken.

        Raises:
            AmbiguousTransactions: The judge refuses; the group counts as open still.
            RecordError: A record cannot be put on either side of a transaction's end, or sets more savepoints than
                are followed, or rolls back one stretch too many. The records in front of it were taken.
        """
        done = 0
        for index in records_to_look_at(batch, len(batch)):
            self.take_plain(batch, done, index)
            done = index + 1
            before = self.group
            self.take(batch, index)
            if until_closed and before is not None and self.group is not before:
                return done
        self.take_plain(batch, done, len(batch))
        return len(batch)

    def take_plain(self, batch: RecordBatch, first: int, stop: int) -> list[int]:
        """Take a run of records that do nothing to transactions; each holds SQL.

        Returns:
            The indices of those that stand alone inside of an open transaction; none outside.
        """
        group = self.group
        if group is None or first >= stop:
            return []
        alone = all_alone(batch, first, stop)
        group.alone += len(alone)
        if len(alone) < stop - first:
            group.held += stop - first - len(alone)
            others = set(alone)
            group.last_held = batch.start_of(next(at for at in reversed(range(first, stop)) if at not in others))
        return alone

    def take(self, batch: RecordBatch, index: int) -> bool:
        """Take one record, which follows those that were taken before.

        Returns:
            Whether it does something to transactions.

        Raises:
            RecordError: See `walk`.
        """
        if batch.sql[index] is None:
            return False
        inside = self.group is not None
        steps = steps_of(batch, index, inside)
        if not steps:
            self.take_content(batch, index)
        for step in steps:
            self.step(step, batch, index)
        return bool(steps)

    def take_content(self, batch: RecordBatch, index: int) -> bool:
        """Take a record that does nothing to transactions; returns whether it waits for the end of one."""
        group = self.group
        if group is None:
            return False
        if stands_alone(batch, index):
            group.alone += 1
            return False
        group.held += 1
        group.last_held = batch.start_of(index)
        return True

    def step(self, step: Step, batch: RecordBatch, index: int) -> Ended | None:
        """Take one thing that a record does to transactions.

        Returns:
            What has ended with it; None where nothing has.

        Raises:
            RecordError: See `walk`.
        """
        kind, start = step.kind, batch.start_of(index)
        if kind is StatementKind.BEGIN:
            self._begin(start, batch.start_of(index + 1))
        elif kind is StatementKind.COMMIT or kind is StatementKind.ROLLBACK:
            return self._end(step, batch, index)
        elif kind is StatementKind.SAVEPOINT:
            if self.group is None:
                self._open(Group(start, start, implicit=True))
            try:
                self._savepoints.add(step.savepoint, start)
            except TooManySavepoints as error:
                raise RecordError(str(error), start) from error
        elif self.group is not None:
            self._to_savepoint(step, batch, index)
        return None

    # -- transactions -----------------------------------------------------------------------------------------

    def _begin(self, start: int, end: int) -> None:
        if self.group is None or self.group.implicit:
            self._open(Group(start, start))
        else:
            self.group.begin_another(end)

    def _open(self, group: Group) -> None:
        self.group = group
        self._savepoints = Savepoints()

    def _end(self, step: Step, batch: RecordBatch, index: int) -> Ended | None:
        group, start, end = self.group, batch.start_of(index), batch.start_of(index + 1)
        committed, ended = step.kind is StatementKind.COMMIT, None
        if group is None or group.implicit:
            if self._chained != start:
                self._stray(committed, start)
            if group is not None:
                ended = self._close(group, end, committed)
        else:
            group.end_one(committed, start, end)
            if group.open:
                if step.chains:
                    group.begin_another(end)
                return None
            ended = self._close(group, end, self._takes_effect(group, start))
        if step.chains:
            self._open(Group(end, start))
        return ended

    def _stray(self, committed: bool, start: int) -> None:
        """An end has no BEGIN."""
        if self.dropped is not None and committed:
            if self._judge is refuse:
                raise committed_after_all(self.dropped, start)
            self.dropped = None
        self.strays[committed] += 1
        self.last_stray = start

    def _takes_effect(self, group: Group, position: int) -> bool:
        return self._judge(group, position) if group.differs else group.takes_effect

    def _close(self, group: Group, end: int, takes_effect: bool) -> Ended:
        if not takes_effect:
            self._revoke(group.begin, end)
        self.group = None
        self._savepoints = Savepoints()
        first = bisect_left(self.revoked, group.begin, key=attrgetter("start"))
        return Ended(group, takes_effect, tuple(self.revoked[first:]))

    def drop(self, position: int) -> Ended | None:
        """Take the transactions that are open for dead, at a position after the records that were taken.

        Returns:
            What has ended so; None where none was open.

        Raises:
            AmbiguousTransactions: Others of the group were committed, and the judge refuses; it stays open.
        """
        if self.group is None:
            return None
        gone = self.group.dropped()
        ended = self._close(gone, position, self._takes_effect(gone, position))
        self.dropped = gone.begin
        return ended

    # -- savepoints -------------------------------------------------------------------------------------------

    def _to_savepoint(self, step: Step, batch: RecordBatch, index: int) -> None:
        """ROLLBACK TO keeps the savepoint itself, RELEASE does not."""
        group = self.group
        assert group is not None
        at = self._savepoints.find(step.savepoint)
        if step.kind is StatementKind.ROLLBACK_TO:
            # One that is not known was set before the place where this walk began.
            start = group.begin if at is None else self._savepoints.start(at)
            if group.is_one_since(start):
                self._revoke(start, batch.start_of(index + 1))
            elif group.last_held is not None and group.last_held >= start and group.unclear is None:
                group.unclear = batch.start_of(index)
            self._savepoints.cut(0 if at is None else at + 1)
        elif at is not None:
            self._savepoints.cut(at)
            if group.implicit and not len(self._savepoints):
                self.group = None
                self._savepoints = Savepoints()

    def _revoke(self, start: int, end: int) -> None:
        """Take back what starts at a position or after it, up to the end of the record that says so."""
        while self.revoked and self.revoked[-1].start >= start:
            self.revoked.pop()
        assert self.group is not None
        if self.revoked and self.revoked[-1].end >= start and self.revoked[-1].start >= self.group.begin:
            start = self.revoked.pop().start
        if self._stretches() >= MAX_REVOKED:
            raise RecordError(
                f"more than {MAX_REVOKED} stretches of the log are rolled back to savepoints in one transaction",
                end,
            )
        self.revoked.append(Revoked(start, end))

    def _stretches(self) -> int:
        """How many stretches of the open transaction are rolled back; what came before it does not count."""
        assert self.group is not None
        return len(self.revoked) - bisect_left(self.revoked, self.group.begin, key=attrgetter("start"))


def first_step(batch: RecordBatch) -> StatementKind | None:
    """What the first record of a batch that begins, ends or divides a transaction does; None without such a one.

    Raises:
        RecordError: That record cannot be put on either side of a transaction's end.
    """
    for index in records_to_look_at(batch, len(batch)):
        steps = steps_of(batch, index, inside=False)
        if steps:
            return steps[0].kind
    return None
