"""A follower as a service, against masters on real sockets: well-behaved, old, gone, other, and hostile ones."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints, error, protocol, task
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from spgrepl.disk.file_lock import LockFile
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    HistoryDiverged,
    LogTruncated,
    ServiceStopped,
    WaitTimeout,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.tailer import WalTailer
from spgrepl.master.service import MasterService, Serving
from spgrepl.master.snapshots.sources import FileSnapshotSource, LoggedDatabase, SqliteSnapshotSource
from spgrepl.replica import retry as backoff
from spgrepl.replica.following.connection import READ_SIZE, LinkTimeouts
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.following.queue import BATCH_BYTES, ReplayQueue
from spgrepl.replica.following.service import FollowerService
from spgrepl.replica.following.states import FollowerState, Following, OnDivergence
from spgrepl.server.role_parts import EngineSnapshots
from spgrepl.sqlite.state import ROLE_PRIMARY, ensure_table, write_state
from spgrepl.wire.frames import encode_status, encode_wal_header
from tests import sql as sqlite3
from tests.log.samples import MIXED_LOG, VECTORS
from tests.replica.following.copies import CREATE, batch_of, database_bytes, log_of
from tests.replica.following.test_applied_log import Listener
from tests.replica.following.test_connection import recorded

INSERT = "INSERT INTO t VALUES ({}, 'row')"


class Script(protocol.Protocol):
    """A master that does what its test says.

    Attributes:
        hello: What the follower said first.
    """

    def __init__(self, master: ScriptedMaster) -> None:
        self._master = master
        self.hello = b""

    def dataReceived(self, data: bytes) -> None:
        self.hello += data
        if len(self.hello) == 16 and self.version == 1 and self.start:
            self._master.asked_before(self)
        elif len(self.hello) == 16:
            self._master.play(self)

    @property
    def start(self) -> int:
        return int.from_bytes(self.hello[8:], "little")

    @property
    def version(self) -> int:
        return self.hello[7]

    def send(self, *pieces: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(pieces))

    def close(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def connectionMade(self) -> None:
        self._master.hellos.append(self)
        if self._master.at_once:
            self.close()


class ScriptedMaster(protocol.Factory):
    """Masters by scripts.

    Attributes:
        hellos: The connections; not those that only ask what stands somewhere in the log.
        log: The log, for those: None for a master that does not tell.
    """

    noisy = False

    def __init__(self, play: Callable[[Script], None], at_once: bool = False, log: bytes | None = None) -> None:
        self.play = play
        self.at_once = at_once
        self.log = log
        self.hellos: list[Script] = []

    def asked_before(self, script: Script) -> None:
        self.hellos.remove(script)
        if self.log is None:
            script.close()
        else:
            script.send(number(0), self.log[script.start :])

    def buildProtocol(self, addr: Any) -> Script:
        return Script(self)


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def wal(data: bytes) -> bytes:
    return encode_wal_header(len(data)) + data


def bootstrap(script: Script, snapshot: bytes, position: int, log: bytes) -> None:
    """Answer as a V2 master would, with all of a log that begins at `position`."""
    if script.start == 0:
        script.send(number(len(snapshot)), snapshot, number(position), wal(log))
    else:
        script.send(number(0), wal(log[script.start - position :]))
    script.send(encode_status(position + len(log), 1))


class FollowerCase(TestCase):
    """A follower, and a port where its master listens."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        # The last thing to happen must not come from a thread: at a test's end trial turns the reactor by hand,
        # which calls again what a thread has called and is not finished with.
        self.addCleanup(lambda: task.deferLater(reactor, 0))  # type: ignore[arg-type]
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.paths = DatabasePaths.of(self.folder / "copy.db")
        self.patch(backoff, "FIRST_DELAY", 0.02)
        self.ended: list[Any] = []

    @defer.inlineCallbacks
    def listen(self, master: ScriptedMaster) -> Any:
        endpoint = endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = yield endpoint.listen(master)
        self.addCleanup(port.stopListening)
        return self.client(port.getHost().port)

    def client(self, port: int) -> Any:
        return endpoints.TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)

    def follow(self, endpoint: Any, kind: type = SqliteEngine, **more: Any) -> FollowerService:
        service = FollowerService(self.reactor, endpoint, kind(self.paths.database), self.paths, Following(**more))
        service.finished.addBoth(self.ended.append)
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: FollowerService) -> Any:
        return service.stopService() if service.running else None

    @defer.inlineCallbacks
    def until(self, condition: Callable[[], Any]) -> Any:
        while not (found := condition()):
            yield task.deferLater(self.reactor, 0.005)
        return found

    def rows(self, sql: str = "SELECT a FROM t ORDER BY rowid") -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            return [row[0] for row in connection.execute(sql)]

    def snapshot(self, *more: str) -> bytes:
        return database_bytes(self.folder, CREATE.decode(), *more)


