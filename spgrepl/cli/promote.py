"""``spgrepl promote``: make a follower's copy a primary's database."""

from __future__ import annotations

import argparse
import sys
import time

from spgrepl.cli.parts.failover import add_files, paths_of, running_server
from spgrepl.cli.parts.servers import execute_at_server
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, PromotionRefused
from spgrepl.failover.promotion import promote_copy, role_of
from spgrepl.sqlite.state import ROLE_PRIMARY

_MOST_SECONDS = 10.0
"""So long a process that was a follower may take to serve as a master."""

_LOOK_EVERY = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``spgrepl promote``."""
    parser.description = (
        "Make a follower's copy a primary's database: its log goes on, and its own followers with it. A follower "
        "that runs is asked to stop following; with --listen it serves as a master from then on. Refused (exit "
        "code 77) where the copy is behind what its master last said, or where that is not known, unless --force "
        "is given. "
        "Prints the new history's position."
    )
    add_files(parser, "the follower's copy")
    parser.add_argument(
        "--force", action="store_true", help="promote it although something may be missing that its master had"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``spgrepl promote``."""
    paths = paths_of(arguments)
    if role_of(paths) == ROLE_PRIMARY:
        raise ConfigurationError(
            f"{paths.database} is a primary's database already: name the copy of a follower, or write here"
        )
    server = running_server(paths)
    if server is not None:
        ((position, said),) = execute_at_server(
            "PROMOTE FORCE" if arguments.force else "PROMOTE", None, paths
        ).rows
        print(said)
        print(position)
        if server.get("listening") is None:
            print(
                f"spgrepl: the follower had no --listen, so nothing serves {paths.database} now: start "
                f"`twistd spgrepl master --db {paths.database} …`",
                file=sys.stderr,
            )
        else:
            _await_master(paths)
        return 0
    if not arguments.force:
        raise PromotionRefused(
            f"no follower of {paths.database} runs, so nobody knows how far its master was: start it and promote "
            f"it while it runs, or promote it as it is with --force"
        )
    promoted = promote_copy(paths, forced=True)
    for line in promoted.lines():
        print(line)
    print(promoted.position)
    return 0


def _await_master(paths: DatabasePaths) -> None:
    """Wait until the process serves as a master: until then it may hold the lock that a writer needs."""
    ends = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < ends:
        server = running_server(paths)
        if server is not None and server["role"] == "master":
            return
        time.sleep(_LOOK_EVERY)
    print(
        f"spgrepl: the copy is promoted, but nothing has served {paths.database} as a master within "
        f"{_MOST_SECONDS:g} s: see the log of the process that was its follower",
        file=sys.stderr,
    )
