"""``spgrepl wait``: wait until a server has applied a position."""

from __future__ import annotations

import argparse
import sys
import time

from spgrepl.base.results import Position
from spgrepl.cli import argument
from spgrepl.cli.parts.servers import wait_at
from spgrepl.errors import EXIT_TRY_AGAIN
from spgrepl.server.status.client import StatusAddress
from spgrepl.text.options import parse_seconds
from spgrepl.text.quantities import in_seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl wait``."""
    parser.description = (
        "Wait until a server has applied a position, as `spgrepl exec` prints it, and print how far it has come. "
        "A number counts in the log of the server that is asked: in a chain another than at the primary. "
        "A position with its history, such as 622@2f0c..., is the same one everywhere. "
        "Exit code 75: it took too long; 69: the server cannot be reached or stops; 76: its history is different."
    )
    parser.add_argument(
        "--http",
        required=True,
        type=argument(StatusAddress.parse),
        metavar="URL",
        help="where the server answers /wait: http://HOST:PORT, HOST:PORT or unix:/path",
    )
    parser.add_argument(
        "--timeout",
        type=argument(parse_seconds),
        metavar="S",
        help="give up after so many seconds (default: never)",
    )
    parser.add_argument(
        "position",
        type=argument(Position.parse),
        metavar="POSITION",
        help="a number of bytes, or one with its history, such as 622@2f0c...",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl wait``."""
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    applied = wait_at(arguments.http, f"position={arguments.position}", deadline)
    if applied is None:
        print(
            f"spgrepl: {arguments.http} has not applied position {arguments.position} within "
            f"{in_seconds(arguments.timeout)}",
            file=sys.stderr,
        )
        return EXIT_TRY_AGAIN
    print(applied)
    return 0