class RecordedStreamsTest(FollowerCase):
    @defer.inlineCallbacks
    def follow_recorded(self, version: str) -> Any:
        hello, stream = recorded(f"{version}_bootstrap")
        length = len((VECTORS / "snapshot.bin").read_bytes())
        position = int.from_bytes(stream[8 + length : 16 + length], "little")

        def play(script: Script) -> None:
            if script.hello != hello:
                script.close()
            else:
                # What was recorded ends with the log; more of it follows when the master's grows.
                script.send(stream)

        master = ScriptedMaster(play)
        service = self.follow((yield self.listen(master)), ArchiveEngine)
        reached = yield service.when_applied(len(MIXED_LOG), 30)
        assert reached == len(MIXED_LOG)
        assert self.paths.database.read_bytes() == (VECTORS / "snapshot.bin").read_bytes()
        assert self.paths.wal.read_bytes() == MIXED_LOG[position:]
        assert service.status()["protocol"] == version.upper()
        return master

    @defer.inlineCallbacks
    def test_v1(self) -> Any:
        """The recorded master of V1 closes on the hello of V2."""
        master = yield self.follow_recorded("v1")
        assert [script.version for script in master.hellos] == [2, 1]

    @defer.inlineCallbacks
    def test_v2(self) -> Any:
        master = yield self.follow_recorded("v2")
        assert [script.version for script in master.hellos] == [2]

    @defer.inlineCallbacks
    def test_the_recorded_log_in_sqlite(self) -> Any:
        """All of the recorded log but one statement is SQL; that one is skipped as an operator would."""
        refused = next(record for record in batch_of(MIXED_LOG) if record.sql and b"Quoted" in record.sql)

        def play(script: Script) -> None:
            bootstrap(script, b"", 0, MIXED_LOG)

        service = self.follow(
            (yield self.listen(ScriptedMaster(play))), skip=SkipRequest(refused.position, refused.crc)
        )
        yield service.when_applied(len(MIXED_LOG), 30)
        assert self.rows("SELECT name FROM t1 ORDER BY id") == ["one", "deux", "three", "four"]
        assert self.rows("SELECT name FROM spgrepl_publications") == ["p_all"]
        assert service.status()["skipped"] == 1


