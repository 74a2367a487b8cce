"""A follower of an SPG server: statements by its types; CHECKPOINT; snapshots that cannot be read."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import defer

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import ReplayStopped, SnapshotUnusable
from spgrepl.log.format.records import RecordType, encode_timed, encode_v2
from spgrepl.replica.following.states import FollowerState, OnDivergence
from spgrepl.spgsql.replay import Nondeterministic
from spgrepl.wire.frames import encode_status
from tests.replica.following.copies import log_of
from tests.replica.following.test_service import FollowerCase, Script, ScriptedMaster, number, wal
from tests.replica.following.test_spg_master import INSERT, POSITION, snapshot

STATUS_TIME = 1_700_000_000_000_000


class SpgLogTest(FollowerCase):
    def setUp(self) -> None:
        super().setUp()
        self.content, self.log, self.position = snapshot(), b"", POSITION
        self.scripts: list[Script] = []

    def play(self, script: Script) -> None:
        """As an SPG master does: the snapshot, then the log; a STATUS comes first."""
        self.scripts.append(script)
        length = self.position + len(self.log)
        if script.start == 0:
            script.send(number(len(self.content)), self.content, number(self.position))
        else:
            script.send(number(0))
        script.send(encode_status(length, STATUS_TIME))
        script.send(wal(self.log[max(0, script.start - self.position) :]), encode_status(length, STATUS_TIME))

    @defer.inlineCallbacks
    def serve(self, **more: Any) -> Any:
        self.master = ScriptedMaster(self.play)
        return self.follow((yield self.listen(self.master)), **more)

    @defer.inlineCallbacks
    def test_literals_are_stored_by_the_types_of_snapshot_and_ddl(self) -> Any:
        self.log = log_of(
            "INSERT INTO t (id, price, name) VALUES (50, 2.345, TRUE)",
            "CREATE TABLE u (id INT PRIMARY KEY, b BYTEA, at TIMESTAMPTZ, tags TEXT[])",
            "INSERT INTO public.u VALUES (1, '\\x00ff', '2024-01-02 03:04:05+02', ARRAY['a', NULL])",
            "UPDATE t SET price = price * 2 WHERE price = 2.350",
            "GRANT SELECT ON t TO bob",
            "CREATE USER bob PASSWORD 's3cr3t'",
            "VACUUM",
        )
        service = yield self.serve()
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.rows("SELECT price FROM t WHERE id = 50") == ["4.70"]
        assert self.rows("SELECT name FROM t WHERE id = 50") == ["true"]
        assert self.rows("SELECT hex(b) FROM u") == ["00FF"]
        assert self.rows("SELECT at FROM u") == ["2024-01-02 01:04:05+00"]
        assert self.rows("SELECT tags FROM u") == ['["a", null]']
        assert service.status()["spg"] == {
            "skipped": {"CREATE USER": 1, "GRANT": 1, "VACUUM": 1},
            "approximated": {},
        }
        # The follower's own log is the master's, byte for byte; nothing else has the password.
        assert self.paths.wal.read_bytes() == self.log
        assert b"s3cr3t" not in self.paths.database.read_bytes()
        assert "s3cr3t" not in str(service.status())
        # What was counted stays counted.
        yield service.stopService()
        again = self.follow(self.client((yield self.listen(self.master))._port))
        yield self.until(lambda: again.state is FollowerState.STREAMING)
        assert again.status()["spg"]["skipped"]["VACUUM"] == 1

    @defer.inlineCallbacks
    def test_a_value_of_every_replica_is_a_stop_with_its_place(self) -> Any:
        before = log_of(INSERT.format(50))
        self.log = before + log_of("INSERT INTO t (id, name) VALUES (51, now())") + log_of(INSERT.format(52))
        service = yield self.serve()
        yield self.until(lambda: isinstance(service._error, ReplayStopped))
        assert service._error.position == POSITION + len(before)
        assert "now() has another value here" in str(service._error)
        assert f"--skip-at {POSITION + len(before)} --skip-crc" in str(service._error)
        assert self.rows("SELECT id FROM t WHERE id >= 50") == [50]

    @defer.inlineCallbacks
    def test_approximated_where_told_by_the_records_or_the_masters_time(self) -> Any:
        self.log = (
            log_of("CREATE TABLE s (id SERIAL PRIMARY KEY, at TIMESTAMP)", "INSERT INTO s (at) VALUES (now())")
            + encode_timed(RecordType.TIMED, 1, 86_400_000_000, b"INSERT INTO s (at) VALUES (CURRENT_TIMESTAMP)")
            + encode_v2(b"BEGIN")
            + encode_v2(b"INSERT INTO s (at) VALUES (now())")
            + encode_v2(b"COMMIT")
        )
        kind = partial(SqliteEngine, nondeterministic=Nondeterministic.APPROXIMATE)
        service = yield self.serve(kind=kind)
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.rows("SELECT id FROM s ORDER BY id") == [1, 2, 3]
        assert self.rows("SELECT at FROM s ORDER BY id") == [
            "2023-11-14 22:13:20",
            "1970-01-02 00:00:00",
            "2023-11-14 22:13:20",
        ]
        assert service.status()["spg"]["approximated"] == {"s": {"CURRENT_TIMESTAMP": 1, "SERIAL": 3, "now()": 2}}

    @defer.inlineCallbacks
    def test_marks_of_this_package_in_a_clients_sql_are_comments(self) -> Any:
        self.log = log_of(
            "/* spgrepl: rows from here on */",
            "INSERT INTO t (id) VALUES (50) /* origin 00000000000000ff */",
            "DELETE FROM t WHERE id=777",
        )
        service = yield self.serve()
        yield service.when_applied(POSITION + len(self.log), 30)
        assert self.rows("SELECT id FROM t ORDER BY id") == [1, 2, 50]
        assert self.rows("SELECT count(*) FROM sqlite_master WHERE name = 'spgrepl_rows'") == [0]

    # -- CHECKPOINT and snapshots -----------------------------------------------------------------------------

    @defer.inlineCallbacks
    def checkpoint(self, kind: Any) -> Any:
        """A CHECKPOINT: the log is empty again, and the snapshot has what was in it."""
        self.log = log_of(*(INSERT.format(key) for key in range(50, 60)))
        service = yield self.serve(kind=kind, on_divergence=OnDivergence.RESNAPSHOT)
        yield service.when_applied(POSITION + len(self.log), 30)
        self.content = snapshot(version=60)
        self.log, self.position = log_of(INSERT.format(70)), 8
        self.scripts[-1].transport.loseConnection()
        yield self.until(lambda: service.status()["base"] == 8 and service.status()["positions"]["applied"] > 8)
        assert self.ended == []
        return service

    @defer.inlineCallbacks
    def test_a_checkpoint_with_sqlite(self) -> Any:
        yield self.checkpoint(SqliteEngine)
        assert self.rows("SELECT id FROM t ORDER BY id") == [1, 2, 70]
        assert self.paths.wal.read_bytes() == self.log

    @defer.inlineCallbacks
    def test_a_checkpoint_with_an_archive(self) -> Any:
        yield self.checkpoint(ArchiveEngine)
        assert self.paths.database.read_bytes() == self.content
        assert self.paths.wal.read_bytes() == self.log

    @defer.inlineCallbacks
    def test_a_checkpoint_with_one_that_counts(self) -> Any:
        service = yield self.checkpoint(CountingEngine)
        assert service.status()["statements"] >= 1
        assert self.paths.wal.read_bytes() == self.log

    @defer.inlineCallbacks
    def test_a_snapshot_that_cannot_be_read_is_fetched_twice_and_no_more(self) -> Any:
        self.content = b"SPGDB001" + bytes([101]) + bytes(8)
        service = yield self.serve()
        yield self.until(lambda: self.ended)
        (failure,) = self.ended
        assert failure.check(SnapshotUnusable)
        assert "FILE_VERSION 101" in str(failure.value)
        assert "A second snapshot was the same" in str(failure.value)
        assert failure.value.exit_code == 65
        assert len(self.scripts) == 2
        assert service.status()["error"]
