"""``spgrepl wait``: wait until a server has applied a position."""

from __future__ import annotations

import argparse
import sys
import time

from spgrepl.base.results import Position
from spgrepl.cli import argument
from spgrepl.errors import EXIT_TRY_AGAIN, DifferentHistory
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from spgrepl.text.options import parse_seconds

_ONE_REQUEST = 60.0
"""Seconds that one request waits: what lies between may cut longer silences."""

_OK, _OTHER_HISTORY, _NOT_YET = 200, 409, 504


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl wait``."""
    parser.description = (
        "Wait until a server has applied a position, as `spgrepl exec` prints it, and print how far it has come. "
        "A position with its history, such as 622@2f0c..., is counted as that history does. "
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
    parser.add_argument("position", type=argument(Position.parse), metavar="POSITION")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl wait``."""
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    while True:
        left = _ONE_REQUEST if deadline is None else min(_ONE_REQUEST, deadline - time.monotonic())
        if left <= 0:
            print(
                f"spgrepl: {arguments.http} has not applied position {arguments.position} within "
                f"{arguments.timeout:g} s",
                file=sys.stderr,
            )
            return EXIT_TRY_AGAIN
        path = f"/wait?position={arguments.position}&timeout={max(left, 0.001):.3f}"
        code, answer = ask(arguments.http, path, timeout=left + 10)
        if code == _OK:
            print(answer["applied"])
            return 0
        if code == _OTHER_HISTORY:
            raise DifferentHistory(f"{arguments.http}: {answer.get('error')}")
        if code != _NOT_YET:
            raise ServerUnreachable(f"{arguments.http} cannot say: {answer.get('error', f'HTTP status {code}')}")
