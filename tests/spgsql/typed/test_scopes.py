"""Which column a name means: the nearest, and never one of two."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.stops import StatementStopped, TypeUnknown
from spgrepl.spgsql.language.types import INT, TEXT
from spgrepl.spgsql.typed.schema import ColumnInfo, TableInfo
from spgrepl.spgsql.typed.scopes import Rows, Scope


def table(**columns: SpgType | None) -> TableInfo:
    found = tuple(ColumnInfo(name, kind, True, False, {}, None) for name, kind in columns.items())
    return TableInfo("T", found, (), False, ())


OUTER = Scope((Rows.of_table(table(id=INT, far=TEXT), "o"),))
SCOPE = Scope((Rows.of_table(table(Id=TEXT, x=INT), "One"), Rows("two", {"x": TEXT, "odd": None})), OUTER)


@pytest.mark.parametrize(
    ("of", "name", "sql", "kind"),
    [
        ("", "ID", '"one"."id"', TEXT),
        ("ONE", "x", '"one"."x"', INT),
        ("two", "X", '"two"."x"', TEXT),
        ("", "far", '"o"."far"', TEXT),
        ("o", "id", '"o"."id"', INT),
    ],
)
def test_the_nearest_column_of_a_name(of: str, name: str, sql: str, kind: SpgType) -> None:
    found = SCOPE.column(of, name)
    assert (found.sql, found.type) == (sql, kind)


@pytest.mark.parametrize(
    ("of", "name", "said"),
    [
        ("", "x", "the column x is of more than one table"),
        ("two", "id", r"there is no column two\.id here"),
        ("T", "x", r"there is no column t\.x here"),
        ("", "none", "there is no column none here"),
    ],
)
def test_a_name_that_means_nothing_or_two_things(of: str, name: str, said: str) -> None:
    with pytest.raises(StatementStopped, match=said):
        SCOPE.column(of, name)


def test_a_type_that_is_not_known_is_named() -> None:
    with pytest.raises(TypeUnknown, match="odd"):
        SCOPE.column("", "odd")


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), st.sampled_from(["a", "b", "c"]))
def test_what_is_within_hides_what_is_around(names: list[str], name: str) -> None:
    scope: Scope | None = None
    for depth, one in enumerate(names):
        scope = Scope((Rows(f"r{depth}", {one: INT}),), scope)
    assert scope is not None
    if name in names:
        nearest = len(names) - 1 - names[::-1].index(name)
        assert scope.column("", name).sql == f'"r{nearest}"."{name}"'
    else:
        with pytest.raises(StatementStopped):
            scope.column("", name)
