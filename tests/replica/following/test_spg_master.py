"""A follower of an SPG server, on real sockets: its snapshot, its cold segments, its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ColdRowsMissing
from spgrepl.log.format.lzss import compress
from spgrepl.log.tailer import WalTailer
from spgrepl.master.service import MasterService, Serving
from spgrepl.master.snapshots.sources import FileSnapshotSource, LoggedDatabase
from spgrepl.replica.following import cold_gate, queue
from spgrepl.replica.following.states import FollowerState
from spgrepl.segments.outgoing import SegmentFolder
from spgrepl.server.role_parts import EngineSnapshots
from spgrepl.wire.frames import encode_chunk_start, encode_status
from spgrepl.wire.segment_chunks import ChunkHeader
from tests.replica.following.copies import log_of
from tests.replica.following.test_service import FollowerCase, Script, ScriptedMaster, number, wal
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.spg.samples import VECTORS

POSITION = 400
INSERT = "INSERT INTO t (id, name, price) VALUES ({}, 'row', '1.50')"


def row(key: int, name: str | None = "cold") -> bytes:
    return w.row(w.i32(key), None if name is None else w.text(name), w.numeric(250, 2, 100))


def snapshot(cold: dict[int, int] | None = None, version: int = 100) -> bytes:
    """An envelope with a table of two hot rows, and cold rows: segments by key."""
    columns = [
        w.column("id", w.u8(1), 0),
        w.column("name", w.u8(4), 1, w.u8(4) + w.text("new")),
        w.column("price", w.u8(10, 10, 2)),
    ]
    entries = [(1, [w.hot(0)]), (2, [w.hot(1)]), *((key, [w.cold(one)]) for key, one in (cold or {}).items())]
    table = w.table(
        version,
        "t",
        columns,
        [row(1, "hot"), row(2, "hot")],
        [w.btree(version, "t_id", 0, entries)],
        blocks={7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0))},
    )
    return w.envelope(5, w.catalog(version, table), b"", w.publications(("p", 0, ()), ("q", 1, ("t",))))


def chunk(segment: int, content: bytes) -> bytes:
    return encode_chunk_start(ChunkHeader(segment, 0, 1, len(content))) + content


def lzss(content: bytes) -> bytes:
    return w.wrapped(content, compress(content))


SEGMENT_3 = w.segment([(key, row(key)) for key in (10, 11, 12)], 4)
SEGMENT_5 = lzss(w.brin((0, 20, 21)) + w.segment([(20, row(20)), (-21, row(-21, None))]))
COLD = {10: 3, 12: 3, 20: 5, -21: 5}
ALL = [-21, 1, 2, 10, 12, 20]


class SpgMasterTest(FollowerCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(cold_gate, "EVERY", 0.01)
        self.segments = {3: SEGMENT_3, 5: SEGMENT_5}
        self.content = snapshot(COLD)
        self.log = b""
        self.early = False  # whether a STATUS comes before the segments
        self.scripts: list[Script] = []

    def play(self, script: Script) -> None:
        """As an SPG master does: the snapshot, all segments at every connection, then the log."""
        self.scripts.append(script)
        if script.start == 0:
            script.send(number(len(self.content)), self.content, number(POSITION))
        else:
            script.send(number(0))
        if self.early:
            script.send(encode_status(POSITION + len(self.log), 1))
        for segment, content in self.segments.items():
            script.send(chunk(segment, content))
        script.send(wal(self.log[max(0, script.start - POSITION) :]), encode_status(POSITION + len(self.log), 1))

    def ids(self) -> list[int]:
        found: list[int] = self.rows("SELECT id FROM t ORDER BY id")
        return found

    @defer.inlineCallbacks
    def serve(self, **more: Any) -> Any:
        self.master = ScriptedMaster(self.play)
        return self.follow((yield self.listen(self.master)), **more)

    @defer.inlineCallbacks
    def test_rows_of_snapshot_segments_and_log(self) -> Any:
        self.log = log_of(
            INSERT.format(50), "UPDATE t SET name = 'changed' WHERE id = 10", "DELETE FROM t WHERE id = 20"
        )
        service = yield self.serve()
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.ids() == [-21, 1, 2, 10, 12, 50]
        assert self.rows("SELECT name FROM t WHERE id = 10") == ["changed"]
        assert self.rows("SELECT price FROM t WHERE id IN (-21, 50) ORDER BY id") == ["2.50", "1.50"]
        assert self.rows("SELECT name FROM spgrepl_publications ORDER BY name") == ["p", "q"]
        types = self.rows("SELECT spg_type FROM spgrepl_spg_columns ORDER BY position")
        assert types == ["INT", "TEXT", "NUMERIC(10,2)"]
        assert self.rows("SELECT 1 FROM sqlite_master WHERE name = 'spgrepl_spg_cold'") == []
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        assert service.status()["cold_rows"] is None
        assert self.paths.wal.read_bytes() == self.log
        assert {path.name: path.read_bytes() for path in self.paths.segments.iterdir()} == {
            "seg_3.spg": SEGMENT_3,
            "seg_5.spg": SEGMENT_5,
        }

    @defer.inlineCallbacks
    def test_every_version_of_a_snapshot_is_begun_with(self) -> Any:
        self.content, self.segments = (VECTORS / "a_v8.catalog").read_bytes(), {}
        self.log = log_of("INSERT INTO a (id) VALUES (3)")
        service = yield self.serve()
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.rows("SELECT t FROM a ORDER BY id") == ["hé", None, None]

    @defer.inlineCallbacks
    def test_the_log_waits_for_segments_that_come_beside_it(self) -> Any:
        later, self.segments = self.segments, {}
        self.early = True
        self.log = log_of("UPDATE t SET name = 'changed' WHERE id IN (10, 20)")
        service = yield self.serve()
        yield self.until(lambda: service.status()["cold_rows"])
        assert service.state is FollowerState.BOOTSTRAPPING
        assert service.status()["positions"]["applied"] == POSITION
        assert service.status()["cold_rows"].startswith("4 rows of t: key 10 (segment 3), key 12 (segment 3)")
        for segment, content in later.items():
            self.scripts[-1].send(chunk(segment, content), encode_status(POSITION + len(self.log), 1))
        yield self.until(
            lambda: self.scripts[-1].send(encode_status(POSITION + len(self.log), 1)) or not service._cold.waiting
        )
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.rows("SELECT id FROM t WHERE name = 'changed' ORDER BY id") == [10, 20]
        yield self.until(lambda: service.state is FollowerState.STREAMING)

    @defer.inlineCallbacks
    def test_more_log_than_may_wait_does_not_keep_segments_away(self) -> Any:
        """A master whose log grows sends it between the segments: what was let go comes again."""
        self.patch(queue.ReplayQueue, "high_water", 200)
        later, self.segments = self.segments, {}
        self.early = True
        self.log = log_of(*(INSERT.format(number) for number in range(100, 140)))
        service = yield self.serve()
        yield self.until(lambda: service.status()["cold_rows"] and service.status()["positions"]["received"])
        assert service.status()["positions"]["applied"] == POSITION
        self.segments = later
        for segment, content in later.items():
            self.scripts[-1].send(chunk(segment, content))
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.ids() == [*ALL, *range(100, 140)]
        assert len(self.scripts) == 2
        assert self.ended == []

    @defer.inlineCallbacks
    def test_segments_that_never_come_are_named(self) -> Any:
        """The log is not applied, and the follower tries again; a master that has them then is enough."""
        self.patch(cold_gate, "PATIENCE", 0.0)
        missing = self.segments.pop(5)
        self.log = log_of(INSERT.format(50))
        service = yield self.serve()
        yield self.until(lambda: isinstance(service._error, ColdRowsMissing) and len(self.scripts) > 2)
        assert "2 rows of t: key -21 (segment 5), key 20 (segment 5)" in str(service._error)
        assert "--without-cold-rows" in str(service._error)
        assert service.status()["positions"]["applied"] == POSITION
        assert self.ids() == [1, 2, 10, 12]
        assert self.ended == []
        self.segments[5] = missing
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.ids() == [*ALL, 50]

    @defer.inlineCallbacks
    def test_done_without_where_told(self) -> Any:
        self.patch(cold_gate, "PATIENCE", 0.0)
        del self.segments[5]
        self.log = log_of(INSERT.format(50))
        service = yield self.serve(without_cold_rows=True)
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.ids() == [1, 2, 10, 12, 50]
        assert service.status()["cold_rows"] is None
        assert service.status()["cold_rows_left_out"] == {"t": {"rows": 2, "first_key": -21}}

    @defer.inlineCallbacks
    def test_a_restart_waits_as_well(self) -> Any:
        """A follower that ends before its segments came goes on waiting, and takes no file for granted."""
        self.log = log_of("DELETE FROM t WHERE id = 20")
        later, self.segments = self.segments, {}
        first = yield self.serve()
        yield self.until(lambda: first.status()["cold_rows"])
        yield first.stopService()
        # A file that happens to have the name of a segment proves nothing.
        put_segments(
            self.paths.segments, {3: w.segment([(10, row(10, "of another")), (12, row(12, "of another"))])}
        )
        self.segments = later
        second = self.follow(self.client((yield self.listen(self.master))._port))
        yield second.when_applied(POSITION + len(self.log), 30)
        assert self.ids() == [-21, 1, 2, 10, 12]
        assert self.rows("SELECT DISTINCT name FROM t WHERE id IN (10, 12)") == ["cold"]

    @defer.inlineCallbacks
    def test_a_damaged_snapshot_is_named(self) -> Any:
        self.content = self.content[:-1] + b"?"
        service = yield self.serve()
        yield self.until(lambda: service.status()["error"])
        assert "CRC-32" in service.status()["error"]
        assert "--engine archive" in service.status()["error"]
        assert not self.paths.database.exists()
        # It is tried again, and each time the file goes.
        yield self.until(lambda: not list(self.folder.glob("*.incoming*")))

    @defer.inlineCallbacks
    def test_a_snapshot_takes_the_place_of_another(self) -> Any:
        """A second one replaces all rows; a segment that is there from before counts when it has come again."""
        service = yield self.serve()
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        assert self.ids() == ALL
        self.content, self.segments = snapshot({10: 3}), {3: w.segment([(10, row(10, "again"))], 4)}
        self.early = True
        service._divergence.resnapshot = True
        service._link.drop()
        yield self.until(lambda: len(self.scripts) > 1)
        yield self.until(lambda: self.ids() == [1, 2, 10])
        yield self.until(lambda: service.state is FollowerState.STREAMING)
        assert self.rows("SELECT name FROM t WHERE id = 10") == ["again"]


class ArchiveMasterTest(FollowerCase):
    """A master of ours that serves the files of an SPG server, and a follower of that follower."""

    @defer.inlineCallbacks
    def serve(self, log: Any, source: Any, segments: Path) -> Any:
        endpoint = endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        master = MasterService(
            self.reactor,
            endpoint,
            LoggedDatabase(log, source),
            Serving(self.folder, segments=SegmentFolder.of(segments, by_name=True, chunk=100)),
        )
        master.startService()
        self.addCleanup(master.stopService)
        port = yield master.listening
        return self.client(port.getHost().port)

    @defer.inlineCallbacks
    def test_files_of_an_spg_server_through_two_followers(self) -> Any:
        log = log_of(INSERT.format(50), "UPDATE t SET name = 'changed' WHERE id = 10")
        (self.folder / "spg.wal").write_bytes(log)
        (self.folder / "spg.db").write_bytes(snapshot(COLD))
        put_segments(self.folder / "spg.spg" / "segments", {3: SEGMENT_3, 5: SEGMENT_5})
        tailer = WalTailer(self.reactor, self.folder / "spg.wal")
        tailer.start()
        self.addCleanup(tailer.stop)
        source = FileSnapshotSource(self.folder / "spg.db", self.folder / "spg.spg" / "manifest.v10")
        first = self.follow((yield self.serve(tailer, source, self.folder / "spg.spg" / "segments")))
        yield first.when_applied(len(log), 30)
        yield self.until(lambda: first.state is FollowerState.STREAMING)
        expected = [(key, "changed" if key == 10 else None if key == -21 else "cold") for key in (-21, 10, 12, 20)]
        query = "SELECT id FROM t WHERE id NOT IN (1, 2, 50) AND name IS {} ORDER BY id"
        assert self.rows(query.format("'cold'")) == [key for key, name in expected if name == "cold"]
        assert self.rows(query.format("'changed'")) == [10]
        segments = self.paths.segments
        self.paths = DatabasePaths.of(self.folder / "second.db")
        second = self.follow((yield self.serve(first.log, EngineSnapshots(first._engine), segments)))
        yield self.until(lambda: second.state is FollowerState.STREAMING)
        assert self.rows("SELECT id FROM t ORDER BY id") == [*ALL, 50]
        yield self.until(lambda: second.status()["segments"]["registered"] == 2)
        found = {path.name: path.read_bytes() for path in self.paths.segments.iterdir()}
        assert found == {"seg_3.spg": SEGMENT_3, "seg_5.spg": SEGMENT_5}
