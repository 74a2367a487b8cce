"""Which tables of two databases can be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import attrs
import pytest

from spgrepl.comparing.matching import match
from spgrepl.comparing.table_reader import POSTGRESQL, SQLITE, Key, KeyRange, Layout, Row, Sum, TableReader
from spgrepl.postgresql.column_types import ColumnType

BIGINT, NUMERIC, TEXT = (
    ColumnType(sql, base) for sql, base in (("bigint", "int8"), ("numeric", "numeric"), ("text", "text"))
)


class Tables(TableReader):
    """A database with these tables."""

    def __init__(self, kind: str, *layouts: Layout) -> None:
        self.kind = kind
        self._layouts = {one.name: one for one in layouts}

    def layouts(self, names: Collection[str] | None = None) -> dict[str, Layout]:
        return {name: one for name, one in self._layouts.items() if names is None or name in names}

    def fit(self, layout: Layout) -> Layout | str:
        return self._layouts.get(layout.name, "there it is not")

    def count(self, layout: Layout) -> int:
        raise AssertionError(layout)

    def stops(self, layout: Layout, within: KeyRange) -> Iterator[Key]:
        raise AssertionError(layout)

    def sums(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        raise AssertionError(layout)

    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        raise AssertionError(layout)


HERE = Layout("t", ("a", "b"), ("a", "b"), 2)
THERE = Layout("t", ("a", "b"), ("a", "b"), 1, types=(BIGINT, TEXT), in_server=True)
SHADOW = Layout("t_data", ("id",), ("id",), 1, inner=True)


def test_a_table_has_the_types_of_the_server_at_both_ends() -> None:
    here, there = Tables(SQLITE, HERE, SHADOW, attrs.evolve(HERE, name="u")), Tables(POSTGRESQL, THERE)
    found = match((here, there), None)
    pair = (attrs.evolve(HERE, ordered=1, types=THERE.types), THERE)
    assert found.pairs == (pair,)
    assert found.unlike == ("table u: there it is not",)
    assert match((there, here), ["t", "x"]).pairs == (pair[::-1],)
    assert match((there, here), ["t", "x"]).unlike == ("table x: the SQLite database does not have it",)


def test_a_table_that_only_the_server_has_is_named() -> None:
    more = attrs.evolve(THERE, name="more")
    here, there = Tables(SQLITE, HERE, SHADOW), Tables(POSTGRESQL, THERE, more)
    assert match((here, there), None).unlike == ("table more: in the second only",)
    assert match((there, here), None).unlike == ("table more: in the first only",)
    assert match((here, there), ["t"]).unlike == ()
    # A name of other case is not one more table, but the one that does not fit.
    folded = Tables(POSTGRESQL, attrs.evolve(THERE, name="T"))
    assert match((here, folded), None).unlike == ("table t: there it is not",)


def test_two_servers_may_have_other_types_and_another_order() -> None:
    other = Layout("t", ("b", "a"), ("b", "a"), 1, types=(TEXT, NUMERIC), in_server=True)
    found = match((Tables(POSTGRESQL, THERE), Tables(POSTGRESQL, other)), None)
    turned = attrs.evolve(THERE, types=(NUMERIC, TEXT), ordered=0)
    assert found.pairs == ((attrs.evolve(THERE, ordered=0), turned),)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (attrs.evolve(THERE, types=(TEXT, TEXT)), "its column a is bigint in the first and text in the second"),
        (attrs.evolve(THERE, key=("a",)), "its columns or its key are not the same"),
        (attrs.evolve(THERE, columns=("a", "c")), "its columns or its key are not the same"),
    ],
)
def test_what_cannot_be_compared_is_said(other: Layout, reason: str) -> None:
    found = match((Tables(POSTGRESQL, THERE), Tables(POSTGRESQL, other)), None)
    assert found.pairs == ()
    assert found.unlike == (f"table t: {reason}",)


def test_tables_that_one_of_two_alike_lacks_are_named() -> None:
    first, second = Tables(SQLITE, HERE), Tables(SQLITE, attrs.evolve(HERE, name="u"))
    assert match((first, second), None).unlike == ("table t: in the first only", "table u: in the second only")
    assert match((first, second), ["x"]).unlike == ("table x: neither database has it",)
