"""Marks of a subscription: records far before its position, by which a different history shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import HistoryDiverged
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord
from spgrepl.log.format.records import AtOnce, encode_statement
from spgrepl.replica import short_connections
from spgrepl.replica.short_connections import MarkChoice
from spgrepl.replica.subscribing import marks
from spgrepl.replica.subscribing.marks import further_marks
from tests.master.kit import Threads
from tests.replica.subscribing.kit import Rig, running
from tests.replica.subscribing.streams import frames_of, insert, length_of

TABLES = ("CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "CREATE TABLE u (a)")
HEAD = insert(0, "x")


def row(number: int, text: str = "a", table: str = "t") -> bytes:
    return encode_statement(f"INSERT INTO {table} VALUES ({number:04}, '{text * 40}')".encode())


def mark(position: int, record: bytes) -> FenceRecord:
    return FenceRecord(position, crc32(record))


# -- what is kept ---------------------------------------------------------------------------------------------


def test_the_first_record_is_a_mark_and_the_first_one_of_each_span(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [row(number) for number in range(40)]
    size = len(records[0])
    monkeypatch.setattr(marks, "MARK_EVERY", 10 * size)
    frames = frames_of(size // 2, 7, *records)
    first = size // 2 + 7
    found = further_marks((), [(frames, 0, 40)])
    assert found == tuple(mark(first + at * size, records[at]) for at in (0, 10, 20, 30))
    for cut in range(1, 40):
        apart = further_marks(further_marks((), [(frames, 0, cut)]), [(frames, cut, 40)])
        assert apart == found == further_marks((), [(frames, 0, cut), (frames, cut, 40)])


def test_where_nothing_comes_nothing_is_kept_and_what_cannot_be_asked_for_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = row(1), row(2)
    monkeypatch.setattr(marks, "MARK_EVERY", 10)
    assert further_marks((), [(frames_of(5, 2000), 0, 0)]) == ()
    frames = frames_of(0, *records)
    assert further_marks((), [(frames, 0, 2)]) == (mark(len(records[0]), records[1]),)


def test_they_are_bounded_and_the_first_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [row(number) for number in range(500)]
    monkeypatch.setattr(marks, "MARK_EVERY", 10)
    found = further_marks((), [(frames_of(40, *records), 0, 500)])
    assert marks.MOST_MARKS // 2 < len(found) <= marks.MOST_MARKS
    assert found[0] == mark(40, records[0])
    assert found[-1] == mark(40 + length_of(*records[:499]), records[499])


# -- how they are compared ------------------------------------------------------------------------------------

LOG = [row(number) for number in range(1, 31)]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A subscription that was given 30 rows, with marks far before its fence, and was stopped."""
    monkeypatch.setattr(marks, "MARK_EVERY", 10 * len(LOG[0]))
    with running(tmp_path, tables=TABLES, log=HEAD) as made:
        made.start()
        made.settle()
        for record in LOG:
            made.grow(record)
        made.settle()
        assert made.numbers == list(range(1, 31))
        made.stop()
        made.ended.clear()
        yield made


def restored(rig: Rig, changed: dict[int, bytes]) -> None:
    """The master's log has other records of the same length at some places."""
    rig.master.log.lose()
    rig.grow(HEAD, *(changed.get(number, record) for number, record in enumerate(LOG)))


