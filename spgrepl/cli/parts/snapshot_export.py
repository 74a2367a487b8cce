"""A snapshot written to a new SQLite database, which appears under its name when it is whole and durable."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw

from spgrepl.cli.parts.reading_line import ReadingLine
from spgrepl.cli.parts.sqlite_snapshot import open_readonly, quoted
from spgrepl.disk.files import create_private, own_name, sync_folder
from spgrepl.errors import LocalError, SnapshotError, UsageError
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import SIDE_TABLES, Progress, SnapshotFiller
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.quantities import number_of

_PAGES = 4096
_CACHE_KIB = 65_536
_SUFFIXES = ("-journal", "-wal", "-shm")


def export_spg(source: Path, segments: Path | None, target: Path, without_cold_rows: bool) -> int:
    """Write an SPG snapshot to a new database.

    Args:
        source: The snapshot.
        segments: The folder of its segments; None where there are none.
        target: The database to make.
        without_cold_rows: Whether rows whose segments are not there may be missing.

    Returns:
        The exit code.

    Raises:
        SpgReplError: It cannot be written; nothing is at `target` then.
        OSError: The disk refuses.
    """
    with Snapshot(source) as snapshot, _new_database(target) as connection:
        progress = ProgressLine(snapshot.size)
        connection.execute("BEGIN")
        try:
            filled = SnapshotFiller(connection, snapshot, segments, progress.tell).fill(without_cold_rows)
        finally:
            progress.clear()
        connection.execute("COMMIT")
    print(
        f"{target}: {number_of(filled.tables, 'table')}, {number_of(filled.rows, 'row', form=',')}, "
        f"{filled.cold:,} of them from segments"
    )
    for missing in filled.missing:
        print(f"missing: {missing}", file=sys.stderr)
    for table, notes in filled.notes.items():
        for note in notes:
            print(f"table {table}: {note}", file=sys.stderr)
    return 0


def export_sqlite(source: Path, target: Path) -> int:
    """Write a copy of a SQLite database, without spgrepl's own tables, to a new one.

    Raises:
        SpgReplError: It cannot be written; nothing is at `target` then.
        OSError: The disk refuses.
    """
    try:
        with contextlib.closing(open_readonly(source)) as connection, _new_database(target) as copy:
            reading, page = ReadingLine(source.stat().st_size), int(connection.pragma("page_size"))
            with copy.backup("main", connection, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    reading((backup.page_count - backup.remaining) * page)
            reading.clear()
            copy.pragma("journal_mode", "off")
            own = [
                name
                for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
                if name.lower().startswith(OWN_PREFIX) and name not in SIDE_TABLES
            ]
            for name in own:
                copy.execute(f"DROP TABLE {quoted(name)}")
    except apsw.Error as error:
        raise SnapshotError(f"{source} cannot be copied to {target}: {error}") from error
    print(
        f"{target}: a copy of {source}"
        + (f", without spgrepl's own {number_of(len(own), 'table')}" if own else "")
    )
    return 0


@contextlib.contextmanager
def _new_database(target: Path) -> Iterator[apsw.Connection]:
    """A new database under a temporary name, which gets its own when the block ends well.

    Raises:
        UsageError: Something is at `target` already.
        LocalError: The disk refuses.
    """
    if os.path.lexists(target):
        raise UsageError(
            f"{target} is there already, and nothing is overwritten: name another file, or move it away"
        )
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder: make it, or name another place")
    temporary = own_name(target, "export")
    os.close(create_private(temporary))
    try:
        try:
            with contextlib.closing(apsw.Connection(str(temporary))) as connection:
                # It counts only when it is whole, so nothing has to survive a crash before.
                connection.pragma("journal_mode", "off")
                connection.pragma("synchronous", "off")
                connection.pragma("locking_mode", "exclusive")
                connection.pragma("cache_size", -_CACHE_KIB)
                yield connection
        except (apsw.FullError, apsw.IOError) as error:
            raise LocalError(f"{target} cannot be written: {error}") from error
        _publish(temporary, target)
    finally:
        for suffix in ("", *_SUFFIXES):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    handle = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        _name(temporary, target)
    except FileExistsError:
        raise UsageError(f"{target} has appeared meanwhile, and nothing is overwritten: name another") from None
    sync_folder(target.parent)


def _name(temporary: Path, target: Path) -> None:
    """Give a file its name, where nothing has that name."""
    try:
        # Other than a rename, this never replaces what somebody has put there meanwhile.
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: what is replaced is the empty file that was just made.
        os.close(create_private(target))
        os.rename(temporary, target)
    else:
        temporary.unlink()


class ProgressLine(ReadingLine):
    """Tells how far a snapshot has been read.

    Args:
        total: How many bytes it has.
    """

    def tell(self, progress: Progress) -> None:
        """Take how far it is."""
        self(progress.offset, progress.rows, progress.table)
