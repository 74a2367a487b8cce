"""Batches of records cut into what may be committed now and what has to wait for its COMMIT.

A statement outside a transaction is a unit of its own; whatever stands between BEGIN and COMMIT or ROLLBACK is one
(PROTOCOL section 1). A position may only rest between units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter

import attrs

from spgrepl.sqltext import split_statements
from spgrepl.wal.parser import RecordBatch
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, may_hide_transaction, statement_kind

_ENDS = frozenset({StatementKind.COMMIT, StatementKind.ROLLBACK})


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


@attrs.define
class Work:
    """Statements for an engine, in order.

    Attributes:
        statements: SQL in UTF-8.
        types: The record types of those that are not a single statement in SPG's own dialect.
        controls: Statements of PROTOCOL section 5, in order.
        runs: Where the statements come from: pairs of a statement's index and its record's; the statements that
            follow come from the records that follow, up to the next pair.
    """

    statements: list[bytes] = attrs.field(factory=list)
    types: dict[int, RecordType] = attrs.field(factory=dict)
    controls: list[Control] = attrs.field(factory=list)
    runs: list[tuple[int, int]] = attrs.field(factory=list)

    def origin(self, statement: int) -> int:
        """The index in the batch of the record that a statement comes from."""
        first, record = self.runs[bisect_right(self.runs, statement, key=itemgetter(0)) - 1]
        return record + statement - first

    def split(self, statement: int, control: int) -> Work:
        """Cut off and return what stands from a statement's and a control's index on."""
        runs = [(index - statement, record) for index, record in self.runs if index > statement]
        if statement < len(self.statements):
            runs.insert(0, (0, self.origin(statement)))
        rest = Work(
            self.statements[statement:],
            {index - statement: kind for index, kind in self.types.items() if index >= statement},
            [attrs.evolve(one, before=one.before - statement) for one in self.controls[control:]],
            runs,
        )
        del self.statements[statement:], self.controls[control:]
        self.types = {index: kind for index, kind in self.types.items() if index < statement}
        self.runs = [run for run in self.runs if run[0] < statement]
        return rest


@attrs.frozen
class Section:
    """A run of records that takes one step with the engine.

    Attributes:
        work: What to execute.
        stop: The index behind the run's last record.
        complete: Whether the log is between units there: the engine commits. If not, its transaction stays open.
        rolled_back: Whether the run ends, with a ROLLBACK, a transaction that an earlier batch left open: the
            engine rolls back, and commits the position alone.
    """

    work: Work
    stop: int
    complete: bool
    rolled_back: bool = False


class MixedTransaction(Exception):
    """A record mixes the start or end of a transaction with statements outside it.

    Attributes:
        index: The record's index in its batch.
    """

    def __init__(self, index: int) -> None:
        super().__init__("one record both ends or begins a transaction and holds statements outside it")
        self.index = index


class UnitCutter:
    """Follows the transactions of a log from batch to batch.

    Args:
        every: Put all SQL into the work, transaction control and rolled-back statements included.
    """

    def __init__(self, every: bool = False) -> None:
        self._every = every
        self._open = False
        self.warnings: list[str] = []

    @property
    def open(self) -> bool:
        """Whether the log, as far as it was cut, ends inside a transaction."""
        return self._open

    def reset(self) -> None:
        """Forget an open transaction: the log is read again from its BEGIN."""
        self._open = False

    def cut(self, batch: RecordBatch, stop: int, skip: int | None = None) -> list[Section]:
        """Cut the first records of a batch into sections.

        Args:
            batch: The records, which follow those of the last call.
            stop: How many of them to take.
            skip: The index of a record to pass over.

        Returns:
            At most three sections: the end of an open transaction, what is complete, and the start of a
            transaction that is not.

        Raises:
            MixedTransaction: A record cannot be put on either side of a transaction's end. (Never with `every`:
                nothing is put on any side then.)
        """
        run = _Run(batch, self._open, self._every)
        done = 0
        for index in records_to_look_at(batch, stop, skip):
            run.take_plain(done, index)
            done = index + 1
            if index != skip:
                run.take(index)
        run.take_plain(done, stop)
        sections = run.finish(stop)
        self._open = run.open
        self.warnings += run.warnings
        if not self._every:
            return sections
        starts = [0, *(section.stop for section in sections)]
        return [_with_every(batch, section, start) for section, start in zip(sections, starts, strict=False)]


def records_to_look_at(batch: RecordBatch, stop: int, skip: int | None = None) -> list[int]:
    """The indices of the records that may begin or end a transaction, or are not plain statements.

    Args:
        batch: The records.
        stop: How many of them to take.
        skip: One more index.
    """
    indices = [index for index in batch.special if index < stop]
    # One look at all statements at once settles it for nearly every batch.
    if b";" in b"\n".join(batch.sql if not batch.types else [sql or b"" for sql in batch.sql]):  # type: ignore[arg-type]
        known = set(indices)
        indices += [
            index
            for index, sql in enumerate(batch.sql[:stop])
            if sql is not None and b";" in sql and index not in known and may_hide_transaction(sql)
        ]
        indices.sort()
    if skip is not None and skip < stop and skip not in indices:
        indices.append(skip)
        indices.sort()
    return indices


def _with_every(batch: RecordBatch, section: Section, start: int) -> Section:
    """The section with all SQL of its records, as it stands."""
    if not batch.types:
        work = Work(batch.sql[start : section.stop], runs=[(0, start)])  # type: ignore[arg-type]
        return Section(work, section.stop, section.complete)
    # Only records of special types can be without SQL.
    held = [(index, sql) for index, sql in enumerate(batch.sql[start : section.stop], start) if sql is not None]
    work = Work([sql for _, sql in held], runs=[(number, index) for number, (index, _) in enumerate(held)])
    return Section(work, section.stop, section.complete)


class _Run:
    """One pass over a batch."""

    def __init__(self, batch: RecordBatch, continues: bool, every: bool) -> None:
        self._batch = batch
        self._every = every
        self._continues = continues
        self._work = Work()
        self._sections: list[Section] = []
        self._unit_start = 0
        self._mark = (0, 0)
        self.open = continues
        self.warnings: list[str] = []

    def take_plain(self, start: int, stop: int) -> None:
        """Take a run of plain statements; each holds SQL."""
        if start < stop:
            self._work.runs.append((len(self._work.statements), start))
            self._work.statements += self._batch.sql[start:stop]  # type: ignore[arg-type]

    def take(self, index: int) -> None:
        """Take a record that may be anything."""
        sql = self._batch.sql[index]
        if sql is None:
            return
        kind = statement_kind(sql)
        pieces = [(kind, sql)]
        # A record of the MySQL dialect is one statement, and its strings do not end where SQLite's would.
        single = b";" not in sql or self._batch.types.get(index) is RecordType.MYSQL
        if not single and (kind is not StatementKind.PLAIN or may_hide_transaction(sql)):
            pieces = pieces_of(sql)
            if is_balanced(pieces) and not self.open:
                pieces = [(StatementKind.PLAIN, sql)]
            elif not self._every and not is_separable(pieces):
                raise MixedTransaction(index)
        for piece_kind, piece in pieces:
            self._step(piece_kind, piece, index)

    def _step(self, kind: StatementKind, sql: bytes, index: int) -> None:
        if kind is StatementKind.BEGIN:
            self._begin(index)
        elif kind in _ENDS:
            self._end(kind, index)
        elif kind is StatementKind.CONTROL and not _several(sql):
            self._work.controls.append(Control(len(self._work.statements), index, sql))
        else:
            if index in self._batch.types:
                self._work.types[len(self._work.statements)] = self._batch.types[index]
            self._work.runs.append((len(self._work.statements), index))
            self._work.statements.append(sql)

    def _begin(self, index: int) -> None:
        if self.open:
            self.warnings.append(f"at position {self._batch.start_of(index)}: BEGIN inside a transaction")
            return
        self.open = True
        self._unit_start = index
        self._mark = (len(self._work.statements), len(self._work.controls))

    def _end(self, kind: StatementKind, index: int) -> None:
        if not self.open:
            name = kind.value.upper()
            self.warnings.append(f"at position {self._batch.start_of(index)}: {name} outside a transaction")
            return
        self.open = False
        rolled_back = kind is StatementKind.ROLLBACK
        if rolled_back:
            self._work.split(*self._mark)
        if self._continues:
            # A transaction of an earlier batch is committed for itself, so that a later record's failure
            # does not undo it for ever.
            self._continues = False
            self._sections.append(Section(self._work, index + 1, complete=True, rolled_back=rolled_back))
            self._work = Work()

    def finish(self, stop: int) -> list[Section]:
        """The sections of the pass."""
        if self.open and not self._continues:
            rest = self._work.split(*self._mark)
            if self._unit_start > (self._sections[-1].stop if self._sections else 0):
                self._sections.append(Section(self._work, self._unit_start, complete=True))
            self._sections.append(Section(rest, stop, complete=False))
        elif not self._sections or self._sections[-1].stop < stop:
            self._sections.append(Section(self._work, stop, complete=not self.open))
        return self._sections


def _several(sql: bytes) -> bool:
    """Whether a text is several statements, which an engine takes apart itself."""
    return b";" in sql and len(pieces_of(sql)) > 1


def pieces_of(sql: bytes) -> list[tuple[StatementKind, bytes]]:
    """The statements of a record, each with what it means to replay."""
    # The splitter works on text; what is not UTF-8 is one statement that the engine will refuse by name.
    try:
        texts = split_statements(sql.decode("utf-8"))
    except UnicodeDecodeError:
        return [(StatementKind.PLAIN, sql)]
    return [(statement_kind(piece), piece) for piece in (text.encode() for text in texts)]


def _transitions(pieces: list[tuple[StatementKind, bytes]]) -> Iterator[int]:
    for number, (kind, _) in enumerate(pieces):
        if kind is StatementKind.BEGIN or kind in _ENDS:
            yield number


def is_balanced(pieces: list[tuple[StatementKind, bytes]]) -> bool:
    """Whether each transaction that the statements begin is ended by them, and none else."""
    inside = False
    for number in _transitions(pieces):
        if (pieces[number][0] is StatementKind.BEGIN) == inside:
            return False
        inside = not inside
    return not inside


def is_separable(pieces: list[tuple[StatementKind, bytes]]) -> bool:
    """Whether a record only opens a transaction with its first statement, or only ends one with its last."""
    found = list(_transitions(pieces))
    if not found:
        return True
    kind = pieces[found[0]][0]
    return len(found) == 1 and found[0] == (0 if kind is StatementKind.BEGIN else len(pieces) - 1)
