"""Writes rows down one by one, in the form of ROWS.md: what was changed, and what names the row."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import attrs

from spgrepl.catalogue.stored import read_publications
from spgrepl.primary.changes.layout import TableLayout, Unwritable, read_layout
from spgrepl.primary.changes.recording import Mark, Recording
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.primary.changes.row_run import Row
from spgrepl.primary.changes.row_values import refuse_bytes
from spgrepl.primary.changes.sequences import TABLE as SEQUENCE_TABLE
from spgrepl.primary.changes.sequences import SequenceTracker
from spgrepl.primary.parts.settings import SUBSCRIBERS, read_settings
from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.render import join_pieces, render, render_delete, render_update, render_values
from spgrepl.rows.values import same_value
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import quote_name

_MANY_ROWS = 100
"""A table that a statement empties of so many rows is written down as emptied."""


@attrs.define
class _Deleting:
    """Rows that a statement deletes from one table and nothing else happens in between."""

    table: str
    start: Mark
    count: int = 0


class RowWriter:
    """Writes rows down.

    Args:
        connection: The connection that writes.
        recording: Where the rows are written down.
        rows: Reads rows from their tables.
        max_record: The most bytes of SQL that a record may have.
        each_row: See `spgrepl.primary.changes.recorder.RowRecorder`.

    Attributes:
        sequences: Follows the counters of AUTOINCREMENT tables.
        origin: The id of the cluster that the rows come from; None for rows of this primary.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        recording: Recording,
        rows: RowReader,
        max_record: int,
        each_row: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._recording = recording
        self._rows = rows
        self._max_record = max_record
        self._each_row = each_row
        self._deleting: _Deleting | None = None
        self._alone = True
        self.sequences = SequenceTracker(connection)
        self.origin: int | None = None

    # -- statements -------------------------------------------------------------------------------------------

    def start_statement(self) -> None:
        """A statement begins."""
        self._deleting = None
        self._alone = True

    def counted(self, count: int) -> None:
        """So many further rows were written down, which were changed as the one before."""
        if self._deleting is not None:
            self._deleting.count += count

    def end_statement(self) -> None:
        """A statement has ended: one that emptied a table is written down as that."""
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

    # -- rows ------------------------------------------------------------------------------------------------

    def changed(self, layout: TableLayout, old: Row | None, new: Row | None, number: int, new_number: int) -> None:
        """Write a change down.

        Args:
            layout: The table's layout.
            old: The row before; None for a new one.
            new: The row after; None for one that goes.
            number: The row's number before.
            new_number: Its number after.

        Raises:
            Unwritable: It cannot be written down.
            OSError: The disk refuses.
        """
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
        self.check_length(len(sql))
        self._recording.add(sql)

    def is_too_long(self, length: int) -> bool:
        """Whether a record is too long."""
        return length > self._max_record

    def check_length(self, length: int) -> None:
        """Refuse a record that is too long.

        Raises:
            Unwritable: It is.
        """
        if self.is_too_long(length):
            raise Unwritable(
                f"a row that it changes takes {number_of(length, 'byte')} in the log, a record may "
                f"have {self._max_record}; write shorter values, or give all nodes a higher --max-record"
            )

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
            self.changed(layout, None, row, number, number)
