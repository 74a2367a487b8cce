"""What a table says of itself: its living rows, and the index that speaks for its segments."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.blocks.schema import ACTIONS, Column, Index, IndexKind, Table
from spgrepl.spg.values.types import INTEGER_TAGS, SpgType

TAGS = st.sampled_from([1, 2, 4, 7, 11, 75])
KINDS = st.sampled_from([IndexKind.BTREE, IndexKind.HNSW, IndexKind.COMPOSITE])


def table(tags: list[int], indexes: list[tuple[int, IndexKind]], **more: int) -> Table:
    columns = tuple(Column(f"c{place}", SpgType(tag), True) for place, tag in enumerate(tags))
    made = tuple(
        Index(f"i{number}", column % len(tags), kind, cold={number: number + 1})
        for number, (column, kind) in enumerate(indexes)
    )
    return Table("t", columns, 0, 0, more.get("stored", 0), more.get("dead", 0), indexes=made)


@given(st.lists(TAGS, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), KINDS), max_size=4))
def test_the_first_tree_of_whole_numbers_speaks_for_segments(
    tags: list[int], indexes: list[tuple[int, IndexKind]]
) -> None:
    found = table(tags, indexes)
    fitting = [
        number
        for number, (column, kind) in enumerate(indexes)
        if kind is IndexKind.BTREE and tags[column % len(tags)] in INTEGER_TAGS
    ]
    index = found.freeze_index
    assert (None if index is None else index.name) == (f"i{fitting[0]}" if fitting else None)
    assert dict(found.cold) == ({fitting[0]: fitting[0] + 1} if fitting else {})


@given(st.integers(0, 100), st.integers(0, 100))
def test_rows_that_are_alive(stored: int, dead: int) -> None:
    assert table([1], [], stored=stored + dead, dead=dead).hot == stored


def test_actions_are_sql_in_the_order_of_the_file() -> None:
    assert [action.value for action in ACTIONS] == ["RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"]


def test_values_do_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        table([1], []).name = "u"  # type: ignore[misc]
