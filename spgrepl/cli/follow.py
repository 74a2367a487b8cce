"""``spgrepl follow``: let an old primary's database, or another copy, follow a promoted primary."""

from __future__ import annotations

import argparse

from spgrepl.base.histories import History
from spgrepl.cli import argument
from spgrepl.cli.parts.failover import add_files, paths_of, running_server
from spgrepl.errors import DatabaseLocked
from spgrepl.failover.rejoin import NewPrimary, rejoin
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl follow``."""
    parser.description = (
        "Turn the files of an old primary, or of another follower of it, into those of a follower of the new "
        "primary. What is here and was never there is listed in a file beside the log; then the follower begins "
        "with a fresh snapshot. Start it with `twistd spgrepl follower` after that. Exit code 76: no history is "
        "shared."
    )
    add_files(parser, "the database that is to follow; no server has it open")
    parser.add_argument(
        "--http",
        required=True,
        type=argument(StatusAddress.parse),
        metavar="URL",
        help="where the new primary's master answers /status: http://HOST:PORT, HOST:PORT or unix:/path",
    )
    parser.add_argument(
        "--resnapshot",
        action="store_true",
        help="take a fresh snapshot where no history is shared: the rows here are given up",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl follow``."""
    paths = paths_of(arguments)
    server = running_server(paths)
    if server is not None:
        raise DatabaseLocked(
            f"a {server['role']} of {paths.database} runs: stop it first. If it is the new primary's, --db "
            f"has to name the old one's database"
        )
    done = rejoin(paths, _ask(arguments.http), resnapshot=arguments.resnapshot)
    if done.lost is not None:
        print(done.lost)
    if done.log is not None:
        print(f"the old log is {done.log}")
    if done.reason is not None:
        print(done.reason)
    if done.position is None:
        print(f"{paths.database} begins with a fresh snapshot when it is started as a follower")
    else:
        print(f"{paths.database} goes on at position {done.position} when it is started as a follower")
    return 0


def _ask(address: StatusAddress) -> NewPrimary:
    code, status = ask(address, "/status")
    try:
        histories = tuple(History(one["id"], one["offset"], one["stop"]) for one in status["histories"])
        length = int(status["positions"]["durable"])
    except (KeyError, TypeError, ValueError) as error:
        raise ServerUnreachable(
            f"{address} does not say which histories it holds (HTTP status {code}, role {status.get('role')!r}, "
            f"state {status.get('state')!r}): name the master of the new primary"
        ) from error
    return NewPrimary(histories, length)