def choose(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The record of this number is compared; the first mark of all is the one before the copied rows."""
    monkeypatch.setattr(MarkChoice.__init__, "__defaults__", (lambda found: found[number + 1],))


def ended(rig: Rig) -> Any:
    assert rig.ended, "it goes on"
    return getattr(rig.ended[-1], "value", rig.ended[-1])


def asked(rig: Rig) -> int:
    """How many connections were made since the first ones."""
    return len(rig.wire.connections)


def test_they_are_stored_with_the_position(rig: Rig) -> None:
    stored = rig.stored
    assert stored is not None
    places = [len(HEAD) + at * len(LOG[0]) for at in range(30)]
    assert [one.position for one in stored.marks] == [places[at] for at in (0, 10, 20)]
    assert [one.crc for one in stored.marks] == [crc32(LOG[at]) for at in (0, 10, 20)]
    assert stored.fence[0].position > stored.marks[1].position


@pytest.mark.parametrize("number", [0, 1])
def test_another_record_far_before_the_fence_is_a_different_history(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The fence would find nothing: all that it has is there."""
    choose(monkeypatch, number)
    restored(rig, {10 * number: row(10 * number + 1, "b")})
    rig.start()
    rig.settle(3)
    assert isinstance(ended(rig), HistoryDiverged)
    assert "far before the position of this subscription" in rig.status["error"]
    assert rig.stored is not None
    assert rig.stored.diverged is not None
    assert rig.numbers == list(range(1, 31))


def test_where_one_differs_the_second_look_is_at_the_same_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one may fit, and would say nothing about it."""
    turns = iter([1, *[2] * 100])
    monkeypatch.setattr(MarkChoice.__init__, "__defaults__", (lambda found: found[next(turns)],))
    restored(rig, {0: row(1, "b")})
    rig.start()
    rig.settle(3)
    assert isinstance(ended(rig), HistoryDiverged)


def test_where_the_fence_cannot_tell_a_mark_does(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is not published any more could be a change of publications; a mark that differs is none."""
    choose(monkeypatch, 0)
    restored(rig, {0: row(1, "b"), 29: row(30, "a", "u")})
    rig.start()
    rig.settle(3)
    assert isinstance(ended(rig), HistoryDiverged)
    assert "cannot be told" not in rig.status["error"]
    assert "its history is a different one" in rig.status["error"]


@pytest.mark.parametrize("number", [0, 1])
def test_the_same_log_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    choose(monkeypatch, number)
    before = asked(rig)
    rig.start()
    rig.settle(1)
    assert asked(rig) == before + 2
    assert rig.wire.connections[before].ended
    rig.grow(row(31))
    rig.settle(1)
    assert (rig.numbers, rig.ended) == (list(range(1, 32)), [])


def test_a_long_record_is_read_in_a_thread(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, 0)
    monkeypatch.setattr(marks, "IN_REACTOR", AtOnce(0, 0))
    threads = Threads()
    threads.hold()
    monkeypatch.setattr(marks, "thread_runner", lambda _reactor: threads)
    restored(rig, {0: row(1, "b")})
    rig.start()
    rig.settle(1)
    assert threads.calls == 1
    assert rig.wire.last.paused
    for _ in range(2):  # the second look
        rig.settle(1)
        threads.release()
        threads.hold()
        rig.settle(1)
    assert isinstance(ended(rig), HistoryDiverged)


def test_a_mark_that_is_not_published_any_more_says_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, 0)
    restored(rig, {0: row(1, "a", "u")})
    rig.start()
    rig.settle(1)
    rig.grow(row(31))
    rig.settle(1)
    assert (rig.numbers[-1], rig.ended) == (31, [])


def test_a_master_that_does_not_answer_is_not_waited_for(rig: Rig) -> None:
    before = asked(rig)
    rig.start()
    assert asked(rig) == before + 1
    rig.clock.advance(short_connections.ANSWER_SECONDS)
    assert rig.wire.connections[before].ended
    assert asked(rig) == before + 2
    rig.settle(1)
    rig.grow(row(31))
    rig.settle(1)
    assert (rig.numbers[-1], rig.ended) == (31, [])


def test_stopped_while_one_is_compared(rig: Rig) -> None:
    before = asked(rig)
    rig.start()
    assert asked(rig) == before + 1
    rig.stop()
    rig.settle(1)
    assert asked(rig) == before + 1
    assert not rig.service.running


def test_other_publications_begin_them_again(rig: Rig) -> None:
    rig.start("p", "q")
    rig.settle(1)
    rig.grow(row(31))
    rig.settle(1)
    assert rig.stored is not None
    assert [one.crc for one in rig.stored.marks] == [crc32(row(31))]


