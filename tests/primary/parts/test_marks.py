"""Subscriptions of a primary stay in agreement with its log, whatever kills the process."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.errors import LocalFilesDamaged, SubscriptionGone
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.primary.parts.marks import LoggedMark, MarkFile, SubscriptionMark
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter

BEGUN = SubscriptionState(("p",), 100, 100)
MOVED = SubscriptionState(("p",), 100, 180, (FenceRecord(140, 7),))
WHOLE = SubscriptionState(("p",), 1, 9, marks=(FenceRecord(2, 3),), alone_to=7, before_copy=Mark(1, 2, 3))
FURTHER = SubscriptionState(("p",), 100, 300, (FenceRecord(250, 9),))


@pytest.fixture
def paths(tmp_path):
    found = DatabasePaths.of(tmp_path / "main.db")
    writer = DatabaseWriter(found)
    writer.open()
    writer.run([Request(("CREATE TABLE t (n INTEGER)",)), Request((), True, SubscriptionMark("s", None, BEGUN))])
    writer.close()
    return found


def run(paths, *requests):
    writer = DatabaseWriter(paths)
    writer.open()
    try:
        return writer.run(requests)
    finally:
        writer.close()


def rows(paths):
    with sqlite3.connect(paths.database) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def state(paths):
    with sqlite3.connect(paths.database) as connection:
        return read_subscription(connection, "s")


def insert(number, known=BEGUN, moved=MOVED):
    return Request((f"INSERT INTO t VALUES ({number})",), True, SubscriptionMark("s", known, moved))


def test_rows_and_state_move_together(paths):
    assert state(paths) == BEGUN
    (answer,) = run(paths, insert(1))
    assert isinstance(answer, Written)
    assert (rows(paths), state(paths)) == ([1], MOVED)


def test_a_request_that_fails_moves_nothing(paths):
    request = Request(("INSERT INTO t VALUES (1)", "INSERT INTO no_such VALUES (1)"), True, insert(1).mark)
    run(paths, request)
    assert (rows(paths), state(paths)) == ([], BEGUN)


def test_a_position_alone_moves_without_a_byte_of_log(paths):
    length = paths.wal.stat().st_size
    run(paths, Request((), True, SubscriptionMark("s", BEGUN, MOVED)))
    assert state(paths) == MOVED
    assert paths.wal.stat().st_size == length


def test_what_a_crash_kept_from_the_database_comes_back_with_its_state(paths):
    """Killed between the fsync of the log and the commit of the database."""
    shutil.copy(paths.database, paths.database.with_suffix(".before"))
    run(paths, Request(("INSERT INTO t VALUES (0)",)), insert(1), insert(2, MOVED, FURTHER))
    shutil.copy(paths.database.with_suffix(".before"), paths.database)
    assert state(paths) == BEGUN
    run(paths)
    assert (rows(paths), state(paths)) == ([0, 1, 2], FURTHER)
    run(paths)
    assert (rows(paths), state(paths)) == ([0, 1, 2], FURTHER)


def test_a_mark_whose_rows_never_reached_the_log_means_nothing(paths):
    """Killed between the file of marks and the log."""
    length = paths.wal.stat().st_size
    shutil.copy(paths.database, paths.database.with_suffix(".before"))
    run(paths, insert(1))
    shutil.copy(paths.database.with_suffix(".before"), paths.database)
    with open(paths.wal, "r+b") as log:
        log.truncate(length)
    run(paths)
    assert (rows(paths), state(paths)) == ([], BEGUN)
    run(paths, Request(("INSERT INTO t VALUES (5)",)))
    assert (rows(paths), state(paths)) == ([5], BEGUN)


def test_another_part_of_the_log_is_not_taken_for_that_of_a_mark(paths):
    length = paths.wal.stat().st_size
    shutil.copy(paths.database, paths.database.with_suffix(".before"))
    run(paths, insert(1))
    shutil.copy(paths.database.with_suffix(".before"), paths.database)
    with open(paths.wal, "r+b") as log:
        log.truncate(length)
    shutil.copy(paths.database, paths.database.with_suffix(".again"))
    run(paths, Request(("INSERT INTO t VALUES (8)",), True))
    shutil.copy(paths.database.with_suffix(".again"), paths.database)
    run(paths)
    assert (rows(paths), state(paths)) == ([8], BEGUN)


def test_rows_of_a_subscription_that_was_dropped_are_refused(paths):
    run(paths, Request(("DROP SUBSCRIPTION IF EXISTS s",)))
    assert state(paths) is None
    (answer,) = run(paths, insert(1))
    assert isinstance(answer, SubscriptionGone)
    assert rows(paths) == []


def test_a_failure_that_takes_the_transaction_along_leaves_the_others_and_their_states(paths):
    run(paths, Request(("CREATE UNIQUE INDEX one ON t (n)",)))
    again = Request(("INSERT OR ROLLBACK INTO t VALUES (1)",))
    answers = run(paths, insert(1), again, insert(2, MOVED, FURTHER))
    assert [isinstance(answer, Written) for answer in answers] == [True, False, True]
    assert (rows(paths), state(paths)) == ([1, 2], FURTHER)


def test_records_that_were_put_aside_are_kept_with_the_state(paths):
    mark = SubscriptionMark("s", BEGUN, MOVED, ((140, b"record", b"INSERT", "why"),))
    run(paths, Request((), True, mark))
    with sqlite3.connect(paths.database) as connection:
        kept = connection.execute("SELECT subscription, position, record, reason FROM spgrepl_skipped").fetchall()
    assert kept == [("s", 140, b"record", "why")]


def test_a_damaged_file_of_marks_is_named(tmp_path):
    file = MarkFile(tmp_path / "marks")
    assert file.read() == []
    marks = [LoggedMark(1, 2, 3, "ä", MOVED), LoggedMark(2, 9, 3, "b", WHOLE)]
    file.write(marks)
    assert file.read() == marks
    (tmp_path / "marks").write_text('[{"start": 1}]')
    with pytest.raises(LocalFilesDamaged, match="marks cannot be read"):
        file.read()
