"""``spgrepl config check``: whether ``twistd spgrepl run`` could start with a file."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    check = commands.add_parser("check", help="say what is wrong with a file, by line and field")
    check.description = (
        "Read a configuration as `twistd spgrepl run` does, and list its roles; nothing is started. Exit code 78: "
        "a mistake, named by file, line and field."
    )
    check.add_argument("file", type=Path, metavar="FILE", help="the file that --config names")


def run(arguments: argparse.Namespace) -> int:
    """Check a file.

    Raises:
        ConfigurationError: It has a mistake; the message names file, line and field.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - endpoints are made for it, and none of them is used

    from spgrepl.process.configuration import load_configuration  # noqa: PLC0415 - it loads all roles

    found = load_configuration(arguments.file)
    found.check(reactor)
    for entry in found.roles:
        print(f"{entry.kind} {entry.name}, line {entry.place.line}")
    print(f"{arguments.file} is good: {len(found.roles)} role{'s' * (len(found.roles) != 1)}")
    return 0
