"""Rows written down one by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import Unwritable, read_layout
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.primary.changes.row_writer import RowWriter
from spgrepl.rows.values import same_value
from tests.primary.changes.recorded import database
from tests.rows.strategies import values

alike = st.sampled_from([0, 0.0, -0.0, 1, 1.0, "1", b"1", None])
pairs = st.one_of(st.tuples(values, values), st.tuples(alike, alike))
KEYED = "CREATE TABLE k (a PRIMARY KEY, b)"
LOOSE = "CREATE TABLE k (a, b)"


def made(connection: apsw.Connection, each_row: Callable[[], bool] = bool) -> tuple[RowWriter, Recording]:
    recording = Recording(Path())
    recording.begin()
    writer = RowWriter(connection, recording, RowReader(connection, ObjectGuard()), 1000, each_row)
    writer.start_statement()
    return writer, recording


def written(recording: Recording) -> list[str]:
    recording.end()
    return [sql.decode() for sql in recording.statements()]


@given(pairs)
def test_an_update_states_what_became_another_value(pair: tuple[object, object]) -> None:
    """1 is not 1.0, and 0.0 is not -0.0: they are kept apart on a copy, too."""
    old, new = pair
    with closing(database([KEYED])) as connection:
        writer, recording = made(connection)
        writer.changed(read_layout(connection, "k"), ("a", old), ("a", new), 1, 1)  # type: ignore[arg-type]
        found = written(recording)
        assert len(found) == (0 if same_value(old, new) else 1)  # type: ignore[arg-type]


def test_a_row_that_moves_to_another_number() -> None:
    with closing(database([LOOSE])) as connection:
        writer, recording = made(connection)
        writer.changed(read_layout(connection, "k"), (1, 2), (1, 2), 7, 8)
        assert written(recording) == ["UPDATE k SET rowid=8 WHERE rowid=7"]


@pytest.mark.parametrize(
    ("count", "interrupted", "left", "each_row", "together"),
    [
        (100, False, False, False, True),
        (99, False, False, False, False),
        (100, True, False, False, False),
        (100, False, True, False, False),
        (100, False, False, True, False),
    ],
)
def test_an_emptied_table_is_one_record(
    count: int, interrupted: bool, left: bool, each_row: bool, together: bool
) -> None:
    """Where many rows went, nothing else happened, none is left, and no subscriber has rows of its own."""
    with closing(database([LOOSE, "CREATE TABLE o (a)", *["INSERT INTO k VALUES (0, 0)"] * left])) as connection:
        writer, recording = made(connection, lambda: each_row)
        layout = read_layout(connection, "k")
        for number in range(count):
            if interrupted and number == 50:
                writer.changed(read_layout(connection, "o"), None, (1,), 1, 1)
            writer.changed(layout, (1, 2), None, number, number)
        writer.end_statement()
        assert (written(recording) == ["DELETE FROM k"]) is together


def test_a_record_may_be_as_long_as_it_may_be() -> None:
    with closing(database([KEYED])) as connection:
        writer, recording = made(connection)
        layout = read_layout(connection, "k")
        room = 1000 - len("INSERT INTO k(a,b)VALUES(1,'')")
        writer.changed(layout, None, (1, "x" * room), 1, 1)
        with pytest.raises(Unwritable, match="takes 1001 bytes in the log, a record may have 1000"):
            writer.changed(layout, None, (1, "x" * (room + 1)), 1, 1)
        assert [len(sql) for sql in written(recording)] == [1000]


def test_all_rows_of_a_table() -> None:
    rows = ["INSERT INTO k (rowid, a, b) VALUES (9, 'a', 1), (3, NULL, 2)"]
    with closing(database([KEYED, *rows])) as connection, closing(database([KEYED])) as copy:
        writer, recording = made(connection)
        writer.add_all_rows("k")
        for sql in written(recording):
            copy.execute(sql)
        assert list(copy.execute("SELECT a, b FROM k")) == [(None, 2), ("a", 1)]
