"""The values of rows as a connection reads them."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from hypothesis import given

from spgrepl.primary.changes.layout import Unwritable
from spgrepl.primary.changes.row_values import listed, refuse_bytes, values_of
from spgrepl.rows.values import RawText, RowValue, value_text
from tests.rows.forms import exact
from tests.rows.strategies import values


@given(values, values)
def test_each_value_is_read_as_it_is(one: RowValue, other: RowValue) -> None:
    layout: Any = SimpleNamespace(columns=("a", "order"))
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(
            f'CREATE TABLE t (a, "order"); INSERT INTO t VALUES ({value_text(one)}, {value_text(other)})'
        )
        found = connection.execute(f"SELECT {listed(layout)} FROM t").fetchone()
    assert found is not None
    assert exact(values_of(found, "utf-8")) == exact((one, other))


@pytest.mark.parametrize("value", [RawText(b"\xff"), "a\0b"])
def test_what_the_log_cannot_state_of_other_encodings(value: RowValue) -> None:
    with pytest.raises(Unwritable, match="table t holds text with NUL"):
        refuse_bytes("t", 1, value)
    refuse_bytes("t", 1, "text", b"\0", None)
