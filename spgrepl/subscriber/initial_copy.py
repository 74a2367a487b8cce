"""The rows that are there already: those of published tables, from a master's snapshot into a target.

What is copied is tables, their rows with their row numbers (later statements of the log may depend on those),
indexes, and the counters of AUTOINCREMENT. Triggers are not made. The log carries statements: what a trigger did
on the master is not in it, and happens here only where somebody makes that trigger here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from spgrepl.engines.sqlite_applier import raise_if_storage_failed
from spgrepl.errors import LocalFilesDamaged, SnapshotError, TableMismatch
from spgrepl.publications.definitions import TableFilter
from spgrepl.publications.stored import read_publications
from spgrepl.sqltext import quote_name
from spgrepl.subscriber.table_shape import TableShape, list_tables, read_shape

_SNAPSHOT = "spgrepl_snapshot"
_WAY_OUT = "move or drop it in the target, or begin without the rows that are there with --no-copy-data"


@attrs.frozen
class SourceIndex:
    """An index of a published table: its name and its CREATE statement."""

    name: str
    sql: str


@attrs.frozen
class SourceTable:
    """A published table of a snapshot.

    Attributes:
        shape: What it looks like.
        indexes: Its indexes, but those that its constraints make.
        triggers: The names of its triggers.
    """

    shape: TableShape
    indexes: tuple[SourceIndex, ...]
    triggers: tuple[str, ...]


@attrs.frozen
class CopyPlan:
    """What is to be copied from a snapshot.

    Attributes:
        path: The snapshot.
        encoding: How its texts are encoded.
        tables: The published tables.
        unknown: The publications that the snapshot does not know.
        missing: The published tables that it does not have.
    """

    path: Path
    encoding: str
    tables: tuple[SourceTable, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]


# -- what is to be copied -------------------------------------------------------------------------------------


def plan_copy(path: Path, publications: Sequence[str]) -> CopyPlan:
    """Look up what a snapshot holds of some publications.

    Args:
        path: The snapshot, which was inspected.
        publications: The publications; none at all means every table.

    Raises:
        SnapshotError: It cannot be read, or a published table cannot be copied.
    """
    try:
        with _opened(path) as snapshot:
            wanted, unknown = read_publications(snapshot).filter_for(publications)
            return _plan(path, snapshot, wanted, unknown)
    except (sqlite3.Error, LocalFilesDamaged) as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(_snapshot_uri(path), uri=True, isolation_level=None)) as connection:
        yield connection


def _snapshot_uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?immutable=1"


def _plan(path: Path, snapshot: sqlite3.Connection, wanted: TableFilter, unknown: tuple[str, ...]) -> CopyPlan:
    # SQLite's names know no case, those of a publication do.
    listed = {name.lower() for name in wanted.tables}
    kinds = list_tables(snapshot)
    chosen = sorted(name for name in kinds if (name.lower() in listed) != wanted.inverted)
    for name in chosen:
        if kinds[name] == "virtual":
            raise SnapshotError(
                f"the published table {name} is a virtual table, whose content is not its own to copy; leave it "
                f"out of the publication (FOR ALL TABLES EXCEPT …), or begin with --no-copy-data"
            )
    present = {name.lower() for name in kinds}
    missing = (
        () if wanted.inverted else tuple(sorted(name for name in wanted.tables if name.lower() not in present))
    )
    (encoding,) = snapshot.execute("PRAGMA encoding").fetchone()
    tables = tuple(_source_table(snapshot, name) for name in chosen)
    return CopyPlan(path, encoding, tables, unknown, missing)


def _source_table(snapshot: sqlite3.Connection, name: str) -> SourceTable:
    shape = read_shape(snapshot, name)
    assert shape is not None
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL ORDER BY rowid"
    )
    indexes = snapshot.execute(query, ("index", name))
    triggers = snapshot.execute(query, ("trigger", name))
    return SourceTable(
        shape, tuple(SourceIndex(*row) for row in indexes.fetchall()), tuple(row[0] for row in triggers)
    )


# -- copying --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def attached(target: sqlite3.Connection, plan: CopyPlan) -> Iterator[None]:
    """Let statements on a target read the snapshot too; no transaction may be open before and behind."""
    target.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)
    target.execute(f"ATTACH ? AS {_SNAPSHOT}", (_snapshot_uri(plan.path),))
    try:
        yield
    finally:
        target.execute(f"DETACH {_SNAPSHOT}")
        target.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def copy_tables(
    target: sqlite3.Connection, database: Path, plan: CopyPlan, replaceable: frozenset[str] = frozenset()
) -> None:
    """Put the published tables and their rows into a target, in the transaction that is open.

    The rows go from file to file: the memory that this takes does not depend on their number.

    Args:
        target: The target's connection, with the snapshot `attached`.
        database: Its file, for errors.
        plan: What to copy.
        replaceable: The tables whose rows may be replaced, in lower case.

    Raises:
        TableMismatch: A table is there, and differs or holds rows; or something else has its name.
        SnapshotError: SQLite refuses what the snapshot holds.
        EngineFailed: The disk refuses.
    """
    for table in plan.tables:
        try:
            _copy_table(target, database, table, replaceable)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise_if_storage_failed(error, database)
            raise SnapshotError(
                f"the published table {table.shape.name} of the master's snapshot cannot be put into {database}: "
                f"{error}; leave it out of the publication, or begin with --no-copy-data"
            ) from error


def _copy_table(
    target: sqlite3.Connection, database: Path, table: SourceTable, replaceable: frozenset[str]
) -> None:
    shape = table.shape
    present = read_shape(target, shape.name)
    if present is None:
        _refuse_taken_name(target, database, shape.name, shape.name)
        target.execute(shape.sql)
    else:
        if present.name.lower() in replaceable:
            target.execute(f"DELETE FROM main.{quote_name(present.name)}")
        _refuse_other_table(target, database, shape, present)
    name = shape.name if present is None else present.name
    _copy_rows(target, shape, name)
    if present is None:
        for index in table.indexes:
            _refuse_taken_name(target, database, shape.name, index.name)
            target.execute(index.sql)
    if shape.autoincrement:
        target.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (name,))
        target.execute(
            f"INSERT INTO main.sqlite_sequence (name, seq) "
            f"SELECT ?, seq FROM {_SNAPSHOT}.sqlite_sequence WHERE name = ?",
            (name, shape.name),
        )


def _refuse_taken_name(target: sqlite3.Connection, database: Path, table: str, name: str) -> None:
    row = target.execute(
        "SELECT type, tbl_name FROM main.sqlite_master WHERE name = ? COLLATE NOCASE", (name,)
    ).fetchone()
    if row is not None:
        kind, of = row
        what = f"a {kind}" if kind != "index" else f"an index of {of}"
        raise TableMismatch(
            f"the published table {table} needs the name {name}, which is that of {what} in {database}: {_WAY_OUT}"
        )


def _refuse_other_table(
    target: sqlite3.Connection, database: Path, wanted: TableShape, present: TableShape
) -> None:
    difference = wanted.difference(present)
    if difference is not None:
        raise TableMismatch(
            f"the published table {wanted.name} is in {database} already, and is another one: {difference}; "
            f"{_WAY_OUT}"
        )
    if target.execute(f"SELECT 1 FROM main.{quote_name(present.name)} LIMIT 1").fetchone() is not None:
        raise TableMismatch(
            f"the published table {wanted.name} is in {database} already and holds rows, where none are expected: "
            f"{_WAY_OUT}"
        )


def _copy_rows(target: sqlite3.Connection, shape: TableShape, name: str) -> None:
    """Copy all rows, in the order of their numbers; where those have no name they are made anew in that order."""
    columns = [quote_name(column.name) for column in shape.columns if column.stored]
    if shape.row_number is not None:
        columns.insert(0, shape.row_number)
    listed = ", ".join(columns)
    source = f"{_SNAPSHOT}.{quote_name(shape.name)}"
    # NOT INDEXED, or an index that holds all columns might give the rows in another order.
    target.execute(f"INSERT INTO main.{quote_name(name)} ({listed}) SELECT {listed} FROM {source} NOT INDEXED")


def copied_triggers(plan: CopyPlan) -> list[str]:
    """The triggers of the copied tables, which are not made here."""
    return [f"{trigger} (on {table.shape.name})" for table in plan.tables for trigger in table.triggers]
