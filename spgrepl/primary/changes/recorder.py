"""Writes down each row that changes, as SQLite reports it: the preupdate hook of the connection that writes.

SQLite calls the hook just before it changes a row, whatever made it do so: the statement itself, a trigger, a
foreign key's action, REPLACE, the inner tables of a full-text index. It calls in the order of the changes.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw
import attrs

from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import TableLayout, Unwritable, read_layout
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.primary.changes.row_run import Row, RowRun, Unfit
from spgrepl.primary.changes.row_taker import row_taker
from spgrepl.primary.changes.row_writer import RowWriter
from spgrepl.primary.changes.sequences import TABLE as SEQUENCE_TABLE
from spgrepl.text.sqltext import fold_ascii

_OTHER_TABLES = "SELECT count(*) FROM pragma_database_list WHERE name <> 'main'"
_VIRTUAL_TABLES = "SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0"


@attrs.frozen
class _Unread:
    """A change whose new row could not be read before it was made."""

    layout: TableLayout
    old: Row | None
    old_number: int
    number: int


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
        self._guard = guard
        self._writer = RowWriter(connection, recording, self._rows, max_record, each_row)
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
        self._taker = row_taker(self._changing, self._run_is_full)
        self._failure: Exception | None = None
        self.sequences = self._writer.sequences

    @property
    def origin(self) -> int | None:
        """The id of the cluster that the rows come from; None for rows of this primary."""
        return self._writer.origin

    @origin.setter
    def origin(self, origin: int | None) -> None:
        self._writer.origin = origin

    def forget_layouts(self) -> None:
        """The schema may have changed."""
        self._layouts.clear()
        self._run.drop()
        if self._taker is not None:
            self._taker.drop()
            self._taker.forget()
        self._has_virtual_tables = self._names_suffice = None

    # -- statements -------------------------------------------------------------------------------------------

    def start(self, ignored: str = "") -> None:
        """Write down what changes from now on.

        Args:
            ignored: A table whose rows are not written down.
        """
        self._ignored = fold_ascii(ignored) if ignored else ""
        self._unread = self._failure = self._last = None
        self._writer.start_statement()
        self._run.drop()
        if self._taker is not None:
            self._taker.drop()
        self.sequences.start()
        self._active = True
        self.seen = False

    def stop(self) -> None:
        """Write down no more."""
        self._active = False
        if self._taker is not None:
            self._taker.drop()

    # -- groups -----------------------------------------------------------------------------------------------

    def start_group(self) -> bool:
        """Write down, from now on, what each of many statements inserts or updates, as a request of its own.

        Returns:
            Whether that can be; `start` has to be called otherwise.
        """
        if self._taker is None or self._writer.origin is not None or self._rows.codec is not None:
            return False
        self.start()
        return self._taker.begin_group()

    @property
    def began(self) -> Callable[..., bool]:
        """To be called when a statement of the group begins, and the one before has ended: whether it may."""
        assert self._taker is not None
        return self._taker.began

    def finish_group(self) -> list[int] | None:
        """The last statement of the group has ended: write all down.

        Returns:
            Where in the recording the first begins and each ends; None where it has to be written down
            otherwise, after all was undone.

        Raises:
            OSError: The disk refuses.
        """
        assert self._taker is not None
        found = self._taker.end_group()
        if found is None:
            return None
        records, stops, longest, highest = found
        if self._writer.is_too_long(longest):
            return None
        for table, number in highest.items():
            self.sequences.inserted(table, number)
        return self._recording.add_requests(records, stops)

    def _take_of_group(self, change: apsw.PreUpdate) -> None:
        """A change of a table that the core does not know yet, or that it has left alone."""
        assert self._taker is not None
        try:
            layout = self._layout(change.table_name) if change.database_name == "main" else None
            if layout is not None and layout.is_plain and self._may_run(layout):
                self._taker.take_of_group(layout, change)
                return
        except Unwritable:
            pass  # who writes it down alone finds the same
        self._taker.refuse()

    def install(self, on: bool = True) -> None:
        """Let SQLite report changes, or no longer: where nobody listens it is faster."""
        hook = self._changing if self._taker is None else self._taker.hook
        self._connection.preupdate_hook(hook if on else None)
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
        self._writer.end_statement()

    # -- changes ----------------------------------------------------------------------------------------------

    def _changing(self, change: apsw.PreUpdate) -> None:
        """SQLite is about to change a row."""
        if not self._active:
            return
        self.seen = True
        run = self._run
        try:
            if self._taker is not None and self._taker.grouped:
                self._take_of_group(change)
                return
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
        layout = self._layout(table)
        if layout is None:
            return
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
        self._writer.changed(layout, old, new, change.rowid, change.rowid_new)
        if self._last == last and self._may_run(layout):
            # What stands alone, and the first of several, have forms of their own.
            if self._taker is not None and layout.is_plain and self._recording.changes > 1:
                self._taker.begin(layout, operation)
            else:
                self._run.begin(layout, operation)

    def _layout(self, table: str) -> TableLayout | None:
        """A table's layout; None for one whose rows are not written down."""
        layout = self._layouts.get(table)
        if layout is None and not table.lower().startswith("sqlite_stat"):
            with self._guard.looking_away():
                layout = self._layouts[table] = read_layout(self._connection, table)
        return layout

    # -- changes of one kind, one after the other --------------------------------------------------------------

    def _may_run(self, layout: TableLayout) -> bool:
        """Whether a run may begin after two changes that were alike."""
        if (
            layout.computed
            or layout.numbered
            or layout.name == SEQUENCE_TABLE
            or self._writer.origin is not None
            or self._rows.codec is not None
        ):
            return False
        if self._names_suffice is None:
            with self._guard.looking_away():
                self._names_suffice = not self._connection.execute(_OTHER_TABLES).get
        return self._names_suffice and not self._ignored

    def _end_run(self) -> None:
        if self._taker is not None and self._taker.running:
            self._write_taken()
            self._taker.drop()
        if self._run.table is not None:
            self._write_run()
            self._run.drop()

    def _run_is_full(self) -> None:
        try:
            self._write_taken()
        except Exception as error:  # noqa: BLE001 - as in `_changing`
            self._failure, self._active = error, False

    def _write_taken(self) -> None:
        """Write down what the compiled core has taken of a run."""
        assert self._taker is not None
        records, count, longest, highest = self._taker.taken()
        self._writer.check_length(longest)
        self._writer.counted(count)
        for table, number in highest.items():
            self.sequences.inserted(table, number)
        self._recording.add_records(records, count)

    def _write_run(self) -> None:
        """Write down what the run has taken."""
        run, layout = self._run, self._run.layout
        texts = run.texts()
        if texts is None:
            for old, new, number in run.rows():
                self._writer.changed(layout, old, new, number, number)
            run.clear()
            return
        sizes = list(map(len, texts))
        self._writer.check_length(max(sizes, default=0))
        self._writer.counted(len(texts))
        if layout.counts_up and run.operation == apsw.SQLITE_INSERT and texts:
            self.sequences.inserted(layout.name, run.highest_number)
        self._recording.add_all(texts)
        run.clear(sum(sizes))

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
            self._writer.changed(layout, old, None, change.rowid, change.rowid)
        else:
            self._unread = _Unread(layout, old, change.rowid, change.rowid_new)

    def _read_new(self) -> None:
        unread, self._unread = self._unread, None
        assert unread is not None
        new = self._rows.row(unread.layout, unread.number)
        self._writer.changed(unread.layout, unread.old, new, unread.old_number, unread.number)

    def number_rows(self, table: str) -> None:
        """Write down all rows of a table once more; see `RowWriter.number_rows`."""
        self._writer.number_rows(table)

    def add_all_rows(self, table: str) -> None:
        """Write down all rows of a table as inserted; see `RowWriter.add_all_rows`."""
        self._writer.add_all_rows(table)
