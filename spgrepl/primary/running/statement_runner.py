"""Runs the statements of users on the connection that writes, and records what each of them did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.base.results import QueryResult
from spgrepl.catalogue import changes
from spgrepl.catalogue.catalogue_tables import note_change, reason_against, show
from spgrepl.catalogue.statements import CatalogLook
from spgrepl.errors import EngineFailed, SpgReplError, StatementFailed
from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import Unwritable
from spgrepl.primary.changes.recorder import RowRecorder
from spgrepl.primary.changes.recording import Mark, Recording
from spgrepl.primary.changes.schema_changes import SchemaChanges
from spgrepl.primary.changes.sequences import LAST_NUMBER, Counted
from spgrepl.primary.changes.sequences import TABLE as SEQUENCES
from spgrepl.primary.parts.connection import unfit_values
from spgrepl.primary.parts.requests import Parameters
from spgrepl.primary.parts.settings import store_setting, use_settings
from spgrepl.primary.parts.statements import DEFERRING, Effect, Savepoint, SavepointAction, Statement
from spgrepl.primary.running.together_runner import TogetherRunner
from spgrepl.sqlite.session import STORAGE_FAULTS, result_code
from spgrepl.sqlite.state import OWN_PREFIX

_ASK_EVERY = 100_000
"""A statement asks after so many steps of SQLite's virtual machine, a millisecond or so, whether to go on."""

_USED_UP = f"SELECT name FROM main.{SEQUENCES} WHERE seq = {LAST_NUMBER}"


@attrs.define
class Control:
    """What other threads may say to statements that run, and hear of them.

    Attributes:
        interruption: Makes the error with which everything ends that runs, or would run next; None where nothing
            is to be interrupted.
        watcher: Told now and then, in the thread in which statements run, how many changes the present request
            has made; None for nobody.
        each_row: Whether a statement that empties a table is to be recorded row by row, because there may be
            subscribers, whatever the catalogue says.
        logging: Called, in the thread in which statements run, when those of a group have run, its records are
            written, and the disk is about to be waited for.
        settings: Settings of the primary that hold as long as it is open, whatever is stored; see `SETTINGS`.
    """

    interruption: Callable[[], SpgReplError] | None = None
    watcher: Callable[[int], None] | None = None
    each_row: Callable[[], bool] = bool
    logging: Callable[[], None] = lambda: None
    settings: dict[str, bool] = attrs.Factory(dict)


