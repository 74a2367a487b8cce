"""A run of rows that change alike: together they are written as each alone would be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.row_changes import LAYOUTS
from spgrepl.primary.changes.layout import TableLayout
from spgrepl.primary.changes.row_run import RowRun, Unfit
from spgrepl.rows.render import render_delete, render_update, render_values
from tests.rows.strategies import values

PLAIN = next(layout for layout in LAYOUTS if not layout.key)
KEYED = TableLayout("k", ("a", "b"), (0, 1), ("a",), (0,), "rowid", True)
UNSURE = TableLayout("k", ("a", "b"), (0, 1), ("a",), (0,), "rowid", True, exact_key=False)
GAPS = TableLayout("g", ("a", "b"), (0, 2), ("a",), (0,), "rowid", True, has_gaps=True)

cells = values.filter(lambda value: value is not None)
pairs = st.lists(st.tuples(cells, cells), min_size=1, max_size=8)


def change(old: Any = None, new: Any = None, rowid: int = 1, **others: Any) -> Any:
    """A change as SQLite reports it."""
    told = {"old": old, "new": new, "rowid": rowid, "rowid_new": rowid, "blob_write": -1}
    return SimpleNamespace(**told | others)


def begun(layout: TableLayout, operation: int) -> RowRun:
    run = RowRun()
    run.begin(layout, operation)
    return run


@settings(max_examples=40)
@given(pairs)
def test_inserted_rows(rows: list[Any]) -> None:
    run = begun(KEYED, apsw.SQLITE_INSERT)
    for row in rows:
        run.take(change(new=row))
    assert run.texts() == [render_values(KEYED.insert_head, row) for row in rows]
    assert [new for _, new, _ in run.rows()] == rows


@settings(max_examples=40)
@given(pairs)
def test_deleted_rows(rows: list[Any]) -> None:
    run = begun(KEYED, apsw.SQLITE_DELETE)
    for row in rows:
        run.take(change(old=row))
    assert run.texts() == [render_delete("k", ("a",), row[:1]) for row in rows]


@settings(max_examples=40)
@given(pairs)
def test_updated_rows_state_what_changed(rows: list[Any]) -> None:
    """The other column is the same object, as SQLite's report of one that was not touched reads."""
    run = begun(KEYED, apsw.SQLITE_UPDATE)
    for old, new in rows:
        run.take(change(old=(old, "before"), new=(old, new)))
    expected = [render_update("k", ("b",), (new,), ("a",), (old,)) for old, new in rows if new != "before"]
    assert run.texts() == expected


def test_a_key_that_may_not_name_its_row_has_each_row_looked_at() -> None:
    for layout, row in ((UNSURE, ("a", 1)), (KEYED, (None, 1))):
        run = begun(layout, apsw.SQLITE_DELETE)
        run.take(change(old=row))
        assert run.texts() is None
        assert list(run.rows()) == [(row, None, 0)]


def test_what_does_not_fit_is_not_taken() -> None:
    run = begun(PLAIN, apsw.SQLITE_UPDATE)
    with pytest.raises(Unfit):
        run.take(change(("a", 1), ("a", 2), rowid=1, rowid_new=2))
    assert run.texts() == []
    run = begun(KEYED, apsw.SQLITE_DELETE)
    with pytest.raises(Unfit):
        run.take(change(("a", 1), blob_write=0))
    assert run.texts() == []


def test_columns_that_are_not_written_down_are_left_out() -> None:
    run = begun(GAPS, apsw.SQLITE_INSERT)
    run.take(change(new=("a", "generated", 1)))
    assert run.texts() == [b"INSERT INTO g(a,b)VALUES('a',1)"]


def test_long_rows_are_written_down_sooner() -> None:
    """Memory holds some hundred kilobytes of them."""
    run = begun(KEYED, apsw.SQLITE_INSERT)
    taken = 1
    while not run.take(change(new=("a", 1))):
        taken += 1
    run.clear(taken * 1024 * 1024)
    assert run.take(change(new=("a", 1)))
    run.clear(30)
    assert not run.take(change(new=("a", 1)))
    run.drop()
    assert run.table is None
