"""``spgrepl skip``: let a running follower leave out the record that it has stopped at."""

from __future__ import annotations

import argparse

from spgrepl.cli import argument
from spgrepl.cli.parts.failover import add_files
from spgrepl.cli.parts.named_files import require_database
from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, StatementFailed
from spgrepl.failover.promotion import role_of
from spgrepl.sqlite.state import ROLE_PRIMARY
from spgrepl.text.options import parse_crc, parse_position


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl skip``."""
    parser.description = (
        "Let a follower that runs leave out the record that it has stopped at, and go on. Position and CRC are "
        "those of its error; no other record is left out. The copy differs from then on in what the record did."
    )
    add_files(parser, "the follower's copy")
    parser.add_argument(
        "position", type=argument(parse_position), metavar="POSITION", help="where the record begins"
    )
    parser.add_argument("crc", type=argument(parse_crc), metavar="CRC", help="its CRC-32, eight hex digits")


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl skip``."""
    paths = DatabasePaths.of(arguments.db, arguments.wal)
    if not paths.control_socket.exists() and not paths.wal.exists():  # a copy elsewhere has a log alone
        require_database(paths.database)
    record = f"{arguments.position} CRC {arguments.crc:08x}"
    try:
        execute_at_server(f"SKIP RECORD AT {record}", None, paths)
    except StatementFailed as error:
        if role_of(paths) != ROLE_PRIMARY:
            raise
        raise ConfigurationError(
            f"{paths.database} is a primary's database: name the follower's copy that has stopped"
        ) from error
    print(f"the record at position {record} is skipped; {paths.database} goes on without it")
    return 0
