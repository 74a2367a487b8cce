"""Writes down each row that changes, as SQLite reports it: the preupdate hook of the connection that writes.

SQLite calls the hook just before it changes a row, whatever made it do so: the statement itself, a trigger, a
foreign key's action, REPLACE, the inner tables of a full-text index. It calls in the order of the changes.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw
import attrs

from spgrepl.catalogue.stored import read_publications
from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import TableLayout, Unwritable, read_layout
from spgrepl.primary.changes.recording import Mark, Recording
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.primary.changes.row_run import Row, RowRun, Unfit
from spgrepl.primary.changes.row_values import refuse_bytes
from spgrepl.primary.changes.sequences import TABLE as SEQUENCE_TABLE
from spgrepl.primary.changes.sequences import SequenceTracker
from spgrepl.primary.parts.settings import SUBSCRIBERS, read_settings
from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.render import join_pieces, render, render_delete, render_update, render_values
from spgrepl.rows.values import same_value
from spgrepl.text.sqltext import fold_ascii, quote_name

_MANY_ROWS = 100
"""A table that a statement empties of so many rows is written down as emptied."""

_OTHER_TABLES = "SELECT count(*) FROM pragma_database_list WHERE name <> 'main'"
_VIRTUAL_TABLES = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0"


@attrs.frozen
class _Unread:
    """A change whose new row could not be read before it was made."""

    layout: TableLayout
    old: Row | None
    old_number: int
    number: int


@attrs.define
class _Deleting:
    """Rows that a statement deletes from one table and nothing else happens in between."""

    table: str
    start: Mark
    count: int = 0


class RowRecorder:
    """Writes down the rows that statements change.

    Args:
        connection: The connection that writes.
        recording: Where the rows are written down.
        max_record: The most bytes of SQL that a record may have.
        guard: The connection's authorizer, which is to let pass what is read here.
        each_row: Whether the rows of a table that is emptied are all written down, because there may be
            subscribers: those have rows of their own. Where there are publications they are in any case.

    Attributes:
        seen: Whether anything has changed since `start`, written down or not.
        sequences: Follows the counters of AUTOINCREMENT tables.
        origin: The id of the cluster that the rows come from; None for rows of this primary.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        recording: Recording,
        max_record: int,
        guard: ObjectGuard,
        each_row: Callable[[], bool] = bool,
    ) -> None:
        self._connection = connection
        self._rows = RowReader(connection, guard)
        self._recording = recording
        self._max_record = max_record
        self._guard = guard
        self._each_row = each_row
        self._ignored = ""
        self._active = False
        self.seen = False
        self._has_virtual_tables: bool | None = None
        self._layouts: dict[str, TableLayout] = {}
        self._unread: _Unread | None = None
        # Whether a table's name says which table is meant, so that rows may be taken together by it.
        self._names_suffice: bool | None = None
        self._last: tuple[str, int] | None = None
        self._run = RowRun()
        self._deleting: _Deleting | None = None
        self._alone = True
        self._failure: Exception | None = None
        self.sequences = SequenceTracker(connection)
        self.origin: int | None = None

    def forget_layouts(self) -> None:
        """The schema may have changed."""
        self._layouts.clear()
        self._run.drop()
        self._has_virtual_tables = self._names_suffice = None

    # -- statements -------------------------------------------------------------------------------------------

    def start(self, ignored: str = "") -> None:
        """Write down what changes from now on.

        Args:
            ignored: A table whose rows are not written down.
        """
        self._ignored = fold_ascii(ignored) if ignored else ""
        self._unread = self._deleting = self._failure = self._last = None
        self._alone = True
        self._run.drop()
        self.sequences.start()
        self._active = True
        self.seen = False

    def stop(self) -> None:
        """Write down no more."""
        self._active = False

    def install(self, on: bool = True) -> None:
        """Let SQLite report changes, or no longer: where nobody listens it is faster."""
        self._connection.preupdate_hook(self._changing if on else None)
        self._rows.look_at_encoding()

    def holds_back(self) -> bool:
        """Whether there may be full-text indexes, which hold changes back; raises as `flush`."""
        if self._has_virtual_tables is None:
            self._has_virtual_tables = bool(self._connection.execute(_VIRTUAL_TABLES).get)
        return self._has_virtual_tables

    def flush(self) -> None:
        """Write down what full-text indexes hold back until a transaction ends, or a savepoint begins.

        Raises:
            Unwritable: A row cannot be written down.
            apsw.Error: SQLite cannot write it.
        """
        if not self.holds_back():
            return
        self.start()
        try:
            self._connection.execute("SAVEPOINT spgrepl_flush")
            self._connection.execute("RELEASE spgrepl_flush")
            self.finish()
        finally:
            self.stop()

    def finish(self) -> None:
        """The statement has ended: write down what is left.

        Raises:
            Unwritable: Something that it changed cannot be written down.
            OSError: The disk refuses.
        """
        if self._failure is None:
            self._end_run()
            if self._unread is not None:
                self._read_new()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        run = self._deleting
        if run is None or not self._alone or run.count < _MANY_ROWS or self._is_for_subscribers():
            return
        if self._is_empty(run.table):
            self._recording.cut(run.start)
            self._add(render(RowChange(ChangeKind.CLEAR, run.table, origin=self.origin)))

    def _is_for_subscribers(self) -> bool:
        if self._each_row() or read_settings(self._connection).get(SUBSCRIBERS):
            return True
        return bool(read_publications(self._connection).by_name)

    def _is_empty(self, table: str) -> bool:
        return self._connection.execute(f"SELECT 1 FROM main.{quote_name(table)} LIMIT 1").fetchone() is None

    # -- changes ----------------------------------------------------------------------------------------------

    def _changing(self, change: apsw.PreUpdate) -> None:
        """SQLite is about to change a row."""
        if not self._active:
            return
        self.seen = True
        run = self._run
        try:
            if change.table_name == run.table and change.opcode == run.operation:
                # Nearly all rows of statements that change many come this way.
                try:
                    if run.take(change):
                        self._write_run()
                    return
                except (Unfit, UnicodeDecodeError):
                    pass  # it is taken alone, as the one before a run is
            self._write_down(change)
        except Exception as error:  # noqa: BLE001 - raised again by `finish`: SQLite would not stop here
            self._failure, self._active = error, False

    def _write_down(self, change: apsw.PreUpdate) -> None:
        self._end_run()
        if self._unread is not None:
            self._read_new()
        if change.database_name != "main":
            return
        table = change.table_name
        if self._ignored and fold_ascii(table) == self._ignored:
            return
        layout = self._layouts.get(table)
        if layout is None:
            if table.lower().startswith("sqlite_stat"):
                return
            with self._guard.looking_away():
                layout = self._layouts[table] = read_layout(self._connection, table)
        operation = change.opcode
        last, self._last = self._last, (table, operation)
        if operation == apsw.SQLITE_DELETE and change.blob_write >= 0:
            raise Unwritable(f"a blob of table {table} was written in part: write it as a whole, with UPDATE")
        if layout.computed:
            self._write_down_later(change, layout)
            return
        try:
            old = None if operation == apsw.SQLITE_INSERT else change.old
            new = None if operation == apsw.SQLITE_DELETE else change.new
        except UnicodeDecodeError:
            self._write_down_later(change, layout)
            return
        if layout.places_of is not None:
            old = old and layout.places_of(old)
            new = new and layout.places_of(new)
        self._changed(layout, old, new, change.rowid, change.rowid_new)
        if self._last == last and self._may_run(layout):
            self._run.begin(layout, operation)

    # -- changes of one kind, one after the other --------------------------------------------------------------

    def _may_run(self, layout: TableLayout) -> bool:
        """Whether a run may begin after two changes that were alike."""
        if (
            layout.computed
            or layout.numbered
            or layout.name == SEQUENCE_TABLE
            or self.origin is not None
            or self._rows.codec is not None
        ):
            return False
        if self._names_suffice is None:
            with self._guard.looking_away():
                self._names_suffice = not self._connection.execute(_OTHER_TABLES).get
        return self._names_suffice and not self._ignored

    def _end_run(self) -> None:
        if self._run.table is not None:
            self._write_run()
            self._run.drop()

    def _write_run(self) -> None:
        """Write down what the run has taken."""
        run, layout = self._run, self._run.layout
        texts = run.texts()
        if texts is None:
            for old, new, number in run.rows():
                self._changed(layout, old, new, number, number)
            run.clear()
            return
        sizes = list(map(len, texts))
        self._check_length(max(sizes, default=0))
        if run.operation == apsw.SQLITE_DELETE and self._deleting is not None:
            self._deleting.count += len(texts)
        if layout.counts_up and run.operation == apsw.SQLITE_INSERT and texts:
            self.sequences.inserted(layout.name, run.highest_number)
        self._recording.add_all(texts)
        run.clear(sum(sizes))

    def _changed(
        self, layout: TableLayout, old: Row | None, new: Row | None, number: int, new_number: int
    ) -> None:
        if layout.name == SEQUENCE_TABLE:
            self.sequences.changed(old, new, self._recording.add)
        if self._rows.codec is not None:
            refuse_bytes(layout.name, *(old or ()), *(new or ()))
        if old is None:
            assert new is not None
            self._inserted(layout, new, new_number)
        elif new is None:
            self._deleted(layout, old, number)
        else:
            self._updated(layout, old, new, number, new_number)

    def _inserted(self, layout: TableLayout, new: Row, number: int) -> None:
        self._deleting, self._alone = None, False
        if layout.counts_up:
            self.sequences.inserted(layout.name, number)
        sql = render_values(layout.insert_head, new if layout.key else (number, *new), self.origin)
        self._add(layout.with_number(sql, number))

    def _deleted(self, layout: TableLayout, old: Row, number: int) -> None:
        run = self._deleting
        if run is None or run.table != layout.name:
            self._alone = self._alone and run is None
            run = self._deleting = _Deleting(layout.name, self._recording.mark())
        run.count += 1
        keys = layout.sure_key(old)
        if keys is not None and self.origin is None:
            self._add(join_pieces(layout.delete_pieces, keys))
            return
        key, values, one_of = layout.name_of(old, number)
        self._add(render_delete(layout.name, key, values, one_of=one_of, origin=self.origin))

    def _updated(self, layout: TableLayout, old: Row, new: Row, number: int, new_number: int) -> None:
        self._deleting, self._alone = None, False
        changed = tuple(
            [
                place
                for place, (before, value) in enumerate(zip(old, new, strict=True))
                if before is not value and (before != value or not same_value(before, value))
            ]
        )
        keys = layout.sure_key(old)
        moved = layout.numbered and number != new_number
        if keys is not None and changed and self.origin is None and not moved:
            self._add(join_pieces(layout.update_pieces(changed), [*[new[place] for place in changed], *keys]))
            return
        columns = [layout.columns[place] for place in changed]
        values = [new[place] for place in changed]
        if not layout.key and number != new_number:
            assert layout.row_number is not None
            columns.append(layout.row_number)
            values.append(new_number)
        if moved and not columns:
            columns, values = [layout.columns[0]], [new[0]]  # a statement that states nothing but the number
        if not columns:
            return
        key, key_values, one_of = layout.name_of(old, number)
        sql = render_update(layout.name, columns, values, key, key_values, one_of=one_of, origin=self.origin)
        self._add(layout.with_number(sql, new_number) if moved else sql)

    def _add(self, sql: bytes) -> None:
        self._check_length(len(sql))
        self._recording.add(sql)

    def _check_length(self, length: int) -> None:
        if length > self._max_record:
            raise Unwritable(
                f"a row that it changes takes {length} bytes in the log, a record may have {self._max_record}; "
                f"write shorter values, or give all nodes a higher --max-record"
            )

    # -- rows that SQLite's report does not give --------------------------------------------------------------

    def _write_down_later(self, change: apsw.PreUpdate, layout: TableLayout) -> None:
        """Read the row from the table: as it is now, and as soon as the change has been made."""
        if not layout.has_row_numbers or layout.row_number is None:
            raise Unwritable(
                f"a changed row of table {layout.name} cannot be read: a table without row numbers may have "
                f"neither generated columns that are not STORED nor text that is not UTF-8"
            )
        operation = change.opcode
        old = None if operation == apsw.SQLITE_INSERT else self._rows.row(layout, change.rowid)
        if operation == apsw.SQLITE_DELETE:
            self._changed(layout, old, None, change.rowid, change.rowid)
        else:
            self._unread = _Unread(layout, old, change.rowid, change.rowid_new)

    def _read_new(self) -> None:
        unread, self._unread = self._unread, None
        assert unread is not None
        new = self._rows.row(unread.layout, unread.number)
        self._changed(unread.layout, unread.old, new, unread.old_number, unread.number)

    def number_rows(self, table: str) -> None:
        """Write down all rows of a table once more, with their numbers: copies may have given them others.

        Raises:
            Unwritable: A row cannot be written down.
        """
        layout = read_layout(self._connection, table)
        for row, number in self._rows.all_rows(layout):
            self._deleted(layout, row, number)
        self._deleting = None
        self.add_all_rows(table)

    def add_all_rows(self, table: str) -> None:
        """Write down all rows of a table as inserted, in the order of their numbers.

        Raises:
            Unwritable: A row cannot be written down.
        """
        layout = read_layout(self._connection, table)
        for row, number in self._rows.all_rows(layout):
            self._changed(layout, None, row, number, number)
