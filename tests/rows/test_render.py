"""The canonical text of row changes: how it looks, and what is refused."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.rows.changes import RowChange
from spgrepl.rows.recognise import recognise
from spgrepl.rows.render import delete_pieces, insert_head, join_pieces, render, render_values, update_pieces
from spgrepl.rows.values import RawText
from tests.rows.forms import CLEAR, DELETE, FORMS, INSERT, ROW, UPDATE


@pytest.mark.parametrize(("change", "text"), FORMS)
def test_the_forms_of_the_text(change: RowChange, text: bytes) -> None:
    assert render(change) == text
    assert recognise(text) == change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (RowChange(INSERT, "t", ("a",), (1, 2)), ValueError),
        (RowChange(INSERT, "t"), ValueError),
        (RowChange(UPDATE, "t", (), (), ("id",), (1,)), ValueError),
        (RowChange(DELETE, "t"), ValueError),
        (RowChange(INSERT, "", ("a",), (1,)), ValueError),
        (RowChange(INSERT, "a\0b", ("a",), (1,)), ValueError),
        (RowChange(INSERT, "t", ("a",), (2**63,)), OverflowError),
        (RowChange(INSERT, "t", ("a",), ("\ud800",)), ValueError),
        (RowChange(INSERT, "t", ("a",), (RawText(b"plain"),)), ValueError),
        (RowChange(CLEAR, "t", origin=2**64), OverflowError),
    ],
)
def test_what_is_no_change_is_refused(change: RowChange, error: type[Exception]) -> None:
    with pytest.raises(error):
        render(change)


def test_pieces_of_an_update_and_a_delete_make_the_same_text() -> None:
    update = RowChange(UPDATE, "Orders", ("order", "b"), (1, "x"), ("id", "k"), (7, b"z"))
    pieces = update_pieces(update.table, update.columns, update.key)
    assert join_pieces(pieces, (*update.values, *update.key_values)) == render(update)
    delete = RowChange(DELETE, "Orders", key=("id", "k"), key_values=(7, "it's"))
    assert join_pieces(delete_pieces(delete.table, delete.key), delete.key_values) == render(delete)


def test_an_insert_whose_beginning_is_known() -> None:
    head = insert_head("t", ("id", "name"))
    assert render_values(head, (7, "x")) == render(ROW)
    assert render_values(head, (7, "x"), 5) == render(attrs.evolve(ROW, origin=5))
