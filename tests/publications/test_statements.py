"""The statements of publications and subscriptions, as they stand in a log."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.publications.statements import (
    CatalogChange,
    CreatePublication,
    CreateSubscription,
    DropPublication,
    DropSubscription,
    Scope,
    fold_name,
    parse_catalog_change,
)


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("CREATE PUBLICATION p", CreatePublication("p", Scope.ALL)),
        ("create publication P for all tables;", CreatePublication("p", Scope.ALL)),
        ("CREATE PUBLICATION p FOR ALL TABLES EXCEPT a, B", CreatePublication("p", Scope.EXCEPT, ("a", "b"))),
        ("CREATE PUBLICATION p FOR TABLE t", CreatePublication("p", Scope.ONLY, ("t",))),
        ('CREATE PUBLICATION "My P" FOR TABLES "A b", c', CreatePublication("My P", Scope.ONLY, ("A b", "c"))),
        ("CREATE PUBLICATION p FOR TABLE public.t, other.u", CreatePublication("p", Scope.ONLY, ("t", "other.u"))),
        ('CREATE PUBLICATION p FOR TABLE "a""b"', CreatePublication("p", Scope.ONLY, ('a"b',))),
        ("-- so\nCREATE /* x */ PUBLICATION\np FOR\tTABLE t -- end", CreatePublication("p", Scope.ONLY, ("t",))),
        ("DROP PUBLICATION p", DropPublication("p")),
        ("DROP PUBLICATION IF EXISTS P ;", DropPublication("p")),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=a port=1' PUBLICATION p, q",
            CreateSubscription("s", "host=a port=1", ("p", "q")),
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'it''s' PUBLICATION \"P\"",
            CreateSubscription("s", "it's", ("P",)),
        ),
        ("DROP SUBSCRIPTION IF EXISTS s", DropSubscription("s")),
        ("SHOW PUBLICATIONS", None),
        ("SHOW SUBSCRIPTIONS", None),
        ("SET effective_wal_level = 'logical'", None),
        ("WAIT FOR WAL POSITION 7 WITH TIMEOUT 100", None),
    ],
)
def test_each_form(sql: str, change: CatalogChange | None) -> None:
    assert parse_catalog_change(sql) == change


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE PUBLICATION",
        "CREATE PUBLICATION p FOR",
        "CREATE PUBLICATION p FOR TABLE",
        "CREATE PUBLICATION p FOR TABLE a,",
        "CREATE PUBLICATION p FOR ALL TABLES EXCEPT",
        "CREATE PUBLICATION p q",
        "CREATE PUBLICATION 1p",
        'CREATE PUBLICATION ""',
        "CREATE SUBSCRIPTION s CONNECTION 'x'",
        "CREATE SUBSCRIPTION s CONNECTION 'open PUBLICATION p",
        "ALTER PUBLICATION p ADD TABLE t",
        "DROP PUBLICATION p, q",
        "DROP PUBLICATION IF EXISTS",
    ],
)
def test_what_is_none_of_them_is_refused(sql: str) -> None:
    with pytest.raises(ValueError, match="not a publication or subscription statement"):
        parse_catalog_change(sql)


@given(name=st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_any_name_can_be_quoted(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    assert fold_name(quoted) == name
    assert parse_catalog_change(f"CREATE PUBLICATION {quoted}") == CreatePublication(name, Scope.ALL)
    assert parse_catalog_change(f"DROP PUBLICATION {quoted}") == DropPublication(name)


@given(st.text(st.sampled_from("CREATEDROPUBLIFS ,.\"'-/*\n;p"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_catalog_change("CREATE PUBLICATION " + text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "tail",
    [
        "/*" * 20_000,
        "-- x\n" * 20_000,
        "p" + " " * 20_000 + "!",
        "p FOR TABLE " + "a, " * 20_000 + "!",
        "p FOR TABLE a" + "/**/" * 10_000 + "!",
        "p " + ";/**/ " * 10_000 + "!",
        '"' * 20_001,
    ],
)
def test_hostile_text_is_refused_in_linear_time(tail: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match="not a publication"):
        parse_catalog_change("CREATE PUBLICATION " + tail)
    assert time.process_time() - start < 2.0
