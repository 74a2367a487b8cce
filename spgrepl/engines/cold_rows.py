"""Rows of an SPG snapshot that are in cold segments: noted in the copy, and put in when their segments are there.

The table ``spgrepl_spg_cold`` lists the rows that are missing still, and exists as long as there are any. It
travels with the copy's own snapshots, and is changed in the transaction that puts the rows in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from zope.interface import Interface

from spgrepl.engines.left_out_rows import LeftOutNotes, left_out_of
from spgrepl.errors import LocalFilesDamaged
from spgrepl.spg.cold import NAMED
from spgrepl.spg.ddl import quoted
from spgrepl.spg.segment import PayloadDecoder, SegmentFile
from spgrepl.spg.to_sqlite import COLUMNS_TABLE, OBJECTS_TABLE
from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from spgrepl.sqlite.any_connection import SqlConnection, SqlCursor
from spgrepl.text.quantities import number_of

PENDING = "spgrepl_spg_cold"
"""The table of rows that are missing."""

CREATE_PENDING = f"""
CREATE TABLE {PENDING} (
    segment INTEGER NOT NULL,
    table_name TEXT NOT NULL,
    key INTEGER NOT NULL,
    PRIMARY KEY (segment, table_name, key)
) WITHOUT ROWID
"""
MISSING = f"SELECT table_name, count(*), min(key) FROM {PENDING} GROUP BY table_name"
"""Asks which tables lack rows, how many, and the lowest key of these."""

_THERE = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{PENDING}'"


class IColdRows(Interface):
    """An engine whose copy may lack rows that are in cold segments. Called in the engine's thread."""

    def cold_rows_pending() -> bool:
        """Whether rows are missing. Quick, and may be called from any thread."""

    def settle_cold_rows(segments: Mapping[int, Path]) -> str | None:
        """Put in the rows of some segments.

        Args:
            segments: The files of segments that the copy's master has sent since its snapshot, by id.

        Returns:
            The rows that are missing still, in words; None where there are none.

        Raises:
            SegmentDamaged: A segment is damaged.
            SpgFileError: A segment does not fit the snapshot.
            EngineFailed: Nothing can be stored at present.
        """

    def forgo_cold_rows() -> None:
        """Do without the rows that are missing, for good.

        Raises:
            EngineFailed: Nothing can be stored at present.
        """


class WritingConnection(SqlConnection, Protocol):
    """A connection that writes many rows."""

    def executemany(self, sql: str, parameters: Any, /) -> SqlCursor:
        """Run one statement for each of some rows."""


def pending(connection: SqlConnection) -> bool:
    """Whether rows are missing."""
    return connection.execute(_THERE).fetchone() is not None


def settle(connection: WritingConnection, segments: Mapping[int, Path]) -> str | None:
    """See `IColdRows.settle_cold_rows`. No transaction may be open; there is one for each segment.

    Raises:
        sqlite3.Error, apsw.Error: The database refuses, by the connection's module.
    """
    if not pending(connection):
        return None
    wanted = [row[0] for row in connection.execute(f"SELECT DISTINCT segment FROM {PENDING}").fetchall()]
    for segment in wanted:
        if segment in segments:
            _settle_one(connection, segment, segments[segment])
    if connection.execute(f"SELECT 1 FROM {PENDING} LIMIT 1").fetchone() is None:
        forgo(connection)
        return None
    return _described(connection)


def forgo(connection: SqlConnection) -> None:
    """Forget which rows are missing: none is, or they are done without."""
    connection.execute(f"DROP TABLE IF EXISTS {PENDING}")


def give_up(connection: SqlConnection, notes: LeftOutNotes) -> None:
    """See `IColdRows.forgo_cold_rows`. No transaction may be open."""
    if not pending(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        notes.note(connection, left_out_of(connection.execute(MISSING).fetchall()))
        forgo(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    notes.committed()


def _settle_one(connection: WritingConnection, segment: int, path: Path) -> None:
    version = _file_version(connection)
    with SegmentFile(path) as file:
        connection.execute("BEGIN IMMEDIATE")
        try:
            tables = connection.execute(f"SELECT DISTINCT table_name FROM {PENDING} WHERE segment = ?", (segment,))
            for (table,) in tables.fetchall():
                decoder = PayloadDecoder(_types(connection, table), version)
                marks = ", ".join("?" * len(_types(connection, table)))
                connection.executemany(
                    f"INSERT INTO {quoted(table)} VALUES ({marks})",
                    _rows(connection, file, decoder, segment, table),
                )
            connection.execute(f"DELETE FROM {PENDING} WHERE segment = ?", (segment,))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _rows(
    connection: SqlConnection, file: SegmentFile, decoder: PayloadDecoder, segment: int, table: str
) -> Iterator[list[Any]]:
    keys = connection.execute(
        f"SELECT key FROM {PENDING} WHERE segment = ? AND table_name = ? ORDER BY key", (segment, table)
    )
    for (key,) in keys:
        yield decoder.row_of(file, key, table)


def _types(connection: SqlConnection, table: str) -> list[SpgType]:
    query = f"SELECT tag, parameters FROM {COLUMNS_TABLE} WHERE table_name = ? ORDER BY position"
    found = connection.execute(query, (table,)).fetchall()
    try:
        types = [SpgType(tag, tuple(map(int, json.loads(parameters)))) for tag, parameters in found]
    except (ValueError, TypeError) as error:
        raise LocalFilesDamaged(f"the table {COLUMNS_TABLE} is damaged at {table}: {error}") from error
    if not types or any(one.tag not in TYPE_TAGS for one in types):
        raise LocalFilesDamaged(f"the table {COLUMNS_TABLE} does not say the columns of {table}")
    return types


def _file_version(connection: SqlConnection) -> int:
    row = connection.execute(f"SELECT definition FROM {OBJECTS_TABLE} WHERE kind = 'source'").fetchone()
    try:
        return int(json.loads(row[0])["file_version"])
    except (ValueError, TypeError, KeyError) as error:
        raise LocalFilesDamaged(f"the table {OBJECTS_TABLE} does not say where the copy came from") from error


def _described(connection: SqlConnection) -> str:
    counts = connection.execute(
        f"SELECT table_name, count(*) FROM {PENDING} GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    query = f"SELECT key, segment FROM {PENDING} WHERE table_name = ? LIMIT ?"
    return describe_missing(
        (table, count, connection.execute(query, (table, NAMED)).fetchall()) for table, count in counts
    )


def describe_missing(tables: Iterable[tuple[str, int, Sequence[Sequence[Any]]]]) -> str:
    """The rows that are missing, in words.

    Args:
        tables: Tables, how many rows each lacks, and key and segment of the first of them.
    """
    parts = []
    for table, count, named in tables:
        listed = ", ".join(f"key {key} (segment {segment})" for key, segment in named)
        more = f" and {count - len(named):,} more" if count > len(named) else ""
        parts.append(f"{number_of(count, 'row', form=',')} of {table}: {listed}{more}")
    return "; ".join(parts)
