"""A different history is found wherever it begins, and stays found until a fresh snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import HistoryDiverged, LogTruncated, ServiceStopped
from spgrepl.interfaces.engine import Fence, Mark, ReplayState
from spgrepl.log.format import records
from spgrepl.pairs import fence
from spgrepl.replica import short_connections
from spgrepl.replica.following.history import PATIENCE, HalfRecord, MasterHistory
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.short_connections import MarkChoice, RangeReader, ShortConnections
from spgrepl.wire.frames import encode_status
from tests.replica.following.copies import CREATE, database_bytes, log_of, opened
from tests.replica.following.test_service import INSERT, FollowerCase, Script, ScriptedMaster, number, wal

ENGINES = [SqliteEngine, ArchiveEngine, CountingEngine]
LOG = bytes(number * 13 % 251 for number in range(9000))


# -- one range over a connection of its own ---------------------------------------------------------------------


class Master:
    """An endpoint at whose other end a test sits."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.transports: list[StringTransport] = []
        self.readers: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        reader = factory.buildProtocol(None)
        self.transports.append(StringTransport())
        self.readers.append(reader)
        reader.makeConnection(self.transports[-1])
        return succeed(reader)

    def answer(self, data: bytes) -> None:
        start = int.from_bytes(self.transports[-1].value()[8:], "little")
        for at in range(0, 8 + 5000, 700):
            if not self.transports[-1].disconnecting and not self.transports[-1].aborted:  # type: ignore[attr-defined]
                self.readers[-1].dataReceived((number(0) + data[start:])[at : at + 700])


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    monkeypatch.setattr(StringTransport, "aborted", False, raising=False)
    monkeypatch.setattr(StringTransport, "abortConnection", lambda self: setattr(self, "aborted", True))
    return Master(Clock())


def result_of(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0] if found else "nothing yet"


def asking(master: Master) -> ShortConnections:
    return ShortConnections(master.clock, master, "the follower is being stopped")  # type: ignore[arg-type]


def reading(master: Master, choice: MarkChoice[Mark] | None = None) -> MasterHistory:
    return MasterHistory(asking(master), choice or MarkChoice(lambda marks: marks[0]))


def mark(start: int, stop: int) -> Mark:
    return Mark(start, stop, crc32(LOG[start:stop]))


@pytest.mark.parametrize(("position", "start"), [(9000, 9000 - 4096), (300, 1), (2, 1)])
def test_what_stands_before_a_snapshot_is_read_in_v1(master: Master, position: int, start: int) -> None:
    taken = asking(master).take(position)
    assert master.transports[-1].value() == b"SPGREPL\x01" + number(start)
    master.answer(LOG)
    assert result_of(taken) == mark(start, position)
    assert master.transports[-1].aborted  # type: ignore[attr-defined]
    assert master.clock.getDelayedCalls() == []


def test_nothing_stands_before_position_1(master: Master) -> None:
    assert result_of(asking(master).take(1)) is None
    assert master.transports == []


@pytest.mark.parametrize("how", ["closes", "silent", "snapshot"])
def test_a_master_that_does_not_tell_is_not_waited_for(master: Master, how: str) -> None:
    taken = asking(master).take(9000)
    master.answer(LOG[:6000])
    if how == "closes":
        master.readers[-1].connectionLost()
    elif how == "silent":
        master.clock.advance(short_connections.ANSWER_SECONDS)
    else:
        taken = asking(master).take(9000)
        master.readers[-1].dataReceived(number(70000))
    assert result_of(taken) is None
    assert master.transports[-1].aborted  # type: ignore[attr-defined]


def test_a_mark_that_differs_is_a_different_history(master: Master) -> None:
    state = ReplayState(8500, 100, Fence(8000, 7), marks=(mark(1, 100), mark(2000, 6000)))
    compared = reading(master).compare(state)
    master.answer(LOG)
    assert result_of(compared) is None
    compared = reading(master).compare(state)
    master.answer(LOG[:50] + b"?" + LOG[51:])
    error = result_of(compared).value
    assert isinstance(error, HistoryDiverged)
    assert "from position 1 to 100" in str(error)
    assert "--on-divergence resnapshot" in str(error)


