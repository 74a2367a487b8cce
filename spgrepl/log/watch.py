"""What is odd in a log, and what there is to count in it, while it is read from end to end."""

from __future__ import annotations

import attrs

from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.groups import Group
from spgrepl.log.transactions.steps import Step, pieces_of, records_to_look_at, steps_of
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.log.transactions.words import StatementKind


@attrs.frozen
class LogWarning:
    """Something odd in a log that does not keep it from being replayed, or that only an operator can decide.

    Attributes:
        position: Where the record starts, in bytes from the start of the file.
        text: What is odd.
    """

    position: int
    text: str


@attrs.frozen
class TransactionCounts:
    """What was counted of the transactions of a log.

    Attributes:
        begun: How many have begun.
        committed: How many were committed.
        rolled_back: How many were rolled back.
        most_open: How many were open at the same time.
        inside: Records that were committed by themselves inside of an open transaction.
        held: Statements that wait for the end of what is open at the end of the log.
        ambiguous: Groups of transactions that were open at the same time and whose ends differ.
        strays: Ends that have no BEGIN.
    """

    begun: int = 0
    committed: int = 0
    rolled_back: int = 0
    most_open: int = 0
    inside: int = 0
    held: int = 0
    ambiguous: int = 0
    strays: int = 0


class LogWatch:
    """Looks at the records that matter for transactions, and at checkpoints.

    Args:
        base: What to add to positions before they are compared with those that checkpoints state.
        most: How many warnings to keep.

    Attributes:
        records: How many records there are.
        warnings: The first warnings.
        warning_count: How many there are in all.
    """

    def __init__(self, base: int, most: int) -> None:
        self._base = base
        self._most = most
        self._walk = TransactionWalk(judge=self._judge)
        self._counts = dict.fromkeys(attrs.fields_dict(TransactionCounts), 0)
        self.records = 0
        self.warnings: list[LogWarning] = []
        self.warning_count = 0

    @property
    def open_transaction(self) -> int | None:
        """Where the transactions begin that are open; None without any."""
        return self._walk.begin

    def counts(self) -> TransactionCounts:
        """What was counted of transactions."""
        group = self._walk.group
        inside = self._counts["inside"] + (0 if group is None else group.alone)
        held = 0 if group is None else group.held
        counted = {**self._counts, "strays": sum(self._walk.strays), "inside": inside, "held": held}
        return TransactionCounts(**counted)

    def saw(self, batch: RecordBatch) -> None:
        """Take records that follow those of the last call."""
        self.records += len(batch)
        done = 0
        for index in records_to_look_at(batch, len(batch)):
            self._walk.take_plain(batch, done, index)
            done = index + 1
            if batch.types.get(index) is RecordType.CHECKPOINT:
                self._saw_checkpoint(batch, index)
            elif batch.sql[index] is not None:
                self._saw_statement(batch, index)
        self._walk.take_plain(batch, done, len(batch))
        self._walk.revoked.clear()

    def _saw_checkpoint(self, batch: RecordBatch, index: int) -> None:
        stated, position = batch.record(index).stated_position, batch.start_of(index)
        if stated != self._base + position:
            self._warn(position, f"a checkpoint states position {stated}, it stands at {self._base + position}")

    def _saw_statement(self, batch: RecordBatch, index: int) -> None:
        try:
            steps = steps_of(batch, index, self._walk.group is not None)
            if not steps:
                self._walk.take_content(batch, index)
            for step in steps:
                self._saw_step(step, batch, index)
        except RecordError as error:
            self._warn(batch.start_of(index), str(error).partition(": ")[2])
            for kind, piece in pieces_of(batch.sql[index] or b""):
                self._saw_step(Step(kind, piece), batch, index)

    def _saw_step(self, step: Step, batch: RecordBatch, index: int) -> None:
        walk, position, begin = self._walk, batch.start_of(index), self._walk.begin
        inside = walk.group is not None and not walk.group.implicit
        ended = walk.step(step, batch, index)
        if step.kind is StatementKind.BEGIN:
            self._counts["begun"] += 1
            if inside:
                self._warn(position, f"BEGIN inside the transaction that began at {begin}")
        elif step.kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
            self._counts["begun"] += step.chains
            if not inside:
                self._warn(position, f"{step.kind.name} outside of a transaction")
            else:
                self._counts["committed" if step.kind is StatementKind.COMMIT else "rolled_back"] += 1
        if walk.group is not None:
            self._counts["most_open"] = max(self._counts["most_open"], walk.group.most)
        if ended is not None:
            self._counts["inside"] += ended.group.alone

    def _judge(self, group: Group, position: int) -> bool:
        self._counts["ambiguous"] += 1
        self._warn(position, group.describe())
        return True

    def _warn(self, position: int, text: str) -> None:
        self.warning_count += 1
        if len(self.warnings) < self._most:
            self.warnings.append(LogWarning(position, text))
