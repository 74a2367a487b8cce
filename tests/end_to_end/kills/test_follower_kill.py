"""A follower that catches up and is killed at random moments: in the end it holds exactly what the master has.

Twenty kills by default; ``SPGREPL_KILLS=200`` makes a campaign of it, ``SPGREPL_SEED`` another one. Only kills
that hit during the catch-up count; one that is done begins again from nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.state_file import load_state
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.format.parser import cut_records
from spgrepl.log.reader import Damage, scan_log
from spgrepl.sqlite.state import read_state
from spgrepl.wire.frames import encode_status, encode_wal_header
from tests.end_to_end.kills.kill_log import BASE, TABLES, Reference, content, make_log

KILLS = int(os.environ.get("SPGREPL_KILLS", "20"))
SEED = os.environ.get("SPGREPL_SEED", "1")
PROGRAM = Path(__file__).with_name("follower_process.py")
PATIENCE = 60.0


# -- the master -----------------------------------------------------------------------------------------------


class SlowMaster:
    """A master of V2 that cuts its log anywhere, and takes its time."""

    def __init__(self, snapshot: bytes, log: bytes, chance: random.Random) -> None:
        self._snapshot = snapshot
        self._whole = bytes(BASE) + log
        self._chance = chance
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.hello = threading.Event()
        self.hurry = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            # A follower compares the log before its snapshot over a connection beside that of its stream.
            threading.Thread(target=self._meet, args=(peer,), daemon=True).start()

    def _meet(self, peer: socket.socket) -> None:
        with peer:
            try:
                self._answer(peer)
            except (ConnectionError, EOFError):
                return
            except BaseException as error:  # noqa: BLE001 - told to the test
                self.failure = error

    def _answer(self, peer: socket.socket) -> None:
        hello = peer.recv(16, socket.MSG_WAITALL)
        if len(hello) < 16:
            raise EOFError
        (start,) = struct.unpack("<Q", hello[8:])
        if hello[:8] == b"SPGREPL\x01":
            assert 0 < start < BASE
            peer.sendall(bytes(8) + self._whole[start : BASE + 1000])
            peer.recv(1)  # until it has read enough
            return
        assert hello[:8] == b"SPGREPL\x02"
        self.hello.set()
        if start == 0:
            peer.sendall(struct.pack("<Q", len(self._snapshot)))
            for at in range(0, len(self._snapshot), 20_000):
                peer.sendall(self._snapshot[at : at + 20_000])
                self._rest()
            peer.sendall(struct.pack("<Q", BASE))
            start = BASE
        else:
            # Before anything is applied, the log before the snapshot is what shows the history.
            assert 0 < start <= len(self._whole), "a start that this log never had"
            peer.sendall(bytes(8))
        at = start
        while at < len(self._whole):
            piece = self._whole[at : at + self._chance.randrange(1, 12_000)]
            at += len(piece)
            peer.sendall(encode_wal_header(len(piece)) + piece + self._status())
            self._rest()
        while True:
            peer.sendall(self._status())
            time.sleep(0.05)

    def _status(self) -> bytes:
        return encode_status(len(self._whole), time.time_ns() // 1000)

    def _rest(self) -> None:
        if not self.hurry.is_set():
            time.sleep(self._chance.random() * 0.004)

    def stop(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


# -- the victim -----------------------------------------------------------------------------------------------


class Victim:
    """A server's process, started again and again.

    Args:
        folder: Where it runs.
        log: Its log file.
        words: What follows ``twistd spgrepl``.
    """

    def __init__(self, folder: Path, log: Path, *words: str) -> None:
        words = ("-n", "--pidfile=", "--logfile", str(log), "spgrepl", *words)
        self._parent = subprocess.Popen(
            [sys.executable, str(PROGRAM), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=folder,
        )
        self._child = 0

    def start(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write("go\n")
        word, number = self._words()
        assert word == "started"
        self._child = int(number)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the status that the process ended with."""
        os.kill(self._child, number)
        word, status = self._words()
        assert word == "ended"
        return int(status)

    def _words(self) -> list[str]:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().split()

    def stop(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.kill()
        self._parent.wait()
        self._parent.stdout.close()


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Campaign:
    """Kills a follower until enough have hit, looks at what each leaves behind, then lets it come to its end."""

    def __init__(self, folder: Path, engine: str, kills: int) -> None:
        self.chance = random.Random(f"{SEED} {engine}")
        self.log = make_log(self.chance)
        self.end = BASE + len(self.log)
        self.paths = DatabasePaths.of(folder / "copy" / "copy.db")
        self.paths.database.parent.mkdir()
        self.snapshot = folder / "snapshot.db"
        with closing(sqlite3.connect(self.snapshot, isolation_level=None)) as connection:
            for statement in TABLES:
                connection.execute(statement)
        self.master = SlowMaster(self.snapshot.read_bytes(), self.log, self.chance)
        database = self.paths.database
        words = ("--master", f"127.0.0.1:{self.master.port}", "--db", str(database), "--engine", engine)
        self.victim = Victim(database.parent, database.with_name("log"), "follower", *words)
        self.kills = kills
        self.hits = self.in_bootstrap = self.rounds = 0

    def run(self, look: Callable[[int], None], again: Callable[[], None]) -> None:
        """Kill.

        Args:
            look: Called after each kill with the position that the copy stands at.
            again: Called when a catch-up came to its end before its kill, and all files were removed.
        """
        while self.hits < self.kills:
            self.master.hello.clear()
            self.victim.start()
            early = self.chance.random() < 0.1
            if not early:
                assert self.master.hello.wait(PATIENCE), "the follower never connected"
            # This is the random moment; some are late, for a machine that has much else to do.
            time.sleep(self.chance.random() * self.chance.choice([0.3, 0.3, 1.0]))
            assert self.victim.end(signal.SIGKILL) == signal.SIGKILL
            assert self.master.failure is None, self.master.failure
            state = self.state()
            if state is not None and state.position == self.end:
                self.rounds += 1
                shutil.rmtree(self.paths.database.parent)
                self.paths.database.parent.mkdir()
                again()
                continue
            if self.master.hello.is_set():
                self.hits += 1
            if state is None:
                self.in_bootstrap += 1
                continue
            assert state.base == BASE
            held = self.paths.wal.read_bytes()[: state.position - BASE]
            assert held == self.log[: state.position - BASE], "the local log is not the master's"
            look(state.position)

    def finish(self) -> None:
        """Let the follower catch up, and stop it in peace."""
        self.master.hurry.set()
        self.victim.start()
        until(lambda: self.applied() == self.end, f"the follower never came to {self.end}")
        # twistd stops in peace, then ends as whoever sent the signal expects.
        assert self.victim.end(signal.SIGTERM) == signal.SIGTERM
        assert self.paths.wal.read_bytes() == self.log
        report = scan_log(self.paths.wal)
        assert (report.damage, report.open_transaction) == (Damage.NONE, None)

    def applied(self) -> int | None:
        """The position in the sidecar, which anybody may read at any time."""
        with suppress(FileNotFoundError):
            return int.from_bytes(self.paths.applied_position.read_bytes(), "little")
        return None

    def state(self) -> ReplayState | None:
        """What the killed follower's files say."""
        found = load_state(self.paths.database)
        if found is not None:
            return found[0]
        if not self.paths.database.exists():
            return None
        with closing(sqlite3.connect(self.paths.database)) as connection:
            stored = read_state(connection)
        return stored and stored.replay

    def stop(self) -> None:
        self.victim.stop()
        self.master.stop()


@contextmanager
def campaign(folder: Path, engine: str, kills: int) -> Iterator[Campaign]:
    made = Campaign(folder, engine, kills)
    print(f"seed {SEED!r}, engine {engine}, {kills} kills")
    try:
        yield made
    finally:
        made.stop()
        print(f"{made.hits} kills hit, {made.in_bootstrap} of them in a bootstrap; {made.rounds} rounds ended")


def test_a_killed_follower_ends_with_the_masters_tables(tmp_path: Path) -> None:
    """PROTOCOL section 7, items 1 and 2, whatever the moment."""
    with campaign(tmp_path, "sqlite", KILLS) as run:
        reference = Reference(run.snapshot, run.log)

        def look(position: int) -> None:
            with closing(sqlite3.connect(run.paths.database)) as connection:
                assert content(connection) == reference.content_at(position), f"at position {position}"

        def again() -> None:
            nonlocal reference
            reference.close()
            reference = Reference(run.snapshot, run.log)

        run.run(look, again)
        run.finish()
        look(run.end)
        reference.close()


def test_a_killed_follower_counts_each_statement_once(tmp_path: Path) -> None:
    with campaign(tmp_path, "counting", max(4, KILLS // 4)) as run:
        run.run(lambda _: None, lambda: None)
        run.finish()
        digest = 0
        batch, _ = cut_records(run.log, BASE)
        for record in batch:
            if record.sql is not None:
                digest = crc32(struct.pack("<I", len(record.sql)) + record.sql, digest)
        found = load_state(run.paths.database, ("digest",))
        assert found is not None
        assert (found[0].position, found[1]["digest"]) == (run.end, digest)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s", __file__]))
