"""Rows of a log, put into tables of a server: together where that goes, else singly, to name the culprit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, cast

from spgrepl.engines.postgresql.insert_runs import Run, copy_lines
from spgrepl.engines.postgresql.row_groups import Group, Row, group_by_table, group_in_order
from spgrepl.engines.postgresql.row_statements import (
    RowUnfit,
    Statement,
    single_statement,
    statements_of,
    where,
)
from spgrepl.engines.row_applier import (
    DELETE_MISSING,
    INSERT_EXISTS,
    TABLE_CLEARED,
    UPDATE_EXISTS,
    UPDATE_MISSING,
)
from spgrepl.errors import StatementRefused
from spgrepl.postgresql import driver
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.names import SCHEMA, NameUnfit, quoted
from spgrepl.postgresql.tables import Table, TableBook
from spgrepl.postgresql.triggers import in_the_way
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.recognise import Recogniser
from spgrepl.text.quantities import number_of

_UNIQUE = frozenset({"23505", "23P01"})
_AT_ONCE = 200
"""So many statements are sent before their answers are read."""

_SAVEPOINT = "spgrepl_rows"
_ONE = "spgrepl_row"


class _NotAsExpected(Exception):
    """A group changed another number of rows than it has."""


class RowWriter:
    """Puts rows into tables, inside a transaction that somebody else begins and ends.

    Args:
        tables: The tables of the server.
        keeps_order: Whether the rows keep the order of the log across tables and rows, because triggers or foreign
            keys act on them.
        clears: Whether all rows are the master's: then a record that empties a table may do so while it holds
            some, and triggers and rules of others are refused that act on them.
    """

    def __init__(self, tables: TableBook, *, keeps_order: bool, clears: bool) -> None:
        self._tables = tables
        self._group = group_in_order if keeps_order else group_by_table
        self._clears = clears
        self._replica = not keeps_order

    def write(self, connection: Any, rows: Sequence[Row | Run], begun: bool = True) -> None:
        """Put rows in.

        Args:
            connection: The connection.
            rows: The rows.
            begun: Whether the transaction is open already; else it is begun on the way.

        Raises:
            StatementRefused: A row does not fit, or does not meet what it must; its index is the row's number. The
                transaction must be rolled back.
            psycopg.Error: The transaction failed for another reason; it must be rolled back.
        """
        psycopg = driver.load()
        if len(rows) > 1 or isinstance(rows[0], Run):
            connection.execute(f"SAVEPOINT {_SAVEPOINT}" if begun else f"BEGIN; SAVEPOINT {_SAVEPOINT}")
            begun = True
            try:
                self._write_together(connection, rows)
            except (RowUnfit, StatementRefused, NameUnfit, _NotAsExpected):
                pass
            except psycopg.Error as error:
                if judge(error, connection) is not Fault.REFUSED:
                    raise
            else:
                connection.execute(f"RELEASE {_SAVEPOINT}")
                return
            connection.execute(f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
        singly = list(_expanded(rows))
        for first in range(0, len(singly), _AT_ONCE):
            self._write_singly(connection, singly[first : first + _AT_ONCE], begun)

    # -- together ---------------------------------------------------------------------------------------------

    def _write_together(self, connection: Any, rows: Sequence[Row | Run]) -> None:
        for is_run, some in groupby(rows, lambda one: isinstance(one, Run)):
            if not is_run:
                self._write_groups(connection, cast("list[Row]", list(some)))
                continue
            for run in cast("Iterator[Run]", some):
                self._write_run(connection, run)

    def _write_run(self, connection: Any, run: Run) -> None:
        table = self._tables.get(connection, run.found.shape.table)
        acts = table is not None and self._acting(table) is not None
        lines = copy_lines(run, table) if table is not None and not acts else None
        if table is None or lines is None:
            self._write_groups(connection, list(_expanded([run])))
            return
        names = ", ".join(map(quoted, run.found.shape.columns))
        _copy(connection, f"COPY {quoted(table.name)} ({names}) FROM STDIN", lines, run.found.count)

    def _write_groups(self, connection: Any, rows: Sequence[Row]) -> None:
        groups = self._group(rows, self._finder(connection, rows))
        waiting: list[Statement] = []
        for group in groups:
            self._refuse_clear(connection, group, waiting)
            for statement in statements_of(group):
                if statement.lines is None:
                    waiting.append(statement)
                    if len(waiting) >= _AT_ONCE:
                        self._send(connection, waiting)
                else:
                    self._send(connection, waiting)
                    _copy(connection, statement.sql, statement.lines.encode(), len(statement.rows))
        self._send(connection, waiting)

    def _finder(self, connection: Any, rows: Sequence[Row]) -> Callable[[str], Table]:
        found: dict[str, Table] = {}
        for row in rows:
            if row.shape.table not in found:
                found[row.shape.table] = self._table(connection, row)
        return found.__getitem__

    def _table(self, connection: Any, row: Row) -> Table:
        name = row.shape.table
        table = self._tables.get(connection, name)
        if table is None:
            raise RowUnfit(
                row, f"{where(row)}: there is no table {name} here; make it, with the columns of the master's"
            )
        acting = self._acting(table)
        if acting is not None:
            raise RowUnfit(row, f"{where(row)}: {acting}")
        return table

    def _acting(self, table: Table) -> str | None:
        return in_the_way(table.acting, self._replica) if self._clears and table.acting else None

    def _refuse_clear(self, connection: Any, group: Group, waiting: list[Statement]) -> None:
        if group.shape.kind is ChangeKind.CLEAR and not self._clears:
            self._send(connection, waiting)
            _require_empty(connection, group.rows[0])

    @staticmethod
    def _send(connection: Any, waiting: list[Statement]) -> None:
        """Send statements without waiting for each one's answer, and see that each changed what it has to."""
        if not waiting:
            return
        if len(waiting) == 1:
            done = [_execute(connection, waiting[0])]
        else:
            with connection.pipeline():
                done = [_execute(connection, one) for one in waiting]
        for statement, cursor in zip(waiting, done, strict=True):
            if statement.expected is not None and cursor.rowcount != statement.expected:
                raise _NotAsExpected
        waiting.clear()

    # -- one by one -------------------------------------------------------------------------------------------

    def _write_singly(self, connection: Any, rows: Sequence[Row], begun: bool) -> None:
        psycopg = driver.load()
        if len(rows) > 1:
            connection.execute(f"SAVEPOINT {_SAVEPOINT}")
            try:
                statements = [single_statement(self._table(connection, row), row) for row in rows]
                if self._clears or all(row.shape.kind is not ChangeKind.CLEAR for row in rows):
                    self._send(connection, statements)
                    connection.execute(f"RELEASE {_SAVEPOINT}")
                    return
            except (RowUnfit, NameUnfit, _NotAsExpected):
                pass
            except psycopg.Error as error:
                if judge(error, connection) is not Fault.REFUSED:
                    raise
            connection.execute(f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
        for row in rows:
            self._write_one(connection, row, begun)

    def _write_one(self, connection: Any, row: Row, begun: bool) -> None:
        psycopg = driver.load()
        try:
            table = self._table(connection, row)
            if row.shape.kind is ChangeKind.CLEAR and not self._clears:
                _require_empty(connection, row)
            statement = single_statement(table, row)
        except (RowUnfit, NameUnfit) as unfit:
            reason = str(unfit) if isinstance(unfit, RowUnfit) else f"{where(row)}: {unfit}"
            raise StatementRefused(row.number, row.sql, reason) from unfit
        try:
            # One way there and back, not four.
            with connection.pipeline():
                if not begun:
                    connection.execute("BEGIN")
                connection.execute(f"SAVEPOINT {_ONE}")
                done = _execute(connection, statement)
                connection.execute(f"RELEASE {_ONE}")
            count = done.rowcount
        except psycopg.Error as error:
            if judge(error, connection) is not Fault.REFUSED:
                raise
            connection.execute(f"ROLLBACK TO {_ONE}")
            raise self._refusal(connection, table, row, statement, error) from error
        if statement.expected is not None and count != statement.expected:
            raise _missed(row, count)

    def _refusal(
        self, connection: Any, table: Table, row: Row, statement: Statement, error: Exception
    ) -> StatementRefused:
        """Say why the server refuses a row: by the conflict, or by the column."""
        if getattr(error, "sqlstate", None) in _UNIQUE:
            kind = INSERT_EXISTS if row.shape.kind is ChangeKind.INSERT else UPDATE_EXISTS
            reason = f"{where(row)}: another row stands in its way ({said(error)})"
            return StatementRefused(row.number, row.sql, reason, kind)
        column = getattr(getattr(error, "diag", None), "column_name", None) or _column_at_fault(
            connection, table, row, statement
        )
        named = f", column {column}" if column else ""
        return StatementRefused(row.number, row.sql, f"{where(row)}{named}: {said(error)}")


def _execute(connection: Any, statement: Statement) -> Any:
    return connection.execute(statement.sql, statement.values, prepare=statement.prepare)


def _expanded(rows: Sequence[Row | Run]) -> Iterator[Row]:
    """Rows one by one."""
    recogniser = Recogniser()
    for one in rows:
        if isinstance(one, Row):
            yield one
            continue
        for index, sql in enumerate(one.statements):
            found = recogniser.read(sql)
            if found is None:
                raise StatementRefused(one.number + index, sql, "it is not the text of a row, but looks like one")
            yield Row(one.number + index, sql, found.shape, found.values)


def _copy(connection: Any, sql: str, lines: bytes, expected: int) -> None:
    cursor = connection.cursor()
    with cursor.copy(sql) as copy:
        copy.write(lines)
    if cursor.rowcount != expected:
        # A trigger, or a rule, has left some out.
        raise _NotAsExpected


def _require_empty(connection: Any, row: Row) -> None:
    table = row.shape.table
    count = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0]
    if count:
        raise StatementRefused(
            row.number,
            row.sql,
            f"table {table}: the master emptied it in one record, written while it neither had publications nor "
            f"served subscribers, which does not say which rows it had. "
            f"{number_of(count, 'row is', 'rows are')} here: delete those that "
            f"came from there, or skip the record, which leaves them all",
            TABLE_CLEARED,
        )


