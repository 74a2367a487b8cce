"""What the hook writes down: the records alone make the same database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.primary.changes.layout import Unwritable
from tests.primary.changes.recorded import MAX_RECORD, Recorded

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, g AS (a || 'x') STORED)",
    "CREATE TABLE k (a TEXT, b, PRIMARY KEY (a, b))",
    "CREATE TABLE n (a, v AS (a + 1))",
    "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)",
    "CREATE TRIGGER r AFTER UPDATE OF a ON t BEGIN INSERT INTO n VALUES (OLD.a); DELETE FROM k WHERE b = OLD.a; "
    "END",
)
STATEMENTS = [
    "INSERT INTO t (a) VALUES ({0}), ({1}), ({0})",
    "INSERT INTO k SELECT 'x' || value, {0} FROM generate WHERE value < {1} ON CONFLICT DO UPDATE SET b = b + 1",
    "INSERT INTO k VALUES (NULL, {0}), (NULL, {0})",
    "INSERT INTO n SELECT value FROM generate WHERE value < {1}",
    "INSERT OR IGNORE INTO c (a) VALUES ({0}), ({1})",
    "REPLACE INTO c (a) VALUES ({1}), ({0})",
    "UPDATE t SET a = a + {0}",
    "UPDATE OR REPLACE k SET a = 'y', b = {1} WHERE b <> {0}",
    "UPDATE n SET rowid = rowid + 100, a = {0}",
    "UPDATE t SET id = -id WHERE a = {0}",
    "DELETE FROM k WHERE a IS NULL",
    "DELETE FROM n WHERE a > {0}",
    "DELETE FROM t",
]
COUNTS = (
    "CREATE VIEW generate AS WITH n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n LIMIT 6) SELECT * FROM n"
)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded(*SCHEMA, COUNTS)
    with closing(made.connection):
        yield made


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(STATEMENTS), st.integers(0, 7), st.integers(0, 7)), max_size=8))
def test_the_records_make_the_same_database(work: list[tuple[str, int, int]]) -> None:
    recorded = Recorded(*SCHEMA, COUNTS)
    with closing(recorded.connection):
        for sql, first, second in work:
            recorded.run(sql.format(first, second))
        recorded.assert_same_on_copy(recorded.statements())


def test_what_nobody_asked_for_is_not_written_down(recorded: Recorded) -> None:
    recorded.connection.execute("INSERT INTO t (a) VALUES (1)")
    recorded.recorder.start(ignored="T")
    recorded.connection.execute("INSERT INTO t (a) VALUES (2)")
    recorded.connection.execute("INSERT INTO k VALUES ('a', 2)")
    recorded.recorder.finish()
    recorded.recorder.stop()
    assert recorded.recorder.seen
    assert recorded.statements() == ["INSERT INTO k(a,b)VALUES('a',2)"]


def test_a_failure_shows_at_the_end_of_its_statement_and_not_in_the_next(recorded: Recorded) -> None:
    with pytest.raises(Unwritable, match=f"a record may have {MAX_RECORD}"):
        recorded.run(f"INSERT INTO t (a) VALUES (zeroblob({MAX_RECORD}))")
    recorded.recording.undo()
    recorded.run("INSERT INTO k VALUES ('a', 1)")
    assert recorded.statements() == ["INSERT INTO k(a,b)VALUES('a',1)"]


def test_a_statement_that_was_refused_leaves_no_failure_to_the_next(recorded: Recorded) -> None:
    with pytest.raises(apsw.ConstraintError):
        recorded.run(f"INSERT INTO t (id, a) VALUES (1, zeroblob({MAX_RECORD})), (1, 2)")
    recorded.recording.undo()
    recorded.run("INSERT INTO k VALUES ('a', 1)")
    assert recorded.statements() == ["INSERT INTO k(a,b)VALUES('a',1)"]


def test_a_blob_that_is_written_in_part_is_refused(recorded: Recorded) -> None:
    recorded.connection.execute("CREATE TABLE whole (b); INSERT INTO whole VALUES (x'0011')")
    recorded.recorder.start()
    with recorded.connection.blob_open("main", "whole", "b", 1, True) as blob:
        blob.write(b"\xff")
    with pytest.raises(Unwritable, match="written in part"):
        recorded.recorder.finish()
    recorded.recorder.stop()


def test_columns_that_were_added_are_known_after_forget_layouts(recorded: Recorded) -> None:
    recorded.run("INSERT INTO k VALUES ('a', 1)")
    recorded.connection.execute("ALTER TABLE k ADD COLUMN c")
    recorded.recorder.forget_layouts()
    recorded.run("UPDATE k SET c = 5")
    assert recorded.statements()[-1] == "UPDATE k SET c=5 WHERE a='a' AND b=1"


def test_a_group_needs_rows_that_the_core_may_take(recorded: Recorded) -> None:
    """What comes from elsewhere states its origin, which the core does not write."""
    recorded.recorder.origin = 5
    assert not recorded.recorder.start_group()
    recorded.run("INSERT INTO k VALUES ('a', 1)")
    assert recorded.statements() == ["INSERT INTO k(a,b)VALUES('a',1) /* origin 0000000000000005 */"]


def test_nothing_is_heard_where_it_is_not_installed(recorded: Recorded) -> None:
    recorded.recorder.install(False)
    recorded.run("INSERT INTO k VALUES ('a', 1)")
    assert not recorded.recorder.seen
    recorded.recorder.install()
    recorded.connection.execute("DELETE FROM k")
    assert recorded.statements() == []
    assert recorded.connection.changes() == 1
