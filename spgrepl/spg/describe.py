"""What an SPG snapshot holds, for people and programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spgrepl.errors import SnapshotError
from spgrepl.spg.blocks.schema import Column, Table
from spgrepl.spg.ddl import DdlWriter
from spgrepl.spg.envelope import ALL_BUT_THESE, ALL_TABLES, THESE_TABLES
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import Progress

_SCOPES = {ALL_TABLES: "all tables", THESE_TABLES: "tables", ALL_BUT_THESE: "all tables except"}


def describe(snapshot: Snapshot, progress: Callable[[Progress], object] = lambda _: None) -> dict[str, Any]:
    """Say what a snapshot holds; all its rows are decoded, so that damage among them shows.

    Args:
        snapshot: The snapshot.
        progress: Called now and then.

    Raises:
        SpgFileError: A row cannot be read.
    """
    catalogue = snapshot.catalogue
    _decode_all(snapshot, progress)
    return {
        "file": str(snapshot.path),
        "kind": "SPG snapshot",
        "bytes": snapshot.size,
        "sound": True,
        "versions": {"envelope": catalogue.envelope_version, "file_version": catalogue.file_version},
        "checks": [*catalogue.checked, "every row was decoded"],
        "tables": _tables(catalogue.tables),
        "views": [
            {"name": view.name, "sql": view.sql, "materialized": view.materialized} for view in catalogue.views
        ],
        "publications": [
            {"name": one.name, "scope": _SCOPES[one.scope], "tables": list(one.tables)}
            for one in catalogue.publications
        ],
        "subscriptions": [
            {"name": one.name, "publications": list(one.publications), "position": one.position}
            for one in catalogue.subscriptions
        ],
        "objects": {
            name: len(found)
            for name, found in catalogue.objects.items()
            if isinstance(found, tuple) and found and name not in ("views", "materialized_views")
        },
    }


def _decode_all(snapshot: Snapshot, progress: Callable[[Progress], object]) -> None:
    rows = 0
    for table in snapshot.catalogue.tables:
        offset = table.rows_at

        def reached(place: int) -> None:
            nonlocal offset
            offset = place

        for values in snapshot.values(table, reached):
            rows += len(values) // len(table.columns)
            progress(Progress(table.name, rows, offset))


def _tables(tables: tuple[Table, ...]) -> list[dict[str, Any]]:
    try:
        writer: DdlWriter | None = DdlWriter(tables)
        refused = ""
    except SnapshotError as error:
        writer, refused = None, str(error)
    found = []
    for table in tables:
        notes = [refused] if writer is None else list(writer.table(table).notes)
        found.append(
            {
                "name": table.name,
                "rows": table.hot,
                "dead": table.dead,
                "cold": {str(segment): count for segment, count in sorted(table.cold.items())},
                "columns": [_column(column) for column in table.columns],
                "constraints": _constraints(table),
                "notes": notes,
            }
        )
    return found


def _column(column: Column) -> dict[str, Any]:
    flags = [] if column.nullable else ["NOT NULL"]
    if column.auto_increment:
        flags.append("AUTO_INCREMENT")
    if column.has_default:
        flags.append(f"DEFAULT {column.default!r}")
    return {"name": column.name, "type": column.type.label, "flags": flags, "details": dict(column.extras)}


def _constraints(table: Table) -> list[str]:
    def listed(places: tuple[int, ...]) -> str:
        return ", ".join(table.columns[place].name for place in places)

    found = [f"{'primary key' if one.primary else 'unique'} ({listed(one.columns)})" for one in table.uniqueness]
    found += [f"foreign key ({listed(key.columns)}) to {key.parent}" for key in table.foreign_keys]
    found += [f"check {check.sql}" for check in table.checks]
    for index in table.indexes:
        unique = "unique " if index.unique else ""
        found.append(f"{unique}{index.kind.value} index {index.name} ({listed((index.column, *index.further))})")
    return found
