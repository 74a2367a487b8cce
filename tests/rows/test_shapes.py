"""Statements with parameters in the place of values."""

from __future__ import annotations

import contextlib

import apsw
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.rows.changes import RowChange
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.render import render
from spgrepl.rows.shapes import parameters_sql, row_pattern, rows_pattern, shape_of, shape_pattern
from spgrepl.rows.values import RawText, RowValue
from tests.rows.forms import DELETE, INSERT, UPDATE
from tests.rows.strategies import changes, values


@given(st.lists(st.tuples(values, values), min_size=1, max_size=3), st.data())
def test_the_text_and_its_bound_form_do_the_same(
    rows: list[tuple[RowValue, RowValue]], data: st.DataObject
) -> None:
    """A table without affinities and keys: rows are named by all their columns, NULL among them."""
    texts = [render(RowChange(INSERT, "t", ("a", "b"), row)) for row in rows]
    chosen = data.draw(st.sampled_from(rows))
    if data.draw(st.booleans()):
        texts.append(render(RowChange(UPDATE, "t", ("b",), ("new",), ("a", "b"), chosen, "rowid")))
    else:
        texts.append(render(RowChange(DELETE, "t", (), (), ("a", "b"), chosen, "rowid")))
    contents = []
    for bind in (False, True):
        with contextlib.closing(apsw.Connection(":memory:")) as connection:
            connection.execute("CREATE TABLE t(a COLLATE NOCASE,b)")
            for text in texts:
                before = connection.total_changes()
                if bind:
                    found = Recogniser().read(text)
                    assert found is not None
                    bound = [one.content if isinstance(one, RawText) else one for one in found.values]
                    connection.execute(parameters_sql(found.shape, found.values), bound)
                else:
                    connection.execute(text.decode())
                assert connection.total_changes() - before == 1
            query = "SELECT rowid, typeof(a), CAST(a AS BLOB), typeof(b), CAST(b AS BLOB) FROM t ORDER BY rowid"
            contents.append(connection.execute(query).fetchall())
    assert contents[0] == contents[1]


@given(changes())
def test_a_shape_and_its_values_are_the_change(change: RowChange) -> None:
    shape = shape_of(change)
    bound = [*change.values, *(value for value in change.key_values if value is not None)]
    assert shape.count == len(bound)
    assert shape.change(bound, change.origin) == change


def test_the_row_is_shown_to_people() -> None:
    update = RowChange(UPDATE, "t", ("a",), ("new",), ("id", "part"), (7, None))
    assert shape_of(update).key_text(["new", 7]) == "id=7, part=NULL"
    insert = RowChange(INSERT, "t", ("a", "b"), (RawText(b"\xff"), "x" * 100))
    shown = shape_of(insert).key_text(insert.values)
    assert shown.startswith("a=b'\\xff', b='xxx")
    assert shown.endswith("…")
    assert len(shown) < 100


def test_or_abort_is_left_out_where_the_schema_decides() -> None:
    shape = shape_of(RowChange(INSERT, "t", ("a",), (1,)))
    assert parameters_sql(shape, (1,)) == "INSERT OR ABORT INTO t(a)VALUES(?)"
    assert parameters_sql(shape, (1,), strict=False) == "INSERT INTO t(a)VALUES(?)"


def test_patterns_take_what_is_written() -> None:
    update = RowChange(UPDATE, "t", ("a",), ("it's",), ("id", "part"), (7, None), origin=5)
    found = shape_pattern(shape_of(update)).fullmatch(render(update))
    assert found is not None
    assert found.groups() == (b"'it''s'", b"7", b"0000000000000005")
    assert row_pattern(2).fullmatch(b"1,NULL)") is not None
    assert row_pattern(2).fullmatch(b"1)") is None
    assert rows_pattern(2).fullmatch(b"1,2)\x003,'x')\0") is not None
    assert rows_pattern(1).fullmatch(b"CAST(x'ff' AS TEXT))\0") is None
