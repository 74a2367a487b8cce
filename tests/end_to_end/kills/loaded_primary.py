"""A program to be killed: a primary and its master in one process, under load.

Run as ``python loaded_primary.py DATABASE ENDPOINT``. It prints ``ack NUMBER`` for each row that is acknowledged,
each in one write.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.endpoints import serverFromString

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary

WRITERS = 20
BODY = "x" * 3000


@inlineCallbacks
def write_for_ever(primary: Primary, numbers: Any) -> Any:
    """Add one row after the other."""
    for number in numbers:
        yield primary.execute("INSERT INTO entries (id, body) VALUES (?, ?)", (number, BODY))
        os.write(1, b"ack %d\n" % number)


@inlineCallbacks
def run(reactor: Any, database: str, endpoint: str) -> Any:
    """Open the primary, serve it, and write."""
    paths = DatabasePaths.of(database)
    primary = Primary(reactor, paths)
    MasterRole(reactor, MasterSettings(paths, serverFromString(reactor, endpoint)), primary).startService()
    yield primary.open()
    yield primary.execute("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    numbers = itertools.count(1)
    for _ in range(WRITERS):
        write_for_ever(primary, numbers)


def main() -> None:
    """Run until it is killed."""
    from twisted.internet import reactor

    running: Any = reactor
    running.callWhenRunning(run, reactor, *sys.argv[1:])
    running.run()


if __name__ == "__main__":
    main()