def test_every_mark_is_compared_at_some_time(master: Master) -> None:
    state = ReplayState(8500, 100, Fence(8000, 7), marks=tuple(mark(n, n + 50) for n in range(1, 500, 50)))
    asked = set()
    for _ in range(300):
        reading(master, MarkChoice()).compare(state).addErrback(lambda _: None)
        asked.add(int.from_bytes(master.transports[-1].value()[8:], "little"))
        master.answer(LOG)
    assert asked == set(range(1, 500, 50))


def test_a_mark_that_differed_is_compared_again(master: Master) -> None:
    """Another one may fit, and would say nothing about it."""
    state = ReplayState(8500, 100, Fence(8000, 7), marks=(mark(1, 100), mark(2000, 6000)))
    turns = iter([0, 1, 1])
    found = reading(master, MarkChoice(lambda marks: marks[next(turns)]))
    for _ in range(2):
        compared = found.compare(state)
        master.answer(LOG[:50] + b"?" + LOG[51:])
        assert isinstance(result_of(compared).value, HistoryDiverged)
    compared = found.compare(state)
    master.answer(LOG)
    assert result_of(compared) is None


def test_what_the_fence_covers_is_not_asked_for_twice(master: Master) -> None:
    state = ReplayState(9000, 9000, Fence(4904, mark(4904, 9000).crc), marks=(mark(4904, 9000),))
    assert result_of(reading(master).compare(state)) is None
    assert result_of(reading(master).compare(None)) is None
    assert master.transports == []


def test_what_is_under_way_ends_with_the_follower(master: Master) -> None:
    asked = asking(master)
    taken = asked.take(9000)
    asked.stop()
    assert isinstance(result_of(taken).value, ServiceStopped)
    assert isinstance(result_of(asked.take(9000)).value, ServiceStopped)
    assert master.transports[-1].aborted  # type: ignore[attr-defined]
    assert master.clock.getDelayedCalls() == []


def test_a_range_is_read_however_it_comes(master: Master) -> None:
    reader = RangeReader(master.clock, 5, 9)
    reader.makeConnection(StringTransport())
    for byte in number(0) + LOG[5:400]:
        reader.dataReceived(bytes([byte]))
    assert result_of(reader.read) == crc32(LOG[5:9])


# -- marks further back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
def test_marks_are_kept_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """One before each border, whatever the batches, through restarts; the first ones are thinned out."""
    monkeypatch.setattr(fence, "MARK_EVERY", 1000)
    monkeypatch.setattr(fence, "MARK_SPAN", 300)
    monkeypatch.setattr(fence, "MOST_MARKS", 6)
    log = b"".join(records.encode_v2(b"INSERT INTO t VALUES (%d, '%s')" % (n + 10, b"x" * 70)) for n in range(45))
    snapshot = database_bytes(tmp_path, CREATE.decode())
    size, base = len(log) // 45, 900
    with opened(tmp_path, kind) as copy:
        copy.install(snapshot, base, Mark(600, base, 77))
        copy.replay.apply([log[: size * 5]])
        copy.replay.apply([log[size * 5 : size * 40]])
    with opened(tmp_path, kind) as copy:
        state = copy.replay.resume()
        assert state is not None
        position = base + size * 40
        assert state.position == position

        def expected(stop: int) -> Mark:
            start = max(stop - 300, base)
            return Mark(start, stop, crc32(log[start - base : stop - base]))

        stops = [at.stop for at in state.marks]
        assert state.marks == (Mark(600, base, 77), *(expected(stop) for stop in stops[1:]))
        assert len(stops) == 6 or position < 6000
        assert stops[-1] == position // 1000 * 1000
        assert stops == sorted(set(stops))


