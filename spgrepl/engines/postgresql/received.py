"""What a snapshot that was received holds, before its tables are made in a server."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from spgrepl.errors import SnapshotError
from spgrepl.postgresql.copying.source_schema import SchemaObject, objects_of
from spgrepl.sqlite.row_mark import rows_begin
from spgrepl.sqlite.session import plain_connection


def look_at(path: Path) -> tuple[list[SchemaObject], list[str], bool]:
    """What a snapshot holds: its schema, its ordinary tables, and whether its log holds rows.

    Raises:
        SnapshotError: It cannot be read.
    """
    if path.stat().st_size == 0:
        return [], [], False
    try:
        with contextlib.closing(plain_connection(path, immutable=True)) as snapshot:
            objects = objects_of(snapshot)
            kinds = dict(snapshot.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'"))
            tables = [one.name for one in objects if one.kind == "table" and kinds.get(one.name) == "table"]
            return objects, tables, rows_begin(snapshot) is not None
    except apsw.Error as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error
