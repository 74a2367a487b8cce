"""``spgrepl compare``: say whether two databases hold the same."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from spgrepl.cli import argument
from spgrepl.cli.parts.named_files import require_database
from spgrepl.comparing.key_ranges import RowDifference
from spgrepl.comparing.pinned import HOLD_SECONDS, compare_pinned
from spgrepl.comparing.repairing import RepairFile
from spgrepl.errors import UsageError
from spgrepl.postgresql.address import for_command_line, is_address, names_server
from spgrepl.sqlite.comparison import Comparison, compare_databases
from spgrepl.text.options import parse_seconds

_MOST_SHOWN = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl compare``."""
    parser.description = (
        "Compare two SQLite databases table by table: schema, rows, values and their types. Tables that begin "
        "with spgrepl_ or sqlite_stat are left out. Exit code 0: equal; 1: not, with the first difference of each "
        "table. One of the two may be a server: postgresql://USER@HOST/DATABASE. Then the tables of the other are "
        "compared, by checksums of ranges of keys, and rows that differ are named."
    )
    parser.add_argument(
        "--table",
        action="append",
        dest="tables",
        metavar="NAME",
        help="compare this table only, such as one that a subscriber asked for; may be given several times",
    )
    parser.add_argument(
        "--pinned",
        action="store_true",
        help="compare a primary's SQLite database and a copy of it, or two copies, at one position, while both "
        "are written; every row that differs is named by its key",
    )
    parser.add_argument(
        "--hold",
        type=argument(parse_seconds),
        default=HOLD_SECONDS,
        metavar="S",
        help="with --pinned: keep writers waiting for so many seconds at most, until both stand at one position "
        "(default: 10)",
    )
    parser.add_argument(
        "--repair",
        type=Path,
        metavar="FILE",
        help="with --pinned: write the statements that would give B the rows of A into this new file",
    )
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl compare``."""
    if arguments.pinned:
        return _run_pinned(arguments)
    if arguments.repair is not None:
        raise UsageError("--repair needs --pinned: what is written between two looks would be undone")
    found = _compare(arguments.first, arguments.second, arguments.tables)
    for difference in found.differences[:_MOST_SHOWN]:
        print(difference)
    if len(found.differences) > _MOST_SHOWN:
        print(f"and {len(found.differences) - _MOST_SHOWN} more")
    if found.equal:
        print(f"equal: {found.tables} tables, {found.rows} rows")
        return 0
    print(f"{len(found.differences)} differences")
    return 1


def _run_pinned(arguments: argparse.Namespace) -> int:
    if _is_server(arguments.first) or _is_server(arguments.second):
        raise UsageError("--pinned compares two SQLite databases")
    paths = [Path(name) for name in (arguments.first, arguments.second)]
    for path in paths:
        require_database(path)
    shown = 0

    def show(one: RowDifference) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_SHOWN:
            print(one)
        if repair is not None:
            repair.add(one)

    with contextlib.ExitStack() as stack:
        repair = None if arguments.repair is None else stack.enter_context(RepairFile(arguments.repair))
        found = compare_pinned(paths[0], paths[1], arguments.tables, show, arguments.hold)
    for text in found.unlike:
        print(text)
    if found.differences > _MOST_SHOWN:
        print(f"and {found.differences - _MOST_SHOWN} more rows")
    print(f"at position {found.position}; writers were kept waiting for {found.held:.3f} s")
    if found.equal:
        print(f"equal: {found.tables} tables, {found.rows} rows")
        return 0
    print(f"{found.differences} rows differ, {found.rows} are equal")
    if repair is not None:
        print(f"{repair.statements} statements are in {arguments.repair}")
    return 1


def _compare(first: str, second: str, tables: list[str] | None) -> Comparison:
    servers = [for_command_line(name) for name in (first, second) if _is_server(name)]
    paths = [Path(name) for name in (first, second) if not _is_server(name)]
    if len(servers) > 1:
        raise UsageError("two servers are not compared with each other: one of the two is a SQLite database")
    for path in paths:
        require_database(path)
    if servers:
        # Only this needs what translates SQL, which takes long to load.
        from spgrepl.postgresql.comparing.server_comparison import compare_with_server  # noqa: PLC0415

        return compare_with_server(paths[0], servers[0], tables)
    return compare_databases(paths[0], paths[1], tables)


def _is_server(name: str) -> bool:
    """Whether a word names a server; a file may have a name that looks like keywords of libpq."""
    return is_address(name) or (names_server(name) and not Path(name).exists())
