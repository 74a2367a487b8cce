"""A primary that writes without an end, and notes what became of each request.

Its notes have a line for each request: ``ack ID POSITION``, ``refused ID WORDS``, or ``unknown ID``. A request is
one row of ``entries``, or one each of ``entries`` and ``others``; of now and then one that has to fail, the id is
below 0.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary
from spgrepl.errors import LoggedNotApplied, OutcomeUnknown, SpgReplError, StatementFailed
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.process.heap import HeapKeeper

WRITERS = 4
_SCHEMA = [
    "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS others (id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
]
_PUBLISH = "CREATE PUBLICATION p FOR TABLE entries"


class Writing:
    """Writers of a primary.

    Args:
        reactor: The reactor.
        primary: The primary.
        notes: Where the notes go.
        numbers: The ids.
        pause: Seconds between two requests of a writer.
    """

    def __init__(self, reactor: Any, primary: Primary, notes: int, numbers: Iterator[int], pause: float) -> None:
        self._reactor = reactor
        self._primary = primary
        self._notes = notes
        self._numbers = numbers
        self._pause = pause

    async def begin(self) -> None:
        """Make the tables, as often as it takes."""
        while True:
            try:
                for sql in _SCHEMA:
                    await self._primary.execute(sql)
                with contextlib.suppress(StatementFailed):  # it is there already
                    await self._primary.execute(_PUBLISH)
            except SpgReplError as error:
                self._note("trouble", 0, repr(error))
                await deferLater(self._reactor, 0.05)
            else:
                return

    async def write(self) -> None:
        """Write one request after the other."""
        for number in self._numbers:
            body = f"entry {number} " * (1 + number * 7 % 40)
            sql = [f"INSERT INTO entries VALUES ({number}, '{body}')"]
            if number % 3 == 0:
                sql.append(f"INSERT INTO others VALUES ({number}, '{body}')")
            if number % 11 == 0:
                await self._request(-number, [f"INSERT INTO entries VALUES ({-number}, 'no')"] * 2)
            await self._request(number, sql)
            if self._pause:
                await deferLater(self._reactor, self._pause)

    async def _request(self, number: int, sql: list[str]) -> None:
        try:
            if len(sql) == 1:
                position = await self._primary.execute(sql[0])
            else:
                position = await self._primary.transaction(sql)
        except LoggedNotApplied as error:
            self._note("ack", number, int(error.position))
        except OutcomeUnknown:
            self._note("unknown", number)
            await deferLater(self._reactor, 0.05)
        except SpgReplError as error:
            self._note("refused", number, repr(error))
            await deferLater(self._reactor, 0.05 if number > 0 else 0)
        else:
            self._note("ack", number, int(position))

    def _note(self, *words: object) -> None:
        # In one write, so that a kill leaves no half line.
        os.write(self._notes, " ".join(map(str, words)).replace("\n", " ").encode() + b"\n")


async def _run(reactor: Any, database: str, listen: str, http: str, notes: str, first: str, pause: str) -> None:
    paths = DatabasePaths.of(database)
    primary = Primary(reactor, paths, wal_level=WalLevel(Level.LOGICAL))
    settings = MasterSettings(paths, serverFromString(reactor, listen), http=serverFromString(reactor, http))
    role = MasterRole(reactor, settings, primary)
    await primary.open()
    role.startService()
    role.finished.addErrback(_end)
    await role.when_ready()
    handle = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    writing = Writing(reactor, primary, handle, itertools.count(int(first)), float(pause))
    await writing.begin()
    for _ in range(WRITERS):
        ensureDeferred(writing.write()).addErrback(_end)


def _end(failure: Any) -> None:
    print("the primary cannot go on:", failure.getErrorMessage(), flush=True)
    os._exit(70)


def main(*words: str) -> None:
    """Run until it is killed.

    Args:
        words: The database, where to listen, where the status is, the notes, the first id, and the pause.
    """
    from twisted.internet import reactor

    running: Any = reactor
    HeapKeeper(running).startService()  # before there are threads
    running.callWhenRunning(lambda: ensureDeferred(_run(reactor, *words)).addErrback(_end))
    running.run()
