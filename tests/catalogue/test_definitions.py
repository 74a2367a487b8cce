"""What publications take, alone and together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.definitions import EVERY_TABLE, NO_TABLE, Publications, TableFilter, filter_of
from spgrepl.catalogue.statements import (
    CreatePublication,
    CreateSubscription,
    DropPublication,
    DropSubscription,
    Scope,
    parse_catalog_change,
)

ALL = CreatePublication("every", Scope.ALL)
ONLY = CreatePublication("some", Scope.ONLY, ("a", "b"))
BUT = CreatePublication("but", Scope.EXCEPT, ("a", "c"))
THREE = Publications({one.name: one for one in (ALL, ONLY, BUT)})


def accepted(wanted: TableFilter) -> set[str]:
    return {table for table in "abcd" if wanted.accepts(frozenset(table))}


def test_scopes() -> None:
    assert accepted(filter_of(ALL)) == set("abcd")
    assert accepted(filter_of(ONLY)) == set("ab")
    assert accepted(filter_of(BUT)) == set("bd")
    assert accepted(EVERY_TABLE) == set("abcd")
    assert accepted(NO_TABLE) == set()


def test_any_one_table_of_a_record_suffices() -> None:
    assert filter_of(ONLY).accepts(frozenset("xb"))
    assert filter_of(BUT).accepts(frozenset("ab"))
    assert not filter_of(BUT).accepts(frozenset("ac"))
    assert not filter_of(ONLY).accepts(frozenset())
    assert not filter_of(ALL).accepts(frozenset())


@pytest.mark.parametrize(
    ("names", "tables", "unknown"),
    [
        ((), "abcd", ()),
        (("every",), "abcd", ()),
        (("some",), "ab", ()),
        (("but",), "bd", ()),
        (("some", "but"), "abd", ()),
        (("none",), "", ("none",)),
        (("none", "some", "neither"), "ab", ("none", "neither")),
        (("EVERY",), "", ("EVERY",)),
    ],
)
def test_several_take_what_one_of_them_takes(
    names: tuple[str, ...], tables: str, unknown: tuple[str, ...]
) -> None:
    wanted, missing = THREE.filter_for(names)
    assert accepted(wanted) == set(tables)
    assert missing == unknown


filters = st.builds(TableFilter, st.frozensets(st.sampled_from("abcd")), st.booleans())


@given(filters, filters)
def test_together_they_accept_what_either_accepts(one: TableFilter, other: TableFilter) -> None:
    assert accepted(one | other) == accepted(one) | accepted(other)
    assert one | other == other | one
    assert one | one == one
    assert one | NO_TABLE == one


@given(filters, st.frozensets(st.sampled_from("abcd"), min_size=1))
def test_equal_filters_accept_the_same(one: TableFilter, tables: frozenset[str]) -> None:
    assert one.accepts(tables) == any(one.accepts(frozenset(table)) for table in tables)


def test_changes_in_their_order() -> None:
    publications = Publications()
    assert publications.after(ONLY).by_name == {"some": ONLY}
    other = CreatePublication("some", Scope.ALL)
    assert publications.after(ONLY).after(other).by_name == {"some": other}
    assert THREE.after(DropPublication("but")).by_name == {"every": ALL, "some": ONLY}
    assert publications.by_name == {}


def test_what_is_missing_is_dropped_without_complaint_and_subscriptions_change_nothing() -> None:
    assert THREE.after(DropPublication("none")) == THREE
    assert THREE.after(CreateSubscription("some", "host=h", ("p",))) == THREE
    assert THREE.after(DropSubscription("some")) == THREE


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
def test_capital_letters_make_another_table_in_postgresql_only(
    listed: str, changed: str, in_postgresql: bool, in_sqlite: bool
) -> None:
    for any_case, expected in ((False, in_postgresql), (True, in_sqlite)):
        for scope, accepts in (
            (f"FOR TABLE {listed}", expected),
            (f"FOR ALL TABLES EXCEPT {listed}", not expected),
        ):
            change = parse_catalog_change(f"CREATE PUBLICATION p {scope}")
            assert change is not None
            wanted, _ = Publications(any_case=any_case).after(change).filter_for(["p"])
            assert wanted.accepts(frozenset({changed})) is accepts


def test_letters_beyond_ascii_make_another_table_in_sqlite_too() -> None:
    wanted = filter_of(CreatePublication("p", Scope.ONLY, ("ä", "B")), any_case=True)
    assert wanted.accepts(frozenset({"ä"}))
    assert wanted.accepts(frozenset({"b"}))
    assert not wanted.accepts(frozenset({"Ä"}))
