"""The snapshot of an SPG server that a copy begins with: made one of SQLite, before anybody looks at it.

What comes after that knows SQLite databases only. The publications go into the catalogue; rows that are in cold
segments are put in where these lie beside the snapshot, else noted, and follow (`spgrepl.engines.cold_rows`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import apsw

from spgrepl.catalogue.catalogue_tables import note_change
from spgrepl.catalogue.sources import publications_of
from spgrepl.disk.files import create_private
from spgrepl.disk.unnamed_files import create_unnamed, folder_of, is_unnamed, replace_unnamed, unnamed_path
from spgrepl.engines.cold_rows import CREATE_PENDING, MISSING, PENDING, forgo, pending
from spgrepl.engines.left_out_rows import LeftOutRows, left_out_of
from spgrepl.errors import EngineFailed, SnapshotError, SpgFileError
from spgrepl.segments.format import segment_id_of
from spgrepl.spg.cold import ColdRows
from spgrepl.spg.snapshot import MAGICS, Snapshot
from spgrepl.spg.to_sqlite import COLUMNS_TABLE, Progress, SnapshotFiller
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.placing import PlacingStep
from spgrepl.text.role_log import RoleLogger

CONVERTED = "-converted"
"""What the name of the new database ends with while it is made."""

SEGMENTS = ".spg"
"""The same of the folder in which its segments are gathered."""

ADVICE = "a follower with --engine archive keeps it as it is"
"""What to do with a snapshot that cannot be read."""

HEAD_BYTES = 16

_CACHE_KIB = 32_768
_UNFINISHED = ".incoming"  # what the name of a segment ends with while it is received

_log = RoleLogger()


def is_spg(head: bytes) -> bool:
    """Whether a file that begins so is a snapshot of SPG."""
    return head.startswith(MAGICS)


def convert_if_spg(path: Path, advice: str = ADVICE, segments: Path | None = None) -> bool:
    """Replace a snapshot of SPG by a SQLite database that holds the same. Blocking.

    Args:
        path: The received snapshot, which nobody else reads. Any other file is left alone.
        advice: What to do where it cannot be read.
        segments: Where its segments are; None for beside it.

    Returns:
        Whether it was one of SPG.

    Raises:
        SnapshotError: It is damaged, or holds what SQLite cannot.
        EngineFailed: The disk refuses.
    """
    with open(path, "rb") as file:
        if not is_spg(file.read(HEAD_BYTES)):
            return False
    segments = segments or segments_beside(path)
    if is_unnamed(path):
        _convert_unnamed(path, segments, advice)
        return True
    converted = path.with_name(path.name + CONVERTED)
    converted.unlink(missing_ok=True)
    os.close(create_private(converted))
    try:
        _convert(path, converted, segments, advice)
        os.replace(converted, path)
    except BaseException:
        converted.unlink(missing_ok=True)
        raise
    return True


def _convert_unnamed(path: Path, segments: Path, advice: str) -> None:
    try:
        handle = create_unnamed(folder_of(path))
    except OSError as error:
        raise EngineFailed(f"no file can be made in {folder_of(path)}: {error}") from error
    try:
        _convert(path, unnamed_path(handle), segments, advice)
    except BaseException:
        os.close(handle)
        raise
    replace_unnamed(path, handle)


def _convert(path: Path, converted: Path, segments: Path, advice: str) -> None:
    try:
        with Snapshot(path) as snapshot, contextlib.closing(plain_connection(converted)) as connection:
            _fill(connection, snapshot, segments)
    except SpgFileError as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}; {advice}") from error
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        raise EngineFailed(f"{converted} cannot be written: {error}") from error
    except apsw.Error as error:
        raise SnapshotError(f"SQLite cannot hold the master's snapshot: {error}; {advice}") from error


def _fill(connection: apsw.Connection, snapshot: Snapshot, segments: Path) -> None:
    # A crash leaves nothing that anybody takes for whole.
    connection.pragma("journal_mode", "off")
    connection.pragma("synchronous", "off")
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.execute("BEGIN")
    catalogue = snapshot.catalogue
    converting = PlacingStep("convert", bytes_total=snapshot.path.stat().st_size)

    def told(progress: Progress) -> None:
        converting.tell(table=progress.table, rows=progress.rows, bytes=progress.offset)

    filler = SnapshotFiller(connection, snapshot, progress=told)
    ddl = filler.create_schema()
    for table in catalogue.tables:
        filler.copy_rows(table)
    if any(table.cold for table in catalogue.tables):
        _fill_cold(connection, snapshot, filler, segments)
    PlacingStep("index")
    filler.create_indexes(ddl)
    filler.keep_rest(ddl)
    for publication in publications_of(catalogue.publications).by_name.values():
        note_change(connection, publication)
    connection.execute("COMMIT")
    for name, one in ddl.items():
        for note in one.notes:
            _log.warn("table {table} of the master's snapshot: {note}", table=name, note=note)


def _fill_cold(connection: apsw.Connection, snapshot: Snapshot, filler: SnapshotFiller, segments: Path) -> None:
    """Put in the rows whose segments are there, and note the others."""
    connection.execute(CREATE_PENDING)
    cold = ColdRows(snapshot, segments)
    try:
        for table in snapshot.catalogue.tables:

            def note(key: int, segment: int, name: str = table.name) -> None:
                connection.execute(f"INSERT INTO {PENDING} VALUES (?, ?, ?)", (segment, name, key))

            filler.copy_cold_rows(table, cold, note)
    finally:
        cold.close()
    if connection.execute(f"SELECT 1 FROM {PENDING} LIMIT 1").fetchone() is None:
        forgo(connection)


def segments_beside(path: Path) -> Path:
    """Where the segments of a received snapshot are gathered, where that is done."""
    return path.with_name(path.name + SEGMENTS) / "segments"


def remove_segments(path: Path) -> None:
    """Remove the segments that were gathered beside a received snapshot, and nothing that is not one. Blocking.

    Args:
        path: The snapshot's file, which need not be there.
    """
    segments = segments_beside(path)
    for folder, is_ours in ((segments, _is_segment), (segments.parent, _is_manifest)):
        try:
            found = list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for one in found:
            if is_ours(one.name):
                one.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # it stays where it holds something else


def _is_segment(name: str) -> bool:
    return segment_id_of(name.removesuffix(_UNFINISHED)) is not None


def _is_manifest(name: str) -> bool:
    return name.startswith("manifest.v10") or name == "snapshot.pending"


def segments_needed(path: Path) -> set[int]:
    """The segments that rows of a received snapshot are in; none where it is not one of SPG. Blocking.

    Raises:
        SnapshotError: It is damaged.
    """
    with open(path, "rb") as file:
        if not is_spg(file.read(HEAD_BYTES)):
            return set()
    try:
        with Snapshot(path) as snapshot:
            return {segment for table in snapshot.catalogue.tables for segment in table.cold}
    except SpgFileError as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error


def cold_tables(path: Path) -> list[LeftOutRows]:
    """The tables of a converted snapshot that lack rows which are in segments.

    Raises:
        SnapshotError: It cannot be read.
    """
    try:
        with contextlib.closing(plain_connection(path, immutable=True)) as connection:
            if not pending(connection):
                return []
            return left_out_of(connection.execute(MISSING))
    except apsw.Error as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error


def keep_types(connection: SqlConnection, snapshot: str, tables: Iterable[str]) -> None:
    """Copy what a converted snapshot says of SPG's types, in the transaction that is open.

    Args:
        connection: The target.
        snapshot: The name under which the snapshot is attached to it.
        tables: The tables that are copied.
    """
    query = f"SELECT sql FROM {snapshot}.sqlite_master WHERE type = 'table' AND name = ?"
    found = connection.execute(query, (COLUMNS_TABLE,)).fetchone()
    if found is None:
        return
    if connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", (COLUMNS_TABLE,)).fetchone() is None:
        connection.execute(found[0])
    insert = f"INSERT INTO main.{COLUMNS_TABLE} SELECT * FROM {snapshot}.{COLUMNS_TABLE} WHERE table_name = ?"
    for table in tables:
        connection.execute(f"DELETE FROM main.{COLUMNS_TABLE} WHERE table_name = ?", (table,))
        connection.execute(insert, (table,))
