"""An SPG snapshot written into an open connection of SQLite: schema, rows, and what SQLite cannot express.

The connection is APSW's, and the transaction is the caller's: nothing here begins, commits or syncs. Rows that
are alive in the snapshot are written as they are decoded; those in segments follow, as far as their segments are
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.errors import ColdRowsMissing, SnapshotError
from spgrepl.spg.blocks.schema import Column, Table
from spgrepl.spg.cold import ColdRows, MissingRows
from spgrepl.spg.ddl import DdlWriter, TableDdl, quoted
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.values.rows import Row

COLUMNS_TABLE = "spgrepl_spg_columns"
"""The table that keeps SPG's types, labels and flags, one row a column."""

OBJECTS_TABLE = "spgrepl_spg_objects"
"""The table that keeps as text what SQLite does not get: views, checks, sequences, types, and the source."""

SIDE_TABLES = (COLUMNS_TABLE, OBJECTS_TABLE)
"""Both."""

CREATE_COLUMNS = f"""
CREATE TABLE {COLUMNS_TABLE} (
    table_name TEXT NOT NULL,
    position INTEGER NOT NULL,
    column_name TEXT NOT NULL,
    spg_type TEXT NOT NULL,
    tag INTEGER NOT NULL,
    parameters TEXT NOT NULL,
    nullable INTEGER NOT NULL,
    auto_increment INTEGER NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (table_name, position)
)
"""
CREATE_OBJECTS = f"""
CREATE TABLE {OBJECTS_TABLE} (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL
)
"""
_ROWS_AT_ONCE = 64
_VALUES_AT_ONCE = 2048
"""So many rows and values are written by one statement at most; SQLite takes 32,766 values."""

LEFT_OUT = "left out"
"""The kind under which the table of objects has what is not made here and decides what becomes of rows."""

_PER_TABLE = frozenset(("hot_tier_bytes",))


@attrs.frozen
class Progress:
    """How far a snapshot has been written.

    Attributes:
        table: The table that is being written.
        rows: How many rows have been written, of all tables.
        offset: How far the snapshot file has been read, in bytes.
    """

    table: str
    rows: int
    offset: int


@attrs.frozen
class Filled:
    """What was written.

    Attributes:
        tables: How many tables.
        rows: How many rows.
        cold: How many of those came from segments.
        missing: The rows whose segments are not there, for each table that has such.
        notes: What SQLite cannot express, by table.
    """

    tables: int
    rows: int
    cold: int
    missing: tuple[MissingRows, ...]
    notes: dict[str, tuple[str, ...]]


