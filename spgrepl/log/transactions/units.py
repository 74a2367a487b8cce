"""Batches of records cut into what may be committed now and what has to wait for its COMMIT.

A statement outside a transaction is a unit of its own; so is what stands between BEGIN and COMMIT or ROLLBACK
(PROTOCOL section 1). A transaction that is alone goes to the engine as it comes, whose own transaction stays open
for it: then the position rests in front of it. Where something else takes effect meanwhile, another transaction
begins, or it sets more savepoints than a database should hold, its statements are left out, to be read again from
the log when all of them have ended (`Settled`), and the position moves on.
"""

from __future__ import annotations

from spgrepl.compiled.texts import part_of
from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.transactions.groups import Ended, Judge, refuse
from spgrepl.log.transactions.steps import Step, pieces_of, records_to_look_at, steps_of
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.log.transactions.words import StatementKind
from spgrepl.log.transactions.work import NotFollowed, Section, Settled, Tally, Work

_ENDS = frozenset({StatementKind.COMMIT, StatementKind.ROLLBACK})

MOST_SAVEPOINTS = 64
"""How many savepoints of a transaction an engine's database gets at once.

A server of PostgreSQL holds a lock for each in a table that all its sessions share, and says that it is out of
memory when that is full; more than 64 make every other session slower. Who reads a transaction whose end is known
needs none.
"""


class UnitCutter:
    """Follows the transactions of a log from batch to batch.

    Args:
        every: Put all SQL into the work, transaction control and rolled-back statements included; nothing waits.
        judge: Says what becomes of transactions that were open at the same time and ended in different ways.

    Attributes:
        walk: What is known of transactions.
        streams: Whether the transaction that is open goes to the engine as it comes.
    """

    def __init__(self, every: bool = False, judge: Judge = refuse) -> None:
        self._every = every
        self._judge = judge
        self.walk = TransactionWalk(judge=judge)
        self.streams = False
        self.warnings: list[str] = []

    @property
    def open(self) -> bool:
        """Whether the log, as far as it was cut, ends inside a transaction."""
        return self.walk.group is not None and not self.walk.group.implicit

    def reset(self, opened_by: int | None = None, dropped: int | None = None) -> None:
        """Forget what is open: the log is read again.

        Args:
            opened_by: Where the record starts that is read first and opens a transaction; None where none is open.
            dropped: Where transactions began that were taken for dead last; None while there were none.
        """
        self.walk = TransactionWalk(judge=self._judge)
        self.walk.dropped = dropped
        if opened_by is not None:
            self.walk.resume(opened_by)
        self.streams = False

    def skim(self, batch: RecordBatch) -> None:
        """Take records whose statements were dealt with: they took effect, or wait still.

        Raises:
            RecordError: As `TransactionWalk.walk`.
        """
        self.walk.walk(batch)

    def cut(self, batch: RecordBatch, stop: int, skip: int | None = None) -> list[Section]:
        """Cut the first records of a batch into sections.

        Args:
            batch: The records, which follow those of the last call.
            stop: How many of them to take.
            skip: The index of a record to skip.

        Returns:
            At most three sections: the end of an open transaction, what is complete, and the start of a
            transaction that is not.

        Raises:
            NotFollowed: What a record does to transactions cannot be followed; see `TransactionWalk.walk`. (Never
                with `every`: nothing is put on any side of an end then.)
        """
        if self._every:
            return [Section(_every(batch, stop), stop, complete=True)]
        run = _Run(batch, self.walk, self.streams)
        done = 0
        for index in records_to_look_at(batch, stop, skip):
            run.take_plain(done, index)
            done = index + 1
            if index != skip:
                run.take(index)
        run.take_plain(done, stop)
        sections = run.finish(stop)
        self.streams = run.streams
        self.warnings += run.warnings
        return sections


def _every(batch: RecordBatch, stop: int) -> Work:
    """All SQL of some records, as it stands."""
    if not batch.types:
        return Work(part_of(batch.sql, 0, stop), runs=[(0, 0)])  # type: ignore[arg-type]
    # Only records of special types can be without SQL.
    held = [(index, sql) for index, sql in enumerate(batch.sql[:stop]) if sql is not None]
    return Work([sql for _, sql in held], runs=[(number, index) for number, (index, _) in enumerate(held)])


