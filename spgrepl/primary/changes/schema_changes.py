"""Statements on the schema, and what else is logged as its text."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from spgrepl.catalogue.catalogue_tables import note_change
from spgrepl.catalogue.renames import after_rename, text_of
from spgrepl.catalogue.stored import read_publications
from spgrepl.errors import StatementFailed
from spgrepl.primary.changes.full_text import numbered_tables
from spgrepl.primary.changes.layout import check_table
from spgrepl.primary.changes.recorder import RowRecorder
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.parts.statements import Effect, Statement
from spgrepl.sqlite.state import OWN_PREFIX

_OWN_OBJECTS = (
    f"SELECT count(*) FROM sqlite_master WHERE substr(lower(name), 1, {len(OWN_PREFIX)}) = '{OWN_PREFIX}'"
)


class SchemaChanges:
    """Runs statements on the schema and records what a copy needs to make the same change.

    Args:
        connection: The connection that writes.
        recording: Where statements are recorded.
        recorder: Records rows.
    """

    def __init__(self, connection: apsw.Connection, recording: Recording, recorder: RowRecorder) -> None:
        self._connection = connection
        self._recording = recording
        self._recorder = recorder

    def change(self, statement: Statement, execute: Callable[[], object]) -> None:
        """Run a statement.

        Args:
            statement: The statement.
            execute: Runs it.

        Raises:
            StatementFailed: It would make something that looks like spgrepl's own.
            Unwritable: A row that it changes cannot be written down.
            apsw.Error: SQLite refuses it.
        """
        if statement.effect is Effect.LOGGED:
            execute()
            self._recording.add(statement.text.encode("utf-8"))
            return
        # What it does to counters, a copy does too: until here both sides must have the same ones.
        self._recorder.sequences.settle(self._recording.add)
        version, own = self._version(), self._own_objects()
        numbered = numbered_tables(self._connection)
        # A table that others refer to takes their rows along, by the actions of foreign keys.
        if statement.effect is Effect.DROP and self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, -1):
            self._recorder.start(ignored=statement.table)
            try:
                execute()
                self._recorder.finish()
            finally:
                self._recorder.stop()
        else:
            execute()
        self._recorder.forget_layouts()
        self._recorder.sequences.forget()
        if self._own_objects() != own:
            raise StatementFailed(
                f"names that begin with {OWN_PREFIX} belong to spgrepl; use another name", statement.text
            )
        if self._version() == version:
            return
        if statement.table and statement.effect is Effect.SCHEMA:
            check_table(self._connection, statement.new_name or statement.table)
        if statement.effect is Effect.COPY:
            self._record_copy(statement)
        else:
            self._recording.add(statement.text.encode("utf-8"))
        for table in sorted(numbered_tables(self._connection) - numbered):
            self._recorder.number_rows(table)
        if statement.new_name:
            self._rename_in_publications(statement.table, statement.new_name)

    def _rename_in_publications(self, table: str, new_name: str) -> None:
        """A publication follows the table that it publishes. To readers of the log it is made again."""
        for change in after_rename(read_publications(self._connection), table, new_name):
            note_change(self._connection, change)
            self._recording.add(text_of(change).encode("utf-8"))

    def _record_copy(self, statement: Statement) -> None:
        """A table that was made of a query: the table as SQLite has it, and its rows."""
        found = self._connection.execute(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE",
            (statement.table,),
        ).fetchone()
        assert found is not None
        name, sql = found
        self._recording.add(str(sql).encode("utf-8"))
        self._recorder.add_all_rows(str(name))

    def _version(self) -> object:
        return self._connection.execute("PRAGMA schema_version").get

    def _own_objects(self) -> object:
        return self._connection.execute(_OWN_OBJECTS).get
