"""``spgrepl skip``: let a running follower leave out the record that it has stopped at."""

from __future__ import annotations

import argparse

from spgrepl.cli import argument
from spgrepl.cli.parts.failover import add_files, paths_of
from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.text.options import parse_crc, parse_position


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl skip``."""
    parser.description = (
        "Let a follower that runs leave out the record that it has stopped at, and go on. Position and CRC are "
        "those of its error; no other record is left out. The copy differs from then on in what the record did."
    )
    add_files(parser, "the follower's copy")
    parser.add_argument("position", type=argument(parse_position), metavar="POSITION")
    parser.add_argument("crc", type=argument(parse_crc), metavar="CRC")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl skip``."""
    order = f"SKIP RECORD AT {arguments.position} CRC {arguments.crc:08x}"
    execute_at_server(order, None, paths_of(arguments))
    return 0
