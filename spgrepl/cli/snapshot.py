"""``spgrepl snapshot show`` and ``spgrepl snapshot export``: read a snapshot without the server that made it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from spgrepl.cli.parts import snapshot_export
from spgrepl.cli.parts.reading_line import ReadingLine
from spgrepl.cli.parts.sqlite_snapshot import describe_sqlite
from spgrepl.disk.files import require_utf8_name
from spgrepl.errors import EXIT_DATA, SnapshotError, UsageError
from spgrepl.log.file_kinds import FileKind, what_it_looks_like
from spgrepl.spg.describe import describe
from spgrepl.spg.snapshot import Snapshot
from spgrepl.spg.to_sqlite import json_of
from spgrepl.text.quantities import number_of
from spgrepl.text.terminal import escaped_json

_TARGET = "sqlite:"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl snapshot``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="say what a snapshot holds, and check it",
        description="Say versions, tables with their columns and rows, publications, and which checksums were "
        "compared. All of the file is read. Exit code 65: it is damaged.",
    )
    show.add_argument("file", type=Path, metavar="FILE", help="a snapshot of SPG or of spgrepl")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    export = actions.add_parser(
        "export",
        help="write a snapshot's tables to a new SQLite database",
        description="Write schema and rows of a snapshot to a new SQLite database. Nothing is overwritten. Exit "
        "code 65: the snapshot is damaged, or rows are in segments that are not there.",
    )
    export.add_argument("file", type=Path, metavar="FILE", help="a snapshot of SPG or of spgrepl")
    export.add_argument("--segments", type=Path, metavar="DIR", help="the folder of its cold segments")
    export.add_argument("--to", required=True, type=str, metavar="sqlite:FILE", help="the database to make")
    export.add_argument(
        "--without-cold-rows",
        action="store_true",
        help="do without the rows whose segments are not there; they are counted and named",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl snapshot``."""
    kind = what_it_looks_like(arguments.file)
    if kind is FileKind.MISSING:
        raise FileNotFoundError(2, "No such file or directory", str(arguments.file))
    if kind not in (FileKind.SPG_SNAPSHOT, FileKind.SQLITE):
        raise SnapshotError(
            f"{arguments.file} is not a snapshot: it is {kind}; expected a snapshot of SPG, or a SQLite database"
        )
    if kind is FileKind.SQLITE:
        require_utf8_name(arguments.file)
    if arguments.action == "export":
        return _export(arguments, kind)
    return _show(arguments, kind)


def _export(arguments: argparse.Namespace, kind: FileKind) -> int:
    if not arguments.to.startswith(_TARGET) or arguments.to == _TARGET:
        raise UsageError(f"--to {arguments.to}: name a database to make, as sqlite:FILE")
    target = Path(arguments.to.removeprefix(_TARGET))
    require_utf8_name(target)
    if kind is FileKind.SQLITE:
        if arguments.segments is not None:
            raise UsageError(
                f"{arguments.file} is a SQLite database, which has no rows in segments; leave --segments out"
            )
        return snapshot_export.export_sqlite(arguments.file, target)
    if arguments.segments is not None and not arguments.segments.is_dir():
        raise UsageError(f"--segments {arguments.segments} is not a folder")
    return snapshot_export.export_spg(arguments.file, arguments.segments, target, arguments.without_cold_rows)


# -- show -----------------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace, kind: FileKind) -> int:
    if kind is FileKind.SQLITE:
        reading = ReadingLine(0)
        try:
            found = describe_sqlite(arguments.file, reading.waiting)
        finally:
            reading.clear()
    else:
        with Snapshot(arguments.file) as snapshot:
            progress = snapshot_export.ProgressLine(snapshot.size)
            try:
                found = describe(snapshot, progress.tell)
            finally:
                progress.clear()
    if arguments.json:
        print(escaped_json(json_of(found)))
    else:
        _print(found)
    if found["sound"]:
        return 0
    print(f"spgrepl: {arguments.file} is damaged: {'; '.join(found['checks'])}", file=sys.stderr)
    return EXIT_DATA


def _say(line: str) -> None:
    """Print a line in which names stand: what is in a snapshot must not steer the terminal."""
    print("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line))


def _print(found: dict[str, Any]) -> None:
    _say(f"{found['file']}: {found['kind']}, {number_of(found['bytes'], 'byte', form=',')}")
    for name, value in found["versions"].items():
        _say(f"  {name.replace('_', ' ')}: {value if value is not None else 'none'}")
    for check in found["checks"]:
        _say(f"  check: {check}")
    for table in found["tables"]:
        _print_table(table)
    for one in found["views"]:
        _say(f"{'materialized view' if one['materialized'] else 'view'} {one['name']}: {one['sql']}")
    for one in found["publications"]:
        _say(f"publication {one['name']}: {one['scope']}{' ' if one['tables'] else ''}{', '.join(one['tables'])}")
    for one in found["subscriptions"]:
        _say(f"subscription {one['name']}: {', '.join(one['publications'])}, at {one['position']}")
    for kind, count in found["objects"].items():
        _say(f"{kind.replace('_', ' ')}: {count}")


def _print_table(table: dict[str, Any]) -> None:
    words = [number_of(table["rows"], "row", form=",")]
    if table.get("dead"):
        words.append(number_of(table["dead"], "dead one", form=","))
    if table.get("cold"):
        count = sum(table["cold"].values())
        words.append(f"{count:,} in segments {', '.join(map(str, table['cold']))}")
    _say(f"table {table['name']}: {', '.join(words)}")
    for column in table["columns"]:
        flags = "".join(f" {flag}" for flag in column["flags"])
        _say(f"    {column['name']} {column['type']}{flags}")
    for line in table.get("constraints", ()):
        _say(f"    {line}")
    for line in table.get("notes", ()):
        _say(f"    not in SQLite: {line}")
