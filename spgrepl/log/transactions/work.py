"""What a batch of records asks of an engine: statements, and how far the log has come with them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter

import attrs

from spgrepl.errors import AmbiguousTransactions, RecordError
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.groups import Group, Revoked
from spgrepl.log.transactions.steps import pieces_of
from spgrepl.log.transactions.words import StatementKind, statement_kind


@attrs.frozen
class Control:
    """A statement of PROTOCOL section 5 among others.

    Attributes:
        before: How many statements of the work go before it.
        record: The index in the batch of its record.
        sql: The statement in UTF-8.
    """

    before: int
    record: int
    sql: bytes


@attrs.frozen
class Settled:
    """Transactions that have ended, and whose statements take effect here; they stand further back in the log.

    Attributes:
        before: How many statements of the work go before them.
        record: The index in the batch of the record that ends the last one.
        group: What is known of them.
        revoked: What of them was taken back.
    """

    before: int
    record: int
    group: Group
    revoked: Sequence[Revoked]


@attrs.define
class Work:
    """Statements for an engine, in order.

    Attributes:
        statements: SQL in UTF-8.
        types: The record types of those that are not a single statement in SPG's own dialect.
        controls: Statements of PROTOCOL section 5, in order.
        settled: Transactions whose statements stand further back, in order.
        runs: Where the statements come from: pairs of a statement's index and its record's; the statements that
            follow come from the records that follow, up to the next pair.
    """

    statements: list[bytes] = attrs.field(factory=list)
    types: dict[int, RecordType] = attrs.field(factory=dict)
    controls: list[Control] = attrs.field(factory=list)
    settled: list[Settled] = attrs.field(factory=list)
    runs: list[tuple[int, int]] = attrs.field(factory=list)

    def add_run(self, record: int, statements: Sequence[bytes | None]) -> None:
        """Add plain statements of records that stand in a row, from the record of an index on; none is None."""
        self.runs.append((len(self.statements), record))
        self.statements += statements  # type: ignore[arg-type]

    def add(self, record: int, sql: bytes, kind: RecordType | None) -> None:
        """Add a statement of a record, of which only a special type is named."""
        if statement_kind(sql) is StatementKind.CONTROL and not _several(sql):
            self.controls.append(Control(len(self.statements), record, sql))
            return
        if kind is not None:
            self.types[len(self.statements)] = kind
        self.runs.append((len(self.statements), record))
        self.statements.append(sql)

    def origin(self, statement: int) -> int:
        """The index in the batch of the record that a statement comes from."""
        first, record = self.runs[bisect_right(self.runs, statement, key=itemgetter(0)) - 1]
        return record + statement - first

    def leave_out(self, unwanted: Callable[[int], bool]) -> None:
        """Take away the statements of some records.

        Args:
            unwanted: Says whether the record of an index is one of them.
        """
        origins = [self.origin(index) for index in range(len(self.statements))]
        kept = [index for index, record in enumerate(origins) if not unwanted(record)]
        numbers = {index: number for number, index in enumerate(kept)}
        self.statements[:] = [self.statements[index] for index in kept]
        self.types = {numbers[index]: kind for index, kind in self.types.items() if index in numbers}
        self.runs = [(number, origins[index]) for number, index in enumerate(kept)]
        self.controls[:] = [
            attrs.evolve(one, before=bisect_left(kept, one.before))
            for one in self.controls
            if not unwanted(one.record)
        ]
        self.settled[:] = [attrs.evolve(one, before=bisect_left(kept, one.before)) for one in self.settled]

    def split(self, statement: int, control: int) -> Work:
        """Cut off and return what stands from a statement's and a control's index on: nothing is settled there."""
        runs = [(index - statement, record) for index, record in self.runs if index > statement]
        if statement < len(self.statements):
            runs.insert(0, (0, self.origin(statement)))
        rest = Work(
            self.statements[statement:],
            {index - statement: kind for index, kind in self.types.items() if index >= statement},
            [attrs.evolve(one, before=one.before - statement) for one in self.controls[control:]],
            runs=runs,
        )
        del self.statements[statement:], self.controls[control:]
        self.types = {index: kind for index, kind in self.types.items() if index < statement}
        self.runs = [run for run in self.runs if run[0] < statement]
        return rest


@attrs.frozen
class Tally:
    """What was counted of transactions.

    Attributes:
        alone: Records that were committed by themselves inside of open transactions.
        commits: Ends that had no BEGIN: COMMIT.
        rollbacks: Ends that had no BEGIN: ROLLBACK.
        merged: Groups of transactions whose ends differ, and which took effect as a whole.
    """

    alone: int = 0
    commits: int = 0
    rollbacks: int = 0
    merged: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*map(sum, zip(attrs.astuple(self), attrs.astuple(other), strict=True)))


@attrs.frozen
class Section:
    """A run of records that takes one step with the engine.

    Attributes:
        work: What to execute.
        stop: The index after the run's last record.
        complete: Whether the engine commits there. If not, its transaction stays open.
        undo: Whether the engine first undoes what it has of a transaction that an earlier batch left open: it was
            rolled back, or is not alone any more.
        opened_by: Where the record starts that opened the transactions whose statements are left out so far; None
            where none are open.
        tally: What was counted of the run.
    """

    work: Work
    stop: int
    complete: bool
    undo: bool = False
    opened_by: int | None = None
    tally: Tally = Tally()


class NotFollowed(Exception):
    """What a record does to transactions cannot be followed: it says why.

    Attributes:
        index: The record's index in its batch.
        ambiguous: The error where what it ends is ambiguous; None for all others.
    """

    def __init__(self, index: int, error: RecordError) -> None:
        super().__init__(error.what)
        self.index = index
        self.ambiguous = error if isinstance(error, AmbiguousTransactions) else None


def _several(sql: bytes) -> bool:
    """Whether a text is several statements, which an engine takes apart itself."""
    return b";" in sql and len(pieces_of(sql)) > 1
