"""The vectors of storage, and what is done with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from spgrepl.spg.snapshot import Snapshot
from tests.spg import writer as w

VECTORS = Path(__file__).parent.parent / "vectors" / "storage"
EXPECTED: dict[str, Any] = json.loads((VECTORS / "expected.json").read_text())
SNAPSHOTS = sorted(name for name in EXPECTED if not name.endswith(".seg"))
SEGMENTS = sorted(name for name in EXPECTED if name.endswith(".seg"))
EVERY = bool(os.environ.get("SPGREPL_EVERY_BYTE"))
"""Whether tests go through all places of all vectors, which takes a minute, or through a part of them."""


def shown(value: Any) -> Any:
    """A value as ``expected.json`` has it."""
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def rows_of(path: Path) -> dict[str, list[list[Any]]]:
    """All rows in a snapshot file that are alive, by table."""
    with Snapshot(path) as snapshot:
        return {table.name: [list(row) for row in snapshot.rows(table)] for table in snapshot.catalogue.tables}


def put(folder: Path, content: bytes) -> Path:
    """Write a file."""
    path = folder / "snapshot.db"
    path.write_bytes(content)
    return path


ROWS = [
    (7, w.row(w.i32(7), w.text("seven"))),
    (-1, w.row(w.i32(-1), None)),
    (9, w.row(w.i32(9), w.text("x" * 900))),
]
"""Keys and payloads of a segment."""


def snapshot_with(folder: Path, entries: list[tuple[int, list[bytes]]], version: int = 60) -> Path:
    """A snapshot of the table t with one row, and an index with these entries."""
    columns = [w.column("id", w.u8(1), 0), w.column("x", w.u8(4))]
    table = w.table(version, "t", columns, [w.row(w.i32(1), w.text("hot"))], [w.btree(version, "i", 0, entries)])
    return put(folder, w.catalog(version, table))
