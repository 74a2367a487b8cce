"""The comment with the number of a row that is named by a key."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.numbers import RowNumber, add_number, take_number
from spgrepl.rows.origins import origin_of
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.render import render
from spgrepl.rows.shapes import parameters_sql

INSERT = RowChange(ChangeKind.INSERT, "t", ("id", "a"), ("x", 1))
UPDATE = RowChange(ChangeKind.UPDATE, "t", ("a",), (2,), ("id",), ("x",))
DELETE = RowChange(ChangeKind.DELETE, "t", key=("id",), key_values=("x",))

numbers = st.builds(RowNumber, st.sampled_from(["rowid", "_rowid_", "oid"]), st.integers(-(2**63), 2**63 - 1))


@given(st.sampled_from([INSERT, UPDATE]), st.none() | st.integers(0, 2**64 - 1), numbers)
def test_what_is_added_is_taken(change: RowChange, origin: int | None, number: RowNumber) -> None:
    plain = render(attrs.evolve(change, origin=origin))
    text = add_number(plain, number)
    assert take_number(text) == (plain, number)
    assert take_number(plain) is None
    assert origin_of(text) == origin
    found = Recogniser().read(text)
    assert found is not None
    assert (found.number, found.origin) == (number, origin)
    assert found.change() == attrs.evolve(change, origin=origin)


def test_the_number_is_one_more_column() -> None:
    read = Recogniser().read
    insert = read(add_number(render(INSERT), RowNumber("rowid", 7)))
    assert insert is not None
    shape, values = insert.with_number()
    assert parameters_sql(shape, values) == "INSERT OR ABORT INTO t(id,a,rowid)VALUES(?,?,?)"
    assert tuple(values) == ("x", 1, 7)
    update = read(add_number(render(UPDATE), RowNumber("oid", -7)))
    assert update is not None
    shape, values = update.with_number()
    assert parameters_sql(shape, values) == "UPDATE OR ABORT t SET a=?,oid=? WHERE id=?"
    assert tuple(values) == (2, -7, "x")


@pytest.mark.parametrize(
    "sql",
    [
        render(DELETE) + b" /* rowid 7 */",
        render(INSERT) + b" /* rowid 7 */ /* rowid 7 */",
        render(INSERT) + b" /* rowid 07 */",
        render(INSERT) + b" /* rowid +7 */",
        render(INSERT) + b" /* rowid -0 */",
        render(INSERT) + b" /* rowid 9223372036854775808 */",
        render(INSERT) + b" /* id 7 */",
        render(INSERT) + b" /* origin 0123456789abcdef */ /* rowid 7 */",
        b"SELECT 1 /* rowid 7 */",
        b"/* rowid 7 */",
    ],
)
def test_all_else_is_not_canonical(sql: bytes) -> None:
    assert Recogniser().read(sql) is None


def test_a_text_that_holds_such_a_comment_is_a_value() -> None:
    change = RowChange(ChangeKind.INSERT, "t", ("a",), (" /* rowid 7 */",))
    found = Recogniser().read(render(change))
    assert found is not None
    assert (found.number, found.change()) == (None, change)
