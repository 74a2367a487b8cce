"""``spgrepl compare``: say whether two SQLite databases hold the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from spgrepl.comparison import compare_databases

_MOST_SHOWN = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl compare``."""
    parser.description = (
        "Compare two SQLite databases table by table: schema, rows, values and their types. Tables that begin "
        "with spgrepl_ or sqlite_stat are left out. Exit code 0: equal; 1: not, with the first difference of each "
        "table."
    )
    parser.add_argument(
        "--table",
        action="append",
        dest="tables",
        metavar="NAME",
        help="compare this table only, such as one that a subscriber asked for; may be given several times",
    )
    parser.add_argument("first", type=Path, metavar="A")
    parser.add_argument("second", type=Path, metavar="B")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl compare``."""
    found = compare_databases(arguments.first, arguments.second, arguments.tables)
    for difference in found.differences[:_MOST_SHOWN]:
        print(difference)
    if len(found.differences) > _MOST_SHOWN:
        print(f"and {len(found.differences) - _MOST_SHOWN} more")
    if found.equal:
        print(f"equal: {found.tables} tables, {found.rows} rows")
        return 0
    print(f"{len(found.differences)} differences")
    return 1
