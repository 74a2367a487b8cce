"""The rows that are there already: those of published tables, from a master's snapshot into a target.

What is copied is tables, their rows with their row numbers (later statements of the log may depend on those),
indexes, and the counters of AUTOINCREMENT. Triggers are not made. The log carries statements: what a trigger did
on the master is not in it, and happens here only where somebody makes that trigger here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import attrs

from spgrepl.catalogue.definitions import TableFilter
from spgrepl.catalogue.stored import read_publications
from spgrepl.disk.unnamed_files import database_uri
from spgrepl.engines.sqlite_applier import raise_if_storage_failed
from spgrepl.engines.targets.copy_told import CopyTold
from spgrepl.engines.targets.table_shape import TableShape, list_tables, read_shape
from spgrepl.errors import CopyRefused, LocalFilesDamaged, SnapshotError, TableMismatch
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.snapshot_histories import histories_in, notes_in
from spgrepl.text.sqltext import fold_ascii, quote_name

ATTACHED_SNAPSHOT = "spgrepl_snapshot"
"""The name under which a snapshot is attached to a target."""

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
        CopyRefused: A published table cannot be copied.
        SnapshotError: It cannot be read.
    """
    try:
        with _opened(path) as snapshot:
            wanted, unknown = read_publications(snapshot).filter_for(publications)
            return _plan(path, snapshot, wanted, unknown)
    except (apsw.Error, LocalFilesDamaged) as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    with contextlib.closing(plain_connection(path, immutable=True)) as connection:
        yield connection


def _plan(path: Path, snapshot: apsw.Connection, wanted: TableFilter, unknown: tuple[str, ...]) -> CopyPlan:
    # SQLite's names know no case, those of a publication do.
    listed = {fold_ascii(name) for name in wanted.tables}
    kinds = list_tables(snapshot)
    chosen = sorted(name for name in kinds if (fold_ascii(name) in listed) != wanted.inverted)
    for name in chosen:
        if kinds[name] == "virtual":
            raise CopyRefused(
                f"the published table {name} is a virtual table, whose content is not its own to copy; leave it "
                f"out of the publication (FOR ALL TABLES EXCEPT …), or begin with --no-copy-data"
            )
    present = {fold_ascii(name) for name in kinds}
    missing = (
        () if wanted.inverted else tuple(sorted(name for name in wanted.tables if fold_ascii(name) not in present))
    )
    encoding = str(snapshot.pragma("encoding"))
    tables = tuple(_source_table(snapshot, name) for name in chosen)
    return CopyPlan(path, encoding, tables, unknown, missing)


def _source_table(snapshot: apsw.Connection, name: str) -> SourceTable:
    shape = read_shape(snapshot, name)
    assert shape is not None
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL ORDER BY rowid"
    )
    indexes = snapshot.execute(query, ("index", name))
    triggers = snapshot.execute(query, ("trigger", name))
    return SourceTable(
        shape,
        tuple(SourceIndex(str(index), str(sql)) for index, sql in indexes.fetchall()),
        tuple(str(row[0]) for row in triggers),
    )


def state_at_copy(
    path: Path, publications: Sequence[str], position: int, before: Mark | None = None
) -> SubscriptionState:
    """The state that a subscription begins with at a snapshot.

    Args:
        path: The snapshot, a SQLite database.
        publications: The publications that are asked for.
        position: The position in the master's log that the snapshot stands at.
        before: What stands before the position in the master's log; None where that is not known.
    """
    return SubscriptionState(
        tuple(publications),
        position,
        position,
        histories=histories_in(path, position),
        alone_to=notes_in(path, position).alone_to,
        before_copy=before,
    )


# -- copying --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def attached(target: apsw.Connection, plan: CopyPlan) -> Iterator[None]:
    """Let statements on a target read the snapshot too; no transaction may be open before and after."""
    target.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)
    target.execute(f"ATTACH ? AS {ATTACHED_SNAPSHOT}", (database_uri(plan.path, immutable=True),))
    try:
        yield
    finally:
        target.execute(f"DETACH {ATTACHED_SNAPSHOT}")
        target.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)


def copy_tables(
    target: apsw.Connection, database: Path, plan: CopyPlan, replaceable: frozenset[str] = frozenset()
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
        CopyRefused: SQLite refuses what the snapshot holds.
        EngineFailed: The disk refuses.
    """
    told = CopyTold(target, database, ATTACHED_SNAPSHOT, [table.shape for table in plan.tables])
    for table in plan.tables:
        try:
            with told.watching(table.shape):
                _copy_table(target, database, table, replaceable)
        except apsw.Error as error:
            raise_if_storage_failed(error, database)
            raise CopyRefused(
                f"the published table {table.shape.name} of the master's snapshot cannot be put into {database}: "
                f"{error}; leave it out of the publication, or begin with --no-copy-data"
            ) from error


def _copy_table(target: apsw.Connection, database: Path, table: SourceTable, replaceable: frozenset[str]) -> None:
    shape = table.shape
    present = read_shape(target, shape.name)
    if present is None:
        _refuse_taken_name(target, database, shape.name, shape.name)
        target.execute(shape.sql)
    else:
        if fold_ascii(present.name) in replaceable:
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
            f"SELECT ?, seq FROM {ATTACHED_SNAPSHOT}.sqlite_sequence WHERE name = ?",
            (name, shape.name),
        )


def _refuse_taken_name(target: apsw.Connection, database: Path, table: str, name: str) -> None:
    row = target.execute(
        "SELECT type, tbl_name FROM main.sqlite_master WHERE name = ? COLLATE NOCASE", (name,)
    ).fetchone()
    if row is not None:
        kind, of = row
        what = f"a {kind}" if kind != "index" else f"an index of {of}"
        raise TableMismatch(
            f"the published table {table} needs the name {name}, which is that of {what} in {database}: {_WAY_OUT}"
        )


def _refuse_other_table(target: apsw.Connection, database: Path, wanted: TableShape, present: TableShape) -> None:
    difference = wanted.difference(present)
    if difference is not None:
        raise TableMismatch(
            f"the published table {wanted.name} is in {database} already, and differs: {difference}; {_WAY_OUT}"
        )
    if target.execute(f"SELECT 1 FROM main.{quote_name(present.name)} LIMIT 1").fetchone() is not None:
        raise TableMismatch(
            f"the published table {wanted.name} is in {database} already and holds rows, where none are expected: "
            f"{_WAY_OUT}"
        )


def _copy_rows(target: apsw.Connection, shape: TableShape, name: str) -> None:
    """Copy all rows, in the order of their numbers; where those have no name they are made again in that order."""
    columns = [quote_name(column.name) for column in shape.columns if column.stored]
    if shape.row_number is not None:
        columns.insert(0, shape.row_number)
    listed = ", ".join(columns)
    source = f"{ATTACHED_SNAPSHOT}.{quote_name(shape.name)}"
    # NOT INDEXED, or an index that holds all columns might give the rows in another order.
    target.execute(f"INSERT INTO main.{quote_name(name)} ({listed}) SELECT {listed} FROM {source} NOT INDEXED")


def copied_triggers(plan: CopyPlan) -> list[str]:
    """The triggers of the copied tables, which are not made here."""
    return [f"{trigger} (on {table.shape.name})" for table in plan.tables for trigger in table.triggers]
