"""A program to be killed: a primary under concurrent writers, which tells every acknowledged write.

Run as ``python primary_writer.py DATABASE WRITERS``. For each line on its standard input it forks a child that
opens the primary and writes until it is killed. It prints ``started PID``; the child prints ``ack WRITER NUMBER
POSITION`` for each acknowledged request, each in one write.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import StatementFailed
from spgrepl.primary import Primary

SCHEMA = [
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, writer INT, number INT, part INT, body TEXT, "
    "at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, token BLOB NOT NULL DEFAULT (randomblob(8)), "
    "UNIQUE (writer, number, part))",
    "CREATE TABLE totals (writer INTEGER PRIMARY KEY, entries INT NOT NULL)",
    "CREATE TRIGGER count_them AFTER INSERT ON entries BEGIN "
    "UPDATE totals SET entries = entries + 1 WHERE writer = NEW.writer; END",
]


def statements(writer: int, number: int) -> list[str]:
    """What a writer writes as its request of a number: one statement, or several as a transaction."""
    body = f"entry {number} of {writer} " * (1 + number * 7 % 40)
    insert = "INSERT INTO entries (writer, number, part, body) VALUES"
    if number % 3:
        return [f"{insert} ({writer}, {number}, 0, '{body}')"]
    return [
        f"{insert} ({writer}, {number}, 0, '{body}')",
        f"UPDATE entries SET body = 'row ' || last_insert_rowid() WHERE writer = {writer} AND number = {number}",
        f"{insert} ({writer}, {number}, 1, hex(randomblob(10))), ({writer}, {number}, 2, datetime('now'))",
    ]


def tell(line: str) -> None:
    """Say something in one write, so that a kill leaves no half line."""
    os.write(1, f"{line}\n".encode())


@inlineCallbacks
def write_for_ever(primary: Primary, writer: int) -> Generator[Deferred[Any], Any, None]:
    """Write one request after the other; now and then one that fails, which must leave no trace."""
    found = yield primary.query("SELECT max(number) FROM entries WHERE writer = ?", (writer,))
    number = (found.rows[0][0] or 0) + 1
    while True:
        wanted = statements(writer, number)
        if len(wanted) == 1:
            position = yield primary.execute(wanted[0])
        else:
            position = yield primary.transaction(wanted)
        tell(f"ack {writer} {number} {int(position)}")
        if number % 5 == 0:
            try:
                yield primary.transaction(
                    [
                        f"DELETE FROM entries WHERE writer = {writer}",
                        "INSERT OR ROLLBACK INTO totals VALUES (1, 0)",
                    ]
                )
            except StatementFailed:
                pass
            else:
                raise AssertionError("a duplicate was accepted")
        number += 1


@inlineCallbacks
def write_all(reactor: Any, database: str, writers: int) -> Generator[Deferred[Any], Any, None]:
    """Open the primary, make the tables, and let the writers go."""
    primary = Primary(reactor, DatabasePaths.of(database))
    yield primary.open()
    found = yield primary.query("SELECT count(*) FROM sqlite_master WHERE name = 'entries'")
    if found.rows == [(0,)]:
        rows = ", ".join(f"({writer}, 0)" for writer in range(1, writers + 1))
        yield primary.transaction([*SCHEMA, f"INSERT INTO totals VALUES {rows}"])
    for writer in range(1, writers + 1):
        write_for_ever(primary, writer).addErrback(give_up)


def give_up(failure: Any) -> None:
    """Say what went wrong, and end."""
    tell("failed " + failure.getTraceback().replace("\n", " | "))
    os._exit(1)


def run_child(database: str, writers: int) -> None:
    """Be the process that is killed."""
    from twisted.internet import reactor

    reactor.callWhenRunning(lambda: write_all(reactor, database, writers).addErrback(give_up))  # type: ignore[attr-defined]
    reactor.run(installSignalHandlers=False)  # type: ignore[attr-defined]


def main() -> None:
    """Fork a child for each line of standard input, and reap those that were killed."""
    database, writers = sys.argv[1], int(sys.argv[2])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run_child(database, writers)
        tell(f"started {child}")
        os.waitpid(child, 0)
        tell(f"ended {child}")


if __name__ == "__main__":
    main()
