"""Records of a log, on their way into one transaction: rows gathered, statements run where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spgrepl.engines.postgresql.insert_runs import LONGEST, SHORTEST, Run
from spgrepl.engines.postgresql.log_statements import LogStatements
from spgrepl.engines.postgresql.row_groups import Row
from spgrepl.engines.postgresql.row_writer import RowWriter, is_own
from spgrepl.engines.row_applier import RowCounts
from spgrepl.errors import StatementRefused
from spgrepl.log.format.records import RecordType
from spgrepl.postgresql.names import SCHEMA
from spgrepl.rows.recognise import Recogniser

_SEQUENCES = "sqlite_sequence"
_MOST_ROWS = 50_000
"""So many rows are gathered at most before they go out."""


class LogWork:
    """Applies records in the transaction that is open.

    Args:
        connection: The connection.
        recogniser: Reads canonical rows.
        rows: Puts them in.
        statements: Runs all other SQL; its schema, where it has one, knows the tables of which rows are skipped.
        begun: Whether the transaction is open already; else it is begun together with what comes first.

    Attributes:
        connection: The connection.
        counts: The rows that went out, by table and kind.
    """

    def __init__(
        self,
        connection: Any,
        recogniser: Recogniser,
        rows: RowWriter,
        statements: LogStatements,
        begun: bool = True,
    ) -> None:
        self.connection = connection
        self._begun = begun
        self._schema = statements.schema
        self._recogniser = recogniser
        self._rows = rows
        self._statements = statements
        self._gathered: list[Row | Run] = []
        self._rows_gathered = 0
        self._number = 0
        self.counts = RowCounts()

    def add(self, statements: Sequence[bytes], types: Mapping[int, RecordType], rows: bool) -> None:
        """Take records.

        Args:
            statements: Their SQL.
            types: The record types of those that are not one statement in SPG's own dialect, by index.
            rows: Whether each canonical text stands for one row.

        Raises:
            StatementRefused: A record is refused; its index counts over all that was given.
            psycopg.Error: The transaction failed for another reason.
        """
        read, at = self._recogniser.read, 0
        while at < len(statements):
            sql, number = statements[at], self._number
            if rows and not types and (run := self._run_from(statements, at)) is not None:
                self._gather(run, run.found.count)
                at += run.found.count
                continue
            found = read(sql) if rows and at not in types else None
            if found is None:
                self._number += 1
                self.flush()
                self.begin()
                self._statements.run(self.connection, number, sql, types.get(at, RecordType.SQL))
            elif self._is_left_out(found.shape.table, number, sql):
                self._number += 1
            else:
                self._gather(Row(number, sql, found.shape, found.values), 1)
            at += 1

    def _run_from(self, statements: Sequence[bytes], at: int) -> Run | None:
        """The INSERTs from an index on that differ in nothing but their values; None where they are few."""
        last = at + SHORTEST - 1
        if last >= len(statements) or not statements[at].startswith(b"INSERT"):
            return None
        if statements[last][:20] != statements[at][:20]:
            return None
        run = self._recogniser.read_run(statements, at, LONGEST)
        if run is None or run.count < SHORTEST or self._is_left_out(run.shape.table, self._number, statements[at]):
            return None
        return Run(self._number, statements[at : at + run.count], run)

    def _gather(self, one: Row | Run, count: int) -> None:
        self._gathered.append(one)
        self._number += count
        self._rows_gathered += count
        if self._rows_gathered >= _MOST_ROWS:
            self.flush()

    def _is_left_out(self, table: str, number: int, sql: bytes) -> bool:
        """Whether rows of a table are skipped.

        Raises:
            StatementRefused: It is spgrepl's own.
        """
        if is_own(table):
            self.flush()
            raise StatementRefused(
                number, sql, f"{table} belongs to spgrepl: names that begin with {SCHEMA}_ are its own"
            )
        return table == _SEQUENCES or (self._schema is not None and table in self._schema.left_out)

    def restart_numbers(self) -> None:
        """Count from here on: what follows belongs to another call."""
        self._number = 0

    def skip_number(self) -> None:
        """Count a record that says nothing to the server."""
        self._number += 1

    def begin(self) -> None:
        """Begin the transaction, where that was not done yet."""
        if not self._begun:
            self.connection.execute("BEGIN")
            self._begun = True

    def flush(self) -> None:
        """Let what was gathered go out; raises as `add`."""
        rows, self._gathered, self._rows_gathered = self._gathered, [], 0
        if rows:
            begun, self._begun = self._begun, True
            self._rows.write(self.connection, rows, begun)
            for row in rows:
                if isinstance(row, Run):
                    self.counts.add(row.found.shape, row.found.count)
                else:
                    self.counts.add(row.shape, 1)