# -- a divergence that was found ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
def test_a_divergence_is_stored_until_a_snapshot(tmp_path: Path, kind: type) -> None:
    snapshot = database_bytes(tmp_path, CREATE.decode())
    log = log_of(*(INSERT.format(n) for n in range(30)))
    with opened(tmp_path, kind) as copy:
        copy.install(snapshot, 100)
        copy.replay.apply([log])
        copy.replay.note_divergence("the log ends before")
        copy.replay.note_divergence("the first is the one that counts")
    with opened(tmp_path, kind) as copy:
        state = copy.replay.resume()
        assert state is not None
        assert (state.position, state.diverged) == (100 + len(log), "the log ends before")
        assert state.fence is not None
        # Whatever else is stored does not forget it.
        copy.replay.apply([log_of(INSERT.format(31))])
        assert copy.replay.state is not None
        assert copy.replay.state.diverged == "the log ends before"
        copy.install(snapshot, 5000)
    with opened(tmp_path, kind) as copy:
        state = copy.replay.resume()
        assert state is not None
        assert (state.position, state.diverged) == (5000, None)


def test_a_record_that_cannot_be_read_where_nothing_was_compared(tmp_path: Path) -> None:
    """Its length says nothing, then: whether it is a record at all is not known."""
    with opened(tmp_path) as copy:
        copy.install(database_bytes(tmp_path, CREATE.decode()), 100)
        with pytest.raises(HistoryDiverged, match="--max-record"):
            copy.replay.apply([b"\xff\xff\xff\x7f and so on"])


