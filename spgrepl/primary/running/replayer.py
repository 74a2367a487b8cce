"""Runs statements of a log on the connection that writes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import apsw

from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.catalogue.statements import is_control
from spgrepl.engines.row_applier import bound_values
from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.settings import only_rows
from spgrepl.primary.running.statement_runner import StatementRunner
from spgrepl.rows.changes import ChangeKind
from spgrepl.rows.recognise import Recognised, Recogniser
from spgrepl.rows.shapes import parameters_sql
from spgrepl.text.quantities import number_of


class Replayer:
    """Runs statements that stand in the log, or were recorded for it, as they are.

    Args:
        connection: The connection, inside a transaction.
        runner: What runs statements of users on it.
    """

    def __init__(self, connection: apsw.Connection, runner: StatementRunner) -> None:
        self._connection = connection
        self._runner = runner
        self._recogniser = Recogniser()

    def run(self, statements: Iterable[bytes], rows: bool) -> None:
        """Run statements; see `spgrepl.primary.running.session.WriterSession.reapply`."""
        self._runner.recorder.install(False)
        try:
            with only_rows(self._connection) if rows else contextlib.nullcontext():
                for number, sql in enumerate(statements, 1):
                    self._run(sql, number, rows)
        finally:
            self._runner.recorder.install()

    def _run(self, sql: bytes, number: int, rows: bool) -> None:
        text = sql.decode("utf-8")
        try:
            if is_control(text):
                note_control(self._connection, sql)
            else:
                row = self._recogniser.read(sql) if rows else None
                if row is not None and row.number is not None:
                    shape, values = row.with_number()
                    self._connection.execute(parameters_sql(shape, values), bound_values(values))
                else:
                    self._connection.execute(text, can_cache=False).fetchall()
                if row is not None:
                    self._check_one_row(sql, row)
        except (apsw.Error, StatementFailed) as error:
            refusal = error if isinstance(error, StatementFailed) else self._runner.refusal(error, text)
            if isinstance(refusal, StatementFailed):
                refusal.number = number
            raise refusal from error

    def _check_one_row(self, sql: bytes, row: Recognised) -> None:
        """A row that is not there means that the database is not the one that the log was written beside."""
        if row.shape.kind is not ChangeKind.CLEAR and self._connection.changes() != 1:
            raise StatementFailed(
                f"it changes {number_of(self._connection.changes(), 'row')}, not one", sql.decode("utf-8")
            )