class _Run:
    """One pass over a batch.

    Args:
        batch: The records.
        walk: What is known of the log in front of them.
        streams: Whether the transaction that is open went to the engine as it came.
    """

    def __init__(self, batch: RecordBatch, walk: TransactionWalk, streams: bool) -> None:
        self._batch = batch
        self._walk = walk
        self._work = Work()
        self._sections: list[Section] = []
        self._unit_start = 0
        self._mark = (0, 0)
        self._continues = streams
        self._undo = False
        self._tally = Tally()
        self.streams = streams
        self.warnings: list[str] = []

    @property
    def _held(self) -> bool:
        """Whether what belongs to a transaction is left out."""
        group = self._walk.group
        return group is not None and not group.implicit and not self.streams

    def take_plain(self, start: int, stop: int) -> None:
        """Take a run of plain statements; each holds SQL."""
        if start >= stop:
            return
        alone = self._walk.take_plain(self._batch, start, stop)
        self._tally += Tally(alone=len(alone))
        if self.streams and alone:
            self._leave_out()
        if not self._held:
            self._work.add_run(start, self._batch.sql[start:stop])
            return
        for index in alone:
            self._work.add_run(index, self._batch.sql[index : index + 1])

    def take(self, index: int) -> None:
        """Take a record that may be anything."""
        sql = self._batch.sql[index]
        if sql is None:
            return
        try:
            steps = steps_of(self._batch, index, self._walk.group is not None)
            if not steps:
                self._take_content(index, sql)
            elif len(steps) == 1 and steps[0].sql == sql:
                self._step(steps[0], index)
            else:
                for kind, piece in pieces_of(sql):
                    self._take_piece(kind, piece, index)
        except RecordError as error:
            raise NotFollowed(index, error) from error

    def _take_piece(self, kind: StatementKind, piece: bytes, index: int) -> None:
        if kind is StatementKind.PLAIN or kind is StatementKind.CONTROL:
            self._take_content(index, piece)
        else:
            self._step(Step(kind, piece), index)

    def _take_content(self, index: int, sql: bytes) -> None:
        waits = self._walk.take_content(self._batch, index)
        if not waits and self._walk.begin is not None:
            self._tally += Tally(alone=1)
        if self.streams and not waits:
            self._leave_out()
        if self._held and waits:
            return
        self._work.add(index, sql, self._batch.types.get(index))

    # -- transactions -----------------------------------------------------------------------------------------

    def _step(self, step: Step, index: int) -> None:
        walk, start = self._walk, self._batch.start_of(index)
        before, strays = walk.group, sum(walk.strays)
        ended = walk.step(step, self._batch, index)
        if sum(walk.strays) > strays:
            self.warnings.append(f"at position {start}: {step.kind.value.upper()} outside a transaction")
            committed = step.kind is StatementKind.COMMIT
            self._tally += Tally(commits=int(committed), rollbacks=int(not committed))
        if ended is not None and not ended.group.implicit:
            self._ended(ended, index)
        elif step.kind is StatementKind.BEGIN and walk.group is not before:
            self.streams = True
            self._unit_start = index
            self._mark = (len(self._work.statements), len(self._work.controls))
        elif step.kind is StatementKind.BEGIN:
            self.warnings.append(f"at position {start}: BEGIN inside a transaction")
            if self.streams:
                self._leave_out()
        elif self.streams and walk.savepoints > MOST_SAVEPOINTS:
            self._leave_out()
        elif step.kind not in _ENDS and not self._held:
            self._work.add(index, step.sql, self._batch.types.get(index))

    def _ended(self, ended: Ended, index: int) -> None:
        self._walk.revoked.clear()
        if ended.group.differs:
            self._tally += Tally(merged=1)
        if not self.streams:
            if ended.takes_effect and ended.group.held:
                self._work.settled.append(Settled(len(self._work.statements), index, ended.group, ended.revoked))
            return
        self.streams = False
        if not ended.takes_effect:
            self._work.split(*self._mark)
        if self._continues:
            # A transaction of an earlier batch is committed for itself, so that a later record's failure
            # does not undo it for ever.
            self._continues = False
            self._add_section(index + 1, undo=not ended.takes_effect)

    def _leave_out(self) -> None:
        """The transaction is not alone: what it has done so far is undone, and waits for its end."""
        self.streams = False
        self._work.split(*self._mark)
        if self._continues:
            self._continues = False
            self._undo = True

    def _add_section(self, stop: int, undo: bool = False) -> None:
        group = self._walk.group
        opened_by = None if group is None or group.implicit or self.streams else group.opened_by
        self._sections.append(Section(self._work, stop, True, undo, opened_by, self._tally))
        self._work, self._tally = Work(), Tally()

    def finish(self, stop: int) -> list[Section]:
        """The sections of the pass."""
        done = self._sections[-1].stop if self._sections else 0
        if self._continues:
            self._sections.append(Section(self._work, stop, complete=False))
        elif self.streams:
            rest = self._work.split(*self._mark)
            if self._unit_start > done:
                self._add_section(self._unit_start, self._undo)
            self._sections.append(Section(rest, stop, complete=False))
        elif done < stop or not self._sections:
            self._add_section(stop, self._undo)
        return self._sections