class WellBehavedMasterTest(FollowerCase):
    @defer.inlineCallbacks
    def serve(self, log: bytes, snapshots: Any = None) -> Any:
        """Our own master over a log that another program writes."""
        self.master_wal = self.folder / "master.wal"
        self.master_wal.write_bytes(log)
        (self.folder / "master.db").write_bytes(self.snapshot())
        self.tailer = WalTailer(self.reactor, self.master_wal)
        self.tailer.start()
        self.addCleanup(self.tailer.stop)
        source = snapshots or FileSnapshotSource(self.folder / "master.db", self.folder / "manifest")
        endpoint = endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        master = MasterService(self.reactor, endpoint, LoggedDatabase(self.tailer, source), Serving(self.folder))
        master.startService()
        self.addCleanup(master.stopService)
        port = yield master.listening
        return self.client(port.getHost().port)

    def append(self, data: bytes) -> None:
        with self.master_wal.open("ab") as file:
            file.write(data)

    @defer.inlineCallbacks
    def test_rows_arrive_and_go_on_arriving(self) -> Any:
        log = log_of(INSERT.format(1), INSERT.format(2))
        service = self.follow((yield self.serve(log)))
        assert (yield service.when_applied(len(log), 30)) == len(log)
        assert self.rows() == [1, 2]
        self.append(log_of("BEGIN", INSERT.format(3)))
        yield self.until(lambda: service.status()["positions"]["durable"] > len(log))
        assert self.rows() == [1, 2]
        assert service.status()["positions"]["applied"] == len(log)
        self.append(log_of("COMMIT"))
        yield service.when_applied(self.master_wal.stat().st_size, 30)
        assert self.rows() == [1, 2, 3]
        status = yield self.until(lambda: (now := service.status())["lag"]["bytes"] == 0 and now)
        assert status["state"] == "streaming"
        assert status["error"] is None
        json.dumps(status)

    @defer.inlineCallbacks
    def test_stopped_and_started_again_it_goes_on(self) -> Any:
        endpoint = yield self.serve(log_of(INSERT.format(1)))
        first = self.follow(endpoint)
        yield first.when_applied(self.master_wal.stat().st_size, 30)
        yield first.stopService()
        assert self.ended == [None]
        assert first.status()["state"] == "stopped"
        self.append(log_of(INSERT.format(2)))
        second = self.follow(endpoint)
        yield second.when_applied(self.master_wal.stat().st_size, 30)
        assert self.rows() == [1, 2]
        assert self.paths.wal.read_bytes() == self.master_wal.read_bytes()

    @defer.inlineCallbacks
    def test_a_log_that_is_truncated_under_the_stream_stops_the_follower(self) -> Any:
        """PROTOCOL section 7, item 6."""
        service = self.follow((yield self.serve(log_of(*(INSERT.format(n) for n in range(40))))))
        yield service.when_applied(self.master_wal.stat().st_size, 30)
        self.master_wal.write_bytes(b"")
        yield self.until(lambda: self.ended)
        assert self.ended[0].check(HistoryDiverged)
        assert "truncated" in service.status()["error"]
        assert len(self.rows()) == 40

    @defer.inlineCallbacks
    def test_a_log_that_is_replaced_leads_to_a_fresh_snapshot_where_told(self) -> Any:
        endpoint = yield self.serve(log_of(*(INSERT.format(n) for n in range(40))))
        service = self.follow(endpoint, on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(self.master_wal.stat().st_size, 30)
        reader = Listener()
        service.log.add_listener(reader)
        fresh = self.folder / "fresh"
        fresh.write_bytes(log_of(*(INSERT.format(n) for n in range(100, 190))))
        fresh.rename(self.master_wal)
        yield self.until(lambda: self.rows()[:1] == [100] and len(self.rows()) == 90)
        assert self.paths.wal.read_bytes() == self.master_wal.read_bytes()
        assert self.ended == []
        # Whoever reads this copy's own log has to begin again, too, and is never shown one for the other.
        yield self.until(lambda: service.log.length == self.master_wal.stat().st_size)
        assert reader.told[0] is LogTruncated
        assert os.pread(service.log.fileno(), 10**6, 0) == self.master_wal.read_bytes()

    @defer.inlineCallbacks
    def test_a_cascade(self) -> Any:
        """A follower of a follower, on local offsets, through a fresh snapshot of the one between."""
        service = self.follow((yield self.serve(log_of(*(INSERT.format(n) for n in range(10))))))
        yield service.when_applied(self.master_wal.stat().st_size, 30)
        middle = MasterService(
            self.reactor,
            endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"),
            LoggedDatabase(service.log, EngineSnapshots(service._engine)),
            Serving(self.folder),
        )
        middle.startService()
        self.addCleanup(middle.stopService)
        port = yield middle.listening
        self.paths = DatabasePaths.of(self.folder / "second.db")
        second = self.follow(self.client(port.getHost().port))
        yield self.until(lambda: second.status()["positions"]["applied"])
        assert self.rows() == list(range(10))
        self.append(log_of(INSERT.format(10)))
        yield second.when_applied(self.master_wal.stat().st_size, 30)
        assert self.rows() == list(range(11))


class MisbehavingMasterTest(FollowerCase):
    @defer.inlineCallbacks
    def attempts(self, name: str, master: ScriptedMaster, **more: Any) -> Any:
        """How often a follower connects to a master within 1.2 s, with the delays of production."""
        self.patch(backoff, "FIRST_DELAY", 0.5)
        endpoint = yield self.listen(master)
        self.paths = DatabasePaths.of(self.folder / f"{name}.db")
        service = self.follow(endpoint, **more)
        service._retries = backoff.RetryPlan(self.reactor, lambda _low, high: high / 2)
        yield task.deferLater(self.reactor, 1.2)
        yield service.stopService()
        return name, len(master.hellos)

    @defer.inlineCallbacks
    def test_no_failure_leads_to_a_storm(self) -> Any:
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))

        def closes(script: Script) -> None:
            script.close()

        def status_then_close(script: Script) -> None:
            bootstrap(script, snapshot, 100, log)
            script.close()

        def broken_record(script: Script) -> None:
            bootstrap(script, snapshot, 100, log[:-1] + b"\xff")

        def refused_record(script: Script) -> None:
            bootstrap(script, snapshot, 100, log_of("INSERT INTO missing VALUES (1)"))

        def bad_snapshot(script: Script) -> None:
            bootstrap(script, b"no database" * 10, 100, log)

        def diverges(script: Script) -> None:
            bootstrap(script, snapshot, 100, log)
            script.send(encode_status(5, 1), encode_status(5, 2))

        def too_long(script: Script) -> None:
            script.send(number(0) + number(0), b"\0\xff\xff\xff\xff")

        plays = (closes, status_then_close, broken_record, refused_record, bad_snapshot, diverges, too_long)
        found = yield defer.gatherResults(
            [
                self.attempts("at_once", ScriptedMaster(closes, at_once=True)),
                *(
                    self.attempts(play.__name__, ScriptedMaster(play), on_divergence=OnDivergence.RESNAPSHOT)
                    for play in plays
                ),
            ]
        )
        assert [name for name, count in found if not 2 <= count <= 6] == [], found

    @defer.inlineCallbacks
    def test_a_refused_record_is_shown_until_it_is_applied(self) -> Any:
        snapshot = self.snapshot()
        bad = log_of(INSERT.format(1), "INSERT INTO later VALUES (7)", INSERT.format(2))
        service = self.follow(
            (yield self.listen(ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, bad))))
        )
        status = yield self.until(lambda: (now := service.status())["error"] and now)
        assert "no such table: later" in status["error"]
        yield service.when_applied(100 + len(log_of(INSERT.format(1))), 0)
        assert service.log.length == len(log_of(INSERT.format(1)))
        assert status["positions"]["applied"] == 100 + len(log_of(INSERT.format(1)))
        assert self.rows() == [1]
        # Somebody fixes the copy; replay goes on by itself.
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            connection.execute("CREATE TABLE later (a)")
        yield service.when_applied(100 + len(bad), 30)
        assert self.rows() == [1, 2]
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_a_full_disk_is_shown_until_there_is_room(self) -> Any:
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))
        service = self.follow(
            (yield self.listen(ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))))
        )
        real = service._replay._writer.append
        full = OSError(28, "No space left on device")

        def refuse(_: bytes) -> None:
            raise full

        service._replay._writer.append = refuse  # type: ignore[method-assign]
        yield self.until(lambda: "No space left" in (service.status()["error"] or ""))
        yield task.deferLater(self.reactor, 0.3)
        assert "No space left" in service.status()["error"]
        service._replay._writer.append = real  # type: ignore[method-assign]
        yield service.when_applied(100 + len(log), 30)
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_a_silent_master_is_dropped_and_tried_again(self) -> Any:
        """PROTOCOL section 7, item 11."""
        snapshot = self.snapshot()
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, b""))
        service = self.follow((yield self.listen(master)), timeouts=LinkTimeouts(silence=0.1))
        yield self.until(lambda: len(master.hellos) >= 3)
        assert service.status()["positions"]["applied"] == 100

    @defer.inlineCallbacks
    def test_another_history_ends_the_follower_with_its_copy_whole(self) -> Any:
        snapshot = self.snapshot()
        one, other = (log_of(*(INSERT.format(n) for n in range(first, first + 40))) for first in (10, 60))
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, one))
        endpoint = yield self.listen(master)
        service = self.follow(endpoint)
        yield service.when_applied(100 + len(one), 30)
        master.play = lambda script: script.send(number(0), wal(other[script.start - 100 :]))
        master.hellos[0].close()
        yield self.until(lambda: self.ended)
        assert self.ended[0].check(HistoryDiverged)
        assert not self.ended[0].check(LogTruncated)
        assert service.state is FollowerState.STOPPED
        assert self.rows() == list(range(10, 50))

    @defer.inlineCallbacks
    def test_a_bootstrap_that_breaks_off_leaves_the_old_copy(self) -> Any:
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))
        service = self.follow((yield self.listen(master)), on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(100 + len(log), 30)

        def break_off(script: Script) -> None:
            if script.start:
                script.send(number(0), encode_status(0, 1), encode_status(0, 1))
            else:
                script.send(number(len(snapshot)), snapshot[:5000])
                self.reactor.callLater(0.05, script.close)

        master.play = break_off
        master.hellos[0].close()
        yield self.until(lambda: len(master.hellos) >= 5)
        assert service.status()["positions"]["applied"] == 100 + len(log)
        assert self.rows() == [1]
        master.play = lambda script: bootstrap(script, snapshot, 9000, b"")
        yield service.when_applied(9000, 30)
        assert self.rows() == []
        yield service.stopService()
        assert [path.name for path in self.folder.iterdir() if "incoming" in path.name] == []


class MemoryTest(FollowerCase):
    """PROTOCOL section 7, item 8: whatever a master sends, only so much of it is held."""

    @defer.inlineCallbacks
    def test_nothing_more_is_read_while_replay_is_behind(self) -> Any:
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        class Held(CountingEngine):
            def execute(self, statements: Any, types: Any) -> None:
                go_on.wait(30)
                super().execute(statements, types)

        log = log_of("x" * 10_000) * 4000
        service = self.follow(
            (yield self.listen(ScriptedMaster(lambda script: bootstrap(script, b"s", 100, log)))), Held
        )
        yield self.until(lambda: service.status()["positions"]["received"])
        held = -1
        while held != (held := service.status()["positions"]["received"]):
            yield task.deferLater(self.reactor, 0.2)
        assert ReplayQueue.high_water <= held - 100 <= ReplayQueue.high_water + BATCH_BYTES + 2 * READ_SIZE
        go_on.set()
        yield service.when_applied(100 + len(log), 30)
        assert service.status()["statements"] == 4000

    @defer.inlineCallbacks
    def test_nothing_more_is_read_while_the_disk_is_behind(self) -> Any:
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        snapshot = b"some snapshot " * 2_000_000
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, b""))
        service = self.follow((yield self.listen(master)), ArchiveEngine)
        yield self.until(lambda: service.status()["bootstrap"])
        service._worker.call(go_on.wait, 30)
        held, before = service.status()["bootstrap"]["received"], -1
        while held != before:
            yield task.deferLater(self.reactor, 0.2)
            before, held = held, service.status()["bootstrap"]["received"]
        assert held < len(snapshot)
        go_on.set()
        yield service.when_applied(100, 30)
        assert self.paths.database.read_bytes() == snapshot