def _missed(row: Row, count: int) -> StatementRefused:
    if row.shape.kind is ChangeKind.INSERT:
        reason = f"{where(row)}: a trigger or a rule of the table left it out"
        return StatementRefused(row.number, row.sql, reason, INSERT_EXISTS)
    kind = DELETE_MISSING if row.shape.kind is ChangeKind.DELETE else UPDATE_MISSING
    what = (
        "no such row is there" if count == 0 else f"{number_of(count, 'row is', 'rows are')} there instead of one"
    )
    return StatementRefused(row.number, row.sql, f"{where(row)}: {what}", kind)


def _column_at_fault(connection: Any, table: Table, row: Row, statement: Statement) -> str | None:
    """The column whose value the server cannot read; None where it can read each."""
    psycopg = driver.load()
    shape = row.shape
    names = [*shape.columns, *(one for one, null in zip(shape.key, shape.key_nulls, strict=True) if not null)]
    for name, value in zip(names, statement.values or (), strict=True):
        try:
            kind = table.columns[name].type.sql.replace("%", "%%")
            connection.execute(f"SELECT %s::text::{kind}", (value,))
        except psycopg.Error as error:
            if judge(error, connection) is not Fault.REFUSED:
                raise
            connection.execute(f"ROLLBACK TO {_ONE}")
            return name
    return None


def is_own(table: str) -> bool:
    """Whether a table's name is kept for spgrepl."""
    return table[:8].lower() == f"{SCHEMA}_"