class StatementRunner:
    """Runs statements, one after the other, inside a transaction that somebody else begins and ends.

    Args:
        connection: The connection that writes.
        database: Its file, for errors.
        recording: Where statements are recorded.
        max_record: The most bytes of SQL that a record may have.
        control: Ends statements early, and tells how far they are.

    Attributes:
        recorder: Records the rows that change.
        together: Runs statements together.
        settings: The settings that were changed since they were last cleared.
        keeps_foreign_keys: Whether foreign keys are kept.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        database: Path,
        recording: Recording,
        max_record: int,
        control: Control | None = None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._recording = recording
        self._guard = ObjectGuard()
        self._control = control or Control()
        self._savepoints: list[tuple[str, Mark, Counted | None]] = []
        self._catalogue_changes = 0
        self.recorder = RowRecorder(connection, recording, max_record, self._guard, self._each_row)
        self.together = TogetherRunner(connection, self._guard, self.recorder, self._interruption, self.refusal)
        self._schema = SchemaChanges(connection, recording, self.recorder)
        self.settings: list[tuple[str, bool]] = []
        self._used: dict[str, bool] = {}
        self.keeps_foreign_keys = False
        self._defers = False

    def install(self) -> None:
        """Watch over what the connection compiles and runs from now on."""
        self._guard.install(self._connection)
        self.recorder.install()
        self._connection.set_progress_handler(self._ask, _ASK_EVERY)

    def _each_row(self) -> bool:
        return self._control.each_row()

    def _interruption(self) -> SpgReplError | None:
        return None if self._control.interruption is None else self._control.interruption()

    def _ask(self) -> bool:
        """Whether the statement that runs is to end early."""
        if self._control.watcher is not None:
            self._control.watcher(self._recording.changes)
        return self._control.interruption is not None

    def begin_request(self) -> None:
        """Forget the savepoints of the request before."""
        self._savepoints.clear()
        self._catalogue_changes = 0
        self.settings.clear()
        if self._defers:
            self._defer_foreign_keys(on=False)

    def failed(self, error: Exception) -> EngineFailed:
        """An error that says nothing about a statement."""
        return EngineFailed(f"{self._database} cannot be written at present: {error}")

    def run(
        self, statement: Statement, parameters: Parameters | None, rows: Sequence[Parameters] | None
    ) -> QueryResult | None:
        """Run one statement and record what it did.

        Args:
            statement: The statement.
            parameters: Values for its parameters.
            rows: Values for each of many runs; None for one run.

        Returns:
            What it returns; None where it is not a statement that returns rows.

        Raises:
            StatementFailed: It is refused.
            EngineFailed: The disk refuses.
        """
        if self._control.interruption is not None:
            raise self._control.interruption()
        try:
            return self._run(statement, parameters, rows)
        except (SpgReplError, OSError):
            raise
        except Exception as error:
            # Functions of users run inside SQLite, and what they raise comes out here.
            raise self.refusal(error, statement.text) from error

    def require_rows_of_keys(self, text: str, number: int = 1) -> None:
        """See that each foreign key has its row when a request ends: those that are DEFERRED are due then.

        Raises:
            StatementFailed: One has not.
        """
        if self.keeps_foreign_keys and self._connection.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
            raise StatementFailed("FOREIGN KEY constraint failed", text, number)

    def holds_back(self) -> bool:
        """Whether there may be full-text indexes, which hold changes back; raises EngineFailed."""
        try:
            return self.recorder.holds_back()
        except apsw.Error as error:
            raise self.failed(error) from error

    def flush(self, text: str) -> None:
        """Record what full-text indexes have held back.

        Raises:
            StatementFailed: It cannot be recorded.
            EngineFailed: The disk refuses.
        """
        try:
            self.recorder.flush()
        except (apsw.Error, Unwritable) as error:
            raise self.refusal(error, text) from error

    def settings_changed(self) -> bool:
        """Whether other settings hold instead of the stored ones than when they were last used."""
        return self._control.settings != self._used

    def use_settings(self) -> None:
        """Let the connection work by the settings that hold."""
        self._used = dict(self._control.settings)
        self.keeps_foreign_keys = use_settings(self._connection, self._used)

    def store_setting(self, name: str, on: bool) -> None:
        """Store a setting and work by it."""
        store_setting(self._connection, name, on)
        self.use_settings()
        self.settings.append((name, on))

    def _defer_foreign_keys(self, on: bool) -> None:
        # SQLite would keep it up to the end of the group.
        self._connection.execute(f"PRAGMA {DEFERRING} = {'ON' if on else 'OFF'}")
        self._defers = on

    def forget(self) -> None:
        """Something was rolled back: what is known of the schema and the settings may be wrong."""
        self.recorder.forget_layouts()
        if self.settings:
            self.settings.clear()
            self.use_settings()

    def _run(
        self, statement: Statement, parameters: Parameters | None, rows: Sequence[Parameters] | None
    ) -> QueryResult | None:
        effect, text = statement.effect, statement.text
        if rows is not None and effect is not Effect.ROWS:
            raise StatementFailed("only a statement that changes rows can be run for many rows", text)
        if effect is Effect.ROWS:
            return self._change_rows(statement, [parameters] if rows is None else rows)
        # What a full-text index holds back it may write with any statement, of our own, too, that nobody records.
        self.recorder.flush()
        if effect is Effect.CATALOG:
            return self._change_catalogue(statement)
        if effect is Effect.READ:
            return self._execute(statement, parameters)
        if statement.setting is not None:
            name, on = statement.setting
            if name == DEFERRING:
                self._defer_foreign_keys(on)
            else:
                self.store_setting(name, on)
            return None
        if statement.savepoint is not None:
            self._savepoint(text, statement.savepoint)
        else:
            self._schema.change(statement, lambda: self._execute(statement, parameters))
        return None

    def _change_rows(self, statement: Statement, rows: Sequence[Parameters | None]) -> QueryResult | None:
        recorder = self.recorder
        results = []
        recorder.start()
        try:
            for parameters in rows:
                result = self._execute(statement, parameters)
                recorder.finish()
                if result is not None:
                    results.append(result)
        finally:
            recorder.stop()
        if len(results) < 2:
            return results[0] if results else None
        return QueryResult(results[0].columns, [row for result in results for row in result.rows])

    def _execute(self, statement: Statement, parameters: Parameters | None) -> QueryResult | None:
        guard = self._guard
        guard.take()
        guard.watching = True
        try:
            if statement.returns:
                return self._read(statement, parameters)
            # The text of a statement without parameters comes once; one with parameters may come again.
            self._connection.execute(statement.text, parameters, can_cache=parameters is not None)
        finally:
            guard.watching = False
        return None

    def _read(self, statement: Statement, parameters: Parameters | None) -> QueryResult:
        columns: list[tuple[str, ...]] = []
        cursor = self._connection.cursor()

        def started(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            columns.append(tuple(one[0] for one in cursor.get_description()))
            return True

        cursor.exec_trace = started
        try:
            found: list[Any] = cursor.execute(statement.text, parameters).fetchall()
        finally:
            # A statement that is not at its end would keep its savepoint from being released.
            cursor.close(True)
        return QueryResult(columns[0], found)

    def _savepoint(self, text: str, savepoint: Savepoint) -> None:
        """Follow a savepoint: what is rolled back to one was never done."""
        if savepoint.name.startswith(OWN_PREFIX):
            raise StatementFailed(f"{savepoint.name} belongs to spgrepl; use another name", text)
        self._connection.execute(text)
        if savepoint.action is SavepointAction.SET:
            self._savepoints.append((savepoint.name, self._recording.mark(), self.recorder.sequences.save()))
            return
        at = len(self._savepoints) - 1
        while self._savepoints[at][0] != savepoint.name:
            at -= 1
        if savepoint.action is SavepointAction.BACK:
            _, mark, counted = self._savepoints[at]
            self._recording.cut(mark)
            self.recorder.sequences.restore(counted)
            self.forget()
            at += 1
        del self._savepoints[at:]

    def _change_catalogue(self, statement: Statement) -> QueryResult | None:
        """Show the catalogue, or judge a change of it and make it."""
        control, text = statement.control, statement.text
        if isinstance(control, CatalogLook):
            return show(self._connection, control)
        assert control is not None
        self._catalogue_changes += 1
        reason = reason_against(self._connection, control)
        if self._catalogue_changes > changes.MAX_CHANGES:
            reason = (
                f"one transaction changes publications and subscriptions more than {changes.MAX_CHANGES} times: "
                f"write it as several ones"
            )
        if reason is not None:
            raise StatementFailed(reason, text)
        note_change(self._connection, control)
        self._recording.add(text.encode("utf-8"))
        return None

    def refusal(self, error: Exception, text: str) -> SpgReplError:
        """Say what an error of a statement means."""
        denied = self._guard.take()
        if denied is not None:
            return StatementFailed(denied, text)
        code = result_code(error)
        if code == apsw.SQLITE_INTERRUPT and self._control.interruption is not None:
            return self._control.interruption()
        if code == apsw.SQLITE_FULL and (table := self._used_up()) is not None:
            return StatementFailed(
                f"table {table} is AUTOINCREMENT and has used its last number, {LAST_NUMBER}: lower its counter "
                f"in sqlite_sequence, or name the numbers of new rows",
                text,
            )
        if code in STORAGE_FAULTS and code != apsw.SQLITE_INTERRUPT:
            return self.failed(error)
        if isinstance(error, UnicodeDecodeError):
            return StatementFailed(
                f"it returns text that is not UTF-8 ({error}): write CAST(… AS BLOB) for that column", text
            )
        if isinstance(error, UnicodeEncodeError):
            return StatementFailed(f"the text is not valid Unicode: {error.reason} at {error.start}", text)
        if isinstance(error, apsw.BindingsError):
            return StatementFailed(unfit_values(error), text)
        if isinstance(error, apsw.Error | Unwritable):
            return StatementFailed(str(error), text)
        return StatementFailed(f"{type(error).__name__}: {error}", text)

    def _used_up(self) -> object:
        """An AUTOINCREMENT table without a number for a next row; None where there is none."""
        # SQLite has undone the whole transaction, with what came before the statement.
        known = self.recorder.sequences.used_up()
        if known is not None or not self._connection.table_exists("main", SEQUENCES):
            return known
        return self._connection.execute(_USED_UP).get
