"""What a comparison says over HTTP is read as it was meant, to the last bit."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.base.histories import History
from spgrepl.comparing.ends import Standing
from spgrepl.comparing.table_reader import KeyRange, Layout
from spgrepl.postgresql.column_types import ColumnType
from spgrepl.server.comparing import values as said
from tests.rows.strategies import values

rows = st.lists(values, max_size=4).map(tuple)
keys = st.one_of(st.none(), rows)


def over_http(value: Any) -> Any:
    return json.loads(json.dumps(value))


def same(one: Any, other: Any) -> bool:
    """Types count, and the sign of zero."""
    return repr(one) == repr(other)


@given(rows)
def test_rows(row: tuple[Any, ...]) -> None:
    assert same(said.row_from_json(over_http(said.row_to_json(row))), row)


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, -0.0, 5e-324, 2**63 - 1, -(2**63), "", b"", "\0", "\ud7ff"]
)
def test_values_at_the_end_of_what_there_is(value: Any) -> None:
    assert same(said.value_from_json(over_http(said.value_to_json(value))), value)


@given(keys, keys, st.booleans())
def test_ranges(above: Any, last: Any, nameless: bool) -> None:
    one = KeyRange(above, last, nameless)
    assert same(said.range_from_json(over_http(said.range_to_json(one))), one)


def test_tables_and_places() -> None:
    types = (ColumnType("numeric(10,2)", "numeric", 655366, "numeric"), ColumnType("text", "text", is_array=True))
    layout = Layout("t", ("a",), ("a", "b"), 1, True, numbered=True, types=types)
    assert said.layout_from_json(over_http(said.layout_to_json(layout))) == layout
    standing = Standing(2**62, (History("a" * 32, 5, None), History("b" * 32, 0, 7)))
    assert said.standing_from_json(over_http(said.standing_to_json(standing))) == standing


@pytest.mark.parametrize("found", [{}, {"bytes": "x"}, {"text": "0"}, {"other": ""}])
def test_what_is_no_value_is_refused(found: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        said.value_from_json(found)


def test_the_size_of_a_row_is_about_what_it_takes() -> None:
    assert said.size_of((1, None, "abc", b"de")) == 8 + 8 + 3 + 2