class SnapshotFiller:
    """Fills a database from an SPG snapshot. Blocking.

    Args:
        connection: The database, in a transaction; it holds none of the snapshot's tables.
        snapshot: The snapshot.
        segments: The folder of its segments; None where there are none.
        progress: Called now and then.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        snapshot: Snapshot,
        segments: Path | None = None,
        progress: Callable[[Progress], object] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._segments = segments
        self._progress = progress
        self._rows = 0
        self._cold = 0
        self._missing: list[MissingRows] = []

    def fill(self, without_cold_rows: bool = False) -> Filled:
        """Write schema and rows.

        Args:
            without_cold_rows: Whether rows whose segments are not there may be missing.

        Raises:
            ColdRowsMissing: Rows are in segments that are not there; they are named. All others are written.
            SnapshotError: SQLite cannot hold what the snapshot holds.
            SpgFileError: The snapshot or a segment is damaged.
            apsw.Error: The disk refuses.
        """
        tables = self._snapshot.catalogue.tables
        ddl = self.create_schema()
        cold = ColdRows(self._snapshot, self._segments)
        try:
            for table in tables:
                self.copy_rows(table)
                index = table.freeze_index
                key = "" if index is None else table.columns[index.column].name
                missing = MissingRows(table.name, key)
                self.copy_cold_rows(table, cold, missing.add)
                if missing.count:
                    self._missing.append(missing)
        finally:
            cold.close()
        self.create_indexes(ddl)
        self.keep_rest(ddl)
        if self._missing and not without_cold_rows:
            raise ColdRowsMissing(missing_text(self._missing))
        notes = {name: one.notes for name, one in ddl.items() if one.notes}
        return Filled(len(tables), self._rows, self._cold, tuple(self._missing), notes)

    # -- the steps --------------------------------------------------------------------------------------------

    def create_schema(self) -> dict[str, TableDdl]:
        """Make all tables, without their indexes.

        Returns:
            What was written, by table.
        """
        tables = self._snapshot.catalogue.tables
        writer = DdlWriter(tables)
        found = {table.name: writer.table(table) for table in tables}
        for name, one in found.items():
            try:
                self._connection.execute(one.create)
            except apsw.SQLError as error:
                raise SnapshotError(f"SQLite cannot hold the table {name!r}: {error}") from error
        return found

    def copy_rows(self, table: Table) -> None:
        """Write the rows of a table that are in the snapshot and alive."""
        self._insert(table, self._counted(table))

    def copy_cold_rows(self, table: Table, cold: ColdRows, missing: Callable[[int, int], object]) -> None:
        """Write the rows of a table that are in segments and alive.

        Args:
            table: The table.
            cold: Reads them.
            missing: Called with key and segment of each row whose segment is not there.
        """
        if table.cold:
            before = self._rows
            self._insert(table, self._counted_cold(table, cold.rows(table, missing)))
            self._cold += self._rows - before

    def create_indexes(self, ddl: dict[str, TableDdl]) -> None:
        """Make the indexes of all tables."""
        for name, one in ddl.items():
            for statement in one.indexes:
                try:
                    self._connection.execute(statement)
                except apsw.ConstraintError as error:
                    raise SnapshotError(f"rows of {name} break a unique index of SPG: {error}") from error

    def keep_rest(self, ddl: dict[str, TableDdl]) -> None:
        """Write the side tables."""
        execute = self._connection.execute
        execute(CREATE_COLUMNS)
        execute(CREATE_OBJECTS)
        for table in self._snapshot.catalogue.tables:
            for position, column in enumerate(table.columns):
                execute(
                    f"INSERT INTO {COLUMNS_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (table.name, position, column.name, *_described(column)),
                )
        for kind, name, definition in self._objects(ddl):
            execute(f"INSERT INTO {OBJECTS_TABLE} VALUES (?, ?, ?)", (kind, name, json_of(definition)))

    # -- rows -------------------------------------------------------------------------------------------------

    def _insert(self, table: Table, batches: Iterator[list[Any]]) -> None:
        """Write rows, many in one statement: that takes half the time.

        Args:
            table: The table.
            batches: Values of rows, one row after the other.
        """
        columns = len(table.columns)
        marks = f"({', '.join('?' * columns)})"
        at_once = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // columns)) * columns
        single = f"INSERT INTO {quoted(table.name)} VALUES {marks}"
        several = f"INSERT INTO {quoted(table.name)} VALUES {', '.join([marks] * (at_once // columns))}"
        write = self._connection.executemany
        try:
            for values in batches:
                whole = len(values) // at_once * at_once
                write(several, (values[first : first + at_once] for first in range(0, whole, at_once)))
                write(single, (values[first : first + columns] for first in range(whole, len(values), columns)))
        except apsw.ConstraintError as error:
            raise SnapshotError(
                f"a row of {table.name} breaks a constraint that the snapshot states itself: {error}; the "
                f"snapshot was taken while a transaction was open, or is damaged: take another"
            ) from error

    def _counted(self, table: Table) -> Iterator[list[Any]]:
        offset = table.rows_at

        def reached(place: int) -> None:
            nonlocal offset
            offset = place

        for values in self._snapshot.values(table, reached):
            yield values
            self._rows += len(values) // len(table.columns)
            self._progress(Progress(table.name, self._rows, offset))

    def _counted_cold(self, table: Table, rows: Iterator[Row]) -> Iterator[list[Any]]:
        while values := [*chain.from_iterable(islice(rows, _ROWS_AT_ONCE))]:
            yield values
            self._rows += len(values) // len(table.columns)
            self._progress(Progress(table.name, self._rows, table.rows_end))

    # -- what SQLite cannot express ---------------------------------------------------------------------------

    def _objects(self, ddl: dict[str, TableDdl]) -> Iterator[tuple[str, str, Any]]:
        catalogue = self._snapshot.catalogue
        yield (
            "source",
            self._snapshot.path.name,
            {"envelope": catalogue.envelope_version, "file_version": catalogue.file_version},
        )
        for view in catalogue.views:
            kind = "materialized view" if view.materialized else "view"
            yield kind, view.name, {"columns": view.columns, "sql": view.sql}
        for one in catalogue.publications:
            yield "publication", one.name, {"scope": one.scope, "tables": one.tables}
        for table in catalogue.tables:
            for check in table.checks:
                yield "check", table.name, {"sql": check.sql, "name": check.name, "valid": check.valid}
            for name, value in table.extras.items():
                if name not in _PER_TABLE:
                    yield f"table {name}", table.name, value
            for note in ddl[table.name].notes:
                yield "note", table.name, note
            for missed in ddl[table.name].missed:
                yield LEFT_OUT, missed.table, attrs.asdict(missed)
        for block, found in catalogue.objects.items():
            if block in ("views", "materialized_views") or not found:
                continue
            for one in found if isinstance(found, tuple) else (found,):
                name = next(iter(one.values())) if isinstance(one, dict) and one else block
                yield block, name if isinstance(name, str) else block, one


def _described(column: Column) -> tuple[Any, ...]:
    return (
        column.type.label,
        column.type.tag,
        json_of(column.type.parameters),
        int(column.nullable),
        int(column.auto_increment),
        json_of(column.extras),
    )


def json_of(value: object) -> str:
    """Anything that a catalog holds, as JSON; bytes as hexadecimal digits."""
    return json.dumps(
        value, ensure_ascii=False, default=lambda one: one.hex() if isinstance(one, bytes) else str(one)
    )


def missing_text(missing: list[MissingRows]) -> str:
    """What is missing, and what to do about it."""
    named = "; ".join(map(str, missing))
    segments = sorted({segment for one in missing for segment in one.segments})
    listed = ", ".join(map(str, segments[:20])) + (" …" if len(segments) > 20 else "")
    return (
        f"rows are in cold segments that are not there: {named}. Get the "
        f"{'segment' if len(segments) == 1 else 'segments'} {listed} from the server that made "
        f"the snapshot, or do without these rows (--without-cold-rows)"
    )
