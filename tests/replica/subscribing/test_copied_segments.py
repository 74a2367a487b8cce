"""The cold segments that follow the snapshot of an SPG server, gathered until its rows are whole."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints, protocol, task
from twisted.trial.unittest import TestCase

from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import CopyRefused, HistoryDiverged, PeerClosed
from spgrepl.log.format.parser import cut_records
from spgrepl.replica import retry as backoff
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.subscribing import copied_segments
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.wire.frames import encode_chunk_start, encode_status
from spgrepl.wire.segment_chunks import ChunkHeader
from spgrepl.wire.subscription import SubscriberReply
from tests import sql as sqlite3
from tests.replica.following.copies import log_of
from tests.replica.following.test_service import number, wal
from tests.replica.subscribing.spg_content import content
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.wire.reference_hello import decode_subscriber_hello

POSITION = 400


SEGMENT = w.segment([(9, w.row(w.i32(9), w.text("cold"))), (10, w.row(w.i32(10), w.text("dead")))], 4)


class SpgPublisher(protocol.Protocol):
    """An SPG server: a snapshot and all its segments on the wire of followers, the log on that of subscribers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._said = b""

    def dataReceived(self, data: bytes) -> None:
        self._said += data
        if self._said.startswith(b"SPGREPL\x02") and len(self._said) == 16:
            self._server.copies += 1
            self._server.play(self)
        elif self._said.startswith(b"SPGSUB"):
            found = decode_subscriber_hello(self._said)
            if found is not None:
                self._server.starts.append(found[0].start)
                self._answer(found[0].start)

    def _answer(self, start: int) -> None:
        log = self._server.log
        if start > POSITION + len(log):
            # After a CHECKPOINT: an SPG server serves such a start in silence; closing is what others do.
            assert self.transport is not None
            self.transport.loseConnection()
            return
        begin = start or POSITION + len(log)
        self.send(SubscriberReply(begin, 77).encode())
        if start:
            batch, _ = cut_records(log[start - POSITION :], start)
            for one, end in zip([0, *batch.ends], batch.ends, strict=False):
                self.send(wal(batch.data[one:end]))
        self.send(encode_status(POSITION + len(log), 1))

    def send(self, *pieces: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(pieces))


class Server(protocol.Factory):
    noisy = False

    def __init__(self) -> None:
        self.log = log_of("INSERT INTO other (id, text) VALUES (50, 'new')")
        self.segments = {4: SEGMENT}
        self.content = content(cold=True)
        self.copies = 0
        self.starts: list[int] = []
        self.cut = False  # whether the connection ends before the segments, once

    def buildProtocol(self, _: Any) -> SpgPublisher:
        return SpgPublisher(self)

    def play(self, peer: SpgPublisher) -> None:
        peer.send(number(len(self.content)), self.content, number(POSITION))
        if self.cut:
            self.cut = False
            assert peer.transport is not None
            peer.transport.loseConnection()
            return
        for segment, data in self.segments.items():
            peer.send(encode_chunk_start(ChunkHeader(segment, 0, 1, len(data))) + data)
        peer.send(encode_status(POSITION + len(self.log), 1))


