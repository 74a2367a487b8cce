"""What the commands of a failover have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spgrepl.cli.parts.named_files import require_database
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import DatabaseMissing
from spgrepl.pairs.copied_by import refuse_copy_of_another_engine
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--db`` and ``--wal``.

    Args:
        parser: The command's parser.
        what: What the database is.
    """
    parser.add_argument("--db", required=True, type=Path, metavar="FILE", help=what)
    parser.add_argument(
        "--wal", type=Path, metavar="FILE", help="its log (default: the database's name with .wal)"
    )


def paths_of(arguments: argparse.Namespace) -> DatabasePaths:
    """The files that are named.

    Raises:
        DatabaseMissing: The database is not there.
    """
    paths = DatabasePaths.of(arguments.db, arguments.wal)
    refuse_copy_of_another_engine(paths)
    if paths.wal.exists() and not paths.database.exists():
        raise DatabaseMissing(
            f"{paths.database} is not there, but its log {paths.wal} is. Either it is the log of a copy whose "
            f"rows are in PostgreSQL, or are only counted: such a copy is not a primary, and cannot become one. "
            f"Promote a copy in SQLite, let a new follower with that --engine follow it, and use the tables in "
            f"PostgreSQL as they are meanwhile. Or the database was moved away: put it back"
        )
    require_database(paths.database)
    return paths


def running_server(paths: DatabasePaths) -> Mapping[str, Any] | None:
    """The status of the server that answers on the control socket beside a log; None where none does."""
    try:
        return {"role": "server", **ask(StatusAddress(path=str(paths.control_socket)), "/status")[1]}
    except ServerUnreachable:
        return None
