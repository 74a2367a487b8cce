"""The vectors of storage, and what is done with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from spgrepl.spg.snapshot import Snapshot

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