class OverSocketsTest(TestCase):
    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.addCleanup(lambda: task.deferLater(reactor, 0))  # type: ignore[arg-type]
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.database = self.folder / "target.db"
        self.patch(backoff, "FIRST_DELAY", 0.02)
        self.patch(copied_segments, "EVERY", 0.01)
        self.server = Server()
        self.ended: list[Any] = []

    @defer.inlineCallbacks
    def subscribe(self, *publications: str, kind: type = SqliteTarget, **more: Any) -> Any:
        endpoint = endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = yield endpoint.listen(self.server)
        self.addCleanup(port.stopListening)
        service = SubscriberService(
            self.reactor,
            endpoints.TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port),
            kind(self.database, "s") if kind is SqliteTarget else kind(self.database),
            Subscription("s", publications, **more),
            SubscriberSide(1, self.database),
        )
        service.finished.addBoth(self.ended.append)
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service

    def rows(self, sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql).fetchall()

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if "incoming" in path.name)

    @defer.inlineCallbacks
    def test_rows_of_snapshot_and_segments_then_the_log(self) -> Any:
        service = yield self.subscribe("every")
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.rows("SELECT * FROM other ORDER BY id") == [(1, "one"), (9, "cold"), (50, "new")]
        assert self.rows("SELECT * FROM articles") == [(1, "one"), (3, None)]
        assert self.leftovers() == []
        assert self.server.starts == [0, POSITION]
        assert self.server.copies == 1

    @defer.inlineCallbacks
    def test_a_connection_that_ends_before_the_segments_is_made_again(self) -> Any:
        self.server.cut = True
        service = yield self.subscribe("every")
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.rows("SELECT id FROM other ORDER BY id") == [(1,), (9,), (50,)]
        assert self.server.copies == 2
        assert self.leftovers() == []

    @defer.inlineCallbacks
    def test_segments_that_never_come_end_the_subscription_by_name(self) -> Any:
        self.patch(copied_segments, "PATIENCE", 0.0)
        self.server.segments = {}
        yield self.subscribe("every")
        while not self.ended:
            yield task.deferLater(self.reactor, 0.005)
        assert self.ended[0].check(CopyRefused)
        assert "the master did not send: 1 of other" in self.ended[0].getErrorMessage()
        assert self.leftovers() == []

    @defer.inlineCallbacks
    def test_what_a_killed_process_has_left_is_removed_and_nothing_else(self) -> Any:
        put_segments(self.folder / "target.db.s.incoming.spg" / "segments", {4: b"old", 9: b"old"})
        (self.folder / "target.db.s.incoming.spg" / "manifest.v10").write_bytes(b"old")
        (self.folder / "target.db.s.incoming.spg" / "letter").write_bytes(b"somebody's")
        service = yield self.subscribe("every")
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.rows("SELECT id FROM other ORDER BY id") == [(1,), (9,), (50,)]
        assert self.leftovers() == ["target.db.s.incoming.spg"]
        assert [path.name for path in (self.folder / "target.db.s.incoming.spg").iterdir()] == ["letter"]

    @defer.inlineCallbacks
    def test_who_only_counts_reads_nothing_of_the_snapshot(self) -> Any:
        self.server.content = b"SPGENV01 and anything"
        service = yield self.subscribe("every", kind=CountingTarget)
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert service.status()["statements"] == 1

    @defer.inlineCallbacks
    def test_a_damaged_snapshot_is_asked_for_once_more(self) -> Any:
        good, self.server.content = self.server.content, self.server.content[:-1] + b"?"
        service = yield self.subscribe("every")
        while self.server.copies < 1 or not service.status()["error"]:
            yield task.deferLater(self.reactor, 0.002)
        assert "CRC-32" in service.status()["error"]
        self.server.content = good
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.server.copies == 2

    @defer.inlineCallbacks
    def test_statements_are_read_by_the_types_of_the_snapshot(self) -> Any:
        self.server.log += log_of(
            "INSERT INTO other (id, text) VALUES (51, TRUE)",
            "UPDATE other SET text = upper(text) WHERE text LIKE 'n%'",
        )
        service = yield self.subscribe("every")
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.rows("SELECT text FROM other WHERE id >= 50 ORDER BY id") == [("NEW",), ("true",)]
        assert service.status()["spg"] == {"skipped": {}, "approximated": {}}

    @defer.inlineCallbacks
    def test_a_checkpoint_means_a_new_copy_where_told(self) -> Any:
        """The rows that the copy filled are replaced in one transaction; what else is there stays."""
        self.server.content, self.server.segments = content(), {}
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.execute("CREATE TABLE mine (a)")
            connection.execute("INSERT INTO mine VALUES (1)")
            connection.commit()
        self.server.log = log_of(*(f"INSERT INTO other (id, text) VALUES ({key}, 'x')" for key in range(50, 90)))
        service = yield self.subscribe("every", on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(POSITION + len(self.server.log), 30)
        assert self.rows("SELECT count(*) FROM other") == [(41,)]
        self.server.log = log_of("INSERT INTO other (id, text) VALUES (99, 'after')")
        service._link.drop(PeerClosed("cut"))
        while not self.rows("SELECT 1 FROM other WHERE id = 99"):
            yield task.deferLater(self.reactor, 0.01)
        assert self.rows("SELECT id FROM other ORDER BY id") == [(1,), (99,)]
        assert self.rows("SELECT * FROM mine") == [(1,)]
        assert self.server.copies == 2
        assert self.ended == []
        assert service.status()["error"] is None

    @defer.inlineCallbacks
    def test_a_checkpoint_stops_where_nothing_was_told(self) -> Any:
        self.server.content, self.server.segments = content(), {}
        self.server.log = log_of(*(f"INSERT INTO other (id, text) VALUES ({key}, 'x')" for key in range(50, 90)))
        service = yield self.subscribe("every")
        yield service.when_applied(POSITION + len(self.server.log), 30)
        self.server.log = b""
        service._link.drop(PeerClosed("cut"))
        while not self.ended:
            yield task.deferLater(self.reactor, 0.01)
        assert self.ended[0].check(HistoryDiverged)
        assert self.rows("SELECT count(*) FROM other") == [(41,)]

    @defer.inlineCallbacks
    def test_a_checkpoint_with_a_target_that_counts(self) -> Any:
        self.server.log = log_of(*(f"INSERT INTO other (id, text) VALUES ({key}, 'x')" for key in range(50, 90)))
        service = yield self.subscribe("every", kind=CountingTarget, on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(POSITION + len(self.server.log), 30)
        self.server.log = log_of("INSERT INTO other (id, text) VALUES (99, 'after')")
        service._link.drop(PeerClosed("cut"))
        while service.status()["positions"]["applied"] != POSITION + len(self.server.log):
            yield task.deferLater(self.reactor, 0.01)
        assert self.server.copies == 2
        assert self.ended == []
