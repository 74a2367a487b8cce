"""Changes of rows as SQLite reports them, written down by the compiled core and by the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.compiled.core import Core
from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import TableLayout
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.primary.changes.row_taker import RowTaker
from spgrepl.primary.changes.row_writer import RowWriter
from spgrepl.rows.values import RowValue, same_value

Row = tuple[RowValue, ...]
FIRST = b"INSERT INTO t(a)VALUES(1)"
LAYOUTS = (
    TableLayout("t", ("a", "b"), (0, 1), ("a",), (0,), "rowid", has_row_numbers=True, number_is_key=True),
    TableLayout("t", ("a", "b"), (0, 1), ("a",), (0,), "rowid", has_row_numbers=True),
    TableLayout("a b", ("a", "order"), (0, 1), ("order", "a"), (1, 0), "oid", has_row_numbers=True),
    TableLayout("t", ("a", "b"), (0, 1), (), (), "rowid", has_row_numbers=True),
)


@attrs.frozen
class Change:
    """What `apsw.PreUpdate` says of one change."""

    table_name: str
    opcode: int
    old: Row
    new: Row
    rowid: int
    rowid_new: int
    database_name: str = "main"
    blob_write: int = -1

    @property
    def update(self) -> tuple[object, ...]:
        """The new values, and what stands for those that are left alone."""
        pairs = zip(self.old, self.new, strict=True)
        return tuple([apsw.no_change if same_value(before, after) else after for before, after in pairs])


def _writer(recording: Recording) -> RowWriter:
    connection = apsw.Connection(":memory:")
    rows = RowReader(connection, ObjectGuard())
    return RowWriter(connection, recording, rows, 1 << 20, bool)


def _write(writer: RowWriter, layout: TableLayout, change: Any) -> None:
    old = None if change.opcode == apsw.SQLITE_INSERT else change.old
    new = None if change.opcode == apsw.SQLITE_DELETE else change.new
    writer.changed(layout, old, new, change.rowid, change.rowid_new)


def _begun() -> tuple[Recording, RowWriter]:
    recording = Recording(Path())
    recording.begin()
    recording.add(FIRST)
    recording.add(FIRST)
    return recording, _writer(recording)


def run_of_reference(layout: TableLayout, changes: Sequence[Change]) -> bytes:
    """What the reference writes of the changes of one statement."""
    recording, writer = _begun()
    for change in changes:
        _write(writer, layout, change)
    recording.end()
    return b"".join(recording.pieces())


def run_of_core(core: Core, layout: TableLayout, changes: Sequence[Change]) -> bytes:
    """What the core writes of the same, and the reference of what the core leaves alone."""
    recording, writer = _begun()

    def write_taken() -> None:
        records, count, longest, _ = taker.taken()
        assert (longest > 0) is (count > 0)
        recording.add_records(records, count)

    def other(change: Any) -> None:
        write_taken()
        _write(writer, layout, change)

    taker = RowTaker(core, other, write_taken)
    for operation in (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE):
        if changes and changes[0].opcode == operation:
            taker.begin(layout, operation)
    for change in changes:
        taker.hook(change)  # type: ignore[arg-type]
    write_taken()
    recording.end()
    return b"".join(recording.pieces())


Group = tuple[bytes, list[int]]


def group_of_reference(layout: TableLayout, statements: Sequence[Sequence[Change]]) -> Group:
    """What the reference writes of the changes of each statement, and where that of each ends."""
    recording = Recording(Path())
    writer = _writer(recording)
    stops = [0]
    for changes in statements:
        recording.begin()
        for change in changes:
            _write(writer, layout, change)
        recording.end()
        stops.append(recording.length)
    return b"".join(recording.pieces()), stops


def group_of_core(core: Core, layout: TableLayout, statements: Sequence[Sequence[Change]]) -> Group | None:
    """What the core writes of the same; None where it leaves that alone."""

    def other(change: Any) -> None:
        taker.take_of_group(layout, change)

    taker = RowTaker(core, other, lambda: None)
    assert taker.begin_group()
    for changes in statements:
        if not taker.began():
            break
        for change in changes:
            taker.hook(change)  # type: ignore[arg-type]
    found = taker.end_group()
    if found is None:
        return None
    recording = Recording(Path())
    return found[0], recording.add_requests(found[0], found[1])
