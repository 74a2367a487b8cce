"""What a follower gets, byte for byte: recorded exchanges, tails, snapshots, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from spgrepl.base.reading import PIECE
from spgrepl.errors import SnapshotError
from spgrepl.log.source import ILogListener
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.watch.status import to_json
from tests.master.kit import NOW, VECTORS, Master, frame, frames, status, u64, wal_of


class MasterCase(SynchronousTestCase):
    """A master over a log of 1000 bytes."""

    limits: MasterLimits | None = None

    def setUp(self) -> None:
        self.wal = bytes(range(250)) * 4
        self.folder = Path(self.mktemp())
        self.master = Master(self.folder, self.wal, self.limits)
        self.addCleanup(self.master.close)

    def counts(self) -> dict[str, int]:
        found = to_json(self.master.hub.describe())
        return {**found["refused"], **found["dropped"]}


class VectorTests(SynchronousTestCase):
    """The bytes that a deployed master was recorded to send, STATUS and segments left out."""

    def setUp(self) -> None:
        self.wal = (VECTORS / "mixed.wal").read_bytes()
        self.master = Master(Path(self.mktemp()), self.wal)
        self.master.source.content = (VECTORS / "snapshot.bin").read_bytes()
        self.master.source.position = len(self.wal)
        self.addCleanup(self.master.close)

    def replay(self, name: str, piece: int = 1000) -> tuple[dict[str, object], bytes, bool]:
        vector = json.loads((VECTORS / f"{name}.json").read_text())
        hello = bytes.fromhex(vector["hello"])
        peer = self.master.connect()
        for at in range(0, len(hello), piece):
            if not peer.closing:
                peer.send(hello[at : at + piece])
        return vector, peer.take(), peer.closing

    def test_v1(self) -> None:
        for name in ("v1_bootstrap", "v1_resume"):
            for piece in (1000, 1):
                vector, reply, closed = self.replay(name, piece)
                assert reply == bytes.fromhex(str(vector["reply"]))
                assert closed is vector["closed"]

    def test_v2(self) -> None:
        for name in ("v2_bootstrap", "v2_resume"):
            for piece in (1000, 1):
                vector, reply, closed = self.replay(name, piece)
                head = bytes.fromhex(str(vector["reply_head"]))
                assert reply[: len(head)] == head
                got = [(kind, payload) for kind, payload in frames(reply[len(head) :]) if kind != 1]
                recorded = vector["frames_without_status"]
                assert isinstance(recorded, list)
                assert got == [(one["type"], bytes.fromhex(one["hex"])) for one in recorded if one["type"] != 3]
                assert closed is vector["closed"]

    def test_bad_magic(self) -> None:
        vector, reply, closed = self.replay("bad_magic")
        assert (reply.hex(), closed) == (vector["reply_head"], vector["closed"])
        assert to_json(self.master.hub.describe())["refused"] == {"bad_hello": 1}


class HelloTests(MasterCase):
    def test_nothing_is_sent_before_the_hello(self) -> None:
        peer = self.master.connect()
        peer.send(b"SPGREPL")
        self.master.log.grow(b"more")
        self.master.pass_time(1)
        assert peer.take() == b""

    def test_what_follows_the_hello_is_passed_over(self) -> None:
        peer = self.master.connect()
        peer.send(b"SPGREPL\x01" + u64(998) + b"chatter")
        peer.send(b"SPGREPL\x02" + bytes(1000))
        assert peer.take() == u64(0) + self.wal[998:]
        assert not peer.closing

    def test_deadline(self) -> None:
        slow = self.master.connect()
        slow.send(b"SPGR")
        self.master.pass_time(9.5)
        assert not slow.aborted
        slow.send(b"EPL")  # a byte now and then does not help
        self.master.pass_time(1.5)
        assert slow.aborted
        slow.lose()
        assert self.counts() == {"handshake_timeout": 1}

    def test_no_deadline_after_the_hello(self) -> None:
        peer = self.master.follow(1000)
        self.master.pass_time(300, 1)
        assert not peer.closing

    def test_connection_limit(self) -> None:
        master = Master(self.folder / "limited", limits=MasterLimits(connections=2))
        self.addCleanup(master.close)
        first, second = master.connect(), master.connect()
        assert master.connect().refused
        first.lose()
        assert not master.connect().refused
        assert master.connect().refused
        assert to_json(master.hub.describe())["refused"] == {"connection_limit": 2}
        assert to_json(master.hub.describe())["accepted"] == 3
        assert not second.closing


class LogTests(MasterCase):
    def test_v1_is_raw(self) -> None:
        peer = self.master.follow(10, version=1)
        assert peer.take() == u64(0) + self.wal[10:]
        self.master.log.grow(b"new bytes")
        assert peer.take() == b"new bytes"
        self.master.pass_time(1)
        assert peer.take() == b""

    def test_v2_is_framed_with_status_after_progress(self) -> None:
        peer = self.master.follow(10)
        assert peer.take() == u64(0) + frame(self.wal[10:]) + status(1000)
        self.master.log.grow(b"new bytes")
        assert peer.take() == frame(b"new bytes") + status(1009)

    def test_start_at_the_end(self) -> None:
        assert self.master.follow(1000).take() == u64(0) + status(1000)
        assert self.master.follow(1000, version=1).take() == u64(0)

    def test_status_every_50_ms(self) -> None:
        peer = self.master.follow(1000)
        peer.take()
        for _ in range(20):
            self.master.clock.advance(0.05)
            assert peer.take() == status(1000)

    def test_status_is_one_object_for_all(self) -> None:
        sent: list[bytes] = []
        for _ in range(3):
            peer = self.master.follow(1000)
            self.patch(peer.transport, "write", sent.append)
        self.master.clock.advance(0.05)
        assert sent == [status(1000)] * 3

    def test_long_catch_up_is_cut_at_boundaries(self) -> None:
        self.master.log.grow(bytes(2 * PIECE))
        got = frames(self.master.follow(300).take()[8:])
        assert [len(payload) for kind, payload in got if kind == 0] == [PIECE - 300, PIECE, 1000]
        assert got[-1][0] == 1

    def test_catch_up_yields_to_others(self) -> None:
        """After a burst the reactor gets its turn, and the stream goes on in the next one."""
        self.master.log.grow(bytes(12 * 1024 * 1024))
        for number in range(3):
            peer = self.master.follow(1)
            burst = 8 * 1024 * 1024 // (number + 1)
            assert self.master.context.burst == burst
            first = len(peer.take())
            assert burst <= first < burst + PIECE + 100
            self.master.pass_time(0.1, 0.01)
            assert first + len(peer.take()) > 12 * 1024 * 1024

    def test_growth_is_told_in_turns(self) -> None:
        """Many connections that all have something to send do not keep the reactor from its other work."""
        peers = [self.master.follow(1000) for _ in range(10)]
        for peer in peers:
            peer.take()
            real = peer.transport.write

            def slow(data: bytes, real: Any = real) -> None:
                self.master.clock.rightNow += 0.002
                real(data)

            self.patch(peer.transport, "write", slow)
        self.master.log.grow(b"x")
        served = [bool(peer.take()) for peer in peers]
        assert served == [True] * 2 + [False] * 8
        peers[2].lose()
        self.master.log.grow(b"y")
        self.master.pass_time(0.2, 0.005)
        assert all(wal_of(peer.take()).endswith(b"y") for peer in peers[3:])

    def test_same_place_is_read_once(self) -> None:
        first = self.master.follow(10)
        reads = self.master.feed.reads
        second = self.master.follow(10, version=1)
        assert self.master.feed.reads == reads
        peers = [self.master.follow(1000) for _ in range(5)]
        self.master.log.grow(b"tail")
        assert self.master.feed.reads == reads + 1
        assert all(peer.take().endswith(frame(b"tail") + status(1004)) for peer in [first, *peers])
        assert second.take() == u64(0) + self.wal[10:] + b"tail"

    def test_start_beyond_the_end(self) -> None:
        peer = self.master.follow(1001)
        assert peer.take() == u64(0) + status(1000)
        assert peer.closing
        old = self.master.follow(5000, version=1)
        assert old.take() == u64(0)
        assert old.closing
        peer.lose()
        old.lose()
        assert self.counts() == {"start_beyond_end": 2}

    def test_log_lost(self) -> None:
        framed, raw, early = self.master.follow(10), self.master.follow(10, version=1), self.master.connect()
        framed.take(), raw.take()
        self.master.log.lose(length=4)
        assert framed.take() == status(4)
        assert framed.closing
        assert raw.take() == b""
        assert raw.closing
        assert not early.closing
        framed.lose()
        raw.lose()
        assert self.counts() == {"log_lost": 2}
        early.send(b"SPGREPL\x02" + u64(2))
        assert early.take() == u64(0) + frame(self.wal[2:4]) + status(4)

    def test_the_new_log_is_served_and_not_the_held_chunks_of_the_old_one(self) -> None:
        self.master.follow(10)
        self.master.log.lose()
        self.master.log.grow(b"x" * 1000)
        assert wal_of(self.master.follow(10).take()[8:]) == b"x" * 990

    def test_growth_of_a_log_while_none_was_there(self) -> None:
        master = Master(self.folder / "empty")
        self.addCleanup(master.close)
        master.log.close()
        peer = master.follow(1)
        assert peer.take() == u64(0) + status(0)
        assert peer.closing

    def test_log_that_cannot_be_read(self) -> None:
        self.master.log.close()
        peer = self.master.follow(10)
        assert peer.closing
        peer.lose()
        assert self.counts() == {"read_failed": 1}


class BackPressureTests(MasterCase):
    limits = MasterLimits(stalled=60)

    def test_paused_reads_nothing(self) -> None:
        peer = self.master.follow(1000)
        peer.take()
        peer.pause()
        reads = self.master.feed.reads
        self.master.log.grow(b"one")
        self.master.log.grow(b"two")
        assert peer.take() == b""
        assert self.master.feed.reads == reads
        peer.resume()
        assert peer.take() == frame(b"onetwo") + status(1006)

    def test_paused_between_chunks(self) -> None:
        self.master.log.grow(bytes(2 * PIECE))
        peer = self.master.connect()
        real = peer.transport.write

        def full(data: bytes) -> None:
            real(data)
            if len(data) > 1000:
                peer.pause()

        self.patch(peer.transport, "write", full)
        peer.send(b"SPGREPL\x02" + u64(1))
        assert peer.take() == u64(0) + frame((self.wal + bytes(2 * PIECE))[1:PIECE])
        self.master.pass_time(1, 0.05)
        assert peer.take() == b""
        peer.resume()
        got = frames(peer.take())
        assert [kind for kind, _ in got] == [1, 0], "one STATUS is owed for all ticks that were missed"

    def test_status_does_not_pile_up(self) -> None:
        peer = self.master.follow(1000)
        peer.take()
        peer.pause()
        self.master.pass_time(30)
        peer.resume()
        assert peer.take() == status(1000)

    def test_stalled_reader_is_dropped(self) -> None:
        peer = self.master.follow(1000)
        peer.pause()
        self.master.pass_time(59)
        assert not peer.aborted
        self.master.pass_time(2.5)
        assert peer.aborted
        peer.lose()
        assert self.counts() == {"stalled": 1}

    def test_slow_reader_is_not(self) -> None:
        peer = self.master.follow(1000)
        for _ in range(10):
            peer.pause()
            self.master.pass_time(40)
            peer.resume()
        assert not peer.aborted

    def test_goodbye_that_nobody_takes(self) -> None:
        """A connection that is being closed and whose last bytes do not leave."""
        peer = self.master.follow(5000)
        assert peer.closing
        self.master.pass_time(9.5)
        assert not peer.aborted
        self.master.pass_time(1.5)
        assert peer.aborted

    def test_reads_that_wait_for_the_disk(self) -> None:
        """Where the page cache has not got it, a thread reads; the reactor goes on, and nothing is sent twice."""
        self.patch(self.master.feed._open().__class__, "read_now", lambda *_: None)
        self.master.threads.hold()
        first, second = self.master.follow(10), self.master.follow(10)
        assert len(self.master.threads.held or []) == 1, "one read for both"
        assert first.take() == u64(0)
        self.master.log.grow(b"meanwhile")
        self.master.clock.advance(0.05)
        assert first.take() == status(1009)
        self.master.threads.release()
        for peer in (first, second):
            assert wal_of(peer.take().removeprefix(u64(0))) == self.wal[10:] + b"meanwhile"

    def test_connection_lost_while_its_read_is_under_way(self) -> None:
        self.patch(self.master.feed._open().__class__, "read_now", lambda *_: None)
        self.master.threads.hold()
        peer = self.master.follow(10)
        peer.lose()
        self.master.threads.release()
        assert peer.take() == u64(0)

    def test_log_lost_while_a_read_is_under_way(self) -> None:
        self.patch(self.master.feed._open().__class__, "read_now", lambda *_: None)
        self.master.threads.hold()
        peer = self.master.follow(10)
        self.master.log.lose()
        self.master.threads.release()
        assert peer.take() == u64(0) + status(0)
        assert peer.closing

    def test_file_that_ends_early(self) -> None:
        """Truncated, and the tailer has not looked yet."""
        import os

        os.truncate(self.master.log.path, 100)
        peer = self.master.follow(10)
        assert peer.closing
        peer.lose()
        assert self.counts() == {"read_failed": 1}


class SnapshotTests(MasterCase):
    def test_snapshot_then_the_log_from_its_position(self) -> None:
        self.master.source.position = 990
        peer = self.master.follow(0)
        expected = u64(8) + b"SNAPSHOT" + u64(990)
        assert peer.take() == expected + frame(self.wal[990:]) + status(1000)
        raw = self.master.follow(0, version=1)
        assert raw.take() == expected + self.wal[990:]

    def test_long_one_is_read_piece_by_piece(self) -> None:
        content = bytes(range(256)) * 3000
        self.master.source.content = content
        self.master.source.position = 1000
        peer = self.master.follow(0)
        assert peer.take() == u64(len(content)) + content + u64(1000) + status(1000)

    def test_back_pressure(self) -> None:
        self.master.source.content = bytes(3 * PIECE)
        peer = self.master.connect()
        peer.pause()
        peer.send(b"SPGREPL\x02" + u64(0))
        assert peer.take() == b""
        peer.resume()
        assert len(peer.take()) == 8 + 3 * PIECE + 8 + 5 + 1000 + 21

    def test_given_back_when_it_is_sent_or_its_connection_ends(self) -> None:
        self.master.follow(0)
        assert self.master.store.status()["open"] == 0
        peer = self.master.connect()
        peer.pause()
        peer.send(b"SPGREPL\x02" + u64(0))
        assert self.master.store.status()["open"] == 1
        peer.lose()
        assert self.master.store.status()["open"] == 0

    def test_no_status_during_a_snapshot(self) -> None:
        self.master.threads.hold()
        peer = self.master.follow(0)
        self.master.pass_time(100)
        assert peer.take() == b""
        assert to_json(peer.protocol.describe())["state"] == "snapshot"
        assert to_json(peer.protocol.describe())["position"] is None
        self.master.threads.release()
        assert peer.take().startswith(u64(8) + b"SNAPSHOT" + u64(0))

    def test_growth_during_a_snapshot(self) -> None:
        self.master.threads.hold()
        peer = self.master.follow(0)
        self.master.log.grow(b"more")
        self.master.threads.release()
        assert peer.take() == u64(8) + b"SNAPSHOT" + u64(0) + frame(self.wal + b"more") + status(1004)

    def test_failure_closes_those_who_wait_and_nobody_else(self) -> None:
        other = self.master.follow(1000)
        self.master.threads.hold()
        first, second = self.master.follow(0), self.master.follow(0)
        self.master.source.error = SnapshotError("no state row")
        self.master.threads.release()
        assert (first.closing, second.closing, other.closing) == (True, True, False)
        assert first.take() == b""
        first.lose()
        second.lose()
        assert self.counts() == {"no_snapshot": 2}
        assert to_json(self.master.hub.describe())["snapshots"]["failed"] == 1
        self.master.source.error = None
        assert self.master.follow(0).take().startswith(u64(8))

    def test_empty_one_is_refused(self) -> None:
        self.master.source.content = b""
        peer = self.master.follow(0)
        assert peer.take() == b""
        assert peer.closing

    def test_log_lost_during_a_snapshot(self) -> None:
        self.master.threads.hold()
        waiting = self.master.follow(0)
        self.master.log.lose()
        assert waiting.closing
        assert waiting.take() == b""
        waiting.lose()
        self.master.threads.release()
        assert self.counts() == {"log_lost": 1}

    def test_connection_lost_while_its_piece_is_read(self) -> None:
        from spgrepl.base.reading import FileReader

        self.patch(FileReader, "read_now", lambda *_: None)
        peer = self.master.connect()
        peer.pause()
        peer.send(b"SPGREPL\x02" + u64(0))
        self.master.threads.hold()
        peer.resume()
        assert peer.take() == u64(8)
        peer.lose()
        self.master.threads.release()
        assert peer.take() == b""


class StatusTests(MasterCase):
    def test_peers(self) -> None:
        self.master.follow(10)
        self.master.follow(1000, version=1).pause()
        self.master.connect()
        self.master.log.grow(b"tail")
        found = json.loads(json.dumps(to_json(self.master.hub.describe())))
        assert found["connections"] == found["accepted"] == 3
        assert found["wal"] == {"path": str(self.master.log.path), "length": 1004}
        common: dict[str, object] = {"address": "10.1.2.3:4711", "since": NOW, "segments": None}
        common |= {"name": None, "certificate": None, "stalled_seconds": 0}
        assert found["peers"] == [
            {**common, "version": 2, "state": "streaming", "start": 10, "position": 1004, "lag_bytes": 0},
            {**common, "version": 1, "state": "streaming", "start": 1000, "position": 1000, "lag_bytes": 4},
            {**common, "version": None, "state": "hello", "start": None, "position": None, "lag_bytes": None},
        ]

    def test_interfaces(self) -> None:
        assert verifyObject(ILogListener, self.master.hub)

    def test_peer_that_leaves_is_counted(self) -> None:
        self.master.follow(10).lose()
        assert self.counts() == {"peer_closed": 1}
        assert to_json(self.master.hub.describe())["peers"] == []

    def test_fault_of_one_connection_ends_that_one(self) -> None:
        bad, good = self.master.follow(1000), self.master.follow(1000)
        good.take()
        self.patch(bad.protocol, "go_on", lambda: 1 // 0)
        from spgrepl.master.protocol import MasterProtocol

        real = MasterProtocol.go_on

        def go_on(protocol: MasterProtocol) -> None:
            if protocol is bad.protocol:
                raise ZeroDivisionError
            real(protocol)

        self.patch(MasterProtocol, "go_on", go_on)
        self.master.log.grow(b"x")
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert bad.aborted
        bad.lose()
        assert good.take() == frame(b"x") + status(1001)
        assert self.counts() == {"fault": 1}

    def test_a_fault_at_the_hello_is_not_counted_as_something_that_the_peer_did(self) -> None:
        self.patch(self.master.context.snapshots, "obtain", lambda: 1 // 0)
        peer = self.master.follow(0)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert peer.aborted
        peer.lose()
        assert self.counts() == {"fault": 1}
        assert to_json(self.master.hub.describe())["peers"] == []

    def test_stop_closes_all(self) -> None:
        self.master.follow(1000)
        stuck = self.master.follow(1000)
        stopped = self.master.hub.stop()
        self.assertNoResult(stopped)
        self.master.peers[0].lose()
        self.master.clock.advance(2)
        assert stuck.aborted
        stuck.lose()
        self.successResultOf(stopped)
        assert self.counts() == {"stopped": 2}
        assert self.master.clock.getDelayedCalls() == []
        self.master.hub.start()