class DivergedTest(FollowerCase):
    """The issue's case: a master with 40 rows, restored to 20, then written to again."""

    def setUp(self) -> None:
        super().setUp()
        self.before = log_of(*(INSERT.format(n) for n in range(10, 30)))
        self.log = self.before + log_of(*(INSERT.format(n) for n in range(30, 50)))
        self.content = self.snapshot(*(INSERT.format(n) for n in range(10, 50)))
        self.at = len(self.log)
        self.master = ScriptedMaster(self.play, log=self.log)

    def play(self, script: Script) -> None:
        if not script.start:
            script.send(number(len(self.content)), self.content, number(self.at), wal(self.log[self.at :]))
        elif script.start > len(self.log):
            script.send(number(0), encode_status(len(self.log), 1))
            script.close()
            return
        else:
            script.send(number(0), wal(self.log[script.start :]))
        script.send(encode_status(len(self.log), 1), encode_status(len(self.log), 2))

    def restore(self, log: bytes, rows: range) -> None:
        self.log = self.master.log = log
        self.content = self.snapshot(*(INSERT.format(n) for n in rows))
        self.at = len(log)

    @defer.inlineCallbacks
    def begin(self, kind: type = SqliteEngine) -> Any:
        """A fresh follower, which has got nothing but the snapshot."""
        self.endpoint = yield self.listen(self.master)
        first = self.follow(self.endpoint, kind)
        yield first.when_applied(len(self.log), 30)
        yield first.stopService()
        self.ended.clear()

    @defer.inlineCallbacks
    def diverges(self, error: type = HistoryDiverged, kind: type = SqliteEngine) -> Any:
        self.follow(self.endpoint, kind)
        yield self.until(lambda: self.ended)
        self.ended.pop().trap(error)

    @defer.inlineCallbacks
    def found(self, kind: type) -> Any:
        yield self.begin(kind)
        self.restore(self.before, range(10, 30))
        yield self.diverges(LogTruncated, kind)
        # As long as before and longer, with records of the same lengths.
        self.restore(self.before + log_of(*(INSERT.format(n) for n in range(50, 90))), range(10, 90))
        asked = len(self.master.hellos)
        yield self.diverges(kind=kind)
        assert len(self.master.hellos) == asked
        again = self.follow(self.endpoint, kind, on_divergence=OnDivergence.RESNAPSHOT)
        yield self.until(lambda: (again.status()["base"], again.status()["error"]) == (len(self.log), None))
        yield again.stopService()
        self.ended.clear()
        last = self.follow(self.endpoint, kind)
        yield self.until(lambda: last.status()["state"] == "streaming")
        assert last.status()["error"] is None

    @defer.inlineCallbacks
    def test_what_was_found_holds_until_a_snapshot(self) -> Any:
        yield self.found(SqliteEngine)
        self.rows_are(list(range(10, 30)) + list(range(30, 90)))

    def test_what_was_found_holds_for_an_archive(self) -> Any:
        return self.found(ArchiveEngine)

    def test_what_was_found_holds_for_a_counter(self) -> Any:
        return self.found(CountingEngine)

    def rows_are(self, expected: list[int]) -> None:
        assert self.rows() == expected

    @defer.inlineCallbacks
    def test_the_snapshot_alone_is_enough_to_find_it(self) -> Any:
        """The follower was away while its master was restored and written to."""
        yield self.begin()
        self.restore(self.before + log_of(*(INSERT.format(n) for n in range(50, 90))), range(10, 90))
        yield self.diverges()
        assert self.rows() == list(range(10, 50))

    @defer.inlineCallbacks
    def test_longer_records_lead_to_a_snapshot_where_told(self) -> Any:
        """Where the copy ends a record of the new history is in its middle, which looks like anything."""
        self.master.log = None  # so that nothing before the snapshot is known
        yield self.begin()
        longer = [f"INSERT INTO t VALUES ({n}, '{'x' * 9 * (n - 40)}')" for n in range(50, 90)]
        self.log = self.before + log_of(*longer)
        self.content = self.snapshot(*longer)
        self.at = len(self.log)
        service = self.follow(self.endpoint, on_divergence=OnDivergence.RESNAPSHOT)
        yield self.until(lambda: service.status()["base"] == len(self.log))
        assert self.rows() == list(range(50, 90))

    @defer.inlineCallbacks
    def test_a_mark_far_back_differs(self) -> Any:
        self.patch(fence, "MARK_EVERY", 500)
        self.patch(fence, "MARK_SPAN", 100)
        self.at = 0
        self.content = self.snapshot()
        self.endpoint = yield self.listen(self.master)
        first = self.follow(self.endpoint)
        yield first.when_applied(len(self.log), 30)
        state = first._replay.state
        assert state is not None
        assert [at.stop for at in state.marks] == list(range(500, len(self.log), 500))
        yield first.stopService()
        self.ended.clear()
        self.log = self.master.log = bytes(700) + self.log[700:]
        # One mark is compared at a start, and all of them but those in what is changed are right.
        self.patch(MarkChoice.__init__, "__defaults__", (lambda marks: marks[0],))
        yield self.diverges()
        assert self.rows() == list(range(10, 50))


# -- a log that ends inside of a record -----------------------------------------------------------------------


def test_it_is_asked_for_once_when_no_more_has_come_for_long() -> None:
    clock = Clock()
    half = HalfRecord(clock.seconds)
    assert half.judge(100, 150, 150) is None
    clock.advance(PATIENCE - 1)
    assert half.judge(100, 160, 160) is None
    clock.advance(1)
    error = half.judge(100, 160, 160)
    assert "ends at 160, inside of the record that begins at 100" in str(error)
    clock.advance(PATIENCE)
    assert half.judge(100, 160, 160) is None
    # The next one is another matter.
    assert half.judge(200, 210, 210) is None
    clock.advance(PATIENCE)
    assert half.judge(200, 210, 210) is not None


def test_whole_records_and_bytes_on_their_way_are_none() -> None:
    clock = Clock()
    half = HalfRecord(clock.seconds)
    for whole, received, length in (
        (100, 150, 150),
        (160, 160, 160),
        (160, 170, 300),
        (160, 170, 170),
        (190, 195, 195),
    ):
        assert half.judge(whole, received, length) is None
        clock.advance(PATIENCE - 0.1)
