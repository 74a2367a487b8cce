"""The comment that says where a row originated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.origins import origin_of, origins_in
from spgrepl.rows.render import render


@given(st.none() | st.integers(0, 2**64 - 1))
def test_what_is_rendered_is_read(origin: int | None) -> None:
    change = RowChange(ChangeKind.CLEAR, "t", origin=origin)
    assert origin_of(render(change)) == origin


@pytest.mark.parametrize(
    "sql",
    [
        b"",
        b"DELETE FROM t",
        b"DELETE FROM t /* origin 0123456789ABCDEF */",
        b"DELETE FROM t /* origin 123 */",
        b"DELETE FROM t /* origin 0123456789abcdef */ -- more",
        b"INSERT INTO t VALUES (' /* origin 0123456789abcdef */')",
        b"/* origin 0123456789abcdef */ DELETE FROM t",
    ],
)
def test_all_else_states_no_origin(sql: bytes) -> None:
    assert origin_of(sql) is None


def test_those_of_a_batch() -> None:
    assert origins_in([None, b"DELETE FROM t", b"DELETE FROM t /* origin 00000000000000ff */", b"x */"]) == {
        2: 255
    }