def test_an_operator_who_says_that_the_history_is_the_same_begins_them_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, 0)
    restored(rig, {0: row(1, "b")})
    rig.start(same_history=True)
    rig.settle(1)
    rig.grow(row(31))
    rig.settle(1)
    assert (rig.numbers[-1], rig.ended) == (31, [])
    stored = SqliteTarget(rig.database, "s").open()
    assert stored is not None
    assert [one.crc for one in stored.marks] == [crc32(row(31))]


# -- what stands before the copied rows ---------------------------------------------------------------------------

QUIET = insert(1, "x"), insert(2, "x")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Rig]:
    """A subscription that has rows, and was given nothing since."""
    with running(tmp_path, tables=TABLES, log=HEAD + QUIET[0]) as made:
        made.start()
        made.settle()
        made.stop()
        made.ended.clear()
        yield made


def test_what_stands_before_the_copied_rows_is_kept(fresh: Rig) -> None:
    stored = fresh.stored
    assert stored is not None
    before = HEAD + QUIET[0]
    assert stored.before_copy == Mark(1, len(before), crc32(before[1:]))
    fresh.start("p", "q")
    fresh.settle(1)
    fresh.grow(row(1))
    fresh.settle(1)
    again = fresh.stored
    assert again is not None
    assert (again.publications, again.before_copy) == (("p", "q"), stored.before_copy)


@pytest.mark.parametrize("asked", [("p",), ("p", "q")])
def test_a_master_that_was_restored_before_anything_came_is_a_different_one(
    fresh: Rig, asked: tuple[str, ...]
) -> None:
    """What is not published was written again, as long as before: no record tells, and rows would be missing."""
    fresh.master.log.lose()
    fresh.grow(HEAD, QUIET[1])
    fresh.start(*asked)
    fresh.settle(3)
    assert isinstance(ended(fresh), HistoryDiverged)
    assert "where the copied rows were taken" in fresh.status["error"]
    assert fresh.stored is not None
    assert fresh.stored.diverged is not None


def test_the_same_master_goes_on_after_the_copied_rows(fresh: Rig) -> None:
    fresh.start()
    fresh.settle(1)
    fresh.grow(row(1))
    fresh.settle(1)
    assert (fresh.numbers, fresh.ended) == ([1], [])


def test_where_the_history_is_said_to_be_the_same_what_stood_before_the_rows_is_forgotten(fresh: Rig) -> None:
    fresh.master.log.lose()
    fresh.grow(HEAD, QUIET[1])
    fresh.start(same_history=True)
    fresh.settle(1)
    assert fresh.stored is not None
    assert (fresh.stored.before_copy, fresh.ended) == (None, [])


def test_without_the_rows_there_is_nothing_before_them(tmp_path: Path) -> None:
    with running(tmp_path, tables=TABLES, log=HEAD) as rig:
        rig.start(copy_data=False)
        rig.settle()
        assert rig.stored is not None
        assert rig.stored.before_copy is None


def test_a_copy_is_made_where_the_master_does_not_send_what_stands_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a relay does, whose log begins there."""
    monkeypatch.setattr(short_connections.RangeReader, "answered", lambda reader, _: reader.end(None))
    with running(tmp_path, tables=TABLES, log=HEAD) as rig:
        rig.start()
        rig.settle()
        assert rig.stored is not None
        assert rig.stored.before_copy is None
        rig.grow(row(1))
        rig.settle(1)
        assert (rig.numbers, rig.ended) == ([1], [])


def test_stopped_while_it_is_taken(tmp_path: Path) -> None:
    with running(tmp_path, tables=TABLES, log=HEAD) as rig:
        rig.start()
        while len(rig.wire.connections) < 3:
            rig.turn()
        rig.stop()
        rig.settle(1)
        assert not rig.service.running
        assert (rig.stored, len(rig.wire.connections)) == (None, 3)
        rig.start()
        rig.settle(1)
        assert rig.stored is not None
        assert rig.stored.before_copy is not None
