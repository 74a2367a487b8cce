"""The example that pushes changes to browsers, over real connections; and a consumer that is killed."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import TWISTD, environment, until

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "change_feed.py"


class Server:
    """The example's server, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "output"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        settings = {"NOTES_FOLDER": str(self._folder), "NOTES_WEB": "tcp:0:interface=127.0.0.1"}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "-y", str(EXAMPLE)],
                cwd=self._folder,
                env=environment() | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        found = until(lambda: re.search(r"Site starting on (\d+)", self.log.read_text()), self.log.read_text)
        self.port = int(found[1])

    def stop(self) -> None:
        """End it; nothing has gone wrong in it."""
        self._process.terminate()
        self._process.wait()
        assert "Traceback" not in self.log.read_text()

    def post(self, text: str) -> int:
        """Add a note; returns its position."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/", body=text.encode())
        position = int(connection.getresponse().read())
        connection.close()
        return position


class Browser:
    """Somebody who listens to events."""

    def __init__(self, server: Server, last: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._connection.request("GET", "/events", headers={} if last is None else {"Last-Event-ID": last})
        self._response = self._connection.getresponse()
        assert self._response.getheader("content-type") == "text/event-stream"

    def next(self) -> tuple[str, str, Any]:
        """The next event: its kind, its id, its content."""
        fields: dict[str, str] = {}
        while line := self._response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        return (fields["event"], fields["id"], json.loads(fields["data"])) if "event" in fields else self.next()

    def texts(self, count: int) -> list[str]:
        """The texts of so many notes that are added."""
        return [change["after"]["text"] for _ in range(count) for change in self.next()[2]]

    def close(self) -> None:
        """Listen no more."""
        self._response.close()
        self._connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.stop()


def test_browsers_get_every_change_from_where_they_were(server: Server) -> None:
    server.post("milk")
    browser = Browser(server)
    kind, _, rows = browser.next()
    assert (kind, rows) == ("rows", [{"id": 1, "text": "milk"}])
    position = server.post("it's bread")
    kind, last, changes = browser.next()
    assert kind == "changes"
    assert changes == [
        {
            "kind": "insert",
            "table": "notes",
            "before": None,
            "after": {"id": 2, "text": "it's bread"},
            "statement": "",
        }
    ]
    assert last.startswith(f"{position}-r-")
    browser.close()
    server.post("tea")
    server.stop()
    server.start()
    server.post("salt")
    again = Browser(server, last)
    assert again.texts(2) == ["tea", "salt"]
    again.close()
    # A place that is not in this log, and none at all: the rows that are there.
    for unknown in (last.replace(last[-8:], "00000000"), "17"):
        other = Browser(server, unknown)
        kind, _, rows = other.next()
        assert (kind, len(rows)) == ("rows", 4)
        other.close()


def test_a_slow_browser_holds_back_nobody_else_and_misses_nothing(server: Server) -> None:
    slow, quick = Browser(server), Browser(server)
    assert [one.next()[0] for one in (slow, quick)] == ["rows", "rows"]
    texts = [f"{number} " + "x" * 300_000 for number in range(30)]
    for text in texts:
        server.post(text)
        assert quick.texts(1) == [text]
    assert slow.texts(len(texts)) == texts
    slow.close()
    quick.close()


# -- a consumer that is killed --------------------------------------------------------------------------------

CONSUMER = """
import os, sys
from pathlib import Path
import apsw
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from spgrepl import ChangeFeed, DatabasePaths, FeedPosition, FeedStart, Primary

source, target = sys.argv[1:3]
there = apsw.Connection(target)
there.execute("CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY, text TEXT)")
there.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a INTEGER, times INTEGER NOT NULL DEFAULT 1)")

def receive(transaction):
    with there:
        for change in transaction.changes:
            if change.kind.value == "insert":
                there.execute("INSERT INTO t (id, a) VALUES (?, ?)", (change.after["id"], change.after["a"]))
            elif change.kind.value == "update":
                there.execute(
                    "UPDATE t SET a = ?, times = times + 1 WHERE id = ?", (change.after["a"], change.before["id"])
                )
        there.execute("REPLACE INTO place VALUES (1, ?)", (str(transaction.position),))
    os.write(1, b".")

async def main(reactor):
    primary = Primary(reactor, DatabasePaths.of(source))
    await primary.open()
    await primary.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a INTEGER)")
    stored = there.execute("SELECT text FROM place").get
    start = FeedStart.BEGINNING if stored is None else FeedPosition.parse(stored)
    feed = ChangeFeed(reactor, primary, receive, start)
    feed.startService()
    feed.when_stopped().addErrback(lambda failure: (failure.printTraceback(), os._exit(1)))
    first = (await primary.query("SELECT ifnull(max(id), 0) FROM t")).rows[0][0] + 1
    for number in range(first, first + 40):
        await primary.transaction(
            [f"INSERT INTO t VALUES ({number}, {number})", f"UPDATE t SET a = a + 1 WHERE id % 7 = {number % 7}"]
        )
    if len(sys.argv) > 3:
        while feed.position is None or feed.position.position < primary.position:
            await task.deferLater(reactor, 0.01)
        os._exit(0)
    await Deferred()

task.react(main)
"""


def test_a_consumer_that_is_killed_misses_nothing_and_applies_nothing_twice(tmp_path: Path) -> None:
    program = tmp_path / "consumer.py"
    program.write_text(CONSUMER)
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    for enough in (3, 40, 17):
        victim = subprocess.Popen([sys.executable, program, source, target], stdout=subprocess.PIPE)
        assert victim.stdout is not None
        taken = 0
        while taken < enough:
            piece = victim.stdout.read(1)
            assert piece, "it has ended"
            taken += 1
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
    subprocess.run(
        [sys.executable, program, source, target, "end"], check=True, stdout=subprocess.PIPE, timeout=60
    )
    there, here = dump(target, "SELECT id, a, times FROM t"), dump(source, "SELECT id, a FROM t")
    assert [(number, a) for number, a, _ in there] == here
    # Each update was counted once: as often as a row's number was hit since.
    last = len(here)
    assert there == [
        (number, number + hits, 1 + hits)
        for number, hits in ((one, (last - one) // 7 + 1) for one in range(1, last + 1))
    ]


def dump(database: Path, query: str) -> list[Any]:
    """Read a database that nobody has open."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query + " ORDER BY id").fetchall()
