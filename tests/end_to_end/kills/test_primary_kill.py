"""A primary under concurrent writers, killed at random moments: nothing acknowledged is lost.

Twenty kills by default; ``SPGREPL_KILLS=200`` makes a campaign of it, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from spgrepl.disk.files import DatabasePaths
from spgrepl.log.durable import read_durable
from spgrepl.log.reader import Damage, iterate_records, scan_log
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.sqlite.session import prepare_session
from spgrepl.sqlite.state import read_state

KILLS = int(os.environ.get("SPGREPL_KILLS", "20"))
SEED = os.environ.get("SPGREPL_SEED", "1")
WRITERS = 4
PROGRAM = Path(__file__).with_name("primary_writer.py")


class Victim:
    """The program that is killed, and what it said."""

    def __init__(self, database: Path) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(database), str(WRITERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.acknowledged: set[tuple[int, int]] = set()
        self.position = 0

    def run(self, seconds: float, after_first: bool) -> None:
        """Start it, kill it, and take in what it acknowledged.

        Args:
            seconds: How long to let it be.
            after_first: Whether that time begins with the first acknowledgement, or with the start.
        """
        assert self._parent.stdin is not None
        self._parent.stdin.write("go\n")
        words = self._words()
        assert words[0] == "started", words
        child = int(words[1])
        words = self._words() if after_first else ["ack"]
        time.sleep(seconds)  # this is the random moment
        os.kill(child, signal.SIGKILL)
        while words[0] == "ack":
            if len(words) > 1:
                writer, number, position = map(int, words[1:])
                self.acknowledged.add((writer, number))
                self.position = max(self.position, position)
            words = self._words()
        assert words[0] == "ended", " ".join(words)

    def _words(self) -> list[str]:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().split()

    def stop(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()


@contextmanager
def victim(database: Path) -> Iterator[Victim]:
    """A victim that is stopped at the end."""
    running = Victim(database)
    try:
        yield running
    finally:
        running.stop()


class Replica:
    """A fresh database to which the log is applied, as it grows, by nothing but sqlite3."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        prepare_session(self.connection)
        self.position = 0

    def follow(self, wal: Path) -> None:
        for batch in iterate_records(wal, self.position):
            for sql in batch.sql:
                assert sql is not None
                self.connection.execute(sql.decode())
            self.position = batch.end
        assert not self.connection.in_transaction


def content(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables of users."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'spgrepl%' ORDER BY 1"
    )
    return {
        name: connection.execute(f'SELECT rowid, * FROM "{name}" ORDER BY rowid').fetchall()
        for (name,) in found.fetchall()
    }


def database_position(database: Path) -> int:
    """The position that the database says it stands at; 0 while it says nothing."""
    with closing(sqlite3.connect(database)) as connection:
        stored = read_state(connection)
    return stored.replay.position if stored else 0


def lose_commits(database: Path, chance: random.Random) -> bool:
    """Take from a database the commits that a loss of power may take: those not yet copied out of its WAL."""
    wal, index = (database.with_name(database.name + end) for end in ("-wal", "-shm"))
    if not wal.exists() or not index.exists() or wal.stat().st_size < 32:
        return False
    header = index.read_bytes()[:136]
    (last_frame,) = struct.unpack_from("=I", header, 16)
    (copied,) = struct.unpack_from("=I", header, 96)
    (page,) = struct.unpack_from(">I", wal.read_bytes()[:32], 8)
    if last_frame <= copied:
        return False
    os.truncate(wal, 32 + (24 + page) * copied + chance.randrange((24 + page) * (last_frame - copied)))
    index.unlink()
    return True


def tear_log(wal: Path, at_least: int, chance: random.Random) -> None:
    """Leave of the log what an unfinished write may: some bytes after what the database relies on."""
    length = wal.stat().st_size
    if chance.random() < 0.5:
        os.truncate(wal, chance.randint(at_least, length))
    else:
        with open(wal, "ab") as file:
            file.write(wal.read_bytes()[: chance.randrange(1, 40)][:-1] or b"\x10")


def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    """Kill after kill: each acknowledged request is there, the log is whole, and both tell the same."""
    chance = random.Random(SEED)
    paths = DatabasePaths.of(tmp_path / "primary.db")
    replica = Replica()
    lost = 0
    with victim(paths.database) as program:
        for kill in range(KILLS):
            program.run(chance.random() * 0.06, after_first=chance.random() < 0.8)
            if not paths.wal.exists():
                continue
            damage = chance.random()
            if damage < 0.3:
                lost += lose_commits(paths.database, chance)
            elif damage < 0.6:
                # What was flushed and published stays, though the kill came before the database had it.
                durable = read_durable(paths.wal)
                kept = max(program.position, database_position(paths.database), durable.length if durable else 0)
                tear_log(paths.wal, kept, chance)
            writer = DatabaseWriter(paths)
            writer.open()
            assert writer.position == paths.wal.stat().st_size >= program.position
            writer.close()
            replica.follow(paths.wal)
            check(paths, replica, program.acknowledged, everything=kill % 10 == 9 or kill == KILLS - 1)
    assert len(program.acknowledged) >= KILLS // 2
    assert lost > 0
    report = scan_log(paths.wal)
    assert (report.damage, report.open_transaction) == (Damage.NONE, None)
    fresh = Replica()
    fresh.follow(paths.wal)
    assert content(fresh.connection) == content(replica.connection)


def check(paths: DatabasePaths, replica: Replica, acknowledged: set[tuple[int, int]], everything: bool) -> None:
    """Compare the database with what was acknowledged and with the log."""
    with closing(sqlite3.connect(paths.database)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
            assert not acknowledged
            return
        there = set(connection.execute("SELECT writer, number FROM entries WHERE part = 0"))
        assert acknowledged <= there
        # Of a transaction all parts are there or none.
        parts = connection.execute(
            "SELECT count(*) FROM entries GROUP BY writer, number HAVING count(*) <> iif(number % 3, 1, 3)"
        )
        assert parts.fetchall() == []
        totals = "SELECT writer, entries FROM totals"
        assert connection.execute(totals).fetchall() == replica.connection.execute(totals).fetchall()
        if everything:
            assert content(connection) == content(replica.connection)
