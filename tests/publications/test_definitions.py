"""Publications as values: what each takes, and what several take together."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.publications.definitions import EVERY_TABLE, NO_TABLE, Publications, TableFilter
from spgrepl.publications.statements import parse_catalog_change

NAMES = ["a", "b", "c", "d"]
filters = st.builds(TableFilter, st.frozensets(st.sampled_from(NAMES)), st.booleans())


def made(*statements: str, any_case: bool = False) -> Publications:
    found = Publications(any_case=any_case)
    for statement in statements:
        change = parse_catalog_change(statement)
        assert change is not None
        found = found.after(change)
    return found


@given(filters, filters)
def test_two_filters_together_accept_what_one_of_them_accepts(first, second):
    for name in NAMES:
        tables = frozenset({name})
        assert (first | second).accepts(tables) == (first.accepts(tables) or second.accepts(tables))


@given(filters)
def test_a_record_of_several_tables_is_accepted_for_any_of_them(one):
    for names in itertools.chain(*(itertools.combinations(NAMES, count) for count in (1, 2, 3))):
        assert one.accepts(frozenset(names)) == any(one.accepts(frozenset({name})) for name in names)


def test_what_publications_take():
    found = made(
        "CREATE PUBLICATION every",
        "CREATE PUBLICATION some FOR TABLE a, public.b",
        "CREATE PUBLICATION others FOR ALL TABLES EXCEPT a, c",
    )
    assert found.filter_for(["every"]) == (EVERY_TABLE, ())
    assert found.filter_for(["some"]) == (TableFilter(frozenset("ab")), ())
    assert found.filter_for(["some", "others"]) == (TableFilter(frozenset("c"), inverted=True), ())
    assert found.filter_for(["nobody", "some"])[1] == ("nobody",)
    assert found.filter_for(["nobody"]) == (NO_TABLE, ("nobody",))
    assert found.filter_for([]) == (EVERY_TABLE, ())


def test_changes_replace_and_drop_without_complaint():
    found = made("CREATE PUBLICATION p FOR TABLE a", "CREATE PUBLICATION p FOR TABLE b", "DROP PUBLICATION nobody")
    assert found.filter_for(["p"]) == (TableFilter(frozenset("b")), ())
    assert made("CREATE PUBLICATION p", "DROP PUBLICATION p").filter_for(["p"]) == (NO_TABLE, ("p",))
    assert made("CREATE SUBSCRIPTION s CONNECTION 'host=a port=1' PUBLICATION p").by_name == {}


@pytest.mark.parametrize(
    ("listed", "changed", "in_postgresql", "in_sqlite"),
    [
        ("orders", "orders", True, True),
        ("Orders", "orders", True, True),
        ("orders", "Orders", False, True),
        ('"Orders"', "orders", False, True),
        ('"Orders"', "Orders", True, True),
        ("orders", "other", False, False),
    ],
)
def test_capital_letters_make_another_table_in_postgresql_only(listed, changed, in_postgresql, in_sqlite):
    statement = f"CREATE PUBLICATION p FOR TABLE {listed}"
    for any_case, expected in ((False, in_postgresql), (True, in_sqlite)):
        wanted, _ = made(statement, any_case=any_case).filter_for(["p"])
        assert wanted.accepts(frozenset({changed})) is expected
        every, _ = made(f"CREATE PUBLICATION p FOR ALL TABLES EXCEPT {listed}", any_case=any_case).filter_for(
            ["p"]
        )
        assert every.accepts(frozenset({changed})) is not expected
