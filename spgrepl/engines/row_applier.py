"""Rows of a log, applied one for one: each must find the copy as the primary's table was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import attrs

from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.shapes import Shape, parameters_sql
from spgrepl.rows.values import RawText, RowValue
from spgrepl.sqlite.own_names import ForbiddenStatement
from spgrepl.sqlite.session import extended_code
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import quote_name

INSERT_EXISTS = "insert_exists"
UPDATE_EXISTS = "update_exists"
UPDATE_MISSING = "update_missing"
DELETE_MISSING = "delete_missing"
TABLE_CLEARED = "table_cleared"

_ONE_ROW_IS_THERE = frozenset(
    {apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_ROWID}
)
# A run is bounded, so that a stop is obeyed soon and SQLite's program for it stays small.
_LONGEST_RUN = 2000


class RowConflict(Exception):
    """A row does not find what it must find: the copy is not what the log was written for.

    Attributes:
        kind: `INSERT_EXISTS`, `UPDATE_EXISTS`, `UPDATE_MISSING`, `DELETE_MISSING` or `TABLE_CLEARED`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@attrs.define
class RowCounts:
    """How many rows of each table were changed, by kind: ``{"t": {"insert": 3}}``."""

    tables: dict[str, dict[str, int]] = attrs.field(factory=dict)

    def add(self, shape: Shape, count: int) -> None:
        """Count rows of a table."""
        kinds = self.tables.setdefault(shape.table, {})
        name = "delete" if shape.kind is ChangeKind.CLEAR else str(shape.kind)
        kinds[name] = kinds.get(name, 0) + count

    def as_values(self) -> dict[str, dict[str, int]]:
        """The counts as plain values, for the status; may be called in any thread."""
        return {table: dict(kinds) for table, kinds in list(self.tables.items())}

    def merge(self, other: RowCounts) -> None:
        """Add what was counted elsewhere."""
        for table, kinds in other.tables.items():
            mine = self.tables.setdefault(table, {})
            for name, count in kinds.items():
                mine[name] = mine.get(name, 0) + count


class RowApplier:
    """Applies canonical row statements with bound values. Triggers and foreign keys must be off.

    Args:
        connection: The connection, with a transaction open when rows are applied.
        same_numbers: Whether rows get the row numbers that statements state. They do on a copy of the whole
            database; among other rows those might be taken.

    Attributes:
        pending: The rows that were changed since `counted` was called.
    """

    def __init__(self, connection: apsw.Connection, same_numbers: bool = True) -> None:
        self._connection = connection
        self._same_numbers = same_numbers
        self._recogniser = Recogniser()
        self.pending = RowCounts()

    def counted(self) -> RowCounts:
        """Take what has been counted."""
        taken, self.pending = self.pending, RowCounts()
        return taken

    def apply_run(self, statements: Sequence[bytes], first: int) -> int:
        """Apply INSERTs into one table that follow each other, as one statement.

        Args:
            statements: Statements of the log.
            first: Where the run begins.

        Returns:
            How many statements were applied; 0 where there is no such run, or where one of them is at fault: then
            nothing was changed, and they are to be applied singly.
        """
        run = self._recogniser.read_run(statements, first, _LONGEST_RUN)
        if run is None:
            return 0
        refuse_own(run.shape)
        try:
            rows = run.rows.decode("utf-8")
        except UnicodeDecodeError:
            return 0
        head = parameters_sql(run.shape, ()).rpartition(")VALUES(")[0]
        try:
            self._connection.execute(f"{head})VALUES{rows}", can_cache=False)
        except (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError):
            return 0
        if self._connection.changes() != run.count:
            # Whatever it was, it was undone by nobody: the transaction must not go on.
            raise RowConflict(
                INSERT_EXISTS, f"{number_of(run.count, 'row')} into {run.shape.table} became fewer or more"
            )
        self.pending.add(run.shape, run.count)
        return run.count

    def apply(self, statement: bytes) -> bool:
        """Apply a statement, if it is the canonical text of a row.

        Returns:
            Whether it is.

        Raises:
            RowConflict: It does not change exactly one row.
            ForbiddenStatement: It would change a table of spgrepl's own.
            apsw.Error: SQLite refuses it.
        """
        found = self._recogniser.read(statement)
        if found is None:
            return False
        shape, values = found.with_number() if self._same_numbers else (found.shape, found.values)
        refuse_own(shape)
        try:
            self._run(shape, values)
        except apsw.ConstraintError as error:
            conflict = conflict_of(shape, values, error)
            if conflict is None:
                raise
            raise conflict from error
        count = self._connection.changes()
        require_one(shape, values, count)
        self.pending.add(shape, count)
        return True

    def _run(self, shape: Shape, values: Sequence[RowValue]) -> None:
        self._connection.execute(parameters_sql(shape, values), bound_values(values))


def bound_values(values: Sequence[RowValue]) -> Any:
    """The values of a row as they are bound to what `parameters_sql` writes."""
    if any(isinstance(value, RawText) for value in values):
        return [value.content if isinstance(value, RawText) else value for value in values]
    return values


def conflict_of(shape: Shape, values: Sequence[RowValue], error: Exception) -> RowConflict | None:
    """The conflict that an error of SQLite means; None where it is none with another row."""
    if extended_code(error) not in _ONE_ROW_IS_THERE:
        return None
    kind = INSERT_EXISTS if shape.kind is ChangeKind.INSERT else UPDATE_EXISTS
    return RowConflict(
        kind, f"table {shape.table}, row {shape.key_text(values)}: another row stands in its way ({error})"
    )


def require_one(shape: Shape, values: Sequence[RowValue], count: int) -> None:
    """Look whether a row's statement has changed just that row.

    Args:
        shape: The statement.
        values: Its values.
        count: How many rows it has changed.

    Raises:
        RowConflict: It has not.
    """
    if count == 1 or shape.kind is ChangeKind.CLEAR:
        return
    where = f"table {shape.table}, row {shape.key_text(values)}"
    if shape.kind is ChangeKind.INSERT:
        raise RowConflict(INSERT_EXISTS, f"{where}: a trigger or an ON CONFLICT clause left it out")
    kind = DELETE_MISSING if shape.kind is ChangeKind.DELETE else UPDATE_MISSING
    what = (
        "no such row is there" if count == 0 else f"{number_of(count, 'row is', 'rows are')} there instead of one"
    )
    raise RowConflict(kind, f"{where}: {what}")


def require_empty(connection: apsw.Connection, shape: Shape) -> None:
    """Look whether a table that a record empties holds no rows that others may have put there.

    Args:
        connection: The database.
        shape: The statement; nothing is looked at where it does not empty a table.

    Raises:
        RowConflict: It does hold rows.
    """
    if shape.kind is not ChangeKind.CLEAR:
        return
    count = connection.execute(f"SELECT count(*) FROM main.{quote_name(shape.table)}").get
    if count:
        raise RowConflict(
            TABLE_CLEARED,
            f"table {shape.table}: the master emptied it in one record, written while it neither had publications "
            f"nor served subscribers, which does not say which rows it had. "
            f"{number_of(count, 'row is', 'rows are')} here: delete those "
            f"that came from there, or skip the record, which leaves them all",
        )


def refuse_own(shape: Shape) -> None:
    """Look whether a row is one of a table of spgrepl's own.

    Raises:
        ForbiddenStatement: It is.
    """
    if shape.table[:8].lower() == OWN_PREFIX:
        raise ForbiddenStatement(
            f"{shape.table} belongs to spgrepl: names that begin with {OWN_PREFIX} are its own"
        )
