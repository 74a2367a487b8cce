"""A subscriber that catches up and is killed at random moments: in the end it has exactly the published tables.

The master is a real one, that serves a snapshot and a log as an archive; between it and the subscriber stands a
proxy that cuts the stream anywhere and takes its time, so that kills hit the handshake, the initial copy and the
stream. Twenty kills by default; ``SPGREPL_KILLS=200`` makes a campaign of it, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.cli.exec import plan
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.primary.parts.requests import Written
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.segments.manifest import Manifest, write_manifest
from tests.end_to_end.conftest import Server, Start
from tests.end_to_end.kills.kill_log import BASE, TABLES, Reference, content, make_log
from tests.end_to_end.kills.test_follower_kill import PATIENCE, Victim, until

KILLS = int(os.environ.get("SPGREPL_KILLS", "20"))
SEED = os.environ.get("SPGREPL_SEED", "1")

SECRETS = "CREATE TABLE secrets (n INTEGER)"
PUBLISH = b"CREATE PUBLICATION p FOR TABLE items, counters"


def make_logs(chance: random.Random) -> tuple[bytes, bytes]:
    """A log of several tables, and what of it speaks of the published ones."""
    batch, error = cut_records(make_log(chance), 0)
    assert error is None
    whole = [records.encode_statement(PUBLISH)]
    part: list[bytes] = []
    for index in range(len(batch)):
        record = batch.data[batch.start_of(index) : batch.start_of(index + 1)]
        whole.append(record)
        part.append(record)
        if chance.random() < 0.2:
            whole.append(records.encode_v2(b"INSERT INTO secrets VALUES (%d)" % index))
    return b"".join(whole), b"".join(part)


def lay_out(master: Server, log: bytes) -> Path:
    """Put a snapshot, a log that goes on after it, and the manifest that says so beside a master."""
    with closing(sqlite3.connect(master.database, isolation_level=None)) as connection:
        for statement in (*TABLES, SECRETS):
            connection.execute(statement)
        connection.execute("CREATE TABLE spgrepl_publications (name TEXT PRIMARY KEY, scope TEXT, tables TEXT)")
        row = ("p", "only", json.dumps(["items", "counters"]))
        connection.execute("INSERT INTO spgrepl_publications VALUES (?, ?, ?)", row)
    before = records.encode_v1(b"x" * (BASE - 4))
    master.wal.write_bytes(before + log)
    manifest = master.folder / "data.spg" / "manifest.v10"
    manifest.parent.mkdir()
    write_manifest(manifest, Manifest(crc32(master.database.read_bytes()), (), BASE))
    return master.database


class SlowWay:
    """Forwards connections to a master, in pieces of any size, with pauses; and cuts them on demand."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._target = port
        self._chance = chance
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connected = threading.Event()
        self.hurry = threading.Event()
        self.cut_after: int | None = None
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, sink, slow in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._forward, args=(source, sink, slow), daemon=True).start()
            self.connected.set()

    def _forward(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        with suppress(OSError), source, sink:
            while piece := source.recv(self._chance.randrange(1, 24_000)):
                if slow and self.cut_after is not None:
                    piece = piece[: self.cut_after]
                    self.cut_after -= len(piece)
                sink.sendall(piece)
                if slow and self.cut_after == 0:
                    self.cut_after = None
                    break
                if slow and not self.hurry.is_set():
                    time.sleep(self._chance.random() * 0.004)
            for one in (source, sink):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def position_of(database: Path) -> int | None:
    """Where a subscription stands; None where it has not begun."""
    if not database.exists():
        return None
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        state = read_subscription(connection, "s")
    return None if state is None else state.position


def tables_of(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in found if not name.startswith(("spgrepl_", "sqlite_"))}


class Published:
    """What the published tables hold at a position of the whole log, by plain means."""

    def __init__(self, snapshot: Path, whole: bytes, part: bytes) -> None:
        self._reference = Reference(snapshot, part)
        self._of_whole = cut_records(whole, BASE)[0]
        self._next = 0
        self._at = BASE

    def content_at(self, position: int) -> list[list[tuple[object, ...]]]:
        while self._next < len(self._of_whole) and self._of_whole.start_of(self._next) < position:
            sql = self._of_whole.sql[self._next]
            if sql is None or not sql.startswith((b"INSERT INTO secrets", PUBLISH)):
                self._at += self._of_whole.start_of(self._next + 1) - self._of_whole.start_of(self._next)
            self._next += 1
        assert self._of_whole.start_of(self._next) == position, "a position in the middle of a record"
        return self._reference.content_at(self._at)

    def close(self) -> None:
        self._reference.close()


class Target:
    """What a subscriber makes, compared with what it should be."""

    def __init__(self, folder: Path, snapshot: Path, whole: bytes, part: bytes) -> None:
        self.database = folder / "target" / "some.db"
        self.database.parent.mkdir()
        self._logs = (snapshot, whole, part)
        self._reference = Published(*self._logs)

    def begin_anew(self) -> None:
        shutil.rmtree(self.database.parent)
        self.database.parent.mkdir()
        self._reference.close()
        self._reference = Published(*self._logs)

    def look(self) -> int | None:
        """Compare all rows, and say what position they stand at; None where there is nothing yet."""
        position = position_of(self.database)
        if position is None:
            assert not self.database.exists() or not tables_of(self.database), "half of a copy"
            return None
        with closing(sqlite3.connect(self.database)) as connection:
            assert content(connection) == self._reference.content_at(position), f"at position {position}"
            assert connection.execute("SELECT count(*) FROM spgrepl_skipped").fetchone() == (0,)
        assert tables_of(self.database) == {"items", "counters"}
        return position

    def close(self) -> None:
        self._reference.close()


def test_a_killed_subscriber_ends_with_the_published_tables(tmp_path: Path, make: Start) -> None:
    chance = random.Random(f"{SEED} subscriber")
    whole, part = make_logs(chance)
    end = BASE + len(whole)
    words = ("--engine", "archive", "--listen", "tcp:0:interface=127.0.0.1", "--wal-level", "logical")
    master = make("master", "master", *words)
    target = Target(tmp_path, lay_out(master, whole), whole, part)
    master.start()
    way = SlowWay(master.port(), chance)
    where = ("--master", f"127.0.0.1:{way.port}", "--db", str(target.database))
    victim = Victim(tmp_path, tmp_path / "log", "subscriber", *where, "--name", "s", "--publication", "p")
    hits = in_copy = rounds = 0
    try:
        while hits < KILLS:
            if chance.random() < 0.25:
                target.begin_anew()
            way.connected.clear()
            victim.start()
            assert way.connected.wait(PATIENCE), "the subscriber never connected"
            time.sleep(chance.random() * 0.5)  # this is the random moment
            assert victim.end(signal.SIGKILL) == signal.SIGKILL
            position = target.look()
            if position == end:
                rounds += 1
                target.begin_anew()
                continue
            hits += 1
            in_copy += position is None
        way.hurry.set()
        victim.start()
        until(lambda: position_of(target.database) == end, f"the subscriber never came to {end}")
        assert victim.end(signal.SIGTERM) == signal.SIGTERM
        assert target.look() == end
    finally:
        print(
            f"seed {SEED!r}: {hits} kills hit, {in_copy} of them before the copy was done; {rounds} rounds ended"
        )
        victim.stop()
        way.stop()
        target.close()


@pytest.mark.parametrize("number", range(30))
def test_five_hundred_rows_a_cut_and_five_hundred_more_are_a_thousand(number: int, cutting: Cutting) -> None:
    cutting.once(random.Random(f"{SEED} cut {number}"))


class Cutting:
    """A master, a subscriber, and a way between them that can be cut; both processes serve all thirty tests."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.master = Server(folder, "master", "master", "--listen", "tcp:0:interface=127.0.0.1")
        self.master.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "CREATE TABLE other (n INTEGER)")
        self.master.execute("CREATE PUBLICATION p FOR TABLE t")
        self.master.start("--wal-level", "logical")
        self.way = SlowWay(self.master.port(), random.Random(SEED))
        self.way.hurry.set()
        address = f"127.0.0.1:{self.way.port}"
        words = ("--master", address, "--name", "s", "--publication", "p")
        self.subscriber = Server(folder, "subscriber", "subscriber", *words).start()
        self.rows = 0

    def once(self, chance: random.Random) -> None:
        """Write 500 rows, cut the connection at a random byte of what they bring, and write 500 more."""
        self._until_applied(self._write(["UPDATE t SET n = n + 1"]))
        connections = self.way.connections
        self.way.cut_after = chance.randrange(1, 20_000)
        self._write(self._rows(500, chance))
        # A STATUS every 50 ms comes to the byte where the cut is due, whatever the rows came to.
        until(lambda: self.way.cut_after is None, "the cut never came")
        position = self._write(self._rows(500, chance))
        until(lambda: self.way.connections > connections, "the subscriber never came back")
        self._until_applied(position)
        with closing(sqlite3.connect(self.subscriber.database)) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (self.rows,)
        with closing(sqlite3.connect(self.master.database)) as one:
            expected = one.execute("SELECT * FROM t ORDER BY id").fetchall()
        with closing(sqlite3.connect(self.subscriber.database)) as other:
            assert other.execute("SELECT * FROM t ORDER BY id").fetchall() == expected

    def _write(self, statements: list[str]) -> int:
        """Write as ``spgrepl exec`` does, without a process for it; the position."""
        requests = [step.request for step in plan(statements) if step.request is not None]
        writer = DatabaseWriter(DatabasePaths.of(self.master.database))
        writer.open()
        try:
            answers = writer.run(requests)
        finally:
            writer.close()
        assert all(isinstance(answer, Written) for answer in answers), answers
        return max(answer.position for answer in answers if isinstance(answer, Written))

    def _until_applied(self, position: int) -> None:
        until(lambda: (self.subscriber.applied() or 0) >= position, f"position {position} was not reached")

    def _rows(self, count: int, chance: random.Random) -> list[str]:
        """Statements that add so many rows: singly, several in a transaction, others in between."""
        found: list[str] = []
        while count:
            size = min(count, chance.choice((1, 1, 1, 7)))
            rows = [f"INSERT INTO t VALUES ({self.rows + index}, 0)" for index in range(size)]
            more = ["UPDATE t SET n = n + 1 WHERE id % 97 = 3", "INSERT INTO other VALUES (1)"]
            found += rows if size == 1 else ["BEGIN", *rows, *more, "COMMIT"]
            self.rows += size
            count -= size
        return found

    def stop(self) -> None:
        self.way.stop()
        for server in (self.master, self.subscriber):
            server.clean_up()


@pytest.fixture(scope="module")
def cutting(tmp_path_factory: pytest.TempPathFactory):
    made = Cutting(tmp_path_factory.mktemp("cutting"))
    yield made
    made.stop()


if __name__ == "__main__":
    sys.exit(pytest.main(["-s", __file__]))
