"""A follower's process that is killed at a bad moment, while a CHECKPOINT sets the server's log to length 0."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from spgrepl.engines.state_file import SNAPSHOT_LENGTH, load_state
from tests import sql
from tests.spg_master import kit

TWISTD = Path(sys.executable).with_name("twistd")


class KilledCases(kit.SpgCase):
    """What holds of every engine."""

    timeout = 120
    engine = ""

    def setUp(self) -> None:
        super().setUp()
        self.database.client().insert("a", *range(40))

    def start(self, endpoint: Any) -> subprocess.Popen[bytes]:
        """A follower that takes a fresh snapshot where the history differs."""
        database = self.paths.database.resolve()  # trial's folders are relative to where it runs
        where = f"--db {database} --master 127.0.0.1:{endpoint._port} --engine {self.engine}"
        words = f"-n --pidfile= spgrepl follower {where} --on-divergence resnapshot".split()
        with (self.folder / "follower.out").open("ab") as out:
            process = subprocess.Popen(
                [TWISTD, *words],
                cwd=self.folder,
                stdout=out,
                stderr=out,
            )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    @defer.inlineCallbacks
    def kill(self, process: subprocess.Popen[bytes]) -> Any:
        """kill -9, once what was sent has had time to arrive."""
        yield task.deferLater(self.reactor, 0.3)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        yield self.until(lambda: not self.server.connections)

    def said(self, words: str) -> bool:
        return words in (self.folder / "follower.out").read_text("utf-8", "replace")

    @defer.inlineCallbacks
    def goes_on(self, endpoint: Any) -> Any:
        """CHECKPOINT, other rows, and the follower once more: it comes to have what the server has."""
        self.database.checkpoint()
        self.database.execute("DELETE FROM a WHERE id < 5")
        self.database.client().insert("a", *range(100, 110))
        self.start(endpoint)
        yield self.until(self.is_equal)
        self.database.client().insert("a", 200)
        yield self.until(self.is_equal)

    def is_equal(self) -> bool:
        raise NotImplementedError

    @defer.inlineCallbacks
    def test_in_mid_record(self) -> Any:
        endpoint = yield self.serve()
        process = self.start(endpoint)
        yield self.until(self.is_equal)
        # A head that says 64 bytes, and none of them.
        self.database.append(b"\x40\x00\x00\x80")
        yield self.kill(process)
        yield self.goes_on(endpoint)

    @defer.inlineCallbacks
    def test_in_mid_segment(self) -> Any:
        self.database.freeze("a", range(10, 20), 3, compressed=False)
        self.database.freeze("a", range(20, 30), 4)
        self.server.chunk, self.server.hold_chunks = 20, 6
        endpoint = yield self.serve()
        process = self.start(endpoint)
        yield self.until(lambda: self.said("is in place"))
        yield self.kill(process)
        self.server.hold_chunks = None
        yield self.goes_on(endpoint)

    @defer.inlineCallbacks
    def test_in_mid_snapshot(self) -> Any:
        self.server.hold = 200
        endpoint = yield self.serve()
        process = self.start(endpoint)
        yield self.until(lambda: self.said("sends a snapshot"))
        yield self.kill(process)
        self.server.hold = None
        yield self.goes_on(endpoint)


class SqliteTest(KilledCases):
    engine = "sqlite"

    def is_equal(self) -> bool:
        """The rows are the server's."""
        if not self.paths.database.exists():
            return False
        with contextlib.closing(sql.connect(self.paths.database)) as connection:
            return all(
                connection.execute(f"SELECT id, name FROM {table} ORDER BY id").fetchall()
                == self.database.rows(table)
                for table in self.database.tables
            )


class ArchiveTest(KilledCases):
    engine = "archive"

    def is_equal(self) -> bool:
        """All of the server's log after the snapshot is kept, and its segments are."""
        if not (self.paths.wal.exists() and self.paths.database.exists()):
            return False
        found = load_state(self.paths.database, optional=(SNAPSHOT_LENGTH,))
        log = self.database.wal.read_bytes()
        if found is None or found[0].position != len(log):
            return False
        segments = {self.paths.segments / f"seg_{n}.spg": data for n, data in self.database.segments.items()}
        return self.paths.wal.read_bytes() == log[found[0].base :] and all(
            path.exists() and path.read_bytes() == content for path, content in segments.items()
        )


del KilledCases
