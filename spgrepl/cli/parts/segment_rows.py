"""``spgrepl segments cat``: print the rows of a cold segment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spgrepl.errors import EXIT_DATA, UsageError
from spgrepl.segments.format import segment_id_of
from spgrepl.spg.blocks.schema import Table
from spgrepl.spg.segment import PayloadDecoder, SegmentFile
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import json_of
from spgrepl.text.quantities import number_of
from spgrepl.text.terminal import escaped_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl segments cat``."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the segment's file")
    parser.add_argument("--table", required=True, metavar="NAME", help="the table that its rows belong to")
    parser.add_argument(
        "--snapshot",
        type=Path,
        required=True,
        metavar="SNAPSHOT",
        help="an SPG snapshot with that table: it says which columns there are, and which rows are alive",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl segments cat``."""
    with Snapshot(arguments.snapshot) as snapshot, SegmentFile(arguments.file) as segment:
        table = _table(snapshot, arguments.table)
        alive = _alive(snapshot, table, segment_id_of(arguments.file.name))
        decoder = PayloadDecoder([column.type for column in table.columns], snapshot.catalogue.file_version)
        unread = 0
        for one in segment.rows():
            row = decoder.decode(one.payload, segment.content.magic)
            said: dict[str, object] = {"key": one.key, "alive": None if alive is None else one.key in alive}
            if row is None:
                unread += 1
                said["payload"] = one.payload.hex()
            else:
                said["row"] = dict(zip((column.name for column in table.columns), row, strict=True))
            print(escaped_json(json_of(said)))
    if unread:
        print(
            f"{number_of(unread, 'row does', 'rows do')} not fit the columns of {table.name}: frozen "
            f"before its columns changed, or the segment belongs to another table",
            file=sys.stderr,
        )
    return EXIT_DATA if unread else 0


def _table(snapshot: Snapshot, name: str) -> Table:
    for table in snapshot.catalogue.tables:
        if table.name == name:
            return table
    names = ", ".join(table.name for table in snapshot.catalogue.tables) or "none"
    raise UsageError(f"{snapshot.path} has no table {name!r}; it has {names}")


def _alive(snapshot: Snapshot, table: Table, segment: int | None) -> set[int] | None:
    """The keys that are alive in a segment; None where the file's name does not say which segment it is."""
    if segment is None:
        return None
    return {cold.key for cold in snapshot.cold_keys(table) if cold.segment == segment}
