"""A subscription as a service: copy, then stream; whatever master, connection or disk do, and when it is stopped.

Most of it runs in memory, where each step is the test's; the last part on sockets, with threads.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, endpoints, task
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from spgrepl.base.histories import History
from spgrepl.catalogue.sources import SqliteCatalogSource
from spgrepl.disk.file_lock import LockFile
from spgrepl.engines.targets import stored_state
from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    HistoryDiverged,
    LocalFilesDamaged,
    LogTruncated,
    PositionTooLarge,
    ServiceStopped,
    TableMismatch,
    WaitTimeout,
)
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.log.tailer import WalTailer
from spgrepl.log.wal_level import WalLevel
from spgrepl.master.judged.publisher import PublisherSettings
from spgrepl.master.service import MasterService, Serving
from spgrepl.master.snapshots.sources import LoggedDatabase, SqliteSnapshotSource
from spgrepl.replica import retry as backoff
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, SubscriberState, Subscription
from spgrepl.watch.status import to_json
from tests import sql as sqlite3
from tests.master.kit import CLUSTER_ID, Threads, status
from tests.replica.subscribing.conftest import HEAD, ROWS, TABLE, ended, versions
from tests.replica.subscribing.kit import OURS, Rig
from tests.replica.subscribing.streams import insert, inside, length_of
from tests.replica.subscribing.targets import make_snapshot, objects, run_sql

BAD = encode_statement(b"INSERT INTO t VALUES (1, 2)")


def result(waiting: Deferred[Any]) -> Any:
    """What a Deferred has brought; the error where it failed."""
    found: list[Any] = []
    waiting.addBoth(found.append)
    assert found, "it has not fired"
    return getattr(found[0], "value", found[0])


# -- first the rows that are there, then the stream ------------------------------------------------------------


def test_the_rows_that_are_there_come_first_and_then_each_change(rig: Rig) -> None:
    rig.grow(insert(3))
    rig.start()
    assert rig.status["state"] in ("connecting", "copying")
    rig.settle()
    assert rig.numbers == [1, 2, 3]
    # The handshake says whether this master serves us at all, then the rows come; what stands before them in the
    # log is taken, and compared; then comes the stream.
    assert versions(rig) == ["SUB", 2, 1, 1, "SUB"]
    rig.grow(insert(4), insert(5, "u"), inside("BEGIN"), inside("INSERT INTO t VALUES (6)"))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4]
    rig.grow(inside("COMMIT"))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4, 6]
    assert objects(rig.database) == ["t"]
    assert rig.status["positions"] == dict.fromkeys(
        ("source", "received", "durable", "applied"), rig.master.log.length
    )
    assert rig.status["effective_start"] == len(HEAD)
    assert rig.status["lag"]["bytes"] == 0
    assert (rig.status["state"], rig.status["error"], rig.status["statements"]) == ("streaming", None, 3)
    json.dumps(rig.status)
    assert list(rig.folder.glob("*.incoming")) == []


def test_a_long_statement_with_its_table_at_the_end_arrives(rig: Rig) -> None:
    rig.start()
    rig.settle()
    rows = ",".join(f"({number}, lower('X'))" for number in range(3, 33_403))
    rig.grow(
        encode_statement(f"WITH v (a, b) AS (VALUES {rows}) INSERT INTO t SELECT a FROM v".encode()), insert(2**40)
    )
    rig.settle(1)
    assert rig.numbers == [*range(1, 33_403), 2**40]


def test_a_restart_resumes_without_another_copy(rig: Rig) -> None:
    rig.start()
    rig.settle()
    rig.grow(insert(3))
    rig.settle()
    rig.stop()
    assert ended(rig) is None
    rig.grow(insert(4))
    rig.start()
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4]
    assert (len(versions(rig)), versions(rig)[-1]) == (7, "SUB")
    assert rig.master.source.saved == 1
    rig.wire.last.cut()
    rig.settle(2)
    assert (len(versions(rig)), versions(rig)[-1]) == (9, "SUB")
    assert rig.status["statements"] == 1


def test_a_database_that_is_none_of_ours_is_final_before_anything_is_fetched(rig: Rig) -> None:
    rig.database.write_bytes(b"Dear diary, today I replicated. " * 40)
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), LocalFilesDamaged)
    assert rig.master.source.saved == 0
    assert rig.database.read_bytes().startswith(b"Dear diary")


def test_a_position_that_no_target_can_store_is_final(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # No file of a test is long enough.
    monkeypatch.setattr(stored_state, "_LAST_POSITION", len(HEAD) - 1)
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), PositionTooLarge)
    assert rig.master.source.saved == 1


# -- without the rows that are there ----------------------------------------------------------------------------


def test_from_the_current_end_the_start_is_stored_before_the_first_record(rig: Rig) -> None:
    """PROTOCOL section 7, item 5: or a reconnect before the first record would jump to the new end."""
    run_sql(rig.database, TABLE)
    rig.start(copy_data=False)
    while rig.stored is None:
        rig.turn(0.001, 16)
    assert rig.stored == SubscriptionState(("p",), len(HEAD), len(HEAD), master=CLUSTER_ID)
    rig.wire.last.cut()
    rig.stop()
    rig.grow(insert(3), insert(4))
    rig.start(copy_data=False)
    rig.settle()
    assert rig.numbers == [3, 4]
    assert rig.status["effective_start"] == len(HEAD)


def test_from_a_position(rig: Rig) -> None:
    run_sql(rig.database, TABLE)
    rig.grow(insert(3), insert(4))
    rig.start(copy_data=False, start=len(HEAD) + len(insert(3)))
    rig.settle()
    assert rig.numbers == [4]
    assert versions(rig) == ["SUB"]


def test_a_position_beyond_the_end_ends_the_subscription(rig: Rig) -> None:
    rig.start(copy_data=False, start=5000)
    rig.settle()
    assert isinstance(ended(rig), LogTruncated)
    assert "ends at" in rig.status["error"]


def test_a_position_that_is_no_records_first_byte_is_refused(rig: Rig) -> None:
    rig.start(copy_data=False, start=len(HEAD) - 3)
    rig.settle()
    assert "position 30" in rig.status["error"]
    assert rig.stored is None
    assert len(rig.wire.connections) <= 2


# -- position 0, which cannot be asked for ----------------------------------------------------------------------


# -- masters that do not serve us -------------------------------------------------------------------------------


def test_a_loop_is_named_changes_nothing_and_leads_to_no_storm(rig: Rig, logged: list[str]) -> None:
    rig.start(cluster_id=CLUSTER_ID)
    rig.settle(29)
    assert "REPLICATION_LOOP" in rig.status["error"]
    assert rig.status["state"] == "waiting"
    assert [line for line in logged if "REPLICATION_LOOP" in line and "no stream from" in line]
    assert len(rig.wire.connections) == 1
    assert not rig.database.exists()
    rig.settle(2)
    assert len(rig.wire.connections) == 2
    assert "REPLICATION_LOOP" in rig.status["error"]


def test_a_master_at_the_level_replica_is_tried_again_and_what_to_look_for_is_told(rig: Rig) -> None:
    rig.master.level.set("replica")
    rig.start()
    rig.settle(5)
    assert "WAL level may be replica" in rig.status["error"]
    assert 3 <= len(rig.wire.connections) <= 6
    assert not rig.database.exists()
    rig.master.level.set("logical")
    rig.settle(10)
    assert rig.numbers == [1, 2]
    assert rig.status["error"] is None


def test_a_master_that_cannot_be_reached_is_tried_again(rig: Rig) -> None:
    rig.wire.reachable = False
    service = rig.start()
    rig.settle(2)
    assert "cannot be reached" in rig.status["error"]
    assert rig.status["state"] == "waiting"
    assert rig.status["positions"]["applied"] is None
    assert rig.status["lag"] == {"bytes": None, "seconds": None}
    waiting = service.when_applied(5)
    rig.wire.reachable = True
    rig.settle(10)
    assert result(waiting) == len(HEAD)
    assert rig.numbers == [1, 2]


def test_another_history_ends_the_subscription_with_its_rows_whole(rig: Rig) -> None:
    rig.start()
    rig.settle()
    rig.grow(*(insert(number) for number in range(10, 30)))
    rig.settle()
    rig.wire.reachable = False
    rig.wire.last.cut()
    length = rig.master.log.length
    rig.master.log.lose()
    rig.grow(HEAD, *(insert(number) for number in range(60, 81)))
    assert rig.master.log.length > length
    rig.wire.reachable = True
    rig.settle(5)
    assert isinstance(ended(rig), HistoryDiverged)
    assert not isinstance(ended(rig), LogTruncated)
    assert rig.numbers == [1, 2, *range(10, 30)]


def test_a_log_that_is_truncated_ends_the_subscription(rig: Rig) -> None:
    """PROTOCOL section 7, item 6."""
    rig.start()
    rig.grow(insert(3))
    rig.settle()
    rig.master.log.lose()
    rig.settle(5)
    assert isinstance(ended(rig), LogTruncated)
    assert rig.numbers == [1, 2, 3]


def test_a_silent_master_is_dropped_and_tried_again(rig: Rig) -> None:
    """PROTOCOL section 7, item 11."""
    rig.start()
    rig.settle()
    connections = len(rig.wire.connections)
    for _ in range(64):
        rig.clock.advance(0.25)
        rig.wire.connections[connections - 1].peer.take()
    assert len(rig.wire.connections) == connections + 1
    rig.settle()
    assert rig.status["state"] == "streaming"


# -- records that are refused -----------------------------------------------------------------------------------


def test_a_refused_record_stops_before_it_and_goes_on_when_the_target_is_mended(rig: Rig) -> None:
    run_sql(rig.database, "CREATE TABLE t (a INTEGER PRIMARY KEY, CHECK (a <> 4))")
    rig.start(copy_data=False, start=len(HEAD))
    rig.grow(insert(3), insert(4), insert(5))
    rig.settle(5)
    at = len(HEAD) + len(insert(3))
    assert rig.numbers == [3]
    assert f"position {at}, CRC" in rig.status["error"]
    assert rig.status["positions"]["applied"] == at
    assert 3 <= len(rig.wire.connections) <= 7
    rig.stop()
    run_sql(
        rig.database, "ALTER TABLE t RENAME TO old", TABLE, "INSERT INTO t SELECT a FROM old", "DROP TABLE old"
    )
    rig.start()
    rig.settle()
    assert rig.numbers == [3, 4, 5]
    assert rig.status["error"] is None


def test_the_error_of_a_record_stays_until_that_record_is_applied(rig: Rig) -> None:
    run_sql(rig.database, TABLE)
    rig.start(copy_data=False, start=len(HEAD))
    rig.grow(insert(3), BAD, insert(4))
    for _ in range(20):
        rig.settle(1)
        assert "table t has 1 column" in rig.status["error"]
    assert rig.service.state in (SubscriberState.WAITING, SubscriberState.STREAMING)


def test_with_on_error_skip_it_goes_on(rig: Rig) -> None:
    run_sql(rig.database, TABLE)
    rig.start(copy_data=False, start=len(HEAD), keep_refused=True)
    rig.grow(insert(3), BAD, insert(4))
    rig.settle()
    assert rig.numbers == [3, 4]
    assert (rig.status["skipped"], rig.status["error"]) == (1, None)


def test_a_row_that_somebody_else_moves_ends_the_subscription(rig: Rig) -> None:
    rig.start()
    rig.settle()
    run_sql(rig.database, "UPDATE spgrepl_subscriber SET position = position - 1")
    rig.grow(insert(3))
    rig.settle(2)
    assert isinstance(ended(rig), DatabaseLocked)
    assert rig.numbers == [1, 2]


# -- connections and batches ------------------------------------------------------------------------------------


def test_a_new_connection_asks_from_where_the_batch_in_flight_ends(rig: Rig) -> None:
    rig.start()
    rig.settle()
    rig.worker.hold()
    rig.grow(insert(3), insert(4))
    rig.settle()
    assert rig.numbers == [1, 2]
    rig.wire.last.cut()
    rig.settle(2)
    # The next connection is there, and says nothing before that batch is done.
    assert to_json(rig.wire.last.peer.protocol.describe())["state"] == "hello"
    rig.worker.release()
    rig.grow(insert(5))
    rig.settle()
    assert rig.numbers == [1, 2, 3, 4, 5]
    assert rig.status["statements"] == 3


def test_nothing_more_is_read_while_the_target_is_behind(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spgrepl.replica.subscribing.queue.ApplyQueue.high_water", 4000)
    monkeypatch.setattr("spgrepl.replica.subscribing.queue.ApplyQueue.low_water", 1000)
    rig.start()
    rig.settle()
    rig.worker.hold()
    rig.grow(*(insert(number) for number in range(3, 1000)))
    rig.settle(size=200)
    assert rig.wire.last.paused
    assert len(rig.wire.last.waiting) > 20_000
    assert rig.status["positions"]["received"] - rig.status["positions"]["applied"] < 9000
    rig.settle(60, size=200)
    rig.worker.release()
    rig.settle(size=200)
    assert rig.numbers == list(range(1, 1000))
    assert rig.status["error"] is None


def test_one_process_runs_a_subscription(rig: Rig) -> None:
    lock = LockFile(rig.folder / "target.db.s.lock", "somebody else")
    lock.acquire()
    rig.start()
    assert isinstance(ended(rig), DatabaseLocked)
    assert "somebody else" in rig.status["error"]
    lock.release()
    rig.start()
    rig.settle()
    assert rig.numbers == [1, 2]


def test_two_subscriptions_share_a_database(rig: Rig) -> None:
    """Each has a lock, a snapshot file and a row of its own, whatever its name is."""
    rig.start()
    rig.settle()
    other = SubscriberService(
        rig.clock,
        rig.wire,
        CountingTarget(rig.folder / "counted.db"),
        Subscription("../s/2", ("p",)),
        SubscriberSide(OURS, rig.database),
    )
    assert other._snapshot is not None
    assert other._snapshot.parent == rig.folder
    assert other._snapshot.name == "target.db...%2Fs%2F2.incoming"


def test_a_target_that_cannot_be_used_ends_it_before_a_connection_is_made(rig: Rig) -> None:
    rig.database.write_bytes(b"no database" * 100)
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), LocalFilesDamaged)
    assert rig.wire.connections == []
    assert not list(rig.folder.glob("*.lock"))


def test_a_database_that_is_moved_away_is_noticed_at_once(rig: Rig, logged: list[str]) -> None:
    """Without a role around the service too, and although nothing comes that would have to be written."""
    rig.start()
    rig.settle(1)
    assert rig.service.status()["error"] is None
    rig.database.rename(rig.folder / "elsewhere.db")
    rig.settle(1)
    assert f"{rig.database} was moved away" in rig.service.status()["error"]
    assert any("was moved away" in text for text in logged)


@pytest.mark.parametrize("role", ["primary", "follower"])
def test_a_database_that_is_somebody_elses_is_left_alone(rig: Rig, role: str) -> None:
    make_snapshot(rig.database, TABLE)
    run_sql(rig.database, f"UPDATE spgrepl_replay SET role = '{role}'")
    before = rig.database.read_bytes()
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), ConfigurationError)
    assert rig.database.read_bytes() == before


# -- publications that the master does not know -----------------------------------------------------------------


def test_publications_that_are_not_there_are_told(rig: Rig, logged: list[str]) -> None:
    """At the handshake, when one is dropped in mid-stream, and when they are there again."""
    rig.master.catalog.histories = (History("ab" * 16, 0),)
    rig.start("p", "nosuch")
    rig.settle()
    assert rig.status["unknown_publications"] == ["nosuch"]
    rig.grow(encode_statement(b"DROP PUBLICATION p"))
    rig.settle()
    assert rig.status["unknown_publications"] == ["p", "nosuch"]
    assert any("does not know the publications p, nosuch" in text for text in logged)
    rig.grow(encode_statement(b"CREATE PUBLICATION p FOR TABLE t"), insert(3))
    rig.settle()
    assert (rig.numbers, rig.status["unknown_publications"]) == ([1, 2, 3], ["nosuch"])
    rig.grow(encode_statement(b"CREATE PUBLICATION nosuch FOR TABLE t"))
    rig.settle()
    assert rig.status["unknown_publications"] == []


# -- waiting, stopping ------------------------------------------------------------------------------------------


def test_waiters_are_told_when_it_is_applied(rig: Rig) -> None:
    service = rig.start()
    waiting = service.when_applied(len(HEAD) + len(insert(3)))
    rig.settle()
    assert not waiting.called
    rig.grow(insert(3))
    rig.settle()
    assert result(waiting) == rig.master.log.length
    assert result(service.when_applied(1)) == rig.master.log.length
    late = service.when_applied(10**9, 3)
    rig.settle(4)
    assert isinstance(result(late), WaitTimeout)


def test_waiters_are_told_at_once_where_it_was_applied_before_the_start(rig: Rig) -> None:
    rig.start()
    rig.settle()
    rig.stop()
    rig.wire.reachable = False
    assert result(rig.start().when_applied(5)) == len(HEAD)


MOMENTS: dict[str, Callable[[Rig], Any]] = {
    "opening": lambda rig: None,
    "unreachable": lambda rig: rig.settle(1),
    "handshake": lambda rig: rig.turn(0.001, 3),
    "copying": lambda rig: rig.turn() and rig.turn(0.05, 100),
    "rows being put in place": lambda rig: (rig.turn(), rig.worker.hold(), rig.settle()),
    "streaming": lambda rig: rig.settle(),
    "a batch in flight": lambda rig: (rig.settle(), rig.worker.hold(), rig.grow(insert(3)), rig.settle()),
    "waiting": lambda rig: (rig.settle(), rig.wire.last.cut()),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_stops_at_any_moment(rig: Rig, moment: str) -> None:
    rig.wire.reachable = moment != "unreachable"
    service = rig.start()
    if moment == "opening":
        rig.worker.hold()
    MOMENTS[moment](rig)
    waiting = service.when_applied(10**9)
    first, second = service.stopService(), service.stopService()
    rig.worker.release()
    rig.turn()
    assert (result(first), result(second), ended(rig)) == (None, None, None)
    assert isinstance(result(waiting), ServiceStopped)
    assert service.state is SubscriberState.STOPPED
    assert all(one.ended for one in rig.wire.connections)
    assert not rig.worker.running
    connections = len(rig.wire.connections)
    rig.settle(70)
    assert len(rig.wire.connections) == connections
    lock = LockFile(rig.folder / "target.db.s.lock", "test")
    lock.acquire()
    lock.release()
    # What was in flight is whole: the next start goes on from there.
    rig.wire.reachable = True
    rig.start()
    rig.settle()
    assert rig.numbers == ([1, 2, 3] if moment == "a batch in flight" else [1, 2])


# -- on sockets, with threads -----------------------------------------------------------------------------------


class SocketsTest(TestCase):
    """A master of this package over a database that really is one, a subscription, and a socket between them."""

    timeout = 60

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.addCleanup(lambda: task.deferLater(reactor, 0))  # type: ignore[arg-type]
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.patch(backoff, "FIRST_DELAY", 0.02)
        self.wal = self.folder / "master.wal"
        self.wal.write_bytes(HEAD)
        self.target = self.folder / "target.db"

    @defer.inlineCallbacks
    def serve(self, snapshot_position: int) -> Any:
        path = make_snapshot(
            self.folder / "master.db", TABLE, *ROWS, control=("CREATE PUBLICATION p FOR TABLE t",)
        )
        run_sql(path, f"UPDATE spgrepl_replay SET position = {snapshot_position}")
        tailer = WalTailer(self.reactor, self.wal)
        tailer.start()
        self.addCleanup(tailer.stop)
        in_thread = Threads()
        master = MasterService(
            self.reactor,
            endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"),
            LoggedDatabase(tailer, SqliteSnapshotSource(path)),
            Serving(
                self.folder,
                publisher=PublisherSettings(
                    SqliteCatalogSource(path, in_thread), lambda: CLUSTER_ID, WalLevel("logical")
                ),
            ),
        )
        master.startService()
        self.addCleanup(master.stopService)
        port = yield master.listening
        return endpoints.TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port)

    def subscribe(self, endpoint: Any, **more: Any) -> SubscriberService:
        service = SubscriberService(
            self.reactor,
            endpoint,
            SqliteTarget(self.target, "s"),
            Subscription("s", ("p",), **more),
            SubscriberSide(OURS, self.target),
        )
        service.finished.addErrback(lambda _: None)
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service

    def append(self, *records: bytes) -> int:
        with self.wal.open("ab") as file:
            file.write(b"".join(records))
        return self.wal.stat().st_size

    def numbers(self) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.target)) as connection:
            return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]

    @defer.inlineCallbacks
    def test_rows_arrive_and_go_on_arriving(self) -> Any:
        endpoint = yield self.serve(len(HEAD))
        service = self.subscribe(endpoint)
        yield service.when_applied(self.append(insert(3), insert(4, "u")), 30)
        assert self.numbers() == [1, 2, 3]
        yield service.stopService()
        end = self.append(encode_v2(b"BEGIN"), encode_v2(b"INSERT INTO t VALUES (5)"), encode_v2(b"COMMIT"))
        yield self.subscribe(endpoint).when_applied(end, 30)
        assert self.numbers() == [1, 2, 3, 5]

    @defer.inlineCallbacks
    def test_a_long_transaction_and_a_stop_in_the_flood(self) -> Any:
        endpoint = yield self.serve(len(HEAD))
        rows = [encode_v2(b"INSERT INTO t VALUES (%d)" % number) for number in range(3, 30_000)]
        service = self.subscribe(endpoint)
        yield service.when_applied(len(HEAD), 30)
        end = self.append(encode_v2(b"BEGIN"), *rows, encode_v2(b"COMMIT"))
        yield task.deferLater(self.reactor, 0.05)
        yield service.stopService()
        yield self.subscribe(endpoint).when_applied(end, 30)
        assert self.numbers() == list(range(1, 30_000))


def test_the_kit_sends_what_a_master_sends(rig: Rig) -> None:
    """What the tests above stand on: the bytes of a stream go through the master that they name."""
    peer = rig.master.subscribe(len(HEAD), "p")
    rig.master.threads.release()
    rig.master.log.grow(insert(3))
    assert peer.take().endswith(status(len(HEAD) + length_of(insert(3))))


def test_a_table_that_is_changed_while_it_runs_ends_the_subscription(rig: Rig) -> None:
    rig.start()
    rig.settle()
    run_sql(rig.database, "DROP TABLE t", "CREATE TABLE t (a TEXT PRIMARY KEY)")
    rig.grow(insert(3))
    rig.settle()
    assert isinstance(ended(rig), TableMismatch)
    assert "the table t in" in str(ended(rig))
    # Nothing came after the change, so that all can go on when it is changed back.
    run_sql(rig.database, "DROP TABLE t", "CREATE TABLE t (a INTEGER PRIMARY KEY)")
    rig.start()
    rig.settle()
    assert rig.numbers == [3]
