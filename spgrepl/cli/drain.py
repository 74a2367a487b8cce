"""``spgrepl drain``: let a primary take no more writes, and wait until its copies have everything."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from spgrepl.base.results import Position
from spgrepl.cli import argument
from spgrepl.cli.parts.failover import add_files, paths_of
from spgrepl.cli.parts.servers import wait_at
from spgrepl.errors import EXIT_TRY_AGAIN, ConfigurationError, DatabaseLocked, UsageError
from spgrepl.failover.promotion import role_of
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.server.status.client import StatusAddress
from spgrepl.sqlite.state import ROLE_FOLLOWER
from spgrepl.text.options import parse_seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl drain``."""
    parser.description = (
        "Let a primary refuse all further writes, durably, then wait until the copies that are named have "
        "everything, and print its last position as a token. A program that has the primary open calls "
        "Primary.drain() itself. Exit code 75: such a program has it open, or a copy did not come in time; "
        "76: a copy has a different history."
    )
    add_files(parser, "the primary's database")
    parser.add_argument(
        "--copy",
        action="append",
        default=[],
        type=argument(StatusAddress.parse),
        metavar="URL",
        help="where a copy answers /wait; may be given several times",
    )
    parser.add_argument(
        "--timeout",
        type=argument(parse_seconds),
        metavar="S",
        help="wait for so many seconds in all (default: without end)",
    )
    parser.add_argument("--undo", action="store_true", help="let it be written again")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl drain``."""
    if arguments.undo and (arguments.copy or arguments.timeout is not None):
        raise UsageError("--undo waits for no copy: leave out --copy and --timeout")
    paths = paths_of(arguments)
    if not paths.wal.exists():
        raise ConfigurationError(
            f"{paths.wal} is missing: {paths.database} is not a primary's database, or its log is elsewhere; then "
            f"name that with --wal"
        )
    if role_of(paths) == ROLE_FOLLOWER:
        raise ConfigurationError(f"{paths.database} is a follower's copy: drain the primary that it comes from")
    with contextlib.closing(DatabaseWriter(paths)) as writer:
        try:
            writer.open()
        except DatabaseLocked as error:
            raise DatabaseLocked(
                f"{error}: only that program can let it refuse writes, with Primary.drain(); or stop it first"
            ) from error
        position = Position(writer.drain(not arguments.undo), history=writer.histories.current)
    if arguments.undo:
        print(f"{paths.database} can be written again")
        return 0
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    for copy in arguments.copy:
        if wait_at(copy, f"token={position}", deadline) is None:
            print(f"spgrepl: {copy} does not have position {position} yet", file=sys.stderr)
            return EXIT_TRY_AGAIN
    print(position)
    return 0
