"""A database in memory whose changes are recorded, and the copy that the records make."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw

from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.recorder import RowRecorder
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.changes.schema_changes import SchemaChanges
from spgrepl.primary.parts.statements import prepare
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import prepare_session
from tests.primary.copying import content

MAX_RECORD = 10_000


class Recorded:
    """A database in memory, and what is recorded of it as one request.

    Args:
        schema: Statements that nobody records.
    """

    def __init__(self, *schema: str) -> None:
        self.schema = schema
        self.connection = database(schema)
        self.recording = Recording(Path(tempfile.gettempdir()))
        self.recording.begin()
        self.recorder = RowRecorder(self.connection, self.recording, MAX_RECORD, ObjectGuard())
        self.recorder.install()
        self.schema_changes = SchemaChanges(self.connection, self.recording, self.recorder)

    def run(self, sql: str) -> None:
        """Run a statement that changes rows, and record them."""
        self.recorder.start()
        try:
            self.connection.execute(sql)
            self.recorder.finish()
        finally:
            self.recorder.stop()

    def change(self, sql: str) -> None:
        """Run a statement on the schema, and record it."""
        self.schema_changes.change(prepare(sql, MAX_RECORD, False), lambda: self.connection.execute(sql))

    def statements(self) -> list[str]:
        """The statements of the request; it ends."""
        self.recorder.sequences.settle(self.recording.add)
        self.recording.end()
        found = [sql.decode() for sql in self.recording.statements()]
        self.recording.clear()
        self.recording.begin()
        return found

    def assert_same_on_copy(self, statements: Sequence[str]) -> None:
        """The records alone, with no trigger, make the same database."""
        with closing(database(self.schema)) as copy:
            copy.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            for sql in statements:
                copy.execute(sql)
            assert content(copy) == content(self.connection)


def database(schema: Sequence[str] = ()) -> apsw.Connection:
    """A database in memory with the settings of a primary."""
    connection = apsw.Connection(":memory:")
    prepare_session(connection)
    sqlite_state.ensure_table(connection)
    for sql in schema:
        connection.execute(sql)
    return connection
