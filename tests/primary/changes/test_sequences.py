"""The counters of AUTOINCREMENT tables: a copy that applies the rows counts on from the same numbers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import StatementFailed
from spgrepl.primary.changes.layout import Unwritable
from spgrepl.primary.changes.sequences import LAST_NUMBER, SequenceTracker
from tests.primary.changes.recorded import database
from tests.primary.copying import assert_same_on_copy, opened

TABLES = [f"CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT)" for name in ("t", "u")]
COUNTERS = "SELECT name, seq FROM sqlite_sequence ORDER BY name"
numbers = st.one_of(st.integers(-3, 12), st.just(LAST_NUMBER))
steps = st.tuples(st.sampled_from(["insert", "skip", "forget"]), st.sampled_from(["t", "u"]), numbers)


@settings(max_examples=40)
@given(st.lists(steps, max_size=12))
def test_a_copy_has_the_same_counters_whatever_was_skipped(work: list[tuple[str, str, int]]) -> None:
    with closing(database(TABLES)) as primary, closing(database(TABLES)) as copy:
        tracker = SequenceTracker(primary)
        for kind, table, number in work:
            tracker.start()
            if kind == "insert":
                for connection in (primary, copy):
                    connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?)", (number,))
                tracker.inserted(table, number)
            elif kind == "skip":  # as a row that was ignored
                primary.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table))
            else:
                tracker.settle(lambda sql: copy.execute(sql.decode()))
                tracker.forget()
        tracker.start()
        tracker.settle(lambda sql: copy.execute(sql.decode()))
        assert list(copy.execute(COUNTERS)) == list(primary.execute(COUNTERS))


def test_what_was_rolled_back_was_never_counted() -> None:
    with closing(database(TABLES)) as primary:
        tracker, added = SequenceTracker(primary), list[bytes]()
        tracker.start()
        before = tracker.save()
        tracker.inserted("t", 9)
        tracker.restore(before)
        tracker.settle(added.append)
        assert added == []


def test_rows_say_all_that_a_copy_needs_to_count_on() -> None:
    with closing(database(TABLES)) as primary:
        tracker, added = SequenceTracker(primary), list[bytes]()
        tracker.start()
        for number in (9, 3):
            primary.execute("INSERT INTO t VALUES (?)", (number,))
            tracker.inserted("t", number)
        tracker.settle(added.append)
        assert added == []


def test_a_table_without_a_next_number_is_named() -> None:
    with closing(database(TABLES)) as primary:
        tracker = SequenceTracker(primary)
        tracker.start()
        assert tracker.used_up() is None
        tracker.inserted("u", LAST_NUMBER)
        assert tracker.used_up() == "u"


def test_a_second_counter_is_refused() -> None:
    with closing(database([*TABLES, "INSERT INTO t VALUES (5)"])) as primary:
        tracker = SequenceTracker(primary)
        tracker.start()
        with pytest.raises(Unwritable, match="'t' has a counter"):
            tracker.changed(None, ("t", 7), list[bytes]().append)


@pytest.mark.parametrize("name", ["NULL", "5", "2.5", "x'74'"])
def test_a_counter_of_no_table_is_refused_and_the_writer_goes_on(tmp_path: Path, name: str) -> None:
    with opened(tmp_path, TABLES[0], "INSERT INTO t VALUES (5)") as writer:
        with pytest.raises(StatementFailed, match="is not the name of a table"):
            writer.execute(f"INSERT INTO sqlite_sequence VALUES ({name}, 1)")
        with pytest.raises(StatementFailed, match="is not the name of a table"):
            writer.execute(f"UPDATE sqlite_sequence SET name = {name}")
        writer.execute("INSERT INTO t VALUES (NULL)")
        assert writer.rows(COUNTERS) == [("t", 6)]
        assert_same_on_copy(writer)


def test_one_that_was_there_before_does_no_harm() -> None:
    schema = [*TABLES, "INSERT INTO t VALUES (5)", "INSERT INTO sqlite_sequence VALUES (NULL, 1), (5, 1)"]
    with closing(database(schema)) as primary:
        tracker, added = SequenceTracker(primary), list[bytes]()
        tracker.start()
        tracker.changed((5, 1), None, added.append)
        tracker.settle(added.append)
        assert added == []