class FullDiskTest(FollowerCase):
    @defer.inlineCallbacks
    def test_a_snapshot_that_cannot_be_written_is_tried_again(self) -> Any:
        snapshot = self.snapshot("CREATE TABLE ballast (b)", "INSERT INTO ballast VALUES (zeroblob(3000000))")
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log_of(INSERT.format(1))))
        service = FollowerService(
            self.reactor, (yield self.listen(master)), SqliteEngine(self.paths.database), self.paths
        )
        obstacle = service._replay.snapshot_path
        real = service._replay.files.remove_snapshot
        service._replay.files.remove_snapshot = lambda: None  # type: ignore[method-assign]
        obstacle.mkdir()
        service.startService()
        self.addCleanup(self.stop, service)
        yield self.until(lambda: len(master.hellos) >= 3)
        assert f"{obstacle} cannot be written" in service.status()["error"]
        obstacle.rmdir()
        service._replay.files.remove_snapshot = real  # type: ignore[method-assign]
        yield service.when_applied(101, 30)
        assert self.rows() == [1]
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_a_log_that_cannot_begin_anew_is_noticed_by_those_who_read_it(self) -> Any:
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))
        master = ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))
        service = self.follow((yield self.listen(master)), on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(100 + len(log), 30)
        reader = Listener()
        service.log.add_listener(reader)
        real = service._replay._writer.replace
        full = OSError(28, "No space left on device")

        def refuse() -> None:
            service._replay._writer.replace = real  # type: ignore[method-assign]
            raise full

        service._replay._writer.replace = refuse  # type: ignore[method-assign]
        other = log_of(*(INSERT.format(n) for n in range(50, 60)))
        master.play = lambda script: (
            script.send(number(0), wal(other)) if script.start == 100 else bootstrap(script, snapshot, 7000, other)
        )
        master.hellos[0].close()
        yield service.when_applied(7000 + len(other), 30)
        assert reader.told[0] is LogTruncated
        assert self.rows() == list(range(50, 60))
        assert self.paths.wal.read_bytes() == other
        assert service.log.length == len(other)


class StoppingTest(FollowerCase):
    @defer.inlineCallbacks
    def test_at_any_state(self) -> Any:
        """Nothing is left behind: trial itself looks for timers, sockets and threads."""
        snapshot, log = self.snapshot(), log_of(INSERT.format(1))

        def partly(script: Script) -> None:
            script.send(number(len(snapshot)), snapshot[: len(snapshot) // 2])

        plays: list[tuple[Callable[[Script], None], Callable[[FollowerService, ScriptedMaster], Any]]] = [
            (lambda _: None, lambda service, master: True),
            (lambda _: None, lambda service, master: master.hellos and master.hellos[0].hello),
            (partly, lambda service, master: service.status()["bootstrap"]),
            (
                lambda script: bootstrap(script, snapshot, 100, log),
                lambda service, master: service.status()["source"],
            ),
            (
                lambda script: bootstrap(script, snapshot, 100, log),
                lambda service, master: service.status()["positions"]["applied"],
            ),
            (lambda script: script.close(), lambda service, master: service.state is FollowerState.WAITING),
        ]
        plays[3] = (plays[3][0], lambda service, master: service.status()["positions"]["source"])
        for index, (play, reached) in enumerate(plays):
            self.paths = DatabasePaths.of(self.folder / f"{index}.db")
            master = ScriptedMaster(play)
            service = self.follow((yield self.listen(master)))
            yield self.until(lambda service=service, master=master, reached=reached: reached(service, master))
            waiting = service.when_applied(10**9)
            yield defer.gatherResults([service.stopService(), service.stopService()])
            yield self.assertFailure(waiting, ServiceStopped)
            assert service.state is FollowerState.STOPPED
            lock = LockFile(self.paths.writer_lock, "test")
            lock.acquire()
            lock.release()
        assert self.ended == [None] * len(plays)

    @defer.inlineCallbacks
    def test_while_it_connects(self) -> Any:
        class Never:
            def connect(self, factory: Any) -> Deferred[Any]:
                return Deferred()

        service = self.follow(Never())
        yield self.until(lambda: service._client.running)
        yield service.stopService()
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_while_the_master_floods_it(self) -> Any:
        snapshot = self.snapshot()
        log = log_of(*(INSERT.format(n) for n in range(60_000)))
        service = self.follow(
            (yield self.listen(ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))))
        )
        yield service.when_applied(101, 30)
        yield service.stopService()
        again = self.follow(
            (yield self.listen(ScriptedMaster(lambda script: bootstrap(script, snapshot, 100, log))))
        )
        yield again.when_applied(100 + len(log), 60)
        assert self.rows("SELECT count(DISTINCT a) FROM t") == [60_000]
        assert self.rows("SELECT count(*) FROM t") == [60_000]


class StartingTest(FollowerCase):
    def refused(self) -> Any:
        return self.client(1)

    @defer.inlineCallbacks
    def test_files_of_another_process(self) -> Any:
        lock = LockFile(self.paths.writer_lock, "somebody else")
        lock.acquire()
        service = self.follow(self.refused())
        yield self.until(lambda: self.ended)
        lock.release()
        assert self.ended[0].check(DatabaseLocked)
        assert "somebody else" in service.status()["error"]

    @defer.inlineCallbacks
    def test_a_folder_that_is_not_there(self) -> Any:
        self.paths = DatabasePaths.of(self.folder / "none" / "copy.db")
        self.follow(self.refused())
        yield self.until(lambda: self.ended)
        assert self.ended[0].check(ConfigurationError)

    @defer.inlineCallbacks
    def test_a_master_that_is_not_there_is_tried_again(self) -> Any:
        attempts: list[Any] = []

        class Refusing:
            def connect(self, factory: Any) -> Deferred[Any]:
                attempts.append(factory)
                return defer.fail(error.ConnectionRefusedError())

        service = self.follow(Refusing())
        yield self.until(lambda: len(attempts) >= 4)
        assert "cannot be reached" in service.status()["error"]
        assert service.status()["positions"]["applied"] is None
        yield self.assertFailure(service.when_applied(5, 0.05), WaitTimeout)

    @defer.inlineCallbacks
    def test_an_archive_and_a_counter_follow_too(self) -> Any:
        log = log_of(INSERT.format(1), "no SQL at all")
        for kind in (ArchiveEngine, CountingEngine):
            self.paths = DatabasePaths.of(self.folder / f"{kind.name}.db")
            master = ScriptedMaster(lambda script: bootstrap(script, b"any snapshot", 100, log))
            service = self.follow((yield self.listen(master)), kind)
            yield service.when_applied(100 + len(log), 30)
            assert service.status()["statements"] == 2
            assert self.paths.wal.read_bytes() == log


class OurOwnPrimaryTest(WellBehavedMasterTest):
    """The same with snapshots of a database that stores its position."""

    @defer.inlineCallbacks
    def serve(self, log: bytes, snapshots: Any = None) -> Any:
        found = yield super().serve(log, SqliteSnapshotSource(self.folder / "master.db"))
        with contextlib.closing(sqlite3.connect(self.folder / "master.db", isolation_level=None)) as connection:
            ensure_table(connection)
            write_state(connection, ROLE_PRIMARY, ReplayState(0, 0))
        return found
