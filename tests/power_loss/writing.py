"""The program that loses power: a primary under concurrent writers, which notes what was acknowledged.

Run as ``python writing.py FOLDER REQUESTS``. The file ``acknowledged`` in the folder has a line for each request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from spgrepl.disk.files import DatabasePaths
from spgrepl.primary import Primary
from tests.end_to_end.kills.primary_writer import SCHEMA, statements

WRITERS = 4


@inlineCallbacks
def write(primary: Primary, writer: int, requests: int, notes: int) -> Generator[Deferred[Any], Any, None]:
    """Write one request after the other, and note each that was answered."""
    for number in range(1, requests + 1):
        wanted = statements(writer, number)
        position = yield primary.execute(wanted[0]) if len(wanted) == 1 else primary.transaction(wanted)
        os.write(notes, f"{writer} {number} {int(position)}\n".encode())


@inlineCallbacks
def run(folder: Path, requests: int) -> Generator[Deferred[Any], Any, None]:
    """Open the primary, make the tables, and let the writers write."""
    notes = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    primary = Primary(reactor, DatabasePaths.of(folder / "primary.db"))
    yield primary.open()
    rows = ", ".join(f"({writer}, 0)" for writer in range(1, WRITERS + 1))
    yield primary.transaction([*SCHEMA, f"INSERT INTO totals VALUES {rows}"])
    yield gatherResults([write(primary, writer, requests, notes) for writer in range(1, WRITERS + 1)])
    yield primary.close()


def main() -> None:
    """Run the reactor until all is written."""
    code = []

    def end(result: object) -> None:
        code.append(result)
        reactor.stop()

    reactor.callWhenRunning(lambda: run(Path(sys.argv[1]), int(sys.argv[2])).addBoth(end))
    reactor.run()
    if code != [None]:
        sys.exit(str(code))


if __name__ == "__main__":
    main()
